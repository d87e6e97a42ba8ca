"""Page tables that go with their root."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import region


@part
def drop_tables(w: Record) -> None:
    """Free every page table."""
    for i in range(w["regions_n"]):
        region(w, i)["table"] = 0
    w["tables"] = 0
