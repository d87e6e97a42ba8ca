"""memory_failure(): a page behind a gfn is found broken (memory-failure.c, guest_memfd.c: kvm_gmem_error_folio)."""

from gmembench.core.errno import EHWPOISON
from gmembench.core.operations import PRIVATE
from gmembench.core.outcomes import AGAIN, BLOCKED, NEXT, NONE, OTHER, SAME
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.pool import account_shared, put_page
from gmembench.core.parts.vma import count_double, host_pfn, hpte_gfn, split_host_entry
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    HPTE_HUGE,
    HPTE_MIGRATION,
    HPTE_POISON,
    HPTE_STATE,
    PAGE_FILE,
    PG_POISONED,
    cache,
    frame,
    page,
)


@step("mm", "lock", "memory_failure")
def lock_mutex(w: Record, a: Record, r: Record) -> int:
    """Take mf_mutex: two broken pages of one huge page would wait for each other's references."""
    if w["mf_mutex"] != 0:
        return BLOCKED
    w["mf_mutex"] = a["number"] + 1
    return NEXT


@step("mm", "lock", "memory_failure")
def unlock_mutex(w: Record, a: Record, r: Record) -> int:
    """Drop mf_mutex."""
    w["mf_mutex"] = 0
    return NEXT


@step("mm", "refcount", "get_hwpoison_page", ("none",))
def get_page(w: Record, a: Record, r: Record) -> int:
    """Find the page and take a reference: with the flag PRIVATE that of the file, else that of the VMA."""
    gfn = a["gfn"]
    if a["flags"] & PRIVATE:
        pfn = cache(w, gfn)["pfn"] if gfn < w["cache_n"] else 0
    else:
        at = hpte_gfn(w, gfn)
        if at >= 0 and frame(w, at)["hpte"] & HPTE_STATE == HPTE_MIGRATION:
            return BLOCKED
        pfn = host_pfn(w, gfn)
    if pfn == 0:
        return NONE
    a["pfn"] = pfn
    a["file"] = 0
    h = page(w, block_head(w, pfn))
    h["refs"] = h["refs"] + 1
    return NEXT


@step("mm", "state", "memory_failure", ("same", "other"))
def set_poison(w: Record, a: Record, r: Record) -> int:
    """Mark the page as poisoned: nobody gets it from now on. Other: it is a page of the file, told by its folio."""
    p = page(w, a["pfn"])
    if p["flags"] & PG_POISONED:
        a["result"] = EHWPOISON
        return SAME
    p["flags"] = p["flags"] | PG_POISONED
    return OTHER if page(w, block_head(w, a["pfn"]))["state"] == PAGE_FILE else NEXT


@step("mm", "lock", "folio_lock")
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Lock the page, or the huge page it lies in."""
    head = block_head(w, a["pfn"])
    if page(w, head)["lock"] != 0:
        return BLOCKED
    page(w, head)["lock"] = a["number"] + 1
    a["target"] = head
    return NEXT


@step("mm", "state", "try_to_unmap_one")
def set_poison_pte(w: Record, a: Record, r: Record) -> int:
    """Replace the host PTE by a poison entry. A huge page is split first, when nobody else holds it for a while."""
    gfn, pfn = a["gfn"], a["pfn"]
    a["done"] = 0
    if host_pfn(w, gfn) != pfn:
        return NEXT
    at = hpte_gfn(w, gfn)
    if frame(w, at)["hpte"] & HPTE_HUGE:
        head = frame(w, at)["hpfn"]
        h = page(w, head)
        if h["refs"] != 2 + h["pins"]:
            return BLOCKED
        h["refs"] = h["refs"] - 1
        split_host_entry(w, at)
        page(w, pfn)["refs"] = page(w, pfn)["refs"] + 1
    f = frame(w, gfn)
    count_double(w, gfn, 0, -1)
    f["hpte"] = HPTE_POISON
    f["hpfn"] = pfn
    account_shared(w, -1)
    a["done"] = 1
    return NEXT


@step("mm", "refcount", "try_to_unmap_one")
def put_mapping(w: Record, a: Record, r: Record) -> int:
    """Drop the reference of the host PTE, after the flush, if there was one."""
    if a["done"] != 0:
        put_page(w, a["pfn"])
    return NEXT


@step("mm", "lock", "folio_unlock")
def unlock_folio(w: Record, a: Record, r: Record) -> int:
    """Unlock the page."""
    page(w, a["target"])["lock"] = 0
    return NEXT


@step("kvm-invalidate", "callback", "kvm_gmem_invalidate_start", ("none",))
def find_binding(w: Record, a: Record, r: Record) -> int:
    """Find the memslot bound at the page's index; without one nothing is counted, at start as at end."""
    if begin_walk(w, a, a["gfn"], a["gfn"] + 1, True):
        return NEXT
    return NONE


@step("mm", "refcount", "memory_failure")
def put_page_again(w: Record, a: Record, r: Record) -> int:
    """Drop the reference; a page that nobody holds then is lost to the host for good."""
    put_page(w, block_head(w, a["pfn"]))
    return NEXT


@step("mm", "state", "memory_failure")
def next_gfn(w: Record, a: Record, r: Record) -> int:
    """Go on with the next gfn of the range."""
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return NEXT
