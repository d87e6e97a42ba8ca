"""Blocks of rows that several programs share, written once (Linux 7.3).

A block is a function of a phase prefix. It returns its rows; rows that stand aside from the straight
path (the yield of a zap, the cancelled entry) come from a function of their own, for the program's end.
"""

from gmembench.core.parts.zaps import SHARED_ONLY
from gmembench.core.programs import Program, Row, Where, hook, row
from gmembench.core.steps.zap import BY_GFN

Rows = tuple[Row, ...]

REPLACING = Where(place="kvm-fault", site="handle_removed_pt")
UNMAPPED = Where(place="kvm-fault", site="kvm_release_page_unused")


def program(name: str, *blocks: Rows, aside: Rows = ()) -> Program:
    """A program of blocks; `aside` comes after the last row, which then ends the program explicitly."""
    rows = [r for block in blocks for r in block]
    if aside and "next" not in rows[-1].to:
        last = rows[-1]
        rows[-1] = Row(
            last.name, last.step, {**last.to, "next": "END"}, last.labels, last.operands, last.place, last.site
        )
    return Program(name, (*rows, *aside))


# --- invalidation ---


def invalidate_begin(
    p: str, *, walk: int = BY_GFN, kind: int = 0, add: Rows = (), place: str = "", site: str = ""
) -> Rows:
    """INV+: count in, add the range, zap it, flush (kvm_main.c:674-720; guest_memfd.c:132-161).

    `place` and `site`: the function that takes mmu_lock, unless it is the notifier's.
    """
    return (
        row(f"{p}.lock_mmu", step="mmu.lock", place=place, site=site),
        row(f"{p}.count_inc", step="inval.count_inc"),
        row(f"{p}.range_reset", step="inval.range_reset"),
        row(f"{p}.range_add", step="inval.range_add"),
        *add,
        row(
            f"{p}.zap",
            {"slot": f"{p}.range_add", "yield": f"{p}.yield_flush_request"},
            step="zap.gfn",
            may_yield=1,
            value=walk,
            kind=kind,
        ),
        row(f"{p}.flush_request", {"clean": f"{p}.unlock_mmu"}, step="flush.request"),
        row(f"{p}.flush_wait", step="flush.wait"),
        row(f"{p}.unlock_mmu", step="mmu.unlock", place=place, site=site),
    )


def yield_rows(p: str) -> Rows:
    """A zap that yields: flush, unlock, lock again, go on (tdp_mmu.c:744-793)."""
    at = Where(place="kvm-invalidate", site="tdp_mmu_iter_cond_resched")
    return (
        row(f"{p}.yield_flush_request", {"clean": f"{p}.yield_unlock"}, step="flush.request"),
        row(f"{p}.yield_flush_wait", step="flush.wait"),
        row(f"{p}.yield_unlock", step="mmu.unlock", **at),
        row(f"{p}.yield_lock", {"next": f"{p}.zap"}, step="mmu.lock", **at),
    )


def invalidate_end(p: str, *, site: str = "") -> Rows:
    """INV-: bump the sequence, count out (kvm_main.c:772-796). `site`: the function that takes mmu_lock."""
    return (
        row(f"{p}.lock_mmu", step="mmu.lock", site=site),
        row(f"{p}.seq_bump", step="inval.seq_bump"),
        row(f"{p}.count_dec", step="inval.count_dec"),
        row(f"{p}.unlock_mmu", step="mmu.unlock", site=site),
    )


def notify_begin(p: str = "mn", *, whose: int = 0) -> Rows:
    """MN+: the notifier's start (kvm_main.c:722-770)."""
    return (
        row(f"{p}.active_inc", step="mn.active_inc"),
        row(f"{p}.invalidate_gpc", step="mn.invalidate_gpc"),
        row(f"{p}.srcu_lock", step="srcu.lock", place="kvm-invalidate", site="kvm_handle_hva_range"),
        row(f"{p}.find_slot", {"none": f"{p}.srcu_unlock"}, step="mn.find_slot", value=whose),
        *invalidate_begin(f"{p}.start", kind=SHARED_ONLY),
        row(f"{p}.srcu_unlock", step="srcu.unlock", place="kvm-invalidate", site="kvm_handle_hva_range"),
    )


def notify_end(p: str = "mn", *, whose: int = 0) -> Rows:
    """MN-: the notifier's end (kvm_main.c:798-837)."""
    return (
        row(f"{p}.srcu_lock_end", step="srcu.lock", place="kvm-invalidate", site="kvm_handle_hva_range"),
        row(f"{p}.find_slot_end", {"none": f"{p}.srcu_unlock_end"}, step="mn.find_slot", value=whose),
        *invalidate_end(f"{p}.end"),
        row(f"{p}.srcu_unlock_end", step="srcu.unlock", place="kvm-invalidate", site="kvm_handle_hva_range"),
        row(f"{p}.active_dec", step="mn.active_dec"),
        row(f"{p}.wake_updater", step="mn.wake_updater"),
    )


# --- guest entry, and the head and tail of a fault ---


def enter() -> Rows:
    """ENTER: the top of the run loop, guest entry, the guest's access, and the exit (x86.c:8070-8480)."""
    return (
        row("run.resume", {"guest": "L_guest"}, step="enter.resume"),
        row("run.srcu_lock", step="srcu.lock"),
        row("enter.service_requests", at="ENTER"),
        row("enter.load_root"),
        row("enter.set_in_guest"),
        row("enter.srcu_unlock", step="srcu.unlock"),
        row("enter.recheck_requests", {"pending": "L_cancel"}),
        row("guest.translate", {"absent": "L_exit", "denied": "L_exit", "kicked": "L_exit"}, at="L_guest"),
        row("guest.use", {"again": "L_guest", "done": "END"}),
        row("exit.set_outside", step="enter.set_outside", at="L_exit"),
        row("exit.srcu_lock", step="srcu.lock"),
        row("exit.decode", {"kicked": "ENTER", "fault": "HEAD"}, step="enter.decode"),
    )


def cancel() -> Rows:
    """L_cancel: a request arrived between its service and the entry."""
    return (
        row("cancel.set_outside", step="enter.set_outside", at="L_cancel"),
        row("cancel.srcu_lock", {"next": "ENTER"}, step="srcu.lock"),
    )


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
        row("gmem.lock_folio", {"absent": "L_alloc"}, at="L_look"),
        row("gmem.recheck_mapping", {"truncated": "L_look", "next": "L_have"}),
        row("gmem.alloc_folio", {"nomem": "X_fput", "raced": "L_look"}, at="L_alloc"),
        row("gmem.check_poison", {"poisoned": "X_unlock_folio"}, at="L_have"),
        row("gmem.clear_page", {"uptodate": "L_assign"}),
        row("gmem.mark_uptodate"),
        hook("assign", at="L_assign"),
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
        hook("map"),
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
        row("fault.flush_wait", {"next": "L_unlock"}, step="flush.wait", **REPLACING),
        row("drop.release_page", {"next": retry}, step="fault.release_page", at="L_drop", **UNMAPPED),
    )


def migrate(p: str, back: str, done: str) -> Rows:
    """MIGRATE: move the page of a gfn to the node of whoever touched it (migrate.c, rmap.c)."""
    return (
        row(f"{p}.check_node", {"same": back}, step="mig.check_node", at=f"{p}.L_hint"),
        row(f"{p}.alloc_target", {"nomem": back}, step="mig.alloc_target"),
        row(f"{p}.lock_folio", {"busy": back}, step="mig.lock_folio"),
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
        row(f"{p}.unlock_back", {"next": done}, step="mig.unlock_folio"),
        row(f"{p}.restore_pte", {"next": done}, step="mm.restore_pte", at=back),
        *yield_rows(f"{p}.mn.start"),
    )


def from_vma(failed: str) -> Rows:
    """GUP: the page of a shared gfn; allocate it, or answer a NUMA hint (kvm_main.c:2910-3087, gup.c:818)."""
    return (
        row("gup.fast", {"hit": "L_got"}, at="L_gup"),
        row("gup.lock_mmap", step="mm.lock_mmap"),
        row("gup.find_vma", {"none": failed}),
        row("gup.walk", {"absent": "L_in", "protnone": "gup.mig.L_hint", "migrating": "gup.walk"}),
        row("gup.take_ref"),
        row("gup.unlock_mmap", {"next": "L_got"}, step="mm.unlock_mmap"),
        row("gup.alloc", {"nomem": failed}, at="L_in"),
        row("gup.zero"),
        row("gup.set_pte", {"next": "gup.walk"}),
        *migrate("gup.mig", "gup.L_restore", "gup.walk"),
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
        row("unwind.put_folio", step="fault.release_page", **UNMAPPED),
        row("unwind.put_file", {"next": "X_memfault"}, step="gmem.put_file", at="X_fput"),
    )


# --- faults ---


def access(find_page: Rows, *, attributes: bool, aside: Rows = ()) -> Program:
    """The guest touches a range. `find_page`: how a fault finds the page; `attributes`: gfns have one."""
    return program(
        "access",
        enter(),
        head("ENTER", attributes=attributes, fixed="ENTER"),
        find_page,
        map_page("ENTER"),
        aside=(*aside, *beside_map("ENTER"), *cancel(), *exits()),
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


# --- programs that stand on the VMA ---


def host_access() -> Program:
    """The VMM touches its mapping: TLB, page table, fault, hint."""
    return program(
        "host_access",
        (
            row("host.lookup_tlb", {"hit": "L_use"}, at="L_look"),
            row("host.lock_mmap", step="mm.lock_mmap"),
            row(
                "host.walk",
                {"absent": "host.alloc", "protnone": "host.mig.L_hint", "migrating": "host.walk"},
                step="gup.walk",
                site="handle_mm_fault",
            ),
            row("host.fill_tlb"),
            row("host.unlock_mmap", step="mm.unlock_mmap"),
            row("host.use", {"again": "L_look", "done": "END"}, at="L_use"),
            row("host.alloc", {"nomem": "X_nomem"}, step="gup.alloc"),
            row("host.zero", step="gup.zero"),
            row("host.set_pte", {"next": "host.walk"}, step="gup.set_pte"),
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
        aside=yield_rows("mn.start"),
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
    )


def reuse() -> Program:
    """Another process of the host takes a free page, writes to it and frees it."""
    return program("reuse", (row("reuser.take", {"nomem": "END"}), row("reuser.write_junk"), row("reuser.give_back")))


# --- memslots ---

KVM_MEMSLOT = "kvm-memslot"


def slot_wait(p: str, number: str, publish: str) -> Rows:
    """Publish a set of memslots when no notification is under way, and wait for the readers of the old set."""
    return (
        row(f"{p}.wait_mn_idle{number}", step="slot.wait_mn_idle"),
        row(f"{p}.publish{publish}", step=f"slot.publish{publish}"),
        row(f"{p}.unlock_arch{number}", step="slot.unlock_arch"),
        row(f"{p}.srcu_start{number}", step="srcu.start_gp"),
        row(f"{p}.srcu_wait{number}", step="srcu.wait_gp"),
    )


def zap_slot_leaves() -> Rows:
    """Zap the memslot's leaves one by one: VMs that can have private memory."""
    at = Where(place=KVM_MEMSLOT, site="kvm_mmu_zap_memslot")
    return (
        row("slot.begin_zap"),
        row("slot.lock_mmu", step="mmu.lock", **at),
        row("slot.zap", {"slot": "slot.zap", "yield": "slot.yield_flush_request"}, step="zap.gfn", may_yield=1),
        row("slot.flush_request", {"clean": "slot.unlock_mmu"}, step="flush.request"),
        row("slot.flush_wait", step="flush.wait"),
        row("slot.unlock_mmu", step="mmu.unlock", **at),
    )


def zap_slot_root() -> Rows:
    """Invalidate the root, ask for it back, and zap below it later: the default VM type (mmu.c:6965-7005)."""
    return (
        row("root.lock_mmu", step="mmu.lock", place=KVM_MEMSLOT, site="kvm_mmu_zap_all_fast"),
        row("root.invalidate"),
        row("root.request_free"),
        row("root.flush_wait", step="flush.wait", place=KVM_MEMSLOT, site="kvm_make_all_cpus_request"),
        row("root.unlock_mmu", step="mmu.unlock", place=KVM_MEMSLOT, site="kvm_mmu_zap_all_fast"),
        row("root.lock_read"),
        row("root.zap"),
        row("root.unlock_read"),
    )


def slot_delete(zap: Rows, unbind: Rows, aside: Rows) -> Program:
    """Delete a memslot (kvm_main.c:1903-1991)."""
    return program(
        "slot_delete",
        (
            row("slot.lock_slots"),
            row("slot.find", {"none": "slot.unlock_slots"}),
            row("slot.lock_arch"),
            row("slot.copy_invalid"),
            *slot_wait("slot", "_1", "_invalid"),
        ),
        zap,
        (row("slot.lock_arch_2", step="slot.lock_arch"), *slot_wait("slot", "_2", "_removed"), row("slot.free_copy")),
        unbind,
        (row("slot.free", at="L_free"), row("slot.unlock_slots", {"next": "END"})),
        aside=aside,
    )


def slot_create(with_file: Rows, bind: Rows, put: Rows, aside: Rows) -> Program:
    """Create a memslot (kvm_main.c:1802-1855); the binding is stored when the memslot is ready (7.3)."""
    return program(
        "slot_create",
        (
            row("slot.lock_slots"),
            row("slot.check_overlap", {"overlap": "slot.unlock_slots"}),
            row("slot.alloc", {"nomem": "slot.unlock_slots"}),
        ),
        with_file,
        (row("slot.lock_arch"), row("slot.alloc_arch", {"nomem": "X_discard"})),
        bind,
        slot_wait("slot", "", ""),
        put,
        (row("slot.unlock_slots", {"next": "END"}),),
        aside=aside,
    )
