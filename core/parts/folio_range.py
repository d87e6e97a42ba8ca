"""Walking the folios of a range of the file."""

from gmembench.core.jit import part
from gmembench.core.views import Record


@part
def file_end(w: Record, a: Record) -> int:
    """End of the operation's range inside the file, exclusive."""
    return min(a["end"], w["cache_n"])
