"""guest_memfd with folios of 1G from a HugeTLB pool (guestmem_hugetlb of the 1G RFC v2, kvm_gmem_split/merge_folio)."""

from gmembench.core.errno import EAGAIN, EINVAL, ENOMEM
from gmembench.core.outcomes import (
    ABSENT,
    AGAIN,
    BEYOND,
    BLOCKED,
    BUSY,
    NEXT,
    NOMEM,
    NONE,
    OTHER,
    RACED,
    SHARED,
    TRUNCATED,
    UPTODATE,
)
from gmembench.core.parts.access import tell_punched_until
from gmembench.core.parts.file_folios import clear_host_pte
from gmembench.core.parts.folio_range import file_end
from gmembench.core.parts.folios import erase_folio, folio_end, hold_head, lock_head, next_folio, unlock_and_put
from gmembench.core.parts.gigantic import (
    end_of,
    first_of,
    held_by_file_only,
    merge_folios,
    some_shared,
    split_folio,
)
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.policy import node_of
from gmembench.core.parts.pool import account_private, put_page, take_page, zero_pages
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ORACLE_ZERO_SHARED, PAGE_FILE, PG_IN_MAPPING, PG_UPTODATE, cache, page


@step("backing", "refcount", "filemap_get_entry", ("absent",))
def find_folio(w: Record, a: Record, r: Record) -> int:
    """Find the folio in the page cache and take a reference to it: that of its head."""
    if cache(w, a["index"])["pfn"] == 0:
        return ABSENT
    hold_head(w, a, a["index"])
    return NEXT


@step("backing", "lock", "__filemap_get_folio")
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Take the lock of the folio's head. The invalidate_lock keeps it from being split or merged meanwhile."""
    h = page(w, block_head(w, a["pfn"]))
    if h["lock"] != 0:
        return BLOCKED
    h["lock"] = a["number"] + 1
    return NEXT


@step("backing", "check", "__filemap_get_folio", ("truncated",))
def recheck_mapping(w: Record, a: Record, r: Record) -> int:
    """A folio truncated while its lock was awaited is let go, and the lookup begins again."""
    if cache(w, a["index"])["pfn"] == a["pfn"]:
        return NEXT
    unlock_and_put(w, block_head(w, a["pfn"]))
    return TRUNCATED


@step("backing", "alloc", "kvm_gmem_get_folio", ("nomem", "raced"))
def alloc_folio(w: Record, a: Record, r: Record) -> int:
    """Take a folio from the pool and add it, locked; split it at once if any of its gfns is shared. No LRU."""
    first = first_of(w, a["index"])
    if cache(w, first)["pfn"] != 0:
        return RACED
    head = 0 if end_of(w, first) > w["cache_n"] else take_page(w, w["private_order"])
    if head == 0:
        a["error"] = ENOMEM
        return NOMEM
    for i in range(1 << w["private_order"]):
        page(w, head + i)["flags"] = 0
        cache(w, first + i)["pfn"] = head + i
    h = page(w, head)
    h["state"] = PAGE_FILE
    h["flags"] = PG_IN_MAPPING
    h["refs"] = 1
    h["index"] = first
    h["node"] = node_of(w, a, first)
    if some_shared(w, first):
        split_folio(w, head)
    account_private(w, 1 << w["private_order"])
    lock_head(w, a, a["index"])
    return NEXT


@step("backing", "zero", "folio_zero_user", ("uptodate",))
def clear_page(w: Record, a: Record, r: Record) -> int:
    """Clear the whole folio unless it is uptodate, under its lock."""
    head = block_head(w, a["pfn"])
    if page(w, head)["flags"] & PG_UPTODATE:
        return UPTODATE
    zero_pages(w, head, page(w, head)["order"])
    return NEXT


@step("backing", "state", "folio_mark_uptodate")
def mark_uptodate(w: Record, a: Record, r: Record) -> int:
    """Mark the folio uptodate, after it was cleared."""
    h = page(w, block_head(w, a["pfn"]))
    h["flags"] = h["flags"] | PG_UPTODATE
    return NEXT


@step("backing", "lock", "folio_unlock")
def unlock_folio(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio; the reference is kept."""
    page(w, block_head(w, a["pfn"]))["lock"] = 0
    return NEXT


@step("backing", "check", "kvm_gmem_allocate", ("beyond",))
def check_range(w: Record, a: Record, r: Record) -> int:
    """An allocation must lie within the file, and is rounded down to whole folios at both ends."""
    if a["end"] > w["cache_n"]:
        a["result"] = EINVAL
        return BEYOND
    a["index"] = first_of(w, a["first"])
    a["end"] = first_of(w, a["end"])
    if a["index"] >= a["end"]:
        return BEYOND
    return NEXT


@step("backing", "refcount", "folio_put")
def put_folio(w: Record, a: Record, r: Record) -> int:
    """Drop the reference to the folio; an allocation goes on behind it."""
    head = block_head(w, a["pfn"])
    a["index"] = folio_end(w, head)
    put_page(w, head)
    if a["index"] < a["end"]:
        return AGAIN
    return NEXT


@step("kvm-attributes", "callback", "kvm_gmem_convert_invalidate_begin", ("none",))
def find_binding(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot bound in the range, which is rounded to whole folios: an entry may cover all of one."""
    if begin_walk(w, a, first_of(w, a["first"]), min(end_of(w, a["end"] - 1), w["cache_n"]), True):
        return NEXT
    return NONE


@step("kvm-attributes", "callback", "kvm_gmem_convert_invalidate_end", ("none",))
def find_binding_end(w: Record, a: Record, r: Record) -> int:
    """Find out, as at the start, whether a memslot is bound in the range; begin to update its regions."""
    if begin_walk(w, a, first_of(w, a["first"]), min(end_of(w, a["end"] - 1), w["cache_n"]), True):
        a["cursor"], a["level"] = a["first"], 2
        return NEXT
    return NONE


@step("backing", "state", "kvm_gmem_split_folio_in_filemap")
def split_folios(w: Record, a: Record, r: Record) -> int:
    """Split the next folio of the range, or wait until nobody but the page cache holds it."""
    a["index"] = next_folio(w, first_of(w, a["index"]), file_end(w, a))
    if a["index"] >= file_end(w, a):
        return NEXT
    first = first_of(w, a["index"])
    head = cache(w, first)["pfn"]
    if page(w, head)["order"] != 0:
        if not held_by_file_only(w, first):
            return BLOCKED
        split_folio(w, head)
    a["index"] = end_of(w, first)
    return AGAIN


@step("backing", "state", "kvm_gmem_merge_folio_in_filemap")
def try_merge_folios(w: Record, a: Record, r: Record) -> int:
    """Merge the pages of the next 1G of the range if none of its gfns is shared any more."""
    a["index"] = next_folio(w, first_of(w, a["index"]), file_end(w, a))
    if a["index"] >= file_end(w, a):
        return NEXT
    first = first_of(w, a["index"])
    if page(w, cache(w, first)["pfn"])["order"] == 0 and not some_shared(w, first):
        if not held_by_file_only(w, first):
            return BLOCKED
        merge_folios(w, first)
    a["index"] = end_of(w, first)
    return AGAIN


@step("backing", "check", "kvm_gmem_truncate_inode_range", ("none", "other", "shared"))
def next_part(w: Record, a: Record, r: Record) -> int:
    """Find the next 1G with a folio. Other: the hole covers a part of it. Shared: it covers all, and it is split."""
    a["index"] = next_folio(w, a["index"], file_end(w, a))
    if a["index"] >= file_end(w, a):
        return NONE
    first = first_of(w, a["index"])
    if first < a["first"] or end_of(w, first) > a["end"]:
        return OTHER
    a["gfn"] = first
    return SHARED if page(w, cache(w, first)["pfn"])["order"] == 0 else NEXT


@step("backing", "zero", "kvm_gmem_zero_range")
def zero_part(w: Record, a: Record, r: Record) -> int:
    """Clear the next page of a 1G that the hole does not cover whole: it stays in the file."""
    zero_pages(w, cache(w, a["index"])["pfn"], 0)
    a["index"] += 1
    if a["index"] < file_end(w, a) and first_of(w, a["index"]) != a["index"]:
        return AGAIN
    return NEXT


@step("mm", "state", "unmap_mapping_pages")
def clear_ptes(w: Record, a: Record, r: Record) -> int:
    """Clear the host PTEs of a whole 1G, one a step; their references go."""
    clear_host_pte(w, a["gfn"])
    a["gfn"] += 1
    if first_of(w, a["gfn"]) != a["gfn"]:
        return AGAIN
    a["gfn"] = a["index"]
    return NEXT


@step("backing", "check", "kvm_gmem_has_safe_refcount", ("busy",))
def check_part(w: Record, a: Record, r: Record) -> int:
    """A split 1G that somebody still uses cannot be merged, and is not truncated: EAGAIN."""
    if not held_by_file_only(w, first_of(w, a["index"])):
        a["result"] = EAGAIN
        a["done"] = first_of(w, a["index"])
        return BUSY
    return NEXT


@step("backing", "state", "kvm_gmem_merge_folio_in_filemap")
def merge_part(w: Record, a: Record, r: Record) -> int:
    """Merge the pages of a split 1G, so that it goes back to the pool whole."""
    merge_folios(w, first_of(w, a["index"]))
    return NEXT


@step("backing", "lock", "folio_lock")
def lock_part(w: Record, a: Record, r: Record) -> int:
    """Lock the folio that is truncated."""
    return NEXT if lock_head(w, a, first_of(w, a["index"])) else BLOCKED


@step("backing", "state", "truncate_inode_folio")
def remove_part(w: Record, a: Record, r: Record) -> int:
    """Remove the folio from the page cache."""
    erase_folio(w, a["pfn"])
    return NEXT


@step("backing", "refcount", "filemap_free_folio")
def put_part(w: Record, a: Record, r: Record) -> int:
    """Drop the page cache's reference."""
    put_page(w, a["pfn"])
    return NEXT


@step("backing", "lock", "folio_unlock")
def unlock_part(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio and drop the truncation's own reference: it goes back to the pool. Then the next one."""
    unlock_and_put(w, a["pfn"])
    a["index"] = end_of(w, a["index"])
    return AGAIN


@step("backing", "refcount", "evict_inode", ("none",))
def evict_folio(w: Record, a: Record, r: Record) -> int:
    """Find the next folio of the inode and remove it, without any notification.

    A split 1G that nobody holds is merged first. Where a pin outlives the file its pages go one by one, and the
    1G is lost to the pool.
    """
    a["index"] = next_folio(w, a["index"], w["cache_n"])
    if a["index"] >= w["cache_n"]:
        return NONE
    first = first_of(w, a["index"])
    if page(w, cache(w, first)["pfn"])["order"] == 0 and held_by_file_only(w, first):
        merge_folios(w, first)
    a["pfn"] = cache(w, a["index"])["pfn"]
    a["order"] = page(w, a["pfn"])["order"]
    erase_folio(w, a["pfn"])
    return NEXT


@step("vmm", "state", "fallocate returns")
def returned(w: Record, a: Record, r: Record) -> int:
    """The VMM knows that the range reads zero, after EAGAIN up to the folio in use: told to the oracle."""
    tell_punched_until(w, a, a["done"] if a["result"] == EAGAIN else a["end"], ORACLE_ZERO_SHARED)
    return NEXT
