"""A page is found broken: memory_failure() for the VMA and for guest_memfd."""

from gmembench.core.blocks.invalidation import beside_zap, invalidate_begin, invalidate_end, notify_begin, notify_end
from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.vmsa import kick_vmsa
from gmembench.core.parts.zaps import PRIVATE_ONLY
from gmembench.core.programs import Program, Where, row
from gmembench.core.steps.zap import BY_INDEX

RMAP_LOCK = Where(place="mm", site="folio_lock_anon_vma_read")


def poison_file() -> Rows:
    """mf: the file's part. The page stays in the file, so that whoever asks for it learns of it (MF_DELAYED)."""
    return (
        row("mf.lock_inval", step="gmem.lock_inval_shared", at="L_file"),
        row("mf.start.find_binding", {"none": "L_done"}, step="mf.find_binding"),
        *invalidate_begin(
            "mf.start",
            walk=BY_INDEX,
            kind=PRIVATE_ONLY,
            add=kick_vmsa("mf.start"),
            site="kvm_gmem_invalidate_start",
        ),
        row("mf.end.find_binding", {"none": "L_done"}, step="mf.find_binding", site="kvm_gmem_invalidate_end"),
        *invalidate_end("mf.end", site="kvm_gmem_invalidate_end"),
        row("mf.unlock_inval", {"next": "L_put"}, step="gmem.unlock_inval_shared", at="L_done"),
        *beside_zap("mf.start"),
    )


def poison(file: Rows = ()) -> Program:
    """Pages behind a range are poisoned, with the flag PRIVATE those of the file. `file`: the rows for these."""
    return program(
        "poison",
        (
            row("mf.lock_mutex", at="L_page"),
            row("mf.get_page", {"none": "L_next"}),
            row("mf.set_poison", {"same": "L_put", "other": "L_file" if file else "L_put"}),
            row("mf.lock_rmap", step="mm.lock_mmap", **RMAP_LOCK),
            row("mf.lock_folio"),
        ),
        notify_begin("mf.mn", whose=1),
        (row("mf.set_poison_pte"), row("mf.flush_host_tlb", step="mm.flush_host_tlb")),
        notify_end("mf.mn", whose=1),
        (
            row("mf.put_mapping"),
            row("mf.unlock_folio"),
            row("mf.unlock_rmap", step="mm.unlock_mmap", **RMAP_LOCK),
            row("mf.put_page", step="mf.put_page_again", at="L_put"),
            row("mf.unlock_mutex", at="L_next"),
            row("mf.next", {"again": "L_page"}, step="mf.next_gfn"),
        ),
        aside=(
            *beside_zap("mf.mn.start"),
            *file,
        ),
    )
