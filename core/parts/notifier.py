"""The range that a notification speaks of.

Where the VMA has huge pages, an operation that cuts one at its edge notifies the whole of it: the split of a huge entry
does (__split_huge_pmd), because a fault on a gfn beside the range could map the huge page again meanwhile.
"""

from gmembench.core.jit import part
from gmembench.core.parts.stage2 import region_end, region_head
from gmembench.core.parts.vma import hpte_gfn
from gmembench.core.views import Record
from gmembench.core.world import HPTE_HUGE, frame

OF_OPERATION, OF_GFN, OF_REGION, OF_START, OF_FOLIO = 0, 1, 2, 3, 4
"""Whose range: the operation's, the page or block of the gfn in hand, the region that begins there, the same as at
the notification's start, whatever has become of the page, or the folio of the file that begins there."""


@part
def notified_start(w: Record, a: Record, whose: int) -> int:
    """First gfn of the notified range."""
    if whose == OF_OPERATION:
        return a["first"] if w["shared_order"] == 0 else region_head(w, a["first"])
    if whose in (OF_REGION, OF_FOLIO):
        return a["gfn"]
    if whose == OF_START:
        return a["notified"]
    at = hpte_gfn(w, a["gfn"])
    return at if at >= 0 else a["gfn"]


@part
def notified_end(w: Record, a: Record, whose: int) -> int:
    """End of the notified range, exclusive."""
    if whose == OF_OPERATION:
        return a["end"] if w["shared_order"] == 0 else region_end(w, a["end"] - 1)
    if whose == OF_START:
        return a["notified_end"]
    if whose == OF_REGION:
        return a["gfn"] + (1 << w["region_shift"])
    if whose == OF_FOLIO:
        return a["gfn"] + (1 << w["private_order"])
    start = notified_start(w, a, whose)
    if frame(w, start)["hpte"] & HPTE_HUGE:
        return start + (1 << w["region_shift"])
    return start + 1
