"""Data from before a completed punch is read after it."""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.parts.oracle import READ_REVIVED, judge_read
from gmembench.core.views import Record


def read_revived(w: Record, a: Record) -> int:
    """1 + the gfn, if the read found data that a completed request had emptied."""
    return a["gfn"] if judge_read(w, a) == READ_REVIVED else 0


INVARIANT = Invariant(
    "REVIVE",
    (__doc__ or "").strip(),
    use=Rule(read_revived, "gfn {} reads data from before it was emptied"),
)
