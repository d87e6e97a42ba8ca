"""SRCU of the memslots: read side, and the grace period of an updater (kvm_main.c:1641-1651)."""

from gmembench.core.outcomes import BLOCKED, NEXT
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import actor


@step("kvm-fault", "lock", "kvm_vcpu_srcu_read_lock")
def lock(w: Record, a: Record, r: Record) -> int:
    """Enter the read-side section: memslots seen from here on stay alive."""
    a["srcu"] += 1
    return NEXT


@step("kvm-fault", "lock", "kvm_vcpu_srcu_read_unlock")
def unlock(w: Record, a: Record, r: Record) -> int:
    """Leave the read-side section; a grace period that waits for this reader may end.

    The memslot looked up inside is no longer known to be alive: its tag is forgotten.
    """
    a["srcu"] -= 1
    if a["srcu"] == 0:
        a["slot_tag"] = 0
    if a["srcu"] == 0 and a["awaited"] != 0:
        a["awaited"] = 0
        w["gp_waiting"] -= 1
    return NEXT


@step("kvm-memslot", "lock", "synchronize_srcu")
def start_gp(w: Record, a: Record, r: Record) -> int:
    """Begin a grace period: note which readers are inside."""
    for i in range(w["actors_n"]):
        b = actor(w, i)
        if b["srcu"] != 0 and b["awaited"] == 0:
            b["awaited"] = 1
            w["gp_waiting"] += 1
    return NEXT


@step("kvm-memslot", "lock", "synchronize_srcu")
def wait_gp(w: Record, a: Record, r: Record) -> int:
    """Wait until each of the noted readers has left once."""
    if w["gp_waiting"] != 0:
        return BLOCKED
    return NEXT
