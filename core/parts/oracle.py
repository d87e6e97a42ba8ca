"""What the oracle says of a read."""

from gmembench.core.jit import part
from gmembench.core.operations import WRITE
from gmembench.core.parts.access import of_private_copy
from gmembench.core.views import Record
from gmembench.core.world import (
    CONTENT_DATA,
    CONTENT_ZERO,
    ORACLE_DATA_PRIVATE,
    ORACLE_DATA_SHARED,
    ORACLE_JUNK,
    ORACLE_ZERO_PRIVATE,
    ORACLE_ZERO_SHARED,
    frame,
)

READ_FINE, READ_LOST, READ_REVIVED, READ_FOREIGN = 0, 1, 2, 3


@part
def judge_read(w: Record, a: Record) -> int:
    """What the content that an actor just read is, by what may legally be read there; a write is always fine."""
    gfn = a["gfn"] - 1
    if a["flags"] & WRITE:
        return READ_FINE
    f = frame(w, gfn)
    private = of_private_copy(w, gfn, a["pfn"])
    data = f["oracle"] & (ORACLE_DATA_PRIVATE if private else ORACLE_DATA_SHARED) != 0
    zero = f["oracle"] & (ORACLE_ZERO_PRIVATE if private else ORACLE_ZERO_SHARED) != 0 or not data or f["punches"] != 0
    if a["content"] == CONTENT_ZERO:
        return READ_FINE if zero else READ_LOST
    if a["content"] != CONTENT_DATA:
        if private and w["fresh_junk"] != 0:
            return READ_FINE if zero else READ_LOST
        if not private and f["oracle"] & ORACLE_JUNK:
            return READ_FINE
        return READ_FOREIGN
    return judge_data(w, a, data, f["gen_private"] if private else f["gen_shared"])


@part
def judge_data(w: Record, a: Record, live: bool, generation: int) -> int:
    """What data of a gfn are: those written last, older ones, emptied ones, or another gfn's."""
    if a["content_gfn"] != a["gfn"] - 1:
        return READ_FOREIGN
    if not live:
        return READ_REVIVED
    return READ_FINE if a["content_gen"] == generation else READ_LOST
