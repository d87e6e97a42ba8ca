"""A huge mapping covers what must not be mapped as one.

That is gfns of different attributes, gfns outside the memslot, or pages that are no huge page.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.parts.memslots import slot_of_gfn
from gmembench.core.parts.stage2 import entry_level, level_gfns
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, SPTE_GIGANTIC, SPTE_HUGE, frame, spte


@part
def covers_wrong(w: Record, gfn: int, level: int) -> int:
    """1 + the first gfn of a huge entry that is of another attribute, or in another memslot, than the first; else 0."""
    found = slot_of_gfn(w, gfn)
    for other in range(gfn + 1, gfn + level_gfns(w, level)):
        if other >= w["frames_n"] or slot_of_gfn(w, other) != found:
            return 1 + other
        if (frame(w, other)["attr"] ^ frame(w, gfn)["attr"]) & ATTR_PRIVATE:
            return 1 + other
    return 0


def huge_entry_is_wrong(w: Record) -> int:
    """1 + a gfn that a huge entry must not cover."""
    for gfn in range(w["frames_n"]):
        for root in range(2):
            bits = spte(w, gfn, root)["bits"]
            if bits & (SPTE_HUGE | SPTE_GIGANTIC):
                wrong = covers_wrong(w, gfn, entry_level(bits))
                if wrong != 0:
                    return wrong
    return 0


INVARIANT = Invariant(
    "HUGE",
    (__doc__ or "").strip(),
    state=Rule(huge_entry_is_wrong, "a huge entry covers gfn {}, which differs from the rest of it"),
)
