"""What the guest takes a gfn for, private or shared, and its TLB, which keeps the two apart."""

from gmembench.core.jit import part
from gmembench.core.operations import AS_PRIVATE, AS_SHARED
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, frame, tlb


@part
def believed_private(w: Record, a: Record) -> int:
    """1 if the guest takes the gfn in hand for private: as the operation says, else as the attribute is now."""
    if a["flags"] & AS_SHARED:
        return 0
    if a["flags"] & AS_PRIVATE:
        return 1
    return frame(w, a["gfn"])["attr"] & ATTR_PRIVATE


@part
def tlb_tag(a: Record) -> int:
    """What a TLB entry of the gfn in hand is found by: private ones are marked by a negative number."""
    return -1 - a["gfn"] if a["is_private"] != 0 else a["gfn"]


@part
def cached_pfn(w: Record, a: Record) -> int:
    """The page that the vCPU's TLB gives for the gfn in hand as the guest takes it; 0 if none."""
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    if t["generation"] == a["tlb_generation"] and t["gfn"] == tlb_tag(a):
        return t["pfn"]
    return 0


@part
def cache_pfn(w: Record, a: Record, pfn: int) -> None:
    """Fill the vCPU's TLB."""
    t = tlb(w, a["number"] * (w["tlb_mask"] + 1) + (a["gfn"] & w["tlb_mask"]))
    t["gfn"] = tlb_tag(a)
    t["pfn"] = pfn
    t["generation"] = a["tlb_generation"]
