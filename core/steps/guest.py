"""What the guest and its TLB do."""

from gmembench.core.operations import WRITE
from gmembench.core.outcomes import ABSENT, AGAIN, DONE, KICKED, NEXT
from gmembench.core.parts.access import read_content, write_content
from gmembench.core.parts.stage2 import root_of, translate_pfn
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, tlb


@step("guest", "check", "TLB and stage-2 walk", ("absent", "denied", "kicked", "pending"))
def translate(w: Record, a: Record, r: Record) -> int:
    """Translate the gfn by the TLB, else by the stage-2 tables, which fills the TLB. One step, as in hardware."""
    if a["mode"] != IN_GUEST:
        return KICKED
    gfn = a["gfn"]
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (gfn & w["tlb_mask"]))
    if t["generation"] == a["tlb_generation"] and t["gfn"] == gfn:
        a["pfn"] = t["pfn"]
        return NEXT
    if a["root"] < 0:
        return ABSENT
    pfn = translate_pfn(w, gfn, root_of(w, a))
    if pfn == 0:
        return ABSENT
    t["gfn"] = gfn
    t["pfn"] = pfn
    t["generation"] = a["tlb_generation"]
    a["pfn"] = pfn
    return NEXT


@step("guest", "state", "guest instruction", ("done",))
def use(w: Record, a: Record, r: Record) -> int:
    """Read the page, or write a new generation of data to it; go on with the next gfn of the range."""
    if a["flags"] & WRITE:
        write_content(w, a)
    read_content(w, a)
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    a["result"] = 0
    return DONE
