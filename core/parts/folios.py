"""Folios of a shmem file, which may be huge. `CACHE` has a page for each index; the folio's head has the rest."""

from gmembench.core.jit import part
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.pool import account_double, account_private, put_page
from gmembench.core.parts.stage2 import region_head
from gmembench.core.parts.vma import host_backed
from gmembench.core.views import Record
from gmembench.core.world import PAGE_FILE, PG_IN_MAPPING, cache, page


@part
def order_for(w: Record, index: int) -> int:
    """The order that a folio for an index may have: huge if its region lies in the file and has no folio yet."""
    order = w["private_order"]
    if order == 0:
        return 0
    first = region_head(w, index)
    end = first + (1 << order)
    if end > w["cache_n"]:
        return 0
    for i in range(first, end):
        if cache(w, i)["pfn"] != 0:
            return 0
    return order


@part
def next_folio(w: Record, index: int, end: int) -> int:
    """The first index in [index, end) that has a folio; `end` if none has."""
    while index < end and cache(w, index)["pfn"] == 0:
        index += 1
    return index


@part
def folio_end(w: Record, head: int) -> int:
    """The index after the last one of a folio."""
    h = page(w, head)
    return h["index"] + (1 << h["order"])


@part
def hold_head(w: Record, a: Record, index: int) -> None:
    """Take a reference to the folio at an index, and note the page."""
    pfn = cache(w, index)["pfn"]
    h = page(w, block_head(w, pfn))
    h["refs"] = h["refs"] + 1
    a["pfn"] = pfn
    a["order"] = h["order"]


@part
def lock_head(w: Record, a: Record, index: int) -> bool:
    """Take a reference and the lock of the folio at an index, and note the page; False if it is locked."""
    h = page(w, block_head(w, cache(w, index)["pfn"]))
    if h["lock"] != 0:
        return False
    h["lock"] = a["number"] + 1
    hold_head(w, a, index)
    return True


@part
def add_folio(w: Record, a: Record, pfn: int, index: int, order: int) -> None:
    """Add a new folio to the page cache, locked; the cache and the actor hold a reference each."""
    first = region_head(w, index) if order != 0 else index
    h = page(w, pfn)
    h["state"] = PAGE_FILE
    h["flags"] = PG_IN_MAPPING
    h["refs"] = 2
    h["lock"] = a["number"] + 1
    h["index"] = first
    h["node"] = a["node"]
    for i in range(1 << order):
        cache(w, first + i)["pfn"] = pfn + i
    account_folio(w, first, order, 1)
    a["pfn"] = pfn + index - first
    a["order"] = order


@part
def erase_folio(w: Record, head: int) -> None:
    """Take a folio out of the page cache; whoever has a reference keeps it."""
    h = page(w, head)
    h["flags"] = h["flags"] & ~PG_IN_MAPPING
    for i in range(1 << h["order"]):
        cache(w, h["index"] + i)["pfn"] = 0
    account_folio(w, h["index"], h["order"], -1)


@part
def account_folio(w: Record, first: int, order: int, sign: int) -> None:
    """Private backing grew (or shrank) by a folio; so did the gfns that the VMA backs as well."""
    account_private(w, sign * (1 << order))
    double = 0
    for index in range(first, first + (1 << order)):
        if host_backed(w, index):
            double += 1
    if double != 0:
        account_double(w, sign * double)


@part
def unlock_and_put(w: Record, head: int) -> None:
    """Drop the lock of a folio, and the reference that was taken with it."""
    page(w, head)["lock"] = 0
    put_page(w, head)
