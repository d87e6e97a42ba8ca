"""Programs and blocks that stand on the VMA: GUP, migration, the VMM's access, NUMA hints, the end."""

from gmembench.core.blocks.invalidation import beside_zap, notify_begin, notify_end
from gmembench.core.blocks.program import Rows, program
from gmembench.core.programs import Program, row
from gmembench.core.steps.mig import BY_HINT


def move_page(p: str, *, why: int, nomem: str, busy: str, kept: str, done: str) -> Rows:
    """Move the page of a gfn elsewhere (migrate.c, rmap.c). `kept`: where to go if the page stays after all."""
    return (
        row(f"{p}.alloc_target", {"nomem": nomem}, step="mig.alloc_target", value=why),
        row(f"{p}.lock_folio", {"busy": busy}, step="mig.lock_folio"),
        *notify_begin(f"{p}.mn", whose=1),
        row(f"{p}.set_migration_pte", step="mig.set_migration_pte"),
        row(f"{p}.flush_host_tlb", step="mm.flush_host_tlb"),
        *notify_end(f"{p}.mn", whose=1),
        row(f"{p}.check_mapping", {"inaccessible": f"{p}.L_back"}, step="mig.check_mapping"),
        row(f"{p}.freeze_refs", {"extra": f"{p}.L_back"}, step="mig.freeze_refs"),
        row(f"{p}.copy", step="mig.copy"),
        row(f"{p}.install_pte", step="mig.install_pte"),
        row(f"{p}.unlock_folio", step="mig.unlock_folio"),
        row(f"{p}.put_old", {"next": done}, step="mig.put_old"),
        row(f"{p}.restore_back", step="mm.restore_pte", at=f"{p}.L_back"),
        row(f"{p}.unlock_back", {"next": kept}, step="mig.unlock_folio"),
        *beside_zap(f"{p}.mn.start"),
    )


def migrate(p: str, back: str, done: str) -> Rows:
    """MIGRATE: move the page of a gfn to the node of whoever touched it (migrate.c, rmap.c)."""
    return (
        row(f"{p}.check_node", {"same": back}, step="mig.check_node", at=f"{p}.L_hint"),
        *move_page(p, why=BY_HINT, nomem=back, busy=back, kept=done, done=done),
        row(f"{p}.restore_pte", {"next": done}, step="mm.restore_pte", at=back),
    )


def fault_in(p: str, failed: str, *, at: str = "", back: str = "", poisoned: int = 0) -> Rows:
    """A page that a walk of the host page table misses: a new one, or one from swap; then the walk again.

    `at`: the label of an absent page; a swap or poison entry leads to `p`.read_entry. `back`: the row to go on
    with. `poisoned`: errno of a poisoned page, SIGBUS by default.
    """
    walk = back or f"{p}.walk"
    return (
        row(f"{p}.alloc", {"nomem": failed}, step="gup.alloc", at=at),
        row(f"{p}.zero", step="gup.zero"),
        row(f"{p}.set_pte", {"next": walk}, step="gup.set_pte"),
        row(
            f"{p}.read_entry",
            {"swapped": f"{p}.swap_alloc", "poisoned": failed, "next": walk},
            step="gup.read_entry",
            value=poisoned,
        ),
        row(f"{p}.swap_alloc", {"nomem": failed}, step="gup.alloc", site="alloc_swap_folio"),
        row(f"{p}.swap_in", step="gup.swap_in"),
        row(f"{p}.set_swapped_pte", {"next": walk}, step="gup.set_swapped_pte"),
    )


def from_vma(failed: str) -> Rows:
    """GUP: the page of a shared gfn; allocate it, or answer a NUMA hint (kvm_main.c:2910-3087, gup.c:818)."""
    return (
        row("gup.fast", {"hit": "L_got"}, at="L_gup"),
        row("gup.lock_mmap", step="mm.lock_mmap"),
        row("gup.find_vma", {"none": failed}),
        row(
            "gup.walk",
            {"absent": "L_in", "protnone": "gup.mig.L_hint", "migrating": "gup.walk", "other": "gup.read_entry"},
        ),
        row("gup.take_ref", {"again": "gup.walk"}),
        row("gup.unlock_mmap", {"next": "L_got"}, step="mm.unlock_mmap"),
        *fault_in("gup", failed, at="L_in"),
        *migrate("gup.mig", "gup.L_restore", "gup.walk"),
    )


def host_access() -> Program:
    """The VMM touches its mapping: TLB, page table, fault, hint."""
    return program(
        "host_access",
        (
            row("host.lookup_tlb", {"hit": "L_use"}, at="L_look"),
            row("host.lock_mmap", step="mm.lock_mmap"),
            row(
                "host.walk",
                {
                    "absent": "host.alloc",
                    "protnone": "host.mig.L_hint",
                    "migrating": "host.walk",
                    "other": "host.read_entry",
                },
                step="gup.walk",
                site="handle_mm_fault",
            ),
            row("host.fill_tlb"),
            row("host.unlock_mmap", step="mm.unlock_mmap"),
            row("host.use", {"again": "L_look", "done": "END"}, at="L_use"),
            *fault_in("host", "X_nomem"),
            row("host.fail", {"next": "END"}, step="mm.unlock_mmap", at="X_nomem"),
        ),
        aside=migrate("host.mig", "host.L_restore", "host.walk"),
    )


def numa_zap() -> Program:
    """The NUMA scanner makes a range of the VMA hint (mprotect.c:574-631, mempolicy.c:892-909)."""
    return program(
        "numa_zap",
        (row("mm.trylock_mmap", {"busy": "END"}),),
        notify_begin(),
        (row("mm.set_protnone"),),
        notify_end(),
        (row("mm.flush_host_tlb"), row("mm.unlock_mmap")),
        aside=beside_zap("mn.start"),
    )


def vma_teardown() -> Rows:
    """The address space goes: KVM's entries first, then the host's pages."""
    return (
        row("teardown.begin_zap"),
        row("teardown.lock_mmu", step="mmu.lock", site="kvm_flush_shadow_all"),
        row("teardown.zap_all"),
        row("teardown.unlock_mmu", step="mmu.unlock", site="kvm_flush_shadow_all"),
        row("exit_mmap.clear_pte", step="mm.clear_pte"),
        row("exit_mmap.flush_host_tlb", step="mm.flush_host_tlb"),
        row("exit_mmap.free_page", step="mm.free_page"),
        row("exit_files.unpin", step="pin.release_all"),
    )


def reuse() -> Program:
    """Another process of the host takes a free page, writes to it and frees it."""
    return program("reuse", (row("reuser.take", {"nomem": "END"}), row("reuser.write_junk"), row("reuser.give_back")))
