"""Punching a hole into a guest_memfd file (guest_memfd.c:132-217, truncate.c:402-412)."""

from gmembench.core.errno import EBADF
from gmembench.core.outcomes import AGAIN, BLOCKED, DYING, NEXT, NONE
from gmembench.core.parts.access import tell_punched, tell_punching
from gmembench.core.parts.files import descriptor_open, put_file_reference
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.pool import account_double, account_private, put_page
from gmembench.core.parts.vma import host_backed
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ORACLE_ZERO_PRIVATE, ORACLE_ZERO_SHARED, PG_IN_MAPPING, cache, file, page


@step("vmm", "refcount", "fdget", ("dying",))
def fdget(w: Record, a: Record, r: Record) -> int:
    """The VMM's call on the file descriptor holds the file, if it is still open.

    Operand `value` 1: the call punches, which the oracle is told.
    """
    if not descriptor_open(w, 0):
        a["result"] = EBADF
        return DYING
    file(w, 0)["refs"] += 1
    a["file"] = 0
    a["index"] = a["first"]
    if r["value"] != 0:
        tell_punching(w, a)
    return NEXT


@step("vmm", "refcount", "fdput")
def fdput(w: Record, a: Record, r: Record) -> int:
    """The call lets the file go."""
    put_file_reference(w, 0)
    return NEXT


@step("kvm-invalidate", "callback", "kvm_gmem_invalidate_start", ("none",))
def find_binding(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot bound in the range; without one nothing is counted, at start as at end."""
    if begin_walk(w, a, a["first"], min(a["end"], w["cache_n"]), True):
        return NEXT
    return NONE


@step("backing", "lock", "truncate_inode_pages_range", ("none",))
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Find the next folio of the range, take a reference and its lock."""
    end = min(a["end"], w["cache_n"])
    index = a["index"]
    while index < end and cache(w, index)["pfn"] == 0:
        index += 1
    a["index"] = index
    if index >= end:
        return NONE
    pfn = cache(w, index)["pfn"]
    p = page(w, pfn)
    if p["lock"] != 0:
        return BLOCKED
    p["lock"] = a["number"] + 1
    p["refs"] = p["refs"] + 1
    a["pfn"] = pfn
    return NEXT


@step("mm", "state", "unmap_mapping_folio", guards="host mappings of the file: this file has none")
def unmap_host(w: Record, a: Record, r: Record) -> int:
    """Unmap the folio from host page tables, if the file can be mapped at all."""
    return NEXT


@step("backing", "state", "filemap_remove_folio")
def remove_folio(w: Record, a: Record, r: Record) -> int:
    """Remove the folio from the page cache; references may remain."""
    cache(w, a["index"])["pfn"] = 0
    p = page(w, a["pfn"])
    p["flags"] = p["flags"] & ~PG_IN_MAPPING
    account_private(w, -1)
    if host_backed(w, a["index"]):
        account_double(w, -1)
    return NEXT


@step("backing", "refcount", "filemap_free_folio")
def put_folio(w: Record, a: Record, r: Record) -> int:
    """Drop the page cache's reference."""
    put_page(w, a["pfn"])
    return NEXT


@step("backing", "lock", "folio_unlock")
def unlock_folio(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio and drop the truncation's own reference, the last one frees it; then the next folio."""
    page(w, a["pfn"])["lock"] = 0
    put_page(w, a["pfn"])
    a["index"] += 1
    return AGAIN


@step("vmm", "state", "fallocate returns")
def returned(w: Record, a: Record, r: Record) -> int:
    """The VMM knows from here on that the range reads zero: told to the oracle."""
    tell_punched(w, a, ORACLE_ZERO_SHARED if w["one_copy"] != 0 else ORACLE_ZERO_PRIVATE)
    a["result"] = 0
    return NEXT
