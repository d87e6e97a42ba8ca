"""Walking the folios of a range of the file."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import cache


@part
def file_end(w: Record, a: Record) -> int:
    """End of the operation's range inside the file, exclusive."""
    return min(a["end"], w["cache_n"])


@part
def next_folio_index(w: Record, index: int, end: int) -> int:
    """The first index in [index, end) that has a folio; `end` or more if there is none."""
    while index < end and cache(w, index)["pfn"] == 0:
        index += 1
    return index
