"""mmu_lock for writing: zaps and counts need it."""

from gmembench.core.outcomes import BLOCKED, NEXT
from gmembench.core.steps.registry import step
from gmembench.core.views import Record


@step("kvm-invalidate", "lock", "kvm_handle_hva_range")
def lock(w: Record, a: Record, r: Record) -> int:
    """Take mmu_lock for writing: no fault maps meanwhile."""
    if w["mmu_writer"] != 0 or w["mmu_readers"] != 0:
        return BLOCKED
    w["mmu_writer"] = a["number"] + 1
    return NEXT


@step("kvm-invalidate", "lock", "kvm_handle_hva_range")
def unlock(w: Record, a: Record, r: Record) -> int:
    """Drop mmu_lock."""
    w["mmu_writer"] = 0
    return NEXT
