"""The invalidation protocol: count, range and sequence (kvm_main.c:674-837, kvm_host.h:2160-2200)."""

from gmembench.core.outcomes import NEXT
from gmembench.core.parts.invalidation import widen
from gmembench.core.steps.registry import step
from gmembench.core.views import Record


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_start")
def count_inc(w: Record, a: Record, r: Record) -> int:
    """Count an invalidation in: faults in its range retry until it is counted out."""
    w["inval_count"] += 1
    a["zapped"] = 0
    return NEXT


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_start")
def range_reset(w: Record, a: Record, r: Record) -> int:
    """Forget the range, but only if this is the first invalidation: the range is a union until the count is 0."""
    if w["inval_count"] == 1:
        w["inval_valid"] = 0
    return NEXT


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_range_add")
def range_add(w: Record, a: Record, r: Record) -> int:
    """Widen the range by this memslot's part of the request."""
    widen(w, a["cursor"], a["stop"])
    a["round"] = 0
    return NEXT


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_end")
def seq_bump(w: Record, a: Record, r: Record) -> int:
    """Bump the sequence, before the count goes down: snapshots from within the window are stale for ever."""
    w["inval_seq"] += 1
    return NEXT


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_end")
def count_dec(w: Record, a: Record, r: Record) -> int:
    """Count the invalidation out."""
    w["inval_count"] -= 1
    return NEXT
