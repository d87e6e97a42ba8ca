"""guest_memfd: finding or allocating the folio of a private gfn (guest_memfd.c:727-800, filemap.c:1959-1976)."""

from gmembench.core.errno import EFAULT, EHWPOISON, EINVAL, EIO, ENOMEM
from gmembench.core.outcomes import (
    ABSENT,
    AGAIN,
    BEYOND,
    BLOCKED,
    CHANGED,
    DYING,
    NEXT,
    OTHER,
    POISONED,
    TRUNCATED,
    UPTODATE,
)
from gmembench.core.parts.file_folios import add_folio
from gmembench.core.parts.files import put_file_reference
from gmembench.core.parts.pool import put_page, zero_pages
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    FILE_LIVE,
    PG_IN_MAPPING,
    PG_POISONED,
    PG_UPTODATE,
    cache,
    file,
    page,
    slot,
)


@step("kvm-fault", "callback", "kvm_gmem_get_file", ("dying",))
def get_file(w: Record, a: Record, r: Record) -> int:
    """Take a reference to the memslot's file, unless it is gone or dying; find the index in it."""
    s = slot(w, a["slot"])
    a["file"] = s["file"]
    a["error"] = EFAULT
    if s["file"] < 0 or file(w, s["file"])["life"] != FILE_LIVE:
        return DYING
    file(w, s["file"])["refs"] += 1
    a["index"] = a["gfn"] - s["base"] + s["pgoff"]
    return NEXT


@step("kvm-fault", "check", "__kvm_gmem_get_pfn", ("changed",))
def check_file(w: Record, a: Record, r: Record) -> int:
    """The memslot must still name the file that was referenced."""
    if slot(w, a["slot"])["file"] != a["file"]:
        return CHANGED
    return NEXT


@step("kvm-fault", "check", "__kvm_gmem_get_pfn", ("other",))
def check_binding(w: Record, a: Record, r: Record) -> int:
    """The file must have this memslot bound at the index."""
    if cache(w, a["index"])["slot"] != a["slot"] + 1:
        a["error"] = EIO
        return OTHER
    return NEXT


@step("backing", "check", "kvm_gmem_allocate", ("beyond",))
def check_range(w: Record, a: Record, r: Record) -> int:
    """An allocation must lie within the file."""
    if a["end"] > w["cache_n"]:
        a["result"] = EINVAL
        return BEYOND
    a["index"] = a["first"]
    return NEXT


@step("backing", "refcount", "filemap_get_entry", ("absent",))
def find_folio(w: Record, a: Record, r: Record) -> int:
    """Find the folio in the page cache and take a reference to it."""
    pfn = cache(w, a["index"])["pfn"]
    if pfn == 0:
        return ABSENT
    p = page(w, pfn)
    p["refs"] = p["refs"] + 1
    a["pfn"] = pfn
    a["order"] = 0
    return NEXT


@step("backing", "lock", "__filemap_get_folio")
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Take the folio's lock. While it is awaited the folio may be truncated: the reference keeps only the page."""
    p = page(w, a["pfn"])
    if p["lock"] != 0:
        return BLOCKED
    p["lock"] = a["number"] + 1
    return NEXT


@step("backing", "check", "__filemap_get_folio", ("truncated",))
def recheck_mapping(w: Record, a: Record, r: Record) -> int:
    """A folio truncated while its lock was awaited is let go, and the lookup begins again."""
    p = page(w, a["pfn"])
    if p["flags"] & PG_IN_MAPPING and p["index"] == a["index"]:
        return NEXT
    p["lock"] = 0
    put_page(w, a["pfn"])
    return TRUNCATED


@step("backing", "alloc", "filemap_add_folio", ("nomem", "raced"))
def alloc_folio(w: Record, a: Record, r: Record) -> int:
    """Allocate a folio, neither zeroed nor uptodate, and add it to the page cache, locked."""
    return add_folio(w, a)


@step("backing", "check", "__kvm_gmem_get_pfn", ("poisoned",))
def check_poison(w: Record, a: Record, r: Record) -> int:
    """A poisoned page is not handed out."""
    if page(w, a["pfn"])["flags"] & PG_POISONED:
        a["error"] = EHWPOISON
        return POISONED
    return NEXT


@step("backing", "zero", "kvm_gmem_get_pfn", ("uptodate",))
def clear_page(w: Record, a: Record, r: Record) -> int:
    """Clear the page unless it is uptodate, under the folio lock."""
    if page(w, a["pfn"])["flags"] & PG_UPTODATE:
        return UPTODATE
    zero_pages(w, a["pfn"], 0)
    return NEXT


@step("backing", "state", "folio_mark_uptodate")
def mark_uptodate(w: Record, a: Record, r: Record) -> int:
    """Mark the folio uptodate, after it was cleared."""
    p = page(w, a["pfn"])
    p["flags"] = p["flags"] | PG_UPTODATE
    return NEXT


@step("backing", "lock", "folio_unlock")
def unlock_folio(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio; the reference is kept."""
    page(w, a["pfn"])["lock"] = 0
    return NEXT


@step("backing", "refcount", "folio_put")
def put_folio(w: Record, a: Record, r: Record) -> int:
    """Drop the reference to the folio; an allocation goes on with the next index."""
    put_page(w, a["pfn"])
    a["index"] += 1
    if a["index"] < a["end"]:
        return AGAIN
    return NEXT


@step("kvm-fault", "refcount", "fput")
def put_file(w: Record, a: Record, r: Record) -> int:
    """Drop the reference to the file."""
    put_file_reference(w, a["file"])
    return NEXT


@step("backing", "lock", "filemap_invalidate_lock")
def lock_inval(w: Record, a: Record, r: Record) -> int:
    """Take the file's invalidate_lock exclusively."""
    f = file(w, a["file"])
    if f["inval_writer"] != 0 or f["inval_readers"] != 0:
        return BLOCKED
    f["inval_writer"] = a["number"] + 1
    return NEXT


@step("backing", "lock", "filemap_invalidate_unlock")
def unlock_inval(w: Record, a: Record, r: Record) -> int:
    """Drop the exclusive invalidate_lock."""
    file(w, a["file"])["inval_writer"] = 0
    return NEXT


@step("backing", "lock", "filemap_invalidate_lock_shared")
def lock_inval_shared(w: Record, a: Record, r: Record) -> int:
    """Take the file's invalidate_lock shared."""
    f = file(w, a["file"])
    if f["inval_writer"] != 0:
        return BLOCKED
    f["inval_readers"] += 1
    return NEXT


@step("backing", "lock", "filemap_invalidate_unlock_shared")
def unlock_inval_shared(w: Record, a: Record, r: Record) -> int:
    """Drop the shared invalidate_lock."""
    file(w, a["file"])["inval_readers"] -= 1
    return NEXT


@step("backing", "check", "kvm_gmem_allocate")
def allocation_failed(w: Record, a: Record, r: Record) -> int:
    """An allocation that ran out of memory keeps what it has."""
    a["result"] = ENOMEM
    return NEXT
