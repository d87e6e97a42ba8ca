"""Stage-2 entries of private pages behind a VMA: which entry is private, and the pin that it holds."""

from gmembench.core.jit import part
from gmembench.core.parts.pool import put_page
from gmembench.core.views import Record
from gmembench.core.world import PG_GUEST, SPTE_PRESENT, SPTE_ZAPPED, page, spte


@part
def entry_in_use(w: Record, gfn: int, root: int) -> bool:
    """Whether an entry maps a page, or keeps one while it is zapped."""
    return spte(w, gfn, root)["bits"] & (SPTE_PRESENT | SPTE_ZAPPED) != 0


@part
def entry_is_private(w: Record, gfn: int, root: int) -> bool:
    """Whether an entry in use is private: by its root where roots are separate, else by the page (role.private)."""
    entry = spte(w, gfn, root)
    if w["separate_roots"] != 0:
        return root == 1
    if entry["bits"] & SPTE_ZAPPED:
        return True
    return page(w, entry["pfn"])["flags"] & PG_GUEST != 0


@part
def zapped_root(w: Record, gfn: int) -> int:
    """The root below which the entry of a gfn is zapped and keeps its page; -1 if there is none."""
    for root in range(2):
        if spte(w, gfn, root)["bits"] & SPTE_ZAPPED:
            return root
    return -1


@part
def drop_pin(w: Record, pfn: int) -> None:
    """Drop KVM's pin of a page, with its reference."""
    p = page(w, pfn)
    p["pins"] = p["pins"] - 1
    put_page(w, pfn)
