"""Huge pages: the block that holds a page, and small stage-2 entries that a huge one replaces."""

from gmembench.core.jit import part
from gmembench.core.parts.stage2 import level_gfns, table_index
from gmembench.core.views import Record
from gmembench.core.world import SPTE_HUGE, SPTE_PRESENT, page, region, spte


@part
def block_head(w: Record, pfn: int) -> int:
    """The head of the huge page that holds `pfn`, or `pfn` itself if it is a single page."""
    first = pfn >> w["region_shift"] << w["region_shift"]
    if page(w, first)["order"] != 0:
        return first
    if w["largest_order"] > w["region_shift"]:
        first = pfn >> w["largest_order"] << w["largest_order"]
        if page(w, first)["order"] > w["region_shift"]:
            return first
    return pfn


@part
def backing_state(w: Record, pfn: int) -> int:
    """PAGE_* of a page, told by the head of the folio it belongs to where folios can be huge."""
    return page(w, block_head(w, pfn) if w["private_order"] != 0 else pfn)["state"]


@part
def unlink_small_entries(w: Record, first: int, root: int, level: int) -> int:
    """Free the tables below a huge entry of `level` to come at `first`; return how many entries were present."""
    present, bit = 0, 1 << root
    for head in range(first, first + level_gfns(w, level), 1 << w["region_shift"]):
        below = region(w, head >> w["region_shift"])
        if below["tables"] & bit:
            below["tables"] = below["tables"] & ~bit
            w["tables"] -= 1
            present += clear_small_entries(w, head, root)
        elif spte(w, head, root)["bits"] & SPTE_HUGE:
            present += 1
            spte(w, head, root)["bits"] = 0
            spte(w, head, root)["pfn"] = 0
    if level == 3:
        above = region(w, table_index(w, 3, first))
        if above["tables"] & bit:
            above["tables"] = above["tables"] & ~bit
            w["tables"] -= 1
    return present


@part
def clear_small_entries(w: Record, first: int, root: int) -> int:
    """Clear the small entries of a region; return how many were present."""
    present = 0
    for gfn in range(first, first + (1 << w["region_shift"])):
        entry = spte(w, gfn, root)
        if entry["bits"] & SPTE_PRESENT:
            present += 1
        entry["bits"] = 0
        entry["pfn"] = 0
    return present
