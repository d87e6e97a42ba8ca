"""TDX: a module of the CPU keeps the secure EPT and the owner of each page; the guest accepts its pages.

Private and shared gfns stand under different roots. KVM's private entry is a mirror; the module's own entry is
changed by SEAMCALLs after it. Zapping a private page takes it out of the TD: BLOCK, TRACK, kick, REMOVE, and its
content is lost. A page that is mapped anew holds zeros once the guest has accepted it. Order of Linux 7.3
(arch/x86/kvm/vmx/tdx.c).
"""

from gmembench.core.programs import Hardware, Row, row
from gmembench.core.world import HARDWARE_TDX

Rows = tuple[Row, ...]


def no_vcpus(name: str, then: str) -> Rows:
    """A SEAMCALL of a zap; when busy it is tried once more with all vCPUs out (tdh_do_no_vcpus), and then it must do.

    `then`: where success leads. TDX_BUG_ON leads there too: the zap goes on.
    """
    fails = f"{name}_bug"
    return (
        row(name, {"next": then, "busy": f"{name}_stop_entries", "refused": fails}, step=f"sept.{name}"),
        row(f"{name}_stop_entries", step="tdx.stop_entries"),
        row(f"{name}_kick", step="tdx.kick", site="tdh_do_no_vcpus"),
        row(f"{name}_kick_wait", step="tdx.kick_wait", site="tdh_do_no_vcpus"),
        row(f"{name}_again", {"busy": fails, "refused": fails}, step=f"sept.{name}"),
        row(f"{name}_allow_entries", {"next": then}, step="tdx.allow_entries"),
    )


def bug(name: str, then: str) -> Rows:
    """TDX_BUG_ON after a SEAMCALL."""
    return (row(f"{name}_bug", {"next": then}, step="tdx.bug"),)


def track(then: str) -> Rows:
    """A new epoch, and every vCPU out of the TD (tdx_track)."""
    return (
        *no_vcpus("track", "kick"),
        row("kick", step="tdx.kick"),
        row("kick_wait", {"next": then}, step="tdx.kick_wait"),
    )


def take_out(then: str) -> Rows:
    """REMOVE, and the page made fit for the host (tdx_sept_remove_leaf_spte)."""
    return (
        *no_vcpus("remove", "writeback"),
        row("writeback", step="tdx.writeback"),
        row("reset_page", {"next": then}, step="tdx.reset_page"),
    )


MAP = (
    row("freeze_spte", {"lost": "@lost", "shared": "@set", "same": "@set"}, step="tdx.freeze_spte"),
    row("aug", {"busy": "unfreeze_spte", "refused": "aug_bug", "next": "@set"}, step="sept.aug"),
    *bug("aug", "unfreeze_spte"),
    row("unfreeze_spte", {"next": "@lost"}, step="tdx.unfreeze_spte"),
)

ZAP = (
    *no_vcpus("block", "track"),
    *track("remove"),
    *take_out("@back"),
    *bug("block", "@back"),
    *bug("track", "@back"),
    *bug("remove", "@back"),
)

UNBLOCK = (
    row("unblock", {"next": "@set", "pending": "@lost", "busy": "@lost", "refused": "unblock_bug"}, step="sept.unblock"),
    *bug("unblock", "@lost"),
)

ACCEPT = (row("accept", {"next": "@back", "absent": "@exit"}, step="sept.accept"),)

DENIED = (
    row("dead", step="tdx.leave_dead"),
    row("dead_srcu_unlock", {"next": "END"}, step="srcu.unlock"),
)

RETRY = (
    row("retry_locally", {"shared": "@enter", "killed": "L_denied"}, step="tdx.retry_locally"),
    row("check_events", {"pending": "@enter"}, step="tdx.check_events"),
    row("check_invalid_slot", {"invalid": "@enter", "next": "@head"}, step="tdx.check_invalid_slot"),
)

HARDWARE = Hardware(
    "tdx",
    (__doc__ or "").strip(),
    separate_roots=True,
    classify="gpa.classify",
    hooks={
        "map": MAP,
        "zap": ZAP,
        "block": (*no_vcpus("block", "@next"), *bug("block", "@next")),
        "track": (*track("@next"), *bug("track", "@next")),
        "unblock": UNBLOCK,
        "remove": (*take_out("@next"), *bug("remove", "@next")),
        "accept": ACCEPT,
        "denied": DENIED,
        "retry": RETRY,
    },
    steps={
        "enter.set_in_guest": "tdx.enter",
        "enter.decode": "tdx.decode",
        "guest.translate": "tdx.translate",
        "prefault.load_root": "gpa.prefault_root",
        "prefault.check_result": "tdx.check_prefault",
        "zap.gfn": "tdx.zap",
        "convert.store_attr": "tdx.store_attr",
        "slot.publish_removed": "tdx.publish_removed",
        "teardown.zap_all": "tdx.zap_all",
    },
    number=HARDWARE_TDX,
    sept=True,
    zap_keeps_content=False,
)
