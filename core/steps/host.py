"""The VMM's own access to guest memory, through its mapping."""

from gmembench.core.operations import WRITE
from gmembench.core.outcomes import ABSENT, AGAIN, DONE, HIT, MIGRATING, NEXT, PROTNONE
from gmembench.core.parts.access import read_content, write_content
from gmembench.core.parts.vma import host_pfn, hpte_state
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import HPTE_MIGRATION, HPTE_NONE, HPTE_PROTNONE, tlb


@step("vmm", "check", "TLB of the host thread", ("hit",))
def lookup_tlb(w: Record, a: Record, r: Record) -> int:
    """Use the cached translation if there is one."""
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    if t["generation"] == a["tlb_generation"] and t["gfn"] == a["gfn"]:
        a["pfn"] = t["pfn"]
        return HIT
    return NEXT


@step("mm", "check", "handle_mm_fault", ("absent", "protnone", "migrating"))
def walk(w: Record, a: Record, r: Record) -> int:
    """Walk the host page table."""
    state = hpte_state(w, a["gfn"])
    if state == HPTE_NONE:
        return ABSENT
    if state == HPTE_PROTNONE:
        return PROTNONE
    if state == HPTE_MIGRATION:
        return MIGRATING
    a["pfn"] = host_pfn(w, a["gfn"])
    return NEXT


@step("vmm", "state", "TLB of the host thread")
def fill_tlb(w: Record, a: Record, r: Record) -> int:
    """Cache the translation."""
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    t["gfn"] = a["gfn"]
    t["pfn"] = a["pfn"]
    t["generation"] = a["tlb_generation"]
    return NEXT


@step("vmm", "state", "load or store of the VMM", ("done",))
def use(w: Record, a: Record, r: Record) -> int:
    """Read the page, or write to it; go on with the next gfn of the range."""
    if a["flags"] & WRITE:
        write_content(w, a)
    read_content(w, a)
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    a["result"] = 0
    return DONE
