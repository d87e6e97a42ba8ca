"""Nobody who has something left to do can do it.

Every unfinished actor waits, or goes round and round through the same states: a retry is a wait for something that it
read to change, so a loop that nothing changes is a deadlock too.
"""

from gmembench.core.invariant import Invariant

INVARIANT = Invariant(
    "LIVE",
    (__doc__ or "").strip(),
    stuck="no actor that has something left to do will ever get further",
)
