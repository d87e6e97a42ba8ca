"""Initial contents of private memory before the guest runs (guest_memfd.c: kvm_gmem_populate)."""

from gmembench.core.blocks.program import program
from gmembench.core.blocks.vma import from_vma
from gmembench.core.programs import Program, Where, hook, row

POPULATE = Where(place="kvm-memslot", site="__kvm_gmem_populate")


def populate() -> Program:
    """Copy the VMM's page of each gfn into the private page of the same gfn.

    The source is had before the file is locked: inside it, mmap_lock and invalidate_lock would be taken in both
    orders once the file can be mapped.
    """
    return program(
        "populate",
        (
            row("populate.lock_slots", step="slot.lock_slots", place="kvm-memslot"),
            row("populate.find_slot", {"none": "populate.failed"}),
            row("populate.get_file", {"dying": "populate.failed"}, step="gmem.get_file", place="kvm-memslot"),
        ),
        from_vma("X_source"),
        (
            row("populate.hold_source", at="L_got"),
            row("populate.lock_inval", step="gmem.lock_inval", **POPULATE),
            row("populate.find_folio", {"absent": "populate.alloc_folio"}, step="gmem.find_folio", at="L_look"),
            row("populate.lock_folio", step="gmem.lock_folio"),
            row(
                "populate.recheck_mapping",
                {"truncated": "L_look", "next": "populate.check_poison"},
                step="gmem.recheck_mapping",
            ),
            row(
                "populate.alloc_folio",
                {"nomem": "X_unlock_inval", "raced": "L_look"},
                step="gmem.alloc_folio",
            ),
            row("populate.check_poison", {"poisoned": "X_unlock_folio"}, step="gmem.check_poison", **POPULATE),
            row("populate.check_new", {"uptodate": "X_unlock_folio"}),
            row("populate.unlock_folio", step="gmem.unlock_folio"),
            row("populate.check_attr", {"mismatch": "X_put_folio"}),
            row("populate.copy"),
            hook("assign", p="populate.hw", fail="X_put_folio"),
            row("populate.mark_uptodate", step="gmem.mark_uptodate", **POPULATE),
            row("populate.put_folio", step="fault.release_page", **POPULATE),
            row("populate.unlock_inval", step="gmem.unlock_inval", **POPULATE),
            row("populate.put_source", {"again": "L_gup"}),
            row("populate.put_file", step="gmem.put_file", place="kvm-memslot", at="L_out"),
            row("populate.unlock_slots", {"next": "END"}, step="slot.unlock_slots", place="kvm-memslot"),
        ),
        aside=(
            row("unwind.unlock_folio", step="gmem.unlock_folio", at="X_unlock_folio"),
            row("unwind.put_folio", step="fault.release_page", at="X_put_folio", **POPULATE),
            row("unwind.unlock_inval", step="gmem.unlock_inval", at="X_unlock_inval", **POPULATE),
            row("unwind.drop_source", {"next": "unwind.put_file"}, step="populate.drop_source"),
            row("unwind.unlock_mmap", step="mm.unlock_mmap", at="X_source"),
            row("unwind.source_failed", step="populate.source_failed"),
            row("unwind.put_file", step="gmem.put_file", place="kvm-memslot"),
            row("populate.failed", {"next": "populate.unlock_slots"}),
        ),
    )
