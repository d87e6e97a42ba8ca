"""Reclaim of pages behind the VMA: to swap and back (vmscan.c: shrink_folio_list; rmap.c: try_to_unmap_one)."""

from gmembench.core.outcomes import AGAIN, BUSY, EXTRA, NEXT, NONE
from gmembench.core.parts.content import packed_content
from gmembench.core.parts.pool import account_shared, put_page
from gmembench.core.parts.vma import count_double, migrates
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import HPTE_PROTNONE, HPTE_RW, HPTE_SWAP, frame, page


@step("mm", "check", "shrink_folio_list", ("none", "extra"))
def find_page(w: Record, a: Record, r: Record) -> int:
    """Find a single page behind a gfn; a pinned one is kept. Huge pages are not swapped out in the model."""
    f = frame(w, a["gfn"])
    if f["hpte"] != HPTE_RW and f["hpte"] != HPTE_PROTNONE:
        return NONE
    a["pfn"] = f["hpfn"]
    if page(w, a["pfn"])["pins"] != 0:
        return EXTRA
    return NEXT


@step("mm", "lock", "folio_trylock", ("busy",))
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Try the lock of the page."""
    p = page(w, a["pfn"])
    f = frame(w, a["gfn"])
    if p["lock"] != 0 or f["hpfn"] != a["pfn"] or (f["hpte"] != HPTE_RW and f["hpte"] != HPTE_PROTNONE):
        return BUSY
    p["lock"] = a["number"] + 1
    return NEXT


@step("mm", "refcount", "__remove_mapping", ("extra",))
def freeze_refs(w: Record, a: Record, r: Record) -> int:
    """Keep the page if anyone but reclaim holds it by now, or if the PTE was gone already."""
    p = page(w, a["pfn"])
    if p["refs"] != 1 or p["pins"] != 0 or not migrates(w, a["gfn"], a["pfn"]):
        return EXTRA
    return NEXT


@step("mm", "state", "pageout")
def write_out(w: Record, a: Record, r: Record) -> int:
    """Write the page to its swap slot and leave the swap entry in the host page table."""
    f = frame(w, a["gfn"])
    f["hpte"] = HPTE_SWAP
    f["hpfn"] = packed_content(w, a["pfn"])
    account_shared(w, -1)
    count_double(w, a["gfn"], 0, -1)
    return NEXT


@step("mm", "refcount", "free_unref_folios")
def free_page(w: Record, a: Record, r: Record) -> int:
    """Free the page."""
    put_page(w, a["pfn"])
    return NEXT


@step("mm", "state", "shrink_folio_list")
def next_gfn(w: Record, a: Record, r: Record) -> int:
    """Go on with the next gfn of the range."""
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return NEXT
