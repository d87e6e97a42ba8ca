"""The host can touch, or touched, a page that holds private memory.

A page of the file is private while its gfn has the attribute; a page of the VMA while it is marked as the guest's. No
accessible entry of the host page table may name one, no pin of a host thread may hold one, and no load or store of the
VMM or of KVM may reach one.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.parts.backing import guest_used, holds_private
from gmembench.core.parts.vma import host_pfn, hpte_gfn
from gmembench.core.views import Record
from gmembench.core.world import CONSUMER_PIN_LONG, CONSUMER_PIN_SHORT, HPTE_GUEST, HPTE_RW, HPTE_STATE, consumer, frame


@part
def host_may_touch(w: Record, gfn: int) -> bool:
    """Whether the host page table lets the VMM touch the page behind a gfn."""
    at = hpte_gfn(w, gfn)
    if at < 0:
        return False
    return frame(w, at)["hpte"] & HPTE_STATE == HPTE_RW and frame(w, at)["hpte"] & HPTE_GUEST == 0


def can_touch_private(w: Record) -> int:
    """1 + the gfn whose private page the host maps or has pinned."""
    for gfn in range(w["frames_n"]):
        if host_may_touch(w, gfn) and holds_private(w, host_pfn(w, gfn)):
            return 1 + gfn
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        pinned = c["kind"] == CONSUMER_PIN_SHORT or c["kind"] == CONSUMER_PIN_LONG
        if pinned and holds_private(w, c["pfn"]):
            return 1 + c["gfn"]
    return 0


def touched_private(w: Record, a: Record) -> int:
    """1 + the gfn, if the host just read or wrote a private page."""
    return a["gfn"] if not guest_used(w, a) and holds_private(w, a["pfn"]) else 0


INVARIANT = Invariant(
    "LEAK-H",
    (__doc__ or "").strip(),
    state=Rule(can_touch_private, "the host can touch the private page of gfn {}"),
    use=Rule(touched_private, "the host touched the private page of gfn {}"),
)
