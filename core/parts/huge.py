"""Huge pages: the block that holds a page, and small stage-2 entries that a huge one replaces."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import SPTE_PRESENT, page, region, spte


@part
def block_head(w: Record, pfn: int) -> int:
    """The head of the huge page that holds `pfn`, or `pfn` itself if it is a single page."""
    first = pfn >> w["region_shift"] << w["region_shift"]
    if page(w, first)["order"] != 0:
        return first
    return pfn


@part
def unlink_small_entries(w: Record, first: int, root: int) -> int:
    """Free the table below a region that gets a huge entry; return how many small entries were present in it."""
    below, bit = region(w, first >> w["region_shift"]), 1 << root
    if below["tables"] & bit == 0:
        return 0
    below["tables"] = below["tables"] & ~bit
    w["tables"] -= 1
    present = 0
    for gfn in range(first, first + (1 << w["region_shift"])):
        entry = spte(w, gfn, root)
        if entry["bits"] & SPTE_PRESENT:
            present += 1
        entry["bits"] = 0
        entry["pfn"] = 0
    return present
