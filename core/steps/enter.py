"""Guest entry and exit: vcpu_enter_guest and its requests (x86.c:8070-8480)."""

from gmembench.core.outcomes import FAULT, GUEST, KICKED, NEXT, PENDING
from gmembench.core.parts.requests import serve
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, OUTSIDE_GUEST


@step("kvm-fault", "state", "vcpu_run", ("guest",))
def resume(w: Record, a: Record, r: Record) -> int:
    """A vCPU that is still in the guest goes on there; another one begins at the top of the run loop."""
    if a["mode"] == IN_GUEST:
        return GUEST
    return NEXT


@step("kvm-fault", "state", "vcpu_enter_guest", ("pending",))
def service_requests(w: Record, a: Record, r: Record) -> int:
    """Serve the requests that other CPUs left: a requested TLB flush happens here, at entry.

    Pending is for hardware with requests of its own.
    """
    if a["requests"] != 0:
        serve(w, a)
    return NEXT


@step("kvm-fault", "state", "kvm_mmu_reload")
def load_root(w: Record, a: Record, r: Record) -> int:
    """Load the current root if the vCPU has none."""
    if a["root"] < 0:
        a["root"] = w["root"]
    return NEXT


@step("kvm-fault", "state", "vcpu_enter_guest")
def set_in_guest(w: Record, a: Record, r: Record) -> int:
    """Publish IN_GUEST_MODE: from here on a request needs an IPI. The load of the requests comes after it."""
    a["mode"] = IN_GUEST
    return NEXT


@step("kvm-fault", "check", "kvm_vcpu_exit_request", ("pending",))
def recheck_requests(w: Record, a: Record, r: Record) -> int:
    """Look for requests again after publishing the mode (the other half of the barrier pair)."""
    if a["requests"] != 0:
        return PENDING
    return NEXT


@step("kvm-fault", "state", "vcpu_enter_guest")
def set_outside(w: Record, a: Record, r: Record) -> int:
    """Publish OUTSIDE_GUEST_MODE: whoever waits for this vCPU's acknowledgement goes on."""
    a["mode"] = OUTSIDE_GUEST
    return NEXT


@step("kvm-fault", "check", "kvm_handle_exit", ("kicked", "fault", "denied"))
def decode(w: Record, a: Record, r: Record) -> int:
    """Tell a kick from a stage-2 fault. Denied by an owner table is a fault of hardware that has one."""
    if a["kicked"] != 0:
        a["kicked"] = 0
        return KICKED
    return FAULT
