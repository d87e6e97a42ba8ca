"""The range that a notification speaks of."""

from gmembench.core.jit import part
from gmembench.core.parts.vma import hpte_gfn
from gmembench.core.views import Record
from gmembench.core.world import HPTE_HUGE, frame

OF_OPERATION, OF_GFN, OF_REGION = 0, 1, 2


@part
def notified_start(w: Record, a: Record, whose: int) -> int:
    """First gfn of the notified range."""
    if whose == OF_OPERATION:
        return a["first"]
    if whose == OF_REGION:
        return a["gfn"]
    at = hpte_gfn(w, a["gfn"])
    return at if at >= 0 else a["gfn"]


@part
def notified_end(w: Record, a: Record, whose: int) -> int:
    """End of the notified range, exclusive."""
    if whose == OF_OPERATION:
        return a["end"]
    if whose == OF_REGION:
        return a["gfn"] + (1 << w["region_shift"])
    start = notified_start(w, a, whose)
    if frame(w, start)["hpte"] & HPTE_HUGE:
        return start + (1 << w["region_shift"])
    return start + 1
