"""What the host does with pages behind the VMA on its own: moving, swapping out, collapsing into huge ones.

The host's lock of the reverse map (anon_vma) is mmap_lock in the model: it keeps these programs and a collapse apart.
"""

from gmembench.core.blocks.invalidation import beside_zap, notify_begin, notify_end
from gmembench.core.blocks.program import program
from gmembench.core.blocks.vma import move_page
from gmembench.core.parts.notifier import OF_REGION
from gmembench.core.programs import Program, Where, row
from gmembench.core.steps.mig import BY_REQUEST

RMAP_LOCK = Where(place="mm", site="folio_lock_anon_vma_read")


def migrate_range() -> Program:
    """move_pages(), or compaction: the pages behind a range go to a node. Pages of guest_memfd stay."""
    return program(
        "migrate",
        (
            row("mig.lock_rmap", step="mm.lock_mmap", **RMAP_LOCK),
            row("mig.find_page", {"none": "L_next", "inaccessible": "mig.hold_file_page"}, at="L_page"),
            row("mig.check_node", {"same": "L_next"}, value=BY_REQUEST),
            *move_page("mig.move", why=BY_REQUEST, nomem="mig.note_nomem", busy="L_busy", kept="L_busy", done="L_next"),
            row("mig.note_busy", {"next": "L_next"}, at="L_busy"),
            row("mig.hold_file_page", {"none": "L_next"}),
            row("mig.trylock_file_page", {"busy": "mig.put_file_page"}),
            row("mig.read_mapping", {"none": "mig.unlock_file_page"}),
            row("mig.test_mapping"),
            row("mig.unlock_file_page"),
            row("mig.put_file_page"),
            row("mig.note_inaccessible", {"next": "L_next"}),
            row("mig.note_nomem", {"next": "mig.unlock_rmap"}),
            row("mig.next", {"again": "L_page"}, step="mig.next_gfn", at="L_next"),
            row("mig.unlock_rmap", step="mm.unlock_mmap", **RMAP_LOCK),
        ),
    )


def swap_out() -> Program:
    """Reclaim: pages behind a range go to swap. Walkers wait at the entry until the page is gone or back."""
    return program(
        "swap_out",
        (
            row("swap.lock_rmap", step="mm.lock_mmap", **RMAP_LOCK),
            row("swap.find_page", {"none": "L_next", "extra": "L_next"}, at="L_page"),
            row("swap.lock_folio", {"busy": "L_next"}),
        ),
        notify_begin("swap.mn", whose=1),
        (
            row("swap.unmap", step="mig.set_migration_pte", site="try_to_unmap_one"),
            row("swap.flush_host_tlb", step="mm.flush_host_tlb"),
        ),
        notify_end("swap.mn", whose=1),
        (
            row("swap.freeze_refs", {"extra": "swap.map_back"}),
            row("swap.write_out"),
            row("swap.unlock_folio", step="mig.unlock_folio"),
            row("swap.free_page"),
            row("swap.next", {"again": "L_page"}, step="swap.next_gfn", at="L_next"),
            row("swap.unlock_rmap", {"next": "END"}, step="mm.unlock_mmap", **RMAP_LOCK),
            row("swap.map_back", step="mm.restore_pte", site="do_swap_page"),
            row("swap.unlock_back", {"next": "L_next"}, step="mig.unlock_folio"),
        ),
        aside=beside_zap("swap.mn.start"),
    )


def collapse() -> Program:
    """khugepaged or MADV_COLLAPSE: small pages of each region in the range become a huge one."""
    return program(
        "collapse",
        (
            row("col.lock_mmap", step="col.lock_mmap_write"),
            row("col.check_thp_allowed", {"denied": "L_out"}),
            row("col.find_region", {"none": "L_out"}, at="L_region"),
            row("col.scan", {"same": "L_next", "refused": "L_next"}),
            row("col.alloc", {"nomem": "L_out"}),
        ),
        notify_begin("col.mn", whose=OF_REGION),
        (row("col.clear_pmd"), row("col.flush_host_tlb", step="mm.flush_host_tlb")),
        notify_end("col.mn", whose=OF_REGION),
        (
            row("col.freeze_refs", {"extra": "L_restore"}),
            row("col.copy"),
            row("col.install_huge"),
            row("col.next", {"again": "L_region"}, step="col.next_region", at="L_next"),
            row("col.unlock_mmap", {"next": "END"}, step="col.unlock_mmap_write", at="L_out"),
            row("col.restore_pmd", {"next": "L_next"}, at="L_restore"),
        ),
        aside=beside_zap("col.mn.start"),
    )
