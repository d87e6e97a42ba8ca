"""Creating and deleting memslots (kvm_main.c:1802-1991)."""

from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.vmsa import kick_vmsa
from gmembench.core.programs import Program, Where, row

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
        *kick_vmsa("slot"),
        row(
            "slot.zap",
            {"slot": "slot.zap", "yield": "slot.yield_flush_request", "external": "slot.L_external"},
            step="zap.gfn",
            may_yield=1,
        ),
        row("slot.flush_request", {"clean": "slot.unlock_mmu"}, step="flush.request"),
        row("slot.flush_kick", step="flush.kick"),
        row("slot.flush_wait", step="flush.wait"),
        row("slot.unlock_mmu", step="mmu.unlock", **at),
    )


def zap_slot_root() -> Rows:
    """Invalidate the root, ask for it back, and zap below it later: the default VM type (mmu.c:6965-7005)."""
    return (
        row("root.lock_mmu", step="mmu.lock", place=KVM_MEMSLOT, site="kvm_mmu_zap_all_fast"),
        row("root.invalidate"),
        row("root.request_free"),
        row("root.flush_kick", step="flush.kick", place=KVM_MEMSLOT, site="kvm_make_all_cpus_request"),
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
