"""Exits to userspace, and what they unwind."""

from gmembench.core.errno import EAGAIN, EFAULT, ENOENT, EXIT_MMIO, VM_DEAD
from gmembench.core.outcomes import NEXT
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import OUTSIDE_GUEST


@step("kvm-fault", "state", "kvm_mmu_prepare_memory_fault_exit")
def memory_fault(w: Record, a: Record, r: Record) -> int:
    """Tell the VMM the gpa, its size and whether the access was private; KVM_RUN fails with the errno."""
    a["result"] = a["error"] if a["error"] != 0 else EFAULT
    return NEXT


@step("kvm-fault", "state", "handle_mmio_page_fault")
def mmio(w: Record, a: Record, r: Record) -> int:
    """A shared access without a memslot is emulated as MMIO."""
    a["result"] = EXIT_MMIO
    return NEXT


@step("kvm-fault", "check", "kvm_tdp_map_page")
def eagain(w: Record, a: Record, r: Record) -> int:
    """A prefault of an INVALID memslot gives up, or it would hold SRCU against the memslot's deletion."""
    a["result"] = EAGAIN if a["done"] == 0 else 0
    return NEXT


@step("kvm-fault", "state", "kvm_vcpu_pre_fault_memory")
def prefault_failed(w: Record, a: Record, r: Record) -> int:
    """A prefault that finished a page is a success with a shorter range; else its errno is returned."""
    a["result"] = 0 if a["done"] != 0 else (a["error"] if a["error"] != 0 else EFAULT)
    return NEXT


@step("kvm-fault", "check", "kvm_tdp_map_page")
def prefault_mmio(w: Record, a: Record, r: Record) -> int:
    """A prefault cannot emulate: without a memslot it ends, with ENOENT if no page was finished."""
    a["result"] = 0 if a["done"] != 0 else ENOENT
    return NEXT


@step("kvm-fault", "state", "kvm_vm_dead")
def vm_dead(w: Record, a: Record, r: Record) -> int:
    """Leave the guest for good: the VM is dead, every vCPU's next run fails."""
    a["mode"] = OUTSIDE_GUEST
    w["vm_dead"] = 1
    a["result"] = VM_DEAD
    return NEXT
