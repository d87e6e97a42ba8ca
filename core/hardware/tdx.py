"""TDX: a module of the CPU keeps the secure EPT and the owner of each page; the guest accepts its pages.

Private and shared gfns stand under different roots. KVM's private entry is a mirror; the module's own entry is
changed by SEAMCALLs after it. Zapping a private page takes it out of the TD: BLOCK, TRACK, kick, REMOVE, and its
content is lost. A page that is mapped anew holds zeros once the guest has accepted it. Order of Linux 7.3
(arch/x86/kvm/vmx/tdx.c).
"""

from gmembench.core.programs import Hardware, Row, row
from gmembench.core.world import HARDWARE_TDX

Rows = tuple[Row, ...]


def seamcall(name: str, at: str = "", then: str = "") -> Row:
    """A SEAMCALL of a zap. `then`: where success leads, if not to the row below."""
    to = {"busy": f"{name}_stop_entries", "refused": f"{name}_bug"} | ({"next": then} if then else {})
    return row(name, to, step=f"sept.{name}", at=at)


def beside_seamcall(name: str, done: str) -> Rows:
    """What a SEAMCALL of a zap does that fails, and where it goes on when it is done.

    Busy: it is tried once more with all vCPUs out of the TD (tdh_do_no_vcpus), and then it must do. Anything else
    is a bug, after which the zap goes on.
    """
    fails = f"{name}_bug"
    return (
        row(f"{name}_stop_entries", step="tdx.stop_entries"),
        row(f"{name}_kick", step="tdx.kick", site="tdh_do_no_vcpus"),
        row(f"{name}_kick_wait", step="tdx.kick_wait", site="tdh_do_no_vcpus"),
        row(f"{name}_again", {"busy": fails, "refused": fails}, step=f"sept.{name}"),
        row(f"{name}_allow_entries", {"next": done}, step="tdx.allow_entries"),
    )


def bug(name: str, then: str) -> Rows:
    """TDX_BUG_ON after a SEAMCALL."""
    return (row(f"{name}_bug", {"next": then}, step="tdx.bug"),)


MAP = (
    row("freeze_spte", {"lost": "@lost", "shared": "@set", "same": "@set"}, step="tdx.freeze_spte"),
    row("aug", {"busy": "unfreeze_spte", "refused": "aug_bug", "next": "@set"}, step="sept.aug"),
    *bug("aug", "unfreeze_spte"),
    row("unfreeze_spte", {"next": "@lost"}, step="tdx.unfreeze_spte"),
)

ZAP = (
    seamcall("block"),
    seamcall("track", at="blocked"),
    row("kick", at="tracked", step="tdx.kick"),
    row("kick_wait", step="tdx.kick_wait"),
    seamcall("remove"),
    row("writeback", at="removed", step="tdx.writeback"),
    row("reset_page", {"next": "@back"}, step="tdx.reset_page"),
    *beside_seamcall("block", "blocked"),
    *bug("block", "@back"),
    *beside_seamcall("track", "tracked"),
    *bug("track", "@back"),
    *beside_seamcall("remove", "removed"),
    *bug("remove", "@back"),
)
"""BLOCK, TRACK, the kick, REMOVE, and the page made fit for the host (tdx_sept_remove_leaf_spte)."""

BLOCK = (seamcall("block", then="@next"), *beside_seamcall("block", "@next"), *bug("block", "@next"))

TRACK = (
    seamcall("track"),
    row("kick", at="tracked", step="tdx.kick"),
    row("kick_wait", {"next": "@next"}, step="tdx.kick_wait"),
    *beside_seamcall("track", "tracked"),
    *bug("track", "@next"),
)

REMOVE = (
    seamcall("remove"),
    row("writeback", at="removed", step="tdx.writeback"),
    row("reset_page", {"next": "@next"}, step="tdx.reset_page"),
    *beside_seamcall("remove", "removed"),
    *bug("remove", "@next"),
)

UNBLOCK = (
    row(
        "unblock", {"next": "@set", "pending": "@lost", "busy": "@lost", "refused": "unblock_bug"}, step="sept.unblock"
    ),
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
        "block": BLOCK,
        "track": TRACK,
        "unblock": UNBLOCK,
        "remove": REMOVE,
        "accept": ACCEPT,
        "denied": DENIED,
        "retry": RETRY,
    },
    steps={
        "enter.service_requests": "tdx.service_requests",
        "enter.set_in_guest": "tdx.set_in_guest",
        "enter.recheck_requests": "tdx.enter",
        "enter.decode": "tdx.decode",
        "guest.translate": "tdx.translate",
        "prefault.load_root": "gpa.prefault_root",
        "populate.find_slot": "tdx.refuse_populate",
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
