"""The test of the invalidation protocol that every fault makes twice or more."""

from gmembench.core.jit import part
from gmembench.core.views import Record

PASSES = 1
"""Operand `value` of a staleness test: a count without a range lets every fault pass (before kvm-x86 69c7916df569)."""


@part
def invalidated(w: Record, gfn: int, seq: int, without_range: int) -> bool:
    """Whether a fault on `gfn` with snapshot `seq` must retry (mmu_invalidate_retry_gfn, kvm_host.h:2160-2200).

    An invalidation under way with no range yet covers everything, or nothing if `without_range` is PASSES.
    """
    if w["inval_count"] > 0:
        if w["inval_valid"] == 0 and without_range != PASSES:
            return True
        if w["inval_valid"] != 0 and w["inval_start"] <= gfn and gfn < w["inval_end"]:
            return True
    return w["inval_seq"] != seq
