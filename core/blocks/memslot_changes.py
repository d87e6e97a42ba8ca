"""Changing a memslot: its flags, its base; and zapping gfns (kvm_main.c: kvm_set_memslot; mmu.c:7122-7148)."""

from gmembench.core.blocks.invalidation import beside_zap
from gmembench.core.blocks.memslots import slot_wait
from gmembench.core.blocks.program import Rows, program
from gmembench.core.programs import Program, Where, row

BY_CALLER = Where(place="kvm-invalidate", site="kvm_zap_gfn_range")


def slot_flags() -> Program:
    """Switch dirty logging of a memslot: a copy with other flags takes its place, and the old object is freed."""
    return program(
        "slot_flags",
        (
            row("slot.lock_slots"),
            row("slot.find", {"none": "slot.unlock_slots"}),
            row("flags.check", {"refused": "slot.unlock_slots"}, step="change.check_flags"),
            row("slot.lock_arch"),
            row("flags.copy", step="change.copy_flags"),
            row("slot.wait_mn_idle"),
            row("flags.publish", step="change.publish"),
            row("slot.unlock_arch"),
            row("slot.srcu_start", step="srcu.start_gp"),
            row("slot.srcu_wait", step="srcu.wait_gp"),
            row("flags.free_old", step="slot.free"),
            row("slot.unlock_slots"),
        ),
    )


def slot_move(zap: Rows, aside: Rows) -> Program:
    """Move a memslot to another base: INVALID copy, zap, and the memslot at its new place.

    The gfn of a page is also its place in the VMA, so the memslot shows what the VMA holds at its new gfns.
    """
    return program(
        "slot_move",
        (
            row("slot.lock_slots"),
            row("slot.find", {"none": "slot.unlock_slots"}),
            row("move.check", {"refused": "slot.unlock_slots", "same": "slot.unlock_slots"}, step="change.check_move"),
            row("slot.lock_arch"),
            row("slot.copy_invalid"),
            *slot_wait("slot", "_1", "_invalid"),
        ),
        zap,
        (
            row("slot.lock_arch_2", step="slot.lock_arch"),
            row("move.mark_mixed", step="change.mark_mixed"),
            row("slot.wait_mn_idle_2", step="slot.wait_mn_idle"),
            row("move.publish", step="change.publish_moved"),
            row("slot.unlock_arch_2", step="slot.unlock_arch"),
            row("slot.srcu_start_2", step="srcu.start_gp"),
            row("slot.srcu_wait_2", step="srcu.wait_gp"),
            row("slot.free_copy"),
            row("slot.unlock_slots", {"next": "END"}),
        ),
        aside=aside,
    )


def zap_gfn_range() -> Program:
    """Zap a range for a caller inside KVM, counted in and out in one section of mmu_lock, under SRCU."""
    return program(
        "zap_gfn_range",
        (
            row("zgr.srcu_lock", step="srcu.lock", **BY_CALLER),
            row("zgr.lock_mmu", step="mmu.lock", **BY_CALLER),
            row("zgr.begin"),
            row("zgr.count_inc", step="inval.count_inc"),
            row("zgr.range_reset", step="inval.range_reset"),
            row("zgr.range_add", step="inval.range_add"),
            row(
                "zgr.zap",
                {"slot": "zgr.flush_request", "yield": "zgr.yield_flush_request", "external": "zgr.L_external"},
                step="zap.gfn",
                may_yield=1,
            ),
            row("zgr.flush_request", {"clean": "zgr.seq_bump"}, step="flush.request"),
            row("zgr.flush_kick", step="flush.kick"),
            row("zgr.flush_wait", step="flush.wait"),
            row("zgr.seq_bump", step="inval.seq_bump"),
            row("zgr.count_dec", step="inval.count_dec"),
            row("zgr.unlock_mmu", step="mmu.unlock", **BY_CALLER),
            row("zgr.srcu_unlock", step="srcu.unlock", **BY_CALLER),
        ),
        aside=beside_zap("zgr"),
    )
