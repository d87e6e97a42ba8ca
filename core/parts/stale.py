"""The test of the invalidation protocol that every fault makes twice or more."""

from gmembench.core.jit import part
from gmembench.core.views import Record


@part
def invalidated(w: Record, gfn: int, seq: int) -> bool:
    """Whether a fault on `gfn` with snapshot `seq` must retry (mmu_invalidate_retry_gfn, kvm_host.h:2160-2200).

    An invalidation under way with no range yet covers everything.
    """
    if w["inval_count"] > 0:
        if w["inval_valid"] == 0:
            return True
        if w["inval_start"] <= gfn and gfn < w["inval_end"]:
            return True
    return w["inval_seq"] != seq
