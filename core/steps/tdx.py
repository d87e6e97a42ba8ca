"""KVM's part of TDX, and what a vCPU of a TD does (tdx.c, tdp_mmu.c: the mirror of the secure EPT)."""

from gmembench.core.errno import EINVAL, EIO, VM_DEAD
from gmembench.core.outcomes import (
    ABSENT,
    AGAIN,
    BLOCKED,
    DENIED,
    DONE,
    EXTERNAL,
    FAULT,
    INVALID,
    KICKED,
    KILLED,
    LOST,
    NEXT,
    NONE,
    PENDING,
    SAME,
    SHARED,
    SLOT,
    YIELD,
)
from gmembench.core.parts.access import tell_left_td
from gmembench.core.parts.attributes import wanted_attr
from gmembench.core.parts.gpa import believed_private, cache_pfn, cached_pfn
from gmembench.core.parts.kicks import all_left, kick_all
from gmembench.core.parts.memslots import slot_of_gfn, walk_on
from gmembench.core.parts.prefault import after_page
from gmembench.core.parts.requests import serve
from gmembench.core.parts.roots import drop_tables
from gmembench.core.parts.sept import give_back, tree_locked
from gmembench.core.parts.slot_objects import end_swap
from gmembench.core.parts.stage2 import clear_entry, region_empty, region_end, translate_pfn
from gmembench.core.parts.zaps import SHARED_ONLY, filter_of, zap_at
from gmembench.core.steps.registry import step
from gmembench.core.steps.zap import BY_INDEX
from gmembench.core.views import Record
from gmembench.core.world import (
    IN_GUEST,
    LIFE_INVALID,
    ORACLE_ZERO_PRIVATE,
    PG_KEY_DIRTY,
    SEPT_FREE,
    SEPT_MAPPED,
    SEPT_PENDING,
    SPTE_FROZEN,
    SPTE_PRESENT,
    frame,
    page,
    sept,
    slot,
    spte,
)

DIRECT, MIRROR = 0, 1
"""Roots: the one that the CPU walks for shared gfns, and KVM's copy of the secure EPT."""

ZERO_STEP_FAULTS = 2
"""Entries with the same private fault after which TDH.VP.ENTER takes the tree lock.

The module waits for more; this few, so that exploration reaches it.
"""


@step("kvm-fault", "state", "vcpu_enter_guest", ("pending",))
def service_requests(w: Record, a: Record, r: Record) -> int:
    """Serve the requests that other CPUs left. A vCPU that could not enter for a zap waits here instead of spinning."""
    if w["tdx_zap_wait"] != 0:
        return BLOCKED
    if a["requests"] != 0:
        serve(w, a)
    return NEXT


@step("kvm-fault", "state", "vcpu_enter_guest")
def set_in_guest(w: Record, a: Record, r: Record) -> int:
    """Publish IN_GUEST_MODE, before the requests and the zap that wants all vCPUs out are looked for."""
    a["mode"] = IN_GUEST
    a["in_td"] = 0
    return NEXT


@step("kvm-fault", "check", "tdx_vcpu_run", ("pending",))
def enter(w: Record, a: Record, r: Record) -> int:
    """TDH.VP.ENTER, unless there are requests or a zap wants all vCPUs out. A new TD epoch flushes the TLB.

    A vCPU that comes back with the same private fault too often holds the SEPT tree lock while it enters
    (zero-step mitigation).
    """
    stuck = a["same_faults"] >= ZERO_STEP_FAULTS
    if a["requests"] != 0 or w["tdx_zap_wait"] != 0:
        return PENDING
    if stuck and tree_locked(w):
        return BLOCKED
    a["in_td"] = 1
    if a["entered_epoch"] != w["tdx_epoch"]:
        a["entered_epoch"] = w["tdx_epoch"]
        a["tlb_generation"] += 1
    if stuck:
        w["tdx_tree_lock"] = a["number"] + 1
    return NEXT


@step("guest", "check", "TLB, secure EPT and EPT walk", ("absent", "denied", "kicked", "pending"))
def translate(w: Record, a: Record, r: Record) -> int:
    """Translate the gfn by the TLB, else a private one by the secure EPT and a shared one by the direct root.

    Pending: the page is there, but the guest has not accepted it. Denied: the TD runs no more.
    """
    if w["tdx_tree_lock"] == a["number"] + 1:
        w["tdx_tree_lock"] = 0
    if a["mode"] != IN_GUEST:
        return KICKED
    if w["vm_dead"] != 0:
        return DENIED
    a["is_private"] = believed_private(w, a)
    pfn = cached_pfn(w, a)
    if pfn == 0:
        if a["is_private"] != 0:
            state = sept(w, a["gfn"])["state"]
            if state == SEPT_PENDING:
                a["same_faults"] = 0
                return PENDING
            if state != SEPT_MAPPED:
                a["same_faults"] = min(a["same_faults"] + 1, ZERO_STEP_FAULTS)
                return ABSENT
            pfn = sept(w, a["gfn"])["pfn"]
        else:
            pfn = translate_pfn(w, a["gfn"], DIRECT)
            if pfn == 0:
                return ABSENT
        cache_pfn(w, a, pfn)
    a["same_faults"] = 0
    a["pfn"] = pfn
    return NEXT


@step("kvm-fault", "check", "tdx_handle_exit", ("kicked", "fault", "denied"))
def decode(w: Record, a: Record, r: Record) -> int:
    """Tell a kick from an EPT violation. Denied: the VM is dead (KVM_REQ_VM_DEAD)."""
    if w["vm_dead"] != 0:
        return DENIED
    if a["kicked"] != 0:
        a["kicked"] = 0
        return KICKED
    return FAULT


@step("kvm-fault", "state", "kvm_vm_dead")
def leave_dead(w: Record, a: Record, r: Record) -> int:
    """KVM_RUN of a dead VM fails."""
    a["result"] = VM_DEAD
    return NEXT


@step("kvm-fault", "spte-bits", "set_external_spte_present", ("lost", "shared", "same"))
def freeze_spte(w: Record, a: Record, r: Record) -> int:
    """Freeze the mirror entry while the module is asked: other faults on the gfn retry. A shared gfn has no mirror."""
    if a["is_private"] == 0:
        return SHARED
    entry = spte(w, a["gfn"], MIRROR)
    if entry["bits"] != a["old_bits"] or entry["pfn"] != a["old_pfn"] or entry["bits"] & SPTE_FROZEN:
        a["stale"] = 1
        return LOST
    if entry["bits"] & SPTE_PRESENT:
        return SAME
    entry["bits"] = entry["bits"] | SPTE_FROZEN
    a["old_bits"] = entry["bits"]
    a["froze"] = 1
    return NEXT


@step("kvm-fault", "spte-bits", "set_external_spte_present")
def unfreeze_spte(w: Record, a: Record, r: Record) -> int:
    """Put the mirror entry back as it was; the fault retries."""
    entry = spte(w, a["gfn"], MIRROR)
    entry["bits"] = entry["bits"] & ~SPTE_FROZEN
    a["froze"] = 0
    a["stale"] = 1
    return NEXT


@step("kvm-fault", "check", "tdx_handle_ept_violation", ("shared", "killed"))
def retry_locally(w: Record, a: Record, r: Record) -> int:
    """A private fault that must be retried is, without entering the TD, so that zero-step mitigation stays away.

    Whoever mapped the gfn, this fault or another, the loop ends then.
    """
    if w["vm_dead"] != 0:
        return KILLED
    return SHARED if a["is_private"] == 0 or a["stale"] == 0 else NEXT


@step(
    "kvm-fault",
    "check",
    "tdx_handle_ept_violation",
    ("pending",),
    guards="interrupts and signals, which the model does not have",
)
def check_events(w: Record, a: Record, r: Record) -> int:
    """Stop trying for an interrupt or a signal. There are none here."""
    return NEXT


@step("kvm-fault", "check", "tdx_handle_ept_violation", ("invalid",))
def check_invalid_slot(w: Record, a: Record, r: Record) -> int:
    """Stop trying if the memslot is being deleted: its deletion waits for this reader of SRCU."""
    found = slot_of_gfn(w, a["gfn"])
    if found >= 0 and slot(w, found)["life"] == LIFE_INVALID:
        return INVALID
    return NEXT


@step("kvm-fault", "check", "kvm_tdp_map_page", ("retry", "done"))
def check_prefault(w: Record, a: Record, r: Record) -> int:
    """Try again after a retry, unless the VM is dead; after a mapping go on behind it, until the range is done."""
    if w["vm_dead"] != 0:
        a["result"] = EIO
        return DONE
    return after_page(w, a)


@step("kvm-invalidate", "spte-bits", "tdp_mmu_zap_leafs", ("slot", "external"))
def zap(w: Record, a: Record, r: Record) -> int:
    """Zap the entry of one gfn, the mirror entry first of all; the module's own entry goes next (external).

    Roots are separate, so the attribute filter is obeyed. The cursor stays until the module's entry is gone.
    """
    if a["cursor"] < a["stop"]:
        kind = filter_of(a, r["kind"])
        if kind != SHARED_ONLY:
            a["old_pfn"] = spte(w, a["cursor"], MIRROR)["pfn"]
            if clear_entry(w, a["cursor"], MIRROR) != 0:
                a["zapped"] += 1
                return EXTERNAL
        zap_at(w, a, r["kind"])
        if a["cursor"] < a["stop"]:
            if r["may_yield"] != 0 and a["yield_now"] != 0:
                return YIELD
            return AGAIN
    if walk_on(w, a, r["value"] == BY_INDEX):
        return SLOT
    return NEXT


@step("kvm-invalidate", "state", "tdh_do_no_vcpus")
def stop_entries(w: Record, a: Record, r: Record) -> int:
    """A SEAMCALL was busy: let no vCPU enter the TD until it was tried again (wait_for_sept_zap)."""
    w["tdx_zap_wait"] = 1
    return NEXT


@step("kvm-invalidate", "state", "tdh_do_no_vcpus")
def allow_entries(w: Record, a: Record, r: Record) -> int:
    """Let vCPUs enter again."""
    w["tdx_zap_wait"] = 0
    return NEXT


@step("kvm-invalidate", "flush", "kvm_make_all_cpus_request")
def kick(w: Record, a: Record, r: Record) -> int:
    """Kick all vCPUs out of the TD. Their TLBs are flushed by the module at their next entry."""
    kick_all(w)
    return NEXT


@step("kvm-invalidate", "flush", "kvm_make_all_cpus_request")
def kick_wait(w: Record, a: Record, r: Record) -> int:
    """Wait until each kicked vCPU has left."""
    return NEXT if all_left(w) else BLOCKED


@step("hardware", "hw-op", "tdh_phymem_page_wbinvd_hkid")
def writeback(w: Record, a: Record, r: Record) -> int:
    """Write the page's cache lines back and drop them: dirty under the TD's key they would fall on the host's data."""
    p = page(w, a["old_pfn"])
    p["flags"] = p["flags"] & ~PG_KEY_DIRTY
    return NEXT


@step("hardware", "hw-op", "tdx_quirk_reset_paddr", guards="machine checks of CPUs with the partial-write erratum")
def reset_page(w: Record, a: Record, r: Record) -> int:
    """Overwrite the page with MOVDIR64B, on CPUs with the erratum. What it holds is of use to nobody."""
    return NEXT


@step("kvm-invalidate", "state", "TDX_BUG_ON")
def bug(w: Record, a: Record, r: Record) -> int:
    """A SEAMCALL failed that must not: warn, and the VM is dead. The page stays the TD's."""
    w["warns"] += 1
    w["vm_dead"] = 1
    w["tdx_zap_wait"] = 0
    return NEXT


@step("kvm-memslot", "check", "tdx_vcpu_init_mem_region", ("none",))
def refuse_populate(w: Record, a: Record, r: Record) -> int:
    """Initial data can be given to a TD only before it is finalised, and this TD runs."""
    a["error"] = EINVAL
    return NONE


@step("kvm-attributes", "state", "kvm_vm_set_mem_attributes")
def store_attr(w: Record, a: Record, r: Record) -> int:
    """Store the attribute of one gfn. The oracle is told that a page that became shared was taken out of the TD."""
    f = frame(w, a["gfn"])
    f["attr"] = wanted_attr(a)
    if wanted_attr(a) == 0:
        f["oracle"] = f["oracle"] | ORACLE_ZERO_PRIVATE
    if a["gfn"] + 1 < a["end"]:
        a["gfn"] += 1
        return AGAIN
    return NEXT


@step("kvm-memslot", "state", "kvm_delete_memslot")
def publish_removed(w: Record, a: Record, r: Record) -> int:
    """Take the INVALID copy out of the active set. The oracle is told that its private pages left the TD."""
    s = slot(w, a["new_slot"])
    s["active"] = 0
    end_swap(w, a)
    for gfn in range(s["base"], s["base"] + s["npages"]):
        tell_left_td(w, gfn)
    return NEXT


@step("kvm-invalidate", "spte-bits", "kvm_tdp_mmu_zap_all")
def zap_all(w: Record, a: Record, r: Record) -> int:
    """Zap one gfn below both roots, and reclaim its private page: no vCPU is left that could use it.

    The kernel removes private pages at the release of their file, and reclaims the rest when the TD is gone.
    """
    gfn = a["cursor"]
    if region_empty(w, gfn):
        a["cursor"] = region_end(w, gfn)
    else:
        clear_entry(w, gfn, DIRECT)
        clear_entry(w, gfn, MIRROR)
        if sept(w, gfn)["state"] != SEPT_FREE:
            pfn = sept(w, gfn)["pfn"]
            give_back(w, gfn)
            page(w, pfn)["flags"] = page(w, pfn)["flags"] & ~PG_KEY_DIRTY
        a["cursor"] = gfn + 1
    if a["cursor"] < w["frames_n"]:
        return AGAIN
    drop_tables(w, DIRECT)
    drop_tables(w, MIRROR)
    return NEXT
