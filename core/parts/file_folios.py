"""Folios of the guest_memfd file: adding one to the page cache, and its reference in a per-CPU LRU batch."""

from gmembench.core.errno import ENOMEM
from gmembench.core.jit import part
from gmembench.core.outcomes import NEXT, NOMEM, RACED
from gmembench.core.parts.policy import node_of
from gmembench.core.parts.pool import account_double, account_private, put_page, take_page
from gmembench.core.parts.vma import host_backed
from gmembench.core.views import Record
from gmembench.core.world import HPTE_NONE, PAGE_FILE, PG_IN_MAPPING, PG_LRU_BATCH, cache, frame, page


@part
def add_folio(w: Record, a: Record) -> int:
    """Allocate the folio of the actor's index and add it to the page cache, locked and referenced.

    Returns NEXT, RACED if there is one by now, or NOMEM with the errno in `error`.
    """
    if cache(w, a["index"])["pfn"] != 0:
        return RACED
    return new_folio(w, a)


@part
def new_folio(w: Record, a: Record) -> int:
    """The same without a look whether there is one: NEXT or NOMEM."""
    c = cache(w, a["index"])
    pfn = take_page(w, 0)
    if pfn == 0:
        a["error"] = ENOMEM
        return NOMEM
    p = page(w, pfn)
    p["state"] = PAGE_FILE
    p["flags"] = PG_IN_MAPPING
    p["refs"] = 2
    p["lock"] = a["number"] + 1
    p["index"] = a["index"]
    p["node"] = node_of(w, a, a["index"])
    c["pfn"] = pfn
    a["pfn"] = pfn
    a["order"] = 0
    account_private(w, 1)
    if host_backed(w, a["index"]):
        account_double(w, 1)
    return NEXT


@part
def drain_batch(w: Record, pfn: int) -> bool:
    """Take a folio out of the LRU batch it lies in, which drops a reference; False if it lies in none."""
    p = page(w, pfn)
    if p["flags"] & PG_LRU_BATCH == 0:
        return False
    p["flags"] = p["flags"] & ~PG_LRU_BATCH
    put_page(w, pfn)
    return True


@part
def clear_host_pte(w: Record, gfn: int) -> None:
    """Clear the host PTE of a file's page and drop its reference: the page cache has one until after the flush."""
    f = frame(w, gfn)
    if f["hpte"] != HPTE_NONE:
        put_page(w, f["hpfn"])
        f["hpte"] = HPTE_NONE
        f["hpfn"] = 0
