"""Content of a page packed into one number, as it lies in a swap slot."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import page

CONTENT_BITS = 2
"""Bits of CONTENT_*."""


@part
def packed_content(w: Record, pfn: int) -> int:
    """Kind and generation of what a page holds; the gfn is that of the swap entry."""
    p = page(w, pfn)
    return p["content_gen"] << CONTENT_BITS | p["content"]


@part
def unpack_content(w: Record, pfn: int, gfn: int, packed: int) -> None:
    """Fill a page of a gfn with packed content."""
    p = page(w, pfn)
    p["content"] = packed & (1 << CONTENT_BITS) - 1
    p["content_gfn"] = gfn
    p["content_gen"] = packed >> CONTENT_BITS
