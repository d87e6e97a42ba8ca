"""Collapse of small pages behind the VMA into a huge one: khugepaged and MADV_COLLAPSE (khugepaged.c)."""

from gmembench.core.errno import EAGAIN, EINVAL, ENOMEM
from gmembench.core.jit import part
from gmembench.core.outcomes import AGAIN, BLOCKED, DENIED, EXTRA, NEXT, NOMEM, NONE, REFUSED, SAME
from gmembench.core.parts.pool import account_shared, free_page, put_page, take_page
from gmembench.core.parts.vma import count_double, host_backed
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    CONTENT_ZERO,
    HPTE_HUGE,
    HPTE_MIGRATION,
    HPTE_NONE,
    HPTE_PROTNONE,
    HPTE_RW,
    HPTE_STATE,
    PAGE_ANON,
    PG_MOVABLE,
    frame,
    page,
)


@part
def end_of_region(w: Record, a: Record) -> int:
    """End of the region that begins at the gfn in hand."""
    return int(a["gfn"] + (1 << w["region_shift"]))


@step("mm", "lock", "mmap_write_lock")
def lock_mmap_write(w: Record, a: Record, r: Record) -> int:
    """Take mmap_lock for writing: nobody walks or changes the page table."""
    if w["mmap_writer"] != 0 or w["mmap_readers"] != 0:
        return BLOCKED
    w["mmap_writer"] = a["number"] + 1
    return NEXT


@step("mm", "lock", "mmap_write_unlock")
def unlock_mmap_write(w: Record, a: Record, r: Record) -> int:
    """Drop mmap_lock."""
    w["mmap_writer"] = 0
    return NEXT


@step("mm", "check", "thp_vma_allowable_order", ("denied",))
def check_thp_allowed(w: Record, a: Record, r: Record) -> int:
    """A VMA without huge pages is left as it is. Operand `value` 1: it maps a file of an anonymous inode."""
    if w["shared_order"] == 0 or r["value"] == 1:
        a["result"] = EINVAL
        return DENIED
    return NEXT


@step("mm", "check", "madvise_collapse", ("none",))
def find_region(w: Record, a: Record, r: Record) -> int:
    """Find the next region that lies inside the range; a range without any is refused."""
    shift = w["region_shift"]
    a["gfn"] = ((a["gfn"] + (1 << shift) - 1) >> shift) << shift
    if end_of_region(w, a) <= min(a["end"], w["frames_n"]):
        a["done"] += 1
        return NEXT
    if a["done"] == 0:
        a["result"] = EINVAL
    return NONE


@step("mm", "check", "hpage_collapse_scan_pmd", ("same", "refused"))
def scan(w: Record, a: Record, r: Record) -> int:
    """Look at the entries of the region: holes are allowed, a swap, poison or migration entry is not."""
    found = 0
    if frame(w, a["gfn"])["hpte"] & HPTE_HUGE:
        return SAME
    for gfn in range(a["gfn"], end_of_region(w, a)):
        state = frame(w, gfn)["hpte"] & HPTE_STATE
        if state >= HPTE_RW and state <= HPTE_PROTNONE:
            found += 1
        elif state != HPTE_NONE:
            found = -1
            break
    if found <= 0:
        a["result"] = EINVAL
        return REFUSED
    return NEXT


@step("mm", "alloc", "alloc_charge_folio", ("nomem",))
def alloc(w: Record, a: Record, r: Record) -> int:
    """Allocate the huge page."""
    pfn = take_page(w, w["shared_order"])
    if pfn == 0:
        a["result"] = ENOMEM
        return NOMEM
    p = page(w, pfn)
    p["state"] = PAGE_ANON
    p["refs"] = 1
    p["index"] = a["gfn"]
    p["node"] = a["node"]
    if w["movable"] != 0:
        p["flags"] = PG_MOVABLE
    a["target"] = pfn
    return NEXT


@step("mm", "state", "pmdp_collapse_flush")
def clear_pmd(w: Record, a: Record, r: Record) -> int:
    """Take the page table of the region away: nobody finds the small pages until the new entry stands."""
    for gfn in range(a["gfn"], end_of_region(w, a)):
        f = frame(w, gfn)
        if f["hpte"] != HPTE_NONE:
            f["hpte"] = HPTE_MIGRATION
    return NEXT


@step("mm", "refcount", "__collapse_huge_page_isolate", ("extra",))
def freeze_refs(w: Record, a: Record, r: Record) -> int:
    """Give up if anyone but the host PTE holds one of the pages, or its lock."""
    for gfn in range(a["gfn"], end_of_region(w, a)):
        if frame(w, gfn)["hpte"] != HPTE_NONE:
            p = page(w, frame(w, gfn)["hpfn"])
            if p["refs"] != 1 or p["pins"] != 0 or p["lock"] != 0:
                a["result"] = EAGAIN
                return EXTRA
    return NEXT


@step("mm", "state", "__collapse_huge_page_copy")
def copy(w: Record, a: Record, r: Record) -> int:
    """Copy the pages; a hole reads zero."""
    for i in range(1 << w["region_shift"]):
        f, new = frame(w, a["gfn"] + i), page(w, a["target"] + i)
        if f["hpte"] == HPTE_NONE:
            new["content"] = CONTENT_ZERO
            w["zeroed_pages"] += 1
        else:
            old = page(w, f["hpfn"])
            new["content"] = old["content"]
            new["content_gfn"] = old["content_gfn"]
            new["content_gen"] = old["content_gen"]
    return NEXT


@step("mm", "state", "collapse_huge_page")
def install_huge(w: Record, a: Record, r: Record) -> int:
    """Map the huge page and free the small ones."""
    first = a["gfn"]
    for gfn in range(first, end_of_region(w, a)):
        f = frame(w, gfn)
        if f["hpte"] == HPTE_NONE:
            account_shared(w, 1)
            count_double(w, gfn, 0, 1)
        else:
            put_page(w, f["hpfn"])
        f["hpte"] = 0
        f["hpfn"] = 0
    f = frame(w, first)
    f["hpte"] = HPTE_RW | HPTE_HUGE
    f["hpfn"] = a["target"]
    return NEXT


@step("mm", "state", "pmd_populate")
def restore_pmd(w: Record, a: Record, r: Record) -> int:
    """Put the page table back and free the huge page."""
    for gfn in range(a["gfn"], end_of_region(w, a)):
        if host_backed(w, gfn):
            frame(w, gfn)["hpte"] = HPTE_RW
    free_page(w, a["target"])
    return NEXT


@step("mm", "state", "madvise_collapse")
def next_region(w: Record, a: Record, r: Record) -> int:
    """Go on behind the region."""
    a["gfn"] = end_of_region(w, a)
    return AGAIN
