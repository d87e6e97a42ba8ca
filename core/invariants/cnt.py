"""The invalidation count or sequence is out of balance, or the kernel warns about it.

The count is never negative. While it is not 0 the range is known to everybody who holds mmu_lock: it is added in the
same section. When nobody is inside an operation, count and notifications are 0. A WARN_ON that was hit counts too.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.views import Record


def count_is_wrong(w: Record) -> int:
    """1 if the count is negative, or not 0 without a range while nobody is about to add one."""
    if w["inval_count"] < 0 or w["mn_active"] < 0 or w["warns"] != 0:
        return 1
    return 1 if w["inval_count"] > 0 and w["inval_valid"] == 0 and w["mmu_writer"] == 0 else 0


def count_is_left(w: Record) -> int:
    """1 if an invalidation was counted in and never out."""
    return 1 if w["inval_count"] != 0 or w["mn_active"] != 0 else 0


INVARIANT = Invariant(
    "CNT",
    (__doc__ or "").strip(),
    state=Rule(
        count_is_wrong, "the invalidation count is negative, or it counts without a range, or a WARN_ON was hit"
    ),
    rest=Rule(count_is_left, "an invalidation was counted in and never out"),
)
