"""Private or shared by the guest's own address: the shared bit of TDX, the C-bit of SNP."""

from gmembench.core.outcomes import NEXT
from gmembench.core.parts.requests import reload_root
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, frame


@step("kvm-fault", "check", "kvm_mmu_page_fault")
def classify(w: Record, a: Record, r: Record) -> int:
    """The address that faulted says whether the access was private: no attribute is asked (tdx.c:1936; svm.c)."""
    a["stale"] = 0
    return NEXT


@step("kvm-fault", "state", "kvm_arch_vcpu_pre_fault_memory")
def prefault_root(w: Record, a: Record, r: Record) -> int:
    """Load the root where it must be. A prefault has no guest address: the attribute says now what it is."""
    reload_root(w, a)
    a["is_private"] = frame(w, a["gfn"])["attr"] & ATTR_PRIVATE
    return NEXT
