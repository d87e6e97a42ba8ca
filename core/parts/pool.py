"""The page allocator and the account of backing, in pages of 4 KiB.

Freed pages are reused last in, first out. Huge blocks are split one at a time and never merged; blocks of 1G
are a pool of their own, which is never split for small pages.
"""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import CONTENT_ZERO, PAGE_FREE, PG_POISONED, page


@part
def take_page(w: Record, order: int) -> int:
    """Take a free page, or a block if `order` is not 0; its content stays as it was. 0 when there is none."""
    if order > w["region_shift"]:
        pfn = w["free_gigantic"]
        if pfn == 0:
            return 0
        w["free_gigantic"] = page(w, pfn)["index"]
    elif order != 0:
        pfn = take_block(w)
        if pfn == 0:
            return 0
    elif w["free_page"] != 0:
        pfn = w["free_page"]
        w["free_page"] = page(w, pfn)["index"]
    else:
        if w["fresh_page"] == w["fresh_end"]:
            block = take_block(w)
            if block == 0:
                return 0
            w["fresh_page"] = block
            w["fresh_end"] = block + (1 << w["region_shift"])
        pfn = w["fresh_page"]
        w["fresh_page"] = pfn + 1
    w["free_pages"] -= 1 << order
    p = page(w, pfn)
    p["flags"] = 0
    p["order"] = order
    p["lock"] = 0
    p["index"] = 0  # no longer the next page
    return pfn


@part
def take_block(w: Record) -> int:
    """Take a free huge block: one that was given back, else the next that never was used. 0 when there is none."""
    pfn = w["free_huge"]
    if pfn != 0:
        w["free_huge"] = page(w, pfn)["index"]
        return pfn
    pfn = w["fresh_block"]
    if pfn == w["fresh_blocks_end"]:
        return 0
    w["fresh_block"] = pfn + (1 << w["region_shift"])
    return pfn


@part
def free_page(w: Record, pfn: int) -> None:
    """Give a page, or the block it heads, back. A poisoned page is never handed out again (free_pages_prepare)."""
    p = page(w, pfn)
    order = p["order"]
    p["state"] = PAGE_FREE
    p["refs"] = 0
    if p["flags"] & PG_POISONED:
        return
    if order > w["region_shift"]:
        p["index"] = w["free_gigantic"]
        w["free_gigantic"] = pfn
    elif order != 0:
        p["index"] = w["free_huge"]
        w["free_huge"] = pfn
    else:
        p["index"] = w["free_page"]
        w["free_page"] = pfn
    w["free_pages"] += 1 << order


@part
def put_page(w: Record, pfn: int) -> None:
    """Drop a reference; the last one frees the page."""
    p = page(w, pfn)
    if p["refs"] == 1:
        free_page(w, pfn)
    else:
        p["refs"] = p["refs"] - 1


@part
def zero_pages(w: Record, pfn: int, order: int) -> None:
    """Fill a page or a block with zeros, and count the pages."""
    w["zeroed_pages"] += 1 << order
    for i in range(pfn, pfn + (1 << order)):
        page(w, i)["content"] = CONTENT_ZERO


@part
def split_block(w: Record, pfn: int, refs: int) -> None:
    """Turn the block headed by `pfn` into single pages of the same state, `refs` references each."""
    h = page(w, pfn)
    for i in range(1, 1 << h["order"]):
        p = page(w, pfn + i)
        p["state"] = h["state"]
        p["flags"] = h["flags"] & ~PG_POISONED | p["flags"] & PG_POISONED
        p["order"] = 0
        p["lock"] = 0
        p["refs"] = refs
        p["index"] = h["index"] + i
        p["node"] = h["node"]
    h["order"] = 0


@part
def account_private(w: Record, pages: int) -> None:
    """Private backing grew (or shrank) by `pages`."""
    w["private_pages"] += pages
    if w["private_pages"] > w["private_pages_peak"]:
        w["private_pages_peak"] = w["private_pages"]
    account_total(w)


@part
def account_shared(w: Record, pages: int) -> None:
    """Shared backing grew (or shrank) by `pages`."""
    w["shared_pages"] += pages
    if w["shared_pages"] > w["shared_pages_peak"]:
        w["shared_pages_peak"] = w["shared_pages"]
    account_total(w)


@part
def account_total(w: Record) -> None:
    """Keep the peak of all backing."""
    total = w["private_pages"] + w["shared_pages"]
    if total > w["backing_pages_peak"]:
        w["backing_pages_peak"] = total


@part
def account_double(w: Record, pages: int) -> None:
    """`pages` more (or fewer) gfns are backed twice."""
    w["double_backed_pages"] += pages
    if w["double_backed_pages"] > w["double_backed_pages_peak"]:
        w["double_backed_pages_peak"] = w["double_backed_pages"]
