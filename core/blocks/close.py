"""Closing a guest_memfd file while its VM lives on (guest_memfd.c: kvm_gmem_release)."""

from gmembench.core.blocks.invalidation import beside_zap, invalidate_begin, invalidate_end
from gmembench.core.blocks.program import program
from gmembench.core.blocks.vmsa import kick_vmsa
from gmembench.core.programs import Program, Where, hook, row
from gmembench.core.steps.zap import BY_INDEX

BY_RELEASE = Where(place="kvm-memslot", site="kvm_gmem_release")


def close(kind: int = 0) -> Program:
    """The VMM closes the file: bindings and mappings go, then the inode with its pages. `kind`: filter of the zap."""
    return program(
        "close",
        (
            row("file.put", {"none": "END"}, step="rel.close_fd"),
            row("rel.wait_last"),
            row("rel.lock_slots", step="slot.lock_slots", **BY_RELEASE),
            row("rel.lock_inval", step="gmem.lock_inval", **BY_RELEASE),
            row("rel.clear_slot_file"),
            row("rel.start.find_binding", {"none": "rel.unlink"}, step="rel.find_binding"),
        ),
        invalidate_begin(
            "rel.start",
            walk=BY_INDEX,
            kind=kind,
            add=kick_vmsa("rel.start"),
            site="kvm_gmem_invalidate_start",
        ),
        (
            row(
                "rel.end.find_binding",
                {"none": "rel.unlink"},
                step="rel.find_binding",
                site="kvm_gmem_invalidate_end",
            ),
        ),
        invalidate_end("rel.end", site="kvm_gmem_invalidate_end"),
        (
            row("rel.unlink"),
            row("rel.unlock_inval", step="gmem.unlock_inval", **BY_RELEASE),
            row("rel.unlock_slots", step="slot.unlock_slots", **BY_RELEASE),
            row("rel.free_file"),
            row("rel.put_vm"),
            row("evict.remove_folio", {"none": "evict.free_inode"}, step="teardown.evict_folio"),
            hook("reclaim"),
            row("evict.put_folio", {"again": "evict.remove_folio"}, step="teardown.put_folio"),
            row("evict.free_inode", step="teardown.free_inode"),
        ),
        aside=beside_zap("rel.start"),
    )
