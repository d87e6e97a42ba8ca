"""Huge pages: the block that holds a page, and small stage-2 entries that a huge one replaces."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import REQUEST_TLB_FLUSH, actor, page, region, spte


@part
def block_head(w: Record, pfn: int) -> int:
    """The head of the huge page that holds `pfn`, or `pfn` itself if it is a single page."""
    first = pfn >> w["region_shift"] << w["region_shift"]
    if page(w, first)["order"] != 0:
        return first
    return pfn


@part
def unlink_small_entries(w: Record, first: int, root: int) -> None:
    """Free the table below a region that gets a huge entry: its small entries go, vCPUs are asked to flush."""
    below = region(w, first >> w["region_shift"])
    if below["table"] == 0:
        return
    below["table"] = 0
    w["tables"] -= 1
    for gfn in range(first, first + (1 << w["region_shift"])):
        entry = spte(w, gfn, root)
        entry["bits"] = 0
        entry["pfn"] = 0
    for i in range(w["vcpus"]):
        actor(w, i)["requests"] |= REQUEST_TLB_FLUSH
