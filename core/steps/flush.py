"""Remote TLB flushes: a request to every vCPU, an IPI to those in the guest, and the wait (kvm_main.c:186-313)."""

from gmembench.core.outcomes import BLOCKED, CLEAN, NEXT
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, REQUEST_TLB_FLUSH, actor


@step("kvm-invalidate", "flush", "kvm_flush_remote_tlbs", ("clean",))
def request(w: Record, a: Record, r: Record) -> int:
    """Ask every vCPU to flush, and kick those in the guest; skip it if nothing was zapped."""
    if a["zapped"] == 0:
        return CLEAN
    for i in range(w["vcpus"]):
        v = actor(w, i)
        v["requests"] |= REQUEST_TLB_FLUSH
        if v["mode"] == IN_GUEST:
            v["kicked"] = 1
    return NEXT


@step("kvm-invalidate", "flush", "kvm_make_all_cpus_request")
def wait(w: Record, a: Record, r: Record) -> int:
    """Wait until each kicked vCPU has left the guest. Its TLB is flushed at its next entry; nothing is owed then."""
    for i in range(w["vcpus"]):
        v = actor(w, i)
        if v["kicked"] != 0 and v["mode"] == IN_GUEST:
            return BLOCKED
    a["zapped"] = 0
    return NEXT
