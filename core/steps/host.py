"""The VMM's own access to guest memory, through its mapping."""

from gmembench.core.operations import WRITE
from gmembench.core.outcomes import AGAIN, DONE, HIT, NEXT
from gmembench.core.parts.access import read_content, write_content
from gmembench.core.parts.vma import host_pfn, hpte_state
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import HPTE_RW, tlb


@step("vmm", "check", "TLB of the host thread", ("hit",))
def lookup_tlb(w: Record, a: Record, r: Record) -> int:
    """Use the cached translation if there is one."""
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    if t["generation"] == a["tlb_generation"] and t["gfn"] == a["gfn"]:
        a["pfn"] = t["pfn"]
        return HIT
    return NEXT


@step("vmm", "state", "TLB of the host thread")
def fill_tlb(w: Record, a: Record, r: Record) -> int:
    """Cache the translation that the host page table gives now: it may have changed since the walk."""
    if hpte_state(w, a["gfn"]) != HPTE_RW:
        a["pfn"] = 0
        return NEXT
    a["pfn"] = host_pfn(w, a["gfn"])
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    t["gfn"] = a["gfn"]
    t["pfn"] = a["pfn"]
    t["generation"] = a["tlb_generation"]
    return NEXT


@step("vmm", "state", "load or store of the VMM", ("done",))
def use(w: Record, a: Record, r: Record) -> int:
    """Read the page, or write to it; go on with the next gfn of the range.

    Where the TLB was flushed since the lookup the instruction begins again: a flush does not overtake it.
    """
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    if t["generation"] != a["tlb_generation"] or t["gfn"] != a["gfn"]:
        return AGAIN
    if a["flags"] & WRITE:
        write_content(w, a)
    read_content(w, a)
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    a["result"] = 0
    return DONE
