"""Folios of 1G from a pool, in a file whose attributes split them: split while any gfn of theirs is shared."""

from gmembench.core.jit import part
from gmembench.core.parts.pool import split_block
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    CONTENT_ZERO,
    PAGE_FREE,
    PG_UPTODATE,
    cache,
    frame,
    page,
)


@part
def first_of(w: Record, index: int) -> int:
    """First index of the aligned 1G that holds an index."""
    return index >> w["private_order"] << w["private_order"]


@part
def end_of(w: Record, index: int) -> int:
    """End of the aligned 1G that holds an index, exclusive."""
    return first_of(w, index) + (1 << w["private_order"])


@part
def some_shared(w: Record, first: int) -> bool:
    """Whether any gfn of the 1G is shared (kvm_gmem_has_some_shared)."""
    for gfn in range(first, min(first + (1 << w["private_order"]), w["frames_n"])):
        if frame(w, gfn)["attr"] & ATTR_PRIVATE == 0:
            return True
    return False


@part
def held_by_file_only(w: Record, first: int) -> bool:
    """Whether nobody but the page cache holds the folio of a 1G, or any of those it is split into."""
    pfn = cache(w, first)["pfn"]
    pages = 1 if page(w, pfn)["order"] != 0 else 1 << w["private_order"]
    for i in range(pfn, pfn + pages):
        p = page(w, i)
        if p["refs"] != 1 or p["pins"] != 0 or p["lock"] != 0:
            return False
    return True


@part
def split_folio(w: Record, head: int) -> None:
    """Split a folio into pages of 4K, each with the page cache's reference."""
    split_block(w, head, 1)


@part
def merge_folios(w: Record, first: int) -> None:
    """Merge the pages of a 1G into one folio. Where one is uptodate, those that are not are cleared."""
    head, size = cache(w, first)["pfn"], 1 << w["private_order"]
    uptodate = 0
    for i in range(head, head + size):
        uptodate = uptodate | page(w, i)["flags"] & PG_UPTODATE
    for i in range(head, head + size):
        p = page(w, i)
        if uptodate != 0 and p["flags"] & PG_UPTODATE == 0:
            p["content"] = CONTENT_ZERO
            w["zeroed_pages"] += 1
        if i != head:
            p["state"] = PAGE_FREE
            p["refs"] = 0
    h = page(w, head)
    h["flags"] = h["flags"] | uptodate
    h["order"] = w["private_order"]
