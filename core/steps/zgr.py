"""kvm_zap_gfn_range: zapping gfns whatever memslot holds them (mmu.c:7122-7148)."""

from gmembench.core.outcomes import NEXT
from gmembench.core.steps.registry import step
from gmembench.core.views import Record


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_range_add")
def begin(w: Record, a: Record, r: Record) -> int:
    """Begin to zap the operation's range; it is not cut by memslots."""
    a["cursor"] = a["first"]
    a["stop"] = a["end"]
    a["walk"] = a["end"]
    a["walk_end"] = a["end"]
    return NEXT
