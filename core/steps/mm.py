"""What the memory management of the host does to the VMA: unmap, NUMA hints, freeing after the flush."""

from gmembench.core.errno import EAGAIN
from gmembench.core.outcomes import AGAIN, BLOCKED, BUSY, NEXT
from gmembench.core.parts.access import tell_emptied, tell_punched, tell_punched_until, tell_punching
from gmembench.core.parts.pins import held_for_a_while
from gmembench.core.parts.pool import account_private, account_shared, put_page
from gmembench.core.parts.stage2 import region_end
from gmembench.core.parts.vma import count_double, hpte_gfn, hpte_state, names_page, split_host_entry
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    HPTE_HUGE,
    HPTE_MIGRATION,
    HPTE_PROTNONE,
    HPTE_RW,
    HPTE_STATE,
    ORACLE_ZERO_PRIVATE,
    ORACLE_ZERO_SHARED,
    PG_GUEST,
    POLICY_DEFAULT,
    actor,
    frame,
    page,
)


@step("mm", "lock", "mmap_read_lock")
def lock_mmap(w: Record, a: Record, r: Record) -> int:
    """Take mmap_lock for reading."""
    if w["mmap_writer"] != 0:
        return BLOCKED
    w["mmap_readers"] += 1
    return NEXT


@step("mm", "lock", "task_numa_work", ("busy",))
def trylock_mmap(w: Record, a: Record, r: Record) -> int:
    """Try mmap_lock for reading: the NUMA scanner gives up if it is taken.

    Nor does it look at a mapping with a policy of its own, which mbind() makes without MPOL_F_MOF
    (vma_policy_mof). One without falls back to the task's policy, which has it.
    """
    if w["mmap_writer"] != 0 or w["policy"] != POLICY_DEFAULT:
        return BUSY
    w["mmap_readers"] += 1
    return NEXT


@step("mm", "lock", "oom_reap_task_mm", ("busy",))
def trylock_reap(w: Record, a: Record, r: Record) -> int:
    """Try mmap_lock for reading: the OOM reaper does not wait."""
    if w["mmap_writer"] != 0:
        return BUSY
    w["mmap_readers"] += 1
    return NEXT


@step("mm", "lock", "mmap_read_unlock")
def unlock_mmap(w: Record, a: Record, r: Record) -> int:
    """Drop mmap_lock."""
    w["mmap_readers"] -= 1
    return NEXT


@step("mm", "state", "zap_pte_range")
def clear_pte(w: Record, a: Record, r: Record) -> int:
    """Clear the host PTE of one gfn and gather its page; a huge entry that is cut is split first.

    The split waits for references that are no pins: whoever took them puts them back at the head of the huge page.
    A migration entry is waited for; Linux removes it, and the migration finds nothing to put back.
    """
    gfn = a["gfn"]
    at = hpte_gfn(w, gfn)
    following = gfn + 1
    if hpte_state(w, gfn) == HPTE_MIGRATION:
        return BLOCKED
    if at >= 0:
        f = frame(w, at)
        if f["hpte"] & HPTE_HUGE:
            if at == gfn and region_end(w, gfn) <= a["end"]:
                following = region_end(w, gfn)
            elif held_for_a_while(w, f["hpfn"]):
                return BLOCKED
            else:
                split_host_entry(w, at)
                f = frame(w, gfn)
        if names_page(f["hpte"] & HPTE_STATE):
            p = page(w, f["hpfn"])
            count_double(w, gfn, p["order"], -1)
            p["index"] = a["gathered"]
            a["gathered"] = f["hpfn"]
        f["hpte"] = 0
        f["hpfn"] = 0
    a["gfn"] = following
    if following < a["end"]:
        return AGAIN
    return NEXT


@step("mm", "flush", "flush_tlb_mm_range")
def flush_host_tlb(w: Record, a: Record, r: Record) -> int:
    """Flush the TLBs of the VMM's threads."""
    for i in range(w["vcpus"], w["actors_n"]):
        actor(w, i)["tlb_generation"] += 1
    return NEXT


@step("mm", "refcount", "tlb_finish_mmu")
def free_page(w: Record, a: Record, r: Record) -> int:
    """Drop the PTE's reference of one gathered page: freed if nobody else holds it. After the flush."""
    pfn = a["gathered"]
    if pfn == 0:
        return NEXT
    p = page(w, pfn)
    a["gathered"] = p["index"]
    p["index"] = 0
    if p["flags"] & PG_GUEST:
        account_private(w, -1)
    else:
        account_shared(w, -(1 << p["order"]))
    put_page(w, pfn)
    return AGAIN


@step("mm", "state", "change_prot_numa")
def set_protnone(w: Record, a: Record, r: Record) -> int:
    """Make the host PTE of one gfn a NUMA hint; KVM's entries are gone by then (mprotect.c:574-631)."""
    gfn = a["gfn"]
    at = hpte_gfn(w, gfn)
    following = gfn + 1
    if at >= 0:
        f = frame(w, at)
        if f["hpte"] & HPTE_HUGE:
            following = region_end(w, gfn)
        if f["hpte"] & HPTE_STATE == HPTE_RW:
            f["hpte"] = f["hpte"] & HPTE_HUGE | HPTE_PROTNONE
    a["gfn"] = following
    if following < a["end"]:
        return AGAIN
    return NEXT


@step("mm", "state", "do_numa_page")
def restore_pte(w: Record, a: Record, r: Record) -> int:
    """Make the host PTE accessible again, at the page it has. Another's migration entry is left alone."""
    at = hpte_gfn(w, a["gfn"])
    if at >= 0:
        f = frame(w, at)
        if f["hpte"] & HPTE_STATE == HPTE_MIGRATION and page(w, f["hpfn"])["lock"] != a["number"] + 1:
            return NEXT
        if names_page(f["hpte"] & HPTE_STATE):
            f["hpte"] = f["hpte"] & HPTE_HUGE | HPTE_RW
    return NEXT


@step("vmm", "state", "madvise returns")
def returned(w: Record, a: Record, r: Record) -> int:
    """The VMM knows from here on that the range of the VMA reads zero: told to the oracle.

    Guest pages of the VMA, if it has any, were let go as well.
    """
    if w["private_memory"] != 0 and w["cache_n"] == 0:
        for gfn in range(a["first"], min(a["end"], w["frames_n"])):
            tell_emptied(w, gfn, ORACLE_ZERO_PRIVATE)
    tell_punched(w, a, ORACLE_ZERO_SHARED)
    a["result"] = 0
    return NEXT


@step("vmm", "state", "oom_reap_task gives up")
def gave_up(w: Record, a: Record, r: Record) -> int:
    """Nothing was emptied: told to the oracle."""
    tell_punched_until(w, a, a["first"], ORACLE_ZERO_SHARED)
    a["result"] = EAGAIN
    return NEXT


@step("vmm", "state", "madvise is called")
def called(w: Record, a: Record, r: Record) -> int:
    """The VMM asks for the range to be emptied: told to the oracle."""
    tell_punching(w, a)
    return NEXT
