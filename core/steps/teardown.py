"""The end of the VM: the address space goes first, then the file descriptors (kvm_destroy_vm, exit_mmap)."""

from gmembench.core.outcomes import AGAIN, BLOCKED, NEXT, NONE
from gmembench.core.parts.pool import account_double, account_private, put_page
from gmembench.core.parts.roots import drop_tables
from gmembench.core.parts.slot_objects import first_ready
from gmembench.core.parts.stage2 import clear_entry, region_empty, region_end
from gmembench.core.parts.vma import host_backed
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import FILE_DYING, FILE_FREED, PG_IN_MAPPING, cache, file, page, slot


@step("kvm-invalidate", "state", "kvm_flush_shadow_all")
def begin_zap(w: Record, a: Record, r: Record) -> int:
    """The address space is about to go: begin to zap everything."""
    a["cursor"] = 0
    a["first"] = 0
    a["gfn"] = 0
    a["end"] = w["frames_n"]
    return NEXT


@step("kvm-invalidate", "spte-bits", "kvm_tdp_mmu_zap_all")
def zap_all(w: Record, a: Record, r: Record) -> int:
    """Zap one gfn below every root, or pass a region without tables; the tables go at the end."""
    gfn = a["cursor"]
    if region_empty(w, gfn):
        a["cursor"] = region_end(w, gfn)
    else:
        clear_entry(w, gfn, 0)
        clear_entry(w, gfn, 1)
        a["cursor"] = gfn + 1
    if a["cursor"] < w["frames_n"]:
        return AGAIN
    drop_tables(w, 0)
    drop_tables(w, 1)
    return NEXT


@step("kvm-memslot", "state", "kvm_free_memslots", ("none",))
def next_slot(w: Record, a: Record, r: Record) -> int:
    """Take the next memslot out of the active set."""
    a["range_slot"] = first_ready(w)
    if a["range_slot"] < 0:
        return NONE
    slot(w, a["range_slot"])["active"] = 0
    return NEXT


@step("backing", "refcount", "fput")
def put_file(w: Record, a: Record, r: Record) -> int:
    """Drop the VMM's reference to the file, unless it was closed before: the last one lets it die."""
    f = file(w, 0)
    if f["closed"] == 0:
        f["closed"] = 1
        f["refs"] -= 1
        f["life"] = FILE_DYING
    a["index"] = 0
    return NEXT


@step("backing", "refcount", "evict_inode", ("none",))
def evict_folio(w: Record, a: Record, r: Record) -> int:
    """Find the next folio of the inode and remove it from the page cache, without any notification.

    Not while somebody has its lock: that keeps the inode alive for whoever found it by the folio.
    """
    index = a["index"]
    while index < w["cache_n"] and cache(w, index)["pfn"] == 0:
        index += 1
    a["index"] = index
    if index >= w["cache_n"]:
        return NONE
    p = page(w, cache(w, index)["pfn"])
    if p["lock"] != 0:
        return BLOCKED
    a["pfn"] = cache(w, index)["pfn"]
    cache(w, index)["pfn"] = 0
    p["flags"] = p["flags"] & ~PG_IN_MAPPING
    account_private(w, -1)
    if host_backed(w, index):
        account_double(w, -1)
    return NEXT


@step("backing", "refcount", "filemap_free_folio")
def put_folio(w: Record, a: Record, r: Record) -> int:
    """Drop the page cache's reference, which frees the folio."""
    put_page(w, a["pfn"])
    return AGAIN


@step("backing", "state", "kvm_gmem_release")
def free_file(w: Record, a: Record, r: Record) -> int:
    """Free the file object, and its inode."""
    file(w, 0)["life"] = FILE_FREED
    file(w, 0)["inode_freed"] = 1
    return NEXT


@step("backing", "state", "evict_inode")
def free_inode(w: Record, a: Record, r: Record) -> int:
    """Free the inode, when no folio is left in it."""
    file(w, 0)["inode_freed"] = 1
    return NEXT
