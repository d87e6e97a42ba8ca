"""A gfn is mapped as what it is not, or both ways at once.

A present entry maps private memory exactly where the attribute says private: told by the root where private entries
have one of their own, else by the page. A gfn has no present entries in both of such roots. A conversion changes the
attribute only after the entries of the old kind are gone, and keeps faults out until then, so this holds all the time.
Where the attribute is the VMA's own flag, it changes before the notification, all under mmap_lock for writing: nothing
is judged until that is dropped. A huge entry over gfns of both kinds is the business of HUGE.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.parts.backing import by_page_kind, changing_vma, of_private_kind
from gmembench.core.parts.stage2 import entry_gfn, entry_level, level_gfns
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, SPTE_PRESENT, frame, spte


@part
def of_one_attr(w: Record, gfn: int, count: int) -> bool:
    """Whether the gfns from `gfn` on have the same attribute."""
    for other in range(gfn + 1, min(gfn + count, w["frames_n"])):
        if (frame(w, other)["attr"] ^ frame(w, gfn)["attr"]) & ATTR_PRIVATE:
            return False
    return True


@part
def entry_of_other_kind(w: Record, gfn: int, root: int) -> bool:
    """Whether the present entry of a gfn in a root maps the kind that the attribute does not name."""
    private = frame(w, gfn)["attr"] & ATTR_PRIVATE != 0
    if w["separate_roots"] != 0:
        return private != (root == 1)
    return by_page_kind(w, gfn) and of_private_kind(w, spte(w, gfn, root)["pfn"]) != private


def mapped_as_other_kind(w: Record) -> int:
    """1 + the gfn that is mapped as the other kind, or as both."""
    if w["private_memory"] == 0 or changing_vma(w):
        return 0
    for gfn in range(w["frames_n"]):
        for root in range(2):
            bits = spte(w, gfn, root)["bits"]
            if bits & SPTE_PRESENT == 0 or not of_one_attr(w, gfn, level_gfns(w, entry_level(bits))):
                continue
            if entry_of_other_kind(w, gfn, root):
                return 1 + gfn
            if w["separate_roots"] != 0 and entry_gfn(w, gfn, 1 - root) >= 0:
                return 1 + gfn
    return 0


INVARIANT = Invariant(
    "ALIAS",
    (__doc__ or "").strip(),
    state=Rule(mapped_as_other_kind, "gfn {} is mapped as the kind that its attribute does not name"),
)
