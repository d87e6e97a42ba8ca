"""Rows of a file whose attributes are its own and whose pages are converted in place (linux-next, autumn 2026)."""

from dataclasses import replace

from gmembench.core.blocks.invalidation import beside_zap, invalidate_begin
from gmembench.core.blocks.mapped_file import beside_unmap, unmap_range
from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.vmsa import kick_vmsa
from gmembench.core.parts.zaps import KIND_CONVERTED_FROM
from gmembench.core.programs import Program, Where, hook, row
from gmembench.core.steps.zap import BY_INDEX

SET_ATTRIBUTES = Where(place="kvm-attributes", site="kvm_gmem_set_attributes")
START = Where(place="kvm-attributes", site="kvm_gmem_invalidate_start")
END = Where(place="kvm-attributes", site="kvm_gmem_invalidate_end")
GET_PFN = Where(place="kvm-fault", site="kvm_gmem_get_pfn")
UNMAP = "convert.unmap"


def from_shared_file() -> Rows:
    """GMEM under the shared invalidate_lock. No reference is kept: from here on only the sequence protects the pfn."""
    return (
        row("gmem.get_file", {"dying": "X_memfault"}),
        row("gmem.lock_inval", step="gmem.lock_inval_shared", **GET_PFN),
        row("gmem.check_file", {"changed": "X_fput"}),
        row("gmem.check_binding", {"other": "X_fput"}),
        row("gmem.find_folio", {"absent": "L_alloc"}, at="L_look"),
        row("gmem.lock_folio"),
        row("gmem.recheck_mapping", {"truncated": "L_look", "next": "L_have"}),
        row("gmem.alloc_folio", {"nomem": "X_fput", "raced": "L_look"}, step="inplace.alloc_folio", at="L_alloc"),
        row("gmem.check_poison", {"poisoned": "X_unlock_folio"}, at="L_have"),
        row("gmem.clear_page", {"uptodate": "L_clean"}),
        row("gmem.mark_uptodate"),
        row("gmem.check_index", {"shared": "L_assigned"}, step="inplace.check_index", at="L_clean"),
        hook("assign", fail="X_unlock_folio"),
        row("gmem.unlock_folio", at="L_assigned"),
        row("gmem.put_folio", step="fault.release_page", **GET_PFN),
        row("gmem.unlock_inval", step="gmem.unlock_inval_shared", **GET_PFN),
        row("gmem.put_file"),
    )


def shared_file_exits() -> Rows:
    """X_*: exits out of the file's part of a fault, which holds invalidate_lock."""
    return (
        row("unwind.unlock_folio", step="gmem.unlock_folio", at="X_unlock_folio"),
        row("unwind.put_folio", step="fault.release_page", **GET_PFN),
        row("unwind.unlock_inval", step="gmem.unlock_inval_shared", at="X_fput", **GET_PFN),
        row("unwind.put_file", {"next": "X_memfault"}, step="gmem.put_file"),
    )


def without_reference(fault: Program) -> Program:
    """A fault that holds no reference to its page when it maps it, and drops none."""
    return fault.without("fault.release_page").without("drop.release_page")


def batched(base: Program) -> Program:
    """The program with every folio that it adds to the file in an LRU batch at first."""
    rows = (replace(r, step="inplace.alloc_folio") if r.step == "gmem.alloc_folio" else r for r in base.rows)
    return replace(base, rows=tuple(rows))


def convert_in_place() -> Program:
    """KVM_SET_MEMORY_ATTRIBUTES2 on the file. To private: nobody but the page cache may hold a folio of the range."""
    return program(
        "convert",
        (
            row("convert.fdget", {"dying": "END"}, step="punch.fdget"),
            row("convert.lock_inval", step="gmem.lock_inval", **SET_ATTRIBUTES),
            row("convert.check_noop", {"same": "L_out"}, **SET_ATTRIBUTES),
            row("convert.prealloc", {"nomem": "L_out"}, step="inplace.prealloc"),
            row("convert.choose", {"shared": "L_start"}, step="inplace.choose"),
        ),
        unmap_range(UNMAP),
        (
            row("convert.check_refs", {"busy": "L_busy"}, step="inplace.check_refs", at="L_check"),
            row("convert.start.find_binding", {"none": "L_folio"}, step="punch.find_binding", at="L_start", **START),
        ),
        invalidate_begin(
            "convert.start", walk=BY_INDEX, kind=KIND_CONVERTED_FROM, add=kick_vmsa("convert.start"), **START
        ),
        make_shared(),
        (
            row("convert.store_attr", step="inplace.store_attr", at="L_store"),
            row("convert.end.find_binding", {"none": "L_out"}, step="inplace.find_binding_end"),
            row("convert.end.lock_mmu", step="mmu.lock", **END),
            row("convert.end.seq_bump", step="inval.seq_bump"),
            row("convert.end.count_dec", step="inval.count_dec"),
            row("convert.end.update_mixed", step="convert.update_mixed"),
            row("convert.end.unlock_mmu", step="mmu.unlock", **END),
            row("convert.unlock_inval", step="gmem.unlock_inval", at="L_out", **SET_ATTRIBUTES),
            row("convert.fdput", {"next": "END"}, step="punch.fdput"),
        ),
        aside=(
            row(
                "convert.drain_lru",
                {"done": "X_eagain", "next": "L_check"},
                step="inplace.drain_lru",
                at="L_busy",
            ),
            row("convert.eagain", {"next": "L_out"}, step="inplace.busy", at="X_eagain"),
            *beside_unmap(UNMAP),
            *beside_zap("convert.start"),
        ),
    )


def make_shared() -> Rows:
    """The hardware takes each folio that becomes shared back from the guest, before the attribute says so.

    To private the walk is at the end of the range by now, and there is nothing to take.
    """
    return (
        row("convert.next_folio", {"none": "L_store"}, step="inplace.next_folio", at="L_folio"),
        hook("make_shared", p="convert"),
        row("convert.pass_folio", {"again": "L_folio"}, step="inplace.pass_folio"),
    )
