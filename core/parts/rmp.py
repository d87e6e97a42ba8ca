"""The owner table of SNP (RMP): what it says of a page, and how much of it one entry covers."""

from gmembench.core.jit import part
from gmembench.core.parts.huge import block_head
from gmembench.core.views import Record
from gmembench.core.world import CONTENT_JUNK, HW_HUGE, HW_OWNED, PG_KEY_DIRTY, page


@part
def rmp_gfn(w: Record, pfn: int) -> int:
    """The gfn that a page is assigned for."""
    head = block_head(w, pfn)
    return page(w, head)["index"] + pfn - head


@part
def entry_first(w: Record, pfn: int) -> int:
    """First page of what the entry of an assigned page covers."""
    if page(w, pfn)["hw"] & HW_HUGE:
        return pfn >> w["region_shift"] << w["region_shift"]
    return pfn


@part
def entry_pages(w: Record, pfn: int) -> int:
    """Pages that the entry of a page covers."""
    return 1 << w["region_shift"] if page(w, pfn)["hw"] & HW_HUGE else 1


@part
def share_page(w: Record, pfn: int) -> None:
    """Unassign one page: it holds ciphertext for the host, and cache lines of the guest's key."""
    p = page(w, pfn)
    if p["hw"] & HW_OWNED:
        p["hw"] = 0
        p["content"] = CONTENT_JUNK
        p["flags"] = p["flags"] | PG_KEY_DIRTY


@part
def folio_pages(w: Record, pfn: int) -> int:
    """Pages of the folio that a page heads."""
    return 1 << page(w, pfn)["order"]


@part
def unassigned_region(w: Record, pfn: int) -> bool:
    """Whether no page of the region of pages that holds `pfn` is assigned, so that one entry may cover it."""
    first = pfn >> w["region_shift"] << w["region_shift"]
    for i in range(first, first + (1 << w["region_shift"])):
        if page(w, i)["hw"] & HW_OWNED:
            return False
    return True


@part
def some_assigned(w: Record, pfn: int) -> bool:
    """Whether any page of the folio that a page heads is assigned."""
    for i in range(pfn, pfn + folio_pages(w, pfn)):
        if page(w, i)["hw"] & HW_OWNED:
            return True
    return False
