"""A read finds what nobody wrote there: junk of another process, or the data of another gfn.

Hardware may define that a page just given to the guest holds junk; then only reads of the host, and of shared memory,
are judged for junk that the guest never overwrote.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.parts.oracle import READ_FOREIGN, judge_read
from gmembench.core.views import Record


def read_foreign(w: Record, a: Record) -> int:
    """1 + the gfn, if the read found junk or the data of another gfn."""
    return a["gfn"] if judge_read(w, a) == READ_FOREIGN else 0


INVARIANT = Invariant(
    "UNINIT",
    (__doc__ or "").strip(),
    use=Rule(read_foreign, "gfn {} reads what was never written to it"),
)
