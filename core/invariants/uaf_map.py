"""A stage-2 entry maps a page that is no longer the gfn's.

The page is free, or neither the file nor the VMA has it behind the gfn. KVM holds no reference to a page that it
maps: an invalidation must take the entry away before the page goes, and no fault may map it meanwhile. So there is no
moment at which such an entry is right. A pin keeps its page from being freed. A VMSA may be out of date while its
vCPU is outside the guest, so it is judged when the vCPU runs. When nobody is inside an operation, no entry is left at
a gfn that has no memslot: nobody would be told when its page goes.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.parts.backing import backs, guest_used, page_head
from gmembench.core.parts.memslots import slot_of_gfn
from gmembench.core.parts.pins import is_pin
from gmembench.core.parts.stage2 import entry_level, level_gfns
from gmembench.core.views import Record
from gmembench.core.world import CONSUMER_VMSA, PAGE_FREE, SPTE_PRESENT, consumer, page, spte


@part
def entry_is_wrong(w: Record, gfn: int, root: int) -> int:
    """1 + the first gfn below a present entry whose page is not its own; 0 if there is none."""
    entry = spte(w, gfn, root)
    if entry["bits"] & SPTE_PRESENT == 0:
        return 0
    for i in range(level_gfns(w, entry_level(entry["bits"]))):
        if gfn + i >= w["frames_n"] or not backs(w, gfn + i, entry["pfn"] + i):
            return 1 + gfn + i
    return 0


def maps_foreign_page(w: Record) -> int:
    """1 + the gfn whose entry maps a page that is not behind it."""
    for gfn in range(w["frames_n"]):
        for root in range(2):
            wrong = entry_is_wrong(w, gfn, root)
            if wrong != 0:
                return wrong
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if is_pin(c["kind"]) and page(w, page_head(w, c["pfn"]))["state"] == PAGE_FREE:
            return 1 + c["gfn"]
    return 0


def runs_on_foreign_page(w: Record, a: Record) -> int:
    """1 + the gfn of the VMSA of a vCPU that just ran in the guest, if its page is no longer behind that gfn."""
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        runs_on = c["kind"] == CONSUMER_VMSA and c["actor"] == a["number"] and c["pfn"] != 0
        if runs_on and guest_used(w, a) and not backs(w, c["gfn"], c["pfn"]):
            return 1 + c["gfn"]
    return 0


@part
def maps_below_dead_root(w: Record) -> int:
    """1 + the gfn that is mapped below a root that no vCPU loads any more: nobody knows of that entry."""
    if w["separate_roots"] != 0:
        return 0
    for gfn in range(w["frames_n"]):
        dead = (w["root_valid_0"] == 0 and spte(w, gfn, 0)["bits"] & SPTE_PRESENT != 0) or (
            w["root_valid_1"] == 0 and spte(w, gfn, 1)["bits"] & SPTE_PRESENT != 0
        )
        if dead:
            return 1 + gfn
    return 0


def maps_without_memslot(w: Record) -> int:
    """1 + the gfn that is mapped though no memslot holds it, or below a root that is gone."""
    lost = maps_below_dead_root(w)
    if lost != 0:
        return lost
    for gfn in range(w["frames_n"]):
        present = (spte(w, gfn, 0)["bits"] | spte(w, gfn, 1)["bits"]) & SPTE_PRESENT
        if present and slot_of_gfn(w, gfn) < 0:
            return 1 + gfn
    return 0


INVARIANT = Invariant(
    "UAF-MAP",
    (__doc__ or "").strip(),
    state=Rule(maps_foreign_page, "gfn {} is mapped to a page that is no longer its own"),
    use=Rule(runs_on_foreign_page, "a vCPU ran on the VMSA at gfn {}, whose page is no longer its own"),
    rest=Rule(maps_without_memslot, "gfn {} is mapped, and no memslot holds it, or the root above is gone"),
)
