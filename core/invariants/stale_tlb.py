"""Somebody used a translation that should have been flushed.

A stale TLB entry is right as long as nobody uses it: a flush is a request that a vCPU serves at its next entry. So this
is judged when a page is used. A vCPU must only use a page that is behind the gfn, of the kind that the attribute
names. A thread of the host may use a page that was taken out of its page table until the flush; the page must not be
free, nor behind another gfn.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.parts.backing import (
    backs,
    by_page_kind,
    changing_vma,
    guest_used,
    of_private_kind,
    page_head,
    vma_has,
)
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, PAGE_ANON, PAGE_FREE, frame, page


@part
def of_other_kind(w: Record, gfn: int, pfn: int) -> bool:
    """Whether the page is of the kind that the gfn's attribute does not name."""
    if w["private_memory"] == 0 or changing_vma(w) or not by_page_kind(w, gfn):
        return False
    return of_private_kind(w, pfn) != (frame(w, gfn)["attr"] & ATTR_PRIVATE != 0)


@part
def given_to_another(w: Record, gfn: int, pfn: int) -> bool:
    """Whether a page of the host is free, nobody's, or the VMA has it behind another gfn."""
    head = page(w, page_head(w, pfn))
    if head["state"] == PAGE_FREE or (head["state"] == PAGE_ANON and head["refs"] == 0):
        return True
    for other in range(w["frames_n"]):
        if other != gfn and head["state"] == PAGE_ANON and vma_has(w, other, pfn):
            return True
    return False


def used_stale(w: Record, a: Record) -> int:
    """1 + the gfn, if the page that was just used is not behind it."""
    gfn = a["gfn"] - 1
    if guest_used(w, a):
        wrong = not backs(w, gfn, a["pfn"]) or of_other_kind(w, gfn, a["pfn"])
    else:
        wrong = given_to_another(w, gfn, a["pfn"])
    return 1 + gfn if wrong else 0


INVARIANT = Invariant(
    "STALE-TLB",
    (__doc__ or "").strip(),
    use=Rule(used_stale, "gfn {} was used through a translation to a page that is no longer its own"),
)
