"""Rules of the TDX module that several SEAMCALLs share: the tree lock, and when a blocked entry is out of every TLB."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import CONTENT_JUNK, IN_GUEST, PG_KEY_DIRTY, SEPT_FREE, actor, page, sept

EPOCHS = 1 << 16
"""`SEPT.epoch` is kept modulo this. A migration of 2M in pages of 4K does 512 TRACKs: modulo 256, its first entry
looked as if none had been done, and a fault waited for it for ever. Four bytes would pass 72 bytes a gfn."""


@part
def inside(v: Record) -> bool:
    """Whether a vCPU runs in the TD: it was let in, and has not left since."""
    return v["mode"] == IN_GUEST and v["in_td"] != 0


@part
def tree_locked(w: Record) -> bool:
    """Whether TDH.VP.ENTER of some vCPU holds the SEPT tree lock; leaving the guest ends it."""
    if w["tdx_tree_lock"] == 0:
        return False
    return inside(actor(w, w["tdx_tree_lock"] - 1))


@part
def tracked(w: Record, gfn: int) -> bool:
    """Whether no vCPU can still use a translation from before the entry was blocked.

    The TD epoch has moved on since, and no vCPU that entered before is in the guest.
    """
    age = (w["tdx_epoch"] - sept(w, gfn)["epoch"]) % EPOCHS
    if age == 0:
        return False
    for i in range(w["vcpus"]):
        v = actor(w, i)
        if inside(v) and w["tdx_epoch"] - v["entered_epoch"] >= age:
            return False
    return True


@part
def give_back(w: Record, gfn: int) -> None:
    """Free the entry and give its page back to the host: what it held is lost, its cache lines may be dirty."""
    s = sept(w, gfn)
    p = page(w, s["pfn"])
    p["hw"] = 0
    p["content"] = CONTENT_JUNK
    p["flags"] = p["flags"] | PG_KEY_DIRTY
    s["pfn"] = 0
    s["state"] = SEPT_FREE
