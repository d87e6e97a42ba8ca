"""Programs and blocks of a file that the VMM maps: its faults, its accesses, and unmapping what it mapped."""

from dataclasses import replace

from gmembench.core.blocks.invalidation import beside_zap, notify_begin, notify_end
from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.vma import migrate
from gmembench.core.parts.notifier import OF_GFN, OF_OPERATION
from gmembench.core.programs import Program, Where, row

USER_FAULT = Where(place="backing", site="kvm_gmem_fault_user_mapping")


def file_fault(p: str, leave: str, *, refused: int = 0, attributes: bool = False) -> Rows:
    """A host fault on the file (guest_memfd.c:358-397), then `p`.walk again; or `leave`, with a result.

    The folio stays locked until its PTE is set, so a truncation finds it mapped. `refused`: errno of an access that
    is SIGBUS for a load or store of the VMM. `attributes`: the file's attributes say what is shared, and the
    invalidate_lock is held while they are asked and the folio is found.
    """
    if attributes:
        ask: Rows = (
            row(f"{p}.lock_inval", step="gmem.lock_inval_shared", **USER_FAULT),
            row(f"{p}.check_attr", {"sigbus": f"{p}.unlock_refused"}, step="inplace.check_shared"),
        )
        found: Rows = (row(f"{p}.unlock_inval", step="gmem.unlock_inval_shared", at=f"{p}.L_have", **USER_FAULT),)
        unlock: Rows = (
            row(f"{p}.unlock_refused", {"next": f"{p}.L_sigbus"}, step="gmem.unlock_inval_shared", **USER_FAULT),
            row(f"{p}.unlock_nomem", step="gmem.unlock_inval_shared", at=f"{p}.L_nomem", **USER_FAULT),
        )
    else:
        ask = (row(f"{p}.check_shared", {"sigbus": f"{p}.L_sigbus"}, step="hostf.check_shared"),)
        found, unlock = (), ()
    return (
        row(f"{p}.check_size", {"sigbus": f"{p}.L_sigbus"}, step="hostf.check_size"),
        *ask,
        row(f"{p}.find_folio", {"absent": f"{p}.alloc_folio"}, step="gmem.find_folio"),
        row(f"{p}.lock_folio", step="gmem.lock_folio"),
        row(
            f"{p}.recheck_mapping",
            {"truncated": f"{p}.find_folio", "next": f"{p}.L_have" if attributes else f"{p}.check_poison"},
            step="gmem.recheck_mapping",
        ),
        row(
            f"{p}.alloc_folio",
            {"nomem": f"{p}.L_nomem" if attributes else f"{p}.nomem", "raced": f"{p}.find_folio"},
            step="gmem.alloc_folio",
        ),
        *found,
        *_clean_and_map(p),
        *unlock,
        row(f"{p}.nomem", {"next": leave}, step="gmem.allocation_failed", place="mm", site="vmf_error"),
        row(f"{p}.drop_lock", step="gmem.unlock_folio", at=f"{p}.L_poisoned"),
        row(f"{p}.drop_folio", step="fault.release_page", place="mm", site="folio_put"),
        row(f"{p}.sigbus", {"next": leave}, step="hostf.refuse", at=f"{p}.L_sigbus", value=refused),
    )


def _clean_and_map(p: str) -> Rows:
    """Clear the folio unless it is uptodate, map it, unlock it."""
    return (
        row(
            f"{p}.check_poison",
            {"poisoned": f"{p}.L_poisoned"},
            step="gmem.check_poison",
            place="mm",
            site="__do_fault",
        ),
        row(f"{p}.clear_page", {"uptodate": f"{p}.set_pte"}, step="gmem.clear_page", **USER_FAULT),
        row(f"{p}.mark_uptodate", step="gmem.mark_uptodate"),
        row(f"{p}.set_pte", step="hostf.set_pte"),
        row(f"{p}.unlock_folio", {"next": f"{p}.walk"}, step="gmem.unlock_folio"),
    )


def host_access_file(*, attributes: bool = False) -> Program:
    """The VMM touches its mapping of the file."""
    return program(
        "host_access",
        (
            row("host.lookup_tlb", {"hit": "L_use"}, at="L_touch"),
            row("host.lock_mmap", step="mm.lock_mmap"),
            row(
                "host.walk",
                {
                    "absent": "host.check_size",
                    "protnone": "host.mig.L_hint",
                    "migrating": "host.walk",
                    "other": "host.L_sigbus",
                },
                step="gup.walk",
                site="handle_mm_fault",
            ),
            row("host.fill_tlb"),
            row("host.unlock_mmap", step="mm.unlock_mmap"),
            row("host.use", {"again": "L_touch", "done": "END"}, at="L_use"),
        ),
        file_fault("host", "host.leave", attributes=attributes),
        aside=(
            row("host.leave", {"next": "END"}, step="mm.unlock_mmap"),
            *migrate("host.mig", "host.L_restore", "host.walk"),
        ),
    )


def unmap_folio(p: str, done: str, *, whose: int = OF_OPERATION) -> Rows:
    """Unmap one folio of the file from the host before it is removed: a notification of its own (truncate.c:154).

    `whose`: the folio of the walk's index, or (OF_GFN) of the gfn in hand.
    """
    return (
        row(f"{p}.check_mapped", {"unmapped": done}, step="hostf.check_mapped", value=whose),
        *notify_begin(f"{p}.mn", whose=OF_GFN),
        row(f"{p}.clear_pte", step="hostf.clear_pte", value=OF_GFN),
        *notify_end(f"{p}.mn", whose=OF_GFN),
        row(f"{p}.flush_host_tlb", step="mm.flush_host_tlb"),
    )


def unmap_range(p: str) -> Rows:
    """Unmap a range of the file from the host, whatever is mapped of it (memory.c: unmap_mapping_pages)."""
    return (
        *notify_begin(f"{p}.mn", whose=OF_OPERATION),
        row(f"{p}.clear_pte", step="hostf.clear_pte", value=OF_OPERATION),
        *notify_end(f"{p}.mn", whose=OF_OPERATION),
        row(f"{p}.flush_host_tlb", step="mm.flush_host_tlb"),
    )


def beside_unmap(p: str) -> Rows:
    """The yield of the zap in `unmap_folio` or `unmap_range`."""
    return beside_zap(f"{p}.mn.start")


def close_mapped(base: Program) -> Program:
    """Closing a file that the VMM maps: munmap() first, because the mapping holds the file too."""
    munmap = (
        row("unmap.lock_mmap", step="col.lock_mmap_write"),
        row("unmap.begin", step="hostf.begin_munmap"),
        *unmap_range("unmap"),
        row("unmap.unlock_mmap", step="col.unlock_mmap_write"),
    )
    made = base.with_rows(munmap, "file.put")
    return replace(made, rows=(*made.rows, *beside_unmap("unmap")))


def poison_mapped(base: Program) -> Program:
    """A broken page of a file that the VMM maps: its PTE goes before the file is told (hwpoison_user_mappings)."""
    unmap = (
        row("mf.lock_mapped", step="mf.lock_folio", at="L_file"),
        *unmap_folio("mf.unmap", "mf.unlock_mapped", whose=OF_GFN),
        row("mf.unlock_mapped", {"next": "mf.lock_inval"}, step="mf.unlock_folio"),
        *beside_unmap("mf.unmap"),
    )
    told = tuple(replace(r, labels=()) if r.name == "mf.lock_inval" else r for r in base.rows)
    return replace(base, rows=(*told, *unmap))
