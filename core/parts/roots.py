"""Page tables that go with their root."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import region


@part
def drop_tables(w: Record, root: int) -> None:
    """Free every page table below a root."""
    bit = 1 << root
    for i in range(w["regions_n"]):
        r = region(w, i)
        if r["tables"] & bit:
            r["tables"] = r["tables"] & ~bit
            w["tables"] -= 1
