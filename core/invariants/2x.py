"""A page that nobody accounts for: memory lost, or a reference never dropped.

When nobody is inside an operation, each page that is not free is in the file, in the host page table, or pinned by
somebody; and it has no more references than these explain. KVM's own pin of a guest page counts while the VMA has the
page, one for each entry. A page of a movable zone is lost to its zone if a registered region pins it. That a gfn is
backed twice is a counted number and no fault.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.parts.backing import file_has, page_head, vma_has
from gmembench.core.parts.pins import is_pin
from gmembench.core.views import Record
from gmembench.core.world import (
    PAGE_FILE,
    PAGE_FREE,
    PG_GUEST,
    PG_LRU_BATCH,
    PG_MOVABLE,
    SPTE_PRESENT,
    SPTE_ZAPPED,
    consumer,
    page,
    spte,
)


@part
def consumers_of(w: Record, pfn: int) -> int:
    """How many pins and other users a page has."""
    found = 0
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if is_pin(c["kind"]) and page_head(w, c["pfn"]) == pfn:
            found += 1
    return found


@part
def held_for_good(w: Record, pfn: int) -> bool:
    """Whether a registered region, which has no end that the host knows of, pins the page."""
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if is_pin(c["kind"]) and c["actor"] == w["actors_n"] and c["pfn"] == pfn:
            return True
    return False


@part
def kept_by_entries(w: Record, pfn: int) -> int:
    """How many stage-2 entries, present or zapped, rightly pin a guest page: the VMA has it still."""
    found = 0
    for gfn in range(w["frames_n"]):
        if vma_has(w, gfn, pfn):
            for root in range(2):
                entry = spte(w, gfn, root)
                if entry["bits"] & (SPTE_PRESENT | SPTE_ZAPPED) and entry["pfn"] == pfn:
                    found += 1
    return found


@part
def accounted(w: Record, pfn: int) -> int:
    """How many references to a page are explained: the file's, the host page table's, pins, an LRU batch."""
    p = page(w, pfn)
    found = consumers_of(w, pfn)
    if p["flags"] & PG_GUEST:
        found += kept_by_entries(w, pfn)
    if p["state"] == PAGE_FILE and file_has(w, p["index"], pfn):
        found += 1
    for gfn in range(w["frames_n"]):
        if vma_has(w, gfn, pfn):
            found += 1
    if p["flags"] & PG_LRU_BATCH:
        found += 1
    return found


def page_is_lost(w: Record) -> int:
    """1 + the page that nobody accounts for, or that has a reference too many."""
    for pfn in range(1, w["pages_n"]):
        p = page(w, pfn)
        if p["flags"] & PG_MOVABLE and p["order"] == 0 and held_for_good(w, pfn):
            return 1 + pfn
        if p["state"] != PAGE_FREE and page_head(w, pfn) == pfn:
            known = accounted(w, pfn)
            if known == 0 or p["refs"] > known:
                return 1 + pfn
    return 0


INVARIANT = Invariant(
    "2X",
    (__doc__ or "").strip(),
    rest=Rule(page_is_lost, "page {} is kept by nobody, or has a reference that nobody will drop"),
)
