"""What a prefault does after each page."""

from gmembench.core.jit import part
from gmembench.core.outcomes import AGAIN, DONE, RETRY
from gmembench.core.parts.stage2 import level_gfns, level_head
from gmembench.core.views import Record


@part
def after_page(w: Record, a: Record) -> int:
    """Retry a page whose fault was stale; else go on behind what was mapped, until the range is done."""
    if a["stale"] != 0:
        return RETRY
    a["gfn"] = level_head(w, a["level"], a["gfn"]) + level_gfns(w, a["level"])
    a["done"] = min(a["gfn"], a["end"]) - a["first"]
    if a["gfn"] < a["end"]:
        return AGAIN
    a["result"] = 0
    return DONE
