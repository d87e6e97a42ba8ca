"""Making vCPUs leave the guest."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, actor


@part
def kick_all(w: Record) -> None:
    """Send an IPI to every vCPU in the guest: it leaves. What it was asked, if anything, was stored before."""
    for i in range(w["vcpus"]):
        v = actor(w, i)
        if v["mode"] == IN_GUEST:
            v["kicked"] = 1


@part
def all_left(w: Record) -> bool:
    """Whether every kicked vCPU has left the guest."""
    for i in range(w["vcpus"]):
        v = actor(w, i)
        if v["kicked"] != 0 and v["mode"] == IN_GUEST:
            return False
    return True
