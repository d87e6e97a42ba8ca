"""KVM_PRE_FAULT_MEMORY: faults without a guest, in a loop (mmu.c:5051-5072, kvm_main.c:4420-4470)."""

from gmembench.core.outcomes import NEXT
from gmembench.core.parts.prefault import after_page
from gmembench.core.parts.requests import reload_root
from gmembench.core.steps.registry import step
from gmembench.core.views import Record


@step("kvm-fault", "state", "kvm_mmu_reload")
def load_root(w: Record, a: Record, r: Record) -> int:
    """Let go of a root that was asked back, and load the current one if the vCPU has none."""
    reload_root(w, a)
    return NEXT


@step("kvm-fault", "check", "kvm_tdp_map_page", ("retry", "done"))
def check_result(w: Record, a: Record, r: Record) -> int:
    """Try again after a retry; after a mapping go on behind it, until the range is done."""
    return after_page(w, a)


@step("kvm-fault", "state", "kvm_tdp_map_page")
def already_mapped(w: Record, a: Record, r: Record) -> int:
    """A gfn that is mapped already counts as done."""
    a["level"] = 1
    return NEXT
