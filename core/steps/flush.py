"""Remote TLB flushes: a request to every vCPU, an IPI to those in the guest, and the wait (kvm_main.c:186-313)."""

from gmembench.core.outcomes import BLOCKED, CLEAN, NEXT
from gmembench.core.parts.kicks import all_left, kick_all
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import REQUEST_TLB_FLUSH, actor


@step("kvm-invalidate", "flush", "kvm_flush_remote_tlbs", ("clean",))
def request(w: Record, a: Record, r: Record) -> int:
    """Ask every vCPU to flush at its next entry; skip the flush if nothing was zapped."""
    if a["zapped"] == 0:
        return CLEAN
    for i in range(w["vcpus"]):
        v = actor(w, i)
        v["requests"] |= REQUEST_TLB_FLUSH
    return NEXT


@step("kvm-invalidate", "flush", "kvm_make_all_cpus_request")
def kick(w: Record, a: Record, r: Record) -> int:
    """Load the mode of every vCPU, and send an IPI to those in the guest. The request is stored before that."""
    kick_all(w)
    return NEXT


@step("kvm-invalidate", "flush", "kvm_make_all_cpus_request")
def wait(w: Record, a: Record, r: Record) -> int:
    """Wait until each kicked vCPU has left the guest. Its TLB is flushed at its next entry; nothing is owed then."""
    if not all_left(w):
        return BLOCKED
    a["zapped"] = 0
    return NEXT
