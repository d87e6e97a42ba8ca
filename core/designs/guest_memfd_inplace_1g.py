"""In-place conversion on folios of 1G from a HugeTLB pool: split to 4K while any of it is shared, then merged again.

A folio of which all is private is whole, and the guest maps it by 1G; the VMM maps only pages of 4K.
A conversion stores the attributes first and then splits or merges, inside its invalidation, which
covers whole folios. A hole that covers a folio in part only clears its pages. Folios are on no LRU.

Order of the series in linux-next, with what "guest_memfd: 1G page support" (HugeTLB, RFC v2, May 2025)
adds to it: kvm_gmem_split_folio_in_filemap, kvm_gmem_merge_folio_in_filemap, kvm_gmem_truncate_inode_range.
"""

from collections.abc import Mapping
from dataclasses import replace

from gmembench.core import blocks
from gmembench.core.designs.guest_memfd_inplace import DESIGN as GUEST_MEMFD_INPLACE
from gmembench.core.designs.guest_memfd_mmap import DESIGN as GUEST_MEMFD_MMAP
from gmembench.core.designs.guest_memfd_mmap import TEARDOWN
from gmembench.core.parts.notifier import OF_FOLIO
from gmembench.core.programs import Program, hook, row

OF_HUGETLB: Mapping[str, str] = {
    "gmem.find_folio": "hugetlb.find_folio",
    "gmem.lock_folio": "hugetlb.lock_folio",
    "gmem.recheck_mapping": "hugetlb.recheck_mapping",
    "gmem.alloc_folio": "hugetlb.alloc_folio",
    "inplace.alloc_folio": "hugetlb.alloc_folio",
    "gmem.clear_page": "hugetlb.clear_page",
    "gmem.mark_uptodate": "hugetlb.mark_uptodate",
    "gmem.unlock_folio": "hugetlb.unlock_folio",
    "gmem.check_range": "hugetlb.check_range",
    "gmem.put_folio": "hugetlb.put_folio",
    "teardown.evict_folio": "hugetlb.evict_folio",
}
"""Steps on a folio of the page cache -> the same on one that may be huge."""


def on_hugetlb(base: Program) -> Program:
    """The program on folios from the pool."""
    return replace(base, rows=tuple(replace(r, step=OF_HUGETLB.get(r.step, r.step)) for r in base.rows))


def convert_and_restructure(base: Program) -> Program:
    """A conversion that splits or merges after the attributes are stored. Without an LRU nothing is drained."""
    made = base.redirected("convert.check_refs", "busy", "X_eagain").without("convert.drain_lru")
    made = made.replaced("convert.start.find_binding", "hugetlb.find_binding")
    made = made.replaced("convert.end.find_binding", "hugetlb.find_binding_end")
    restructure = (
        row("convert.choose_folios", {"shared": "convert.split_folios"}, step="inplace.choose", at="L_folios"),
        row("convert.merge_folios", {"next": "convert.end.find_binding"}, step="hugetlb.try_merge_folios"),
        row("convert.split_folios", step="hugetlb.split_folios"),
    )
    return made.with_rows(restructure, "convert.end.find_binding")


UNMAP = "punch.unmap"

TRUNCATE = (
    row(
        "punch.next_part",
        {"none": "L_end", "other": "punch.zero_part", "shared": "punch.unmap.mn.active_inc", "next": "punch.lock_part"},
        step="hugetlb.next_part",
        at="L_trunc",
    ),
    row("punch.zero_part", {"next": "L_trunc"}, step="hugetlb.zero_part"),
    *blocks.notify_begin(f"{UNMAP}.mn", whose=OF_FOLIO),
    row("punch.unmap.clear_pte", step="hugetlb.clear_ptes"),
    *blocks.notify_end(f"{UNMAP}.mn", whose=OF_FOLIO),
    row("punch.unmap.flush_host_tlb", step="mm.flush_host_tlb"),
    row("punch.check_refs", {"busy": "L_end"}, step="hugetlb.check_part"),
    row("punch.merge_part", step="hugetlb.merge_part"),
    row("punch.lock_part", step="hugetlb.lock_part"),
    row("punch.remove_folio", step="hugetlb.remove_part"),
    hook("reclaim"),
    row("punch.put_folio", step="hugetlb.put_part"),
    row("punch.unlock_folio", {"again": "L_trunc"}, step="hugetlb.unlock_part"),
)


def punch_hugetlb(base: Program) -> Program:
    """Punching a hole: whole folios go back to the pool, parts of folios are cleared and stay."""
    first = base.span("punch.lock_folio").start
    last = base.span("punch.end.find_binding").start
    made = replace(base, rows=(*base.rows[:first], *TRUNCATE, *base.rows[last:]))
    return made.replaced("fallocate.returned", "hugetlb.returned")


BASE = GUEST_MEMFD_INPLACE.programs
MAPPED = GUEST_MEMFD_MMAP.programs

DESIGN = replace(
    GUEST_MEMFD_INPLACE.edited(
        "guest-memfd-inplace-1g",
        access=on_hugetlb(BASE["access"]),
        prefault=on_hugetlb(BASE["prefault"]),
        convert=convert_and_restructure(BASE["convert"]),
        punch=punch_hugetlb(BASE["punch"]),
        allocate=on_hugetlb(BASE["allocate"]),
        host_access=on_hugetlb(BASE["host_access"]),
        host_pin=on_hugetlb(BASE["host_pin"]),
        kernel_access=on_hugetlb(BASE["kernel_access"]),
        teardown=on_hugetlb(TEARDOWN),
        close=on_hugetlb(MAPPED["close"].with_operand("rel.start.zap", kind=0)),
    ),
    kernel="linux-next, autumn 2026, with the HugeTLB RFC v2",
    doc=(__doc__ or "").strip(),
    sizes=("1G",),
    private_sizes=("1G",),
    origin="guest_memfd 1G page support with HugeTLB, RFC v2 (A. Tng, May 2025), on the in-place conversion series",
)
