"""The stage-2 fault, of a guest's access and of KVM_PRE_FAULT_MEMORY (mmu.c:4700-5072)."""

from gmembench.core.blocks.entry import beside_entry, enter
from gmembench.core.blocks.program import Rows, program
from gmembench.core.programs import Program, Where, hook, row

REPLACING = Where(place="kvm-fault", site="handle_removed_pt")
UNMAPPED = Where(place="kvm-fault", site="kvm_release_page_unused")


def head(retry: str, *, attributes: bool, fixed: str, invalid: str = "") -> Rows:
    """HEAD: from the classification to the first staleness test (mmu.c:4710-4786, 4949-4953, 5019, 6593)."""
    check_attr = (row("fault.check_attr", {"mismatch": "X_memfault"}),) if attributes else ()
    return (
        row("fault.classify", at="HEAD"),
        row("fault.lookup_slot"),
        row("fault.try_fast", {"fixed": fixed}),
        row("fault.topup_caches", {"nomem": "X_memfault"}),
        row("fault.snapshot_seq"),
        *check_attr,
        row("fault.check_slot", {"none": "X_memfault", "mmio": "X_mmio", "invalid": invalid or retry}),
        row("fault.precheck_stale_1", {"stale": retry}, step="fault.precheck_stale"),
    )


def from_file() -> Rows:
    """GMEM: the folio of a private gfn (guest_memfd.c:727-800, filemap.c:1959-1976). The reference is kept."""
    return (
        row("gmem.get_file", {"dying": "X_memfault"}),
        row("gmem.check_file", {"changed": "X_fput"}),
        row("gmem.check_binding", {"other": "X_fput"}),
        row("gmem.find_folio", {"absent": "L_alloc"}, at="L_look"),
        row("gmem.lock_folio"),
        row("gmem.recheck_mapping", {"truncated": "L_look", "next": "L_have"}),
        row("gmem.alloc_folio", {"nomem": "X_fput", "raced": "L_look"}, at="L_alloc"),
        row("gmem.check_poison", {"poisoned": "X_unlock_folio"}, at="L_have"),
        row("gmem.clear_page", {"uptodate": "L_assign"}),
        row("gmem.mark_uptodate"),
        hook("assign", at="L_assign", fail="X_unlock_folio"),
        row("gmem.unlock_folio"),
        row("gmem.put_file"),
    )


def map_page(retry: str) -> Rows:
    """MAP: the second test, mmu_lock, the third test, level, tables, entry, release (mmu.c:4805-4971)."""
    return (
        row("fault.precheck_stale_2", {"stale": "L_drop"}, step="fault.precheck_stale", at="L_got"),
        row("fault.lock_mmu", step="fault.lock_mmu_read"),
        row("fault.recheck_root", {"root": "L_unlock"}),
        row("fault.recheck_stale", {"stale": "L_unlock"}),
        row("fault.choose_level"),
        row("fault.link_table", {"lost": "L_unlock"}),
        hook("map", p="fault", lost="L_unlock", set="fault.set_spte"),
        row(
            "fault.set_spte",
            {"lost": "L_unlock", "frozen": "L_unlock", "same": "L_unlock", "replaced": "fault.flush_request"},
        ),
        row("fault.release_page", at="L_unlock"),
        row("fault.unlock_mmu", {"next": retry}),
    )


def beside_map(retry: str) -> Rows:
    """What a fault does aside: the flush when a huge entry replaced small ones, and L_drop, letting the page go.

    L_drop is for faults that were stale before mmu_lock was taken.
    """
    return (
        row("fault.flush_request", {"clean": "L_unlock"}, step="flush.request", **REPLACING),
        row("fault.flush_kick", step="flush.kick", **REPLACING),
        row("fault.flush_wait", {"next": "L_unlock"}, step="flush.wait", **REPLACING),
        row("drop.release_page", {"next": retry}, step="fault.release_page", at="L_drop", **UNMAPPED),
    )


def exits(leave: str = "leave.memory_fault", mmio: str = "leave.mmio") -> Rows:
    """X_*: exits to userspace, each unwinding what is held where it is taken."""
    return (
        row("unwind.gup_unlock_mmap", {"next": "X_memfault"}, step="mm.unlock_mmap", at="X_unlock_mmap"),
        row("leave.mmio", {"next": "X_leave"}, step=mmio, at="X_mmio"),
        row("leave.memory_fault", step=leave, at="X_memfault"),
        row("leave.srcu_unlock", {"next": "END"}, step="srcu.unlock", at="X_leave"),
    )


def file_exits() -> Rows:
    """X_*: exits out of the file's part of a fault."""
    return (
        row("unwind.unlock_folio", step="gmem.unlock_folio", at="X_unlock_folio"),
        row("unwind.put_folio", step="fault.release_page", place="backing", site="folio_put"),
        row("unwind.put_file", {"next": "X_memfault"}, step="gmem.put_file", at="X_fput"),
    )


def access(find_page: Rows, *, attributes: bool, aside: Rows = ()) -> Program:
    """The guest touches a range. `find_page`: how a fault finds the page; `attributes`: gfns have one."""
    return program(
        "access",
        enter(),
        head("L_retry", attributes=attributes, fixed="ENTER"),
        find_page,
        map_page("L_retry"),
        aside=(*aside, *beside_map("L_retry"), *beside_entry(), *exits()),
    )


def prefault(find_page: Rows, *, attributes: bool, aside: Rows = ()) -> Program:
    """KVM_PRE_FAULT_MEMORY: the same fault without a guest, page by page (mmu.c:5051-5072)."""
    again = "prefault.check_result"
    return program(
        "prefault",
        (row("run.srcu_lock", step="srcu.lock"), row("prefault.load_root")),
        head(again, attributes=attributes, fixed="prefault.already_mapped", invalid="X_eagain"),
        find_page,
        map_page(again),
        (
            row("prefault.already_mapped"),
            row(again, {"retry": "HEAD", "again": "prefault.load_root", "done": "X_leave"}),
        ),
        aside=(
            *aside,
            *beside_map(again),
            row("prefault.eagain", {"next": "X_leave"}, step="leave.eagain", at="X_eagain"),
            *exits("leave.prefault_failed", "leave.prefault_mmio"),
        ),
    )
