"""A rule of the owner table, or of the hardware's own page table, is broken.

A page that the table gives to the VM is not free, and a free page has no cache lines of a private key left. Each secure
EPT entry in use names a page that the VM owns, and no two name the same one. KVM's mirror of a present entry is not
ahead of it, and when nobody is inside an operation no entry is left without its mirror. The host must not write to a
page that the VM owns.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.operations import WRITE
from gmembench.core.parts.backing import guest_used, page_head
from gmembench.core.views import Record
from gmembench.core.world import (
    HW_OWNED,
    PAGE_FREE,
    PG_KEY_DIRTY,
    SEPT_FREE,
    SPTE_FROZEN,
    SPTE_PRESENT,
    page,
    sept,
    spte,
)

MIRROR = 1
"""The root that mirrors the secure EPT."""


@part
def secure_entry_is_wrong(w: Record, gfn: int) -> bool:
    """Whether the secure EPT entry of a gfn, or KVM's mirror of it, breaks a rule."""
    s = sept(w, gfn)
    bits = spte(w, gfn, MIRROR)["bits"]
    if s["state"] == SEPT_FREE:
        return bits & SPTE_PRESENT != 0 and bits & SPTE_FROZEN == 0
    if page(w, s["pfn"])["hw"] & HW_OWNED == 0:
        return True
    for other in range(gfn):
        if sept(w, other)["state"] != SEPT_FREE and sept(w, other)["pfn"] == s["pfn"]:
            return True
    return False


def owner_is_wrong(w: Record) -> int:
    """1 + the page, or the gfn of a secure EPT entry, that breaks a rule."""
    for pfn in range(1, w["pages_n"]):
        p = page(w, pfn)
        left = p["hw"] & HW_OWNED != 0 or p["flags"] & PG_KEY_DIRTY != 0
        if left and page(w, page_head(w, pfn))["state"] == PAGE_FREE:
            return 1 + pfn
    for gfn in range(w["septs_n"]):
        if secure_entry_is_wrong(w, gfn):
            return 1 + gfn
    return 0


def host_wrote_owned(w: Record, a: Record) -> int:
    """1 + the gfn, if the host just wrote to a page that the VM owns."""
    owned = page(w, a["pfn"])["hw"] & HW_OWNED != 0
    return a["gfn"] if owned and a["flags"] & WRITE and not guest_used(w, a) else 0


def mirror_is_missing(w: Record) -> int:
    """1 + the gfn whose secure EPT entry KVM forgot."""
    for gfn in range(w["septs_n"]):
        if sept(w, gfn)["state"] != SEPT_FREE and spte(w, gfn, MIRROR)["bits"] == 0:
            return 1 + gfn
    return 0


INVARIANT = Invariant(
    "HW",
    (__doc__ or "").strip(),
    state=Rule(owner_is_wrong, "page or gfn {} breaks a rule of the owner table or of the secure EPT"),
    use=Rule(host_wrote_owned, "the host wrote to the page of gfn {}, which the VM owns"),
    rest=Rule(mirror_is_missing, "the secure EPT entry of gfn {} is left without KVM's mirror of it"),
)
