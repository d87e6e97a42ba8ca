"""The range of the invalidations under way."""

from gmembench.core.jit import part
from gmembench.core.views import Record


@part
def widen(w: Record, start: int, end: int) -> None:
    """Add [start, end) to the range; it never shrinks before the count has been 0."""
    if w["inval_valid"] == 0:
        w["inval_valid"] = 1
        w["inval_start"] = start
        w["inval_end"] = end
    else:
        w["inval_start"] = min(w["inval_start"], start)
        w["inval_end"] = max(w["inval_end"], end)
