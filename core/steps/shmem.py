"""The shmem file behind private memory: allocating folios and truncating them (mm/shmem.c of Linux 6.1).

A folio is of `private_order` where its region has none yet, else a single page.
"""

from gmembench.core.errno import ENOMEM
from gmembench.core.operations import WRITE
from gmembench.core.outcomes import (
    ABSENT,
    AGAIN,
    BLOCKED,
    EXTRA,
    NEXT,
    NOMEM,
    NONE,
    OVERLAP,
    RACED,
    TRUNCATED,
    UPTODATE,
)
from gmembench.core.parts.folios import (
    add_folio,
    erase_folio,
    folio_end,
    hold_head,
    lock_head,
    next_folio,
    order_for,
    unlock_and_put,
)
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.pool import put_page, split_block, take_page, zero_pages
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import HW_OWNED, PG_IN_MAPPING, PG_UPTODATE, cache, file, page


@step("backing", "lock", "shmem_fallocate")
def lock_inode(w: Record, a: Record, r: Record) -> int:
    """Take the inode lock: one fallocate at a time, of either kind."""
    if file(w, 0)["inode_lock"] != 0:
        return BLOCKED
    file(w, 0)["inode_lock"] = a["number"] + 1
    return NEXT


@step("backing", "lock", "shmem_fallocate")
def unlock_inode(w: Record, a: Record, r: Record) -> int:
    """Drop the inode lock."""
    file(w, 0)["inode_lock"] = 0
    return NEXT


@step("backing", "refcount", "filemap_get_entry", ("absent",))
def find_folio(w: Record, a: Record, r: Record) -> int:
    """Find the folio of the index in the page cache and take a reference to it."""
    if cache(w, a["index"])["pfn"] == 0:
        return ABSENT
    hold_head(w, a, a["index"])
    return NEXT


@step("backing", "lock", "shmem_get_folio_gfp")
def get_lock(w: Record, a: Record, r: Record) -> int:
    """Take the folio's lock. While it is awaited the folio may be truncated: the reference keeps only the page."""
    h = page(w, block_head(w, a["pfn"]))
    if h["lock"] != 0:
        return BLOCKED
    h["lock"] = a["number"] + 1
    return NEXT


@step("backing", "check", "shmem_get_folio_gfp", ("truncated",))
def recheck_mapping(w: Record, a: Record, r: Record) -> int:
    """A folio truncated while its lock was awaited is let go, and the lookup begins again."""
    head = block_head(w, a["pfn"])
    h = page(w, head)
    if h["flags"] & PG_IN_MAPPING and h["index"] + a["pfn"] - head == a["index"]:
        return NEXT
    unlock_and_put(w, head)
    return TRUNCATED


@step("backing", "alloc", "shmem_alloc_and_acct_folio", ("nomem", "raced"))
def alloc_folio(w: Record, a: Record, r: Record) -> int:
    """Allocate a folio, huge if its region has none, and add it to the page cache, locked; it is not cleared."""
    if cache(w, a["index"])["pfn"] != 0:
        return RACED
    order = order_for(w, a["index"])
    pfn = take_page(w, order)
    if pfn == 0 and order != 0:
        order = 0
        pfn = take_page(w, 0)
    if pfn == 0:
        a["error"] = ENOMEM
        return NOMEM
    add_folio(w, a, pfn, a["index"], order)
    return NEXT


@step("backing", "zero", "shmem_get_folio_gfp", ("uptodate",))
def clear_folio(w: Record, a: Record, r: Record) -> int:
    """Clear the folio unless it is uptodate, under its lock."""
    head = block_head(w, a["pfn"])
    if page(w, head)["flags"] & PG_UPTODATE:
        return UPTODATE
    zero_pages(w, head, page(w, head)["order"])
    return NEXT


@step("backing", "state", "folio_mark_uptodate")
def mark_uptodate(w: Record, a: Record, r: Record) -> int:
    """Mark the folio uptodate."""
    h = page(w, block_head(w, a["pfn"]))
    h["flags"] = h["flags"] | PG_UPTODATE
    return NEXT


@step("backing", "lock", "folio_unlock")
def release_lock(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio; the reference is kept."""
    page(w, block_head(w, a["pfn"]))["lock"] = 0
    return NEXT


@step("backing", "refcount", "shmem_fallocate")
def next_index(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio, drop the reference, and go on behind the folio, which may be huge."""
    head = block_head(w, a["pfn"])
    a["index"] = folio_end(w, head)
    unlock_and_put(w, head)
    if a["index"] < a["end"]:
        return AGAIN
    return NEXT


@step("backing", "state", "shmem_fallocate")
def allocation_failed(w: Record, a: Record, r: Record) -> int:
    """An allocation that ran out of memory begins to take back what it added."""
    a["result"] = ENOMEM
    a["done"] = a["index"]
    a["index"] = a["first"]
    return NEXT


@step("backing", "lock", "shmem_undo_range", ("none",))
def find_added(w: Record, a: Record, r: Record) -> int:
    """Find and lock the next folio of a failed allocation that is not uptodate: one that the allocation added."""
    index, end = a["index"], a["done"]
    while index < end:
        index = next_folio(w, index, end)
        if index < end:
            head = block_head(w, cache(w, index)["pfn"])
            if page(w, head)["flags"] & PG_UPTODATE == 0:
                if not lock_head(w, a, index):
                    return BLOCKED
                a["index"], a["pfn"] = index, head
                return NEXT
            index = folio_end(w, head)
    return NONE


@step("backing", "lock", "shmem_undo_range", ("none", "overlap"))
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Find the next folio of the range, take a reference and its lock; a huge one may reach out of the range."""
    end = min(a["end"], w["cache_n"])
    index = next_folio(w, a["index"], end)
    if index >= end:
        return NONE
    if not lock_head(w, a, index):
        return BLOCKED
    a["index"] = index
    head = block_head(w, a["pfn"])
    a["pfn"] = head
    if page(w, head)["index"] < a["first"] or folio_end(w, head) > end:
        return OVERLAP
    return NEXT


@step("backing", "zero", "truncate_inode_partial_folio")
def zero_part(w: Record, a: Record, r: Record) -> int:
    """Clear the part of the huge folio that lies in the range, through the direct map.

    That is a write of the host, which the owner table forbids where the page is the guest's.
    """
    first = page(w, a["pfn"])["index"]
    for index in range(max(first, a["first"]), min(folio_end(w, a["pfn"]), a["end"])):
        zero_pages(w, a["pfn"] + index - first, 0)
        if page(w, a["pfn"])["hw"] & page(w, a["pfn"] + index - first)["hw"] & HW_OWNED:
            a["flags"] = a["flags"] | WRITE
            a["gfn"] = index + 1
            a["used"] = 2
    return NEXT


@step("backing", "state", "split_folio", ("extra",))
def split_folio(w: Record, a: Record, r: Record) -> int:
    """Split the huge folio into single pages, unless anyone else holds a reference; then it stays, cleared in part."""
    h = page(w, a["pfn"])
    if h["refs"] != 2 or h["pins"] != 0:
        return EXTRA
    split_block(w, a["pfn"], 1)
    a["order"] = 0
    return NEXT


@step("mm", "state", "try_to_split_thp_page")
def split_poisoned(w: Record, a: Record, r: Record) -> int:
    """Split a huge folio of which one page is broken: waits until only the file and memory_failure hold it.

    If it was truncated meanwhile its other pages are free.
    """
    head = block_head(w, a["pfn"])
    h = page(w, head)
    if h["order"] == 0:
        return NEXT
    in_file = 1 if h["flags"] & PG_IN_MAPPING else 0
    if h["lock"] != 0 or h["pins"] != 0 or h["refs"] != 1 + in_file:
        return BLOCKED
    size = 1 << h["order"]
    split_block(w, head, 1)
    h["refs"] = 1
    if in_file != 0:
        page(w, a["pfn"])["refs"] = 2
        return NEXT
    for pfn in range(head, head + size):
        if pfn != a["pfn"]:
            put_page(w, pfn)
    return NEXT


@step("backing", "lock", "folio_unlock")
def unlock_split(w: Record, a: Record, r: Record) -> int:
    """Unlock the first page of what was split; the truncation looks again and finds the pages one by one."""
    unlock_and_put(w, a["pfn"])
    return NEXT


@step("backing", "state", "filemap_remove_folio")
def remove_folio(w: Record, a: Record, r: Record) -> int:
    """Remove the folio from the page cache; references may remain."""
    erase_folio(w, a["pfn"])
    return NEXT


@step("backing", "refcount", "filemap_free_folio")
def put_folio(w: Record, a: Record, r: Record) -> int:
    """Drop the page cache's reference."""
    put_page(w, a["pfn"])
    return NEXT


@step("backing", "lock", "folio_unlock")
def unlock_folio(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio and drop the truncation's own reference, the last one frees it; then the next folio."""
    a["index"] = folio_end(w, a["pfn"])
    unlock_and_put(w, a["pfn"])
    return AGAIN


@step("backing", "state", "shmem_evict_inode", ("none",))
def evict_folio(w: Record, a: Record, r: Record) -> int:
    """Find the next folio of the inode and remove it from the page cache, without any notification."""
    a["index"] = next_folio(w, a["index"], w["cache_n"])
    if a["index"] >= w["cache_n"]:
        return NONE
    a["pfn"] = cache(w, a["index"])["pfn"]
    a["order"] = page(w, a["pfn"])["order"]
    erase_folio(w, a["pfn"])
    return NEXT


@step("backing", "refcount", "filemap_free_folio")
def free_folio(w: Record, a: Record, r: Record) -> int:
    """Drop the page cache's reference, which frees the folio unless somebody has pinned it; then the next one."""
    put_page(w, a["pfn"])
    return AGAIN
