"""Data is gone that nobody asked to empty.

A read finds zeros although the copy of the gfn was written and no request has emptied it since; or it finds older data
of the gfn than was written last.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.parts.oracle import READ_LOST, judge_read
from gmembench.core.views import Record


def read_lost(w: Record, a: Record) -> int:
    """1 + the gfn, if the read found less than was written."""
    return a["gfn"] if judge_read(w, a) == READ_LOST else 0


INVARIANT = Invariant(
    "LOSS",
    (__doc__ or "").strip(),
    use=Rule(read_lost, "data written to gfn {} is gone, and nobody asked for that"),
)
