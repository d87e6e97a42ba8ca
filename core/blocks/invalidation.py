"""The invalidation protocol, and the mmu_notifier around it (kvm_main.c:674-837)."""

from gmembench.core.blocks.program import Rows
from gmembench.core.parts.notifier import OF_START
from gmembench.core.parts.zaps import SHARED_ONLY
from gmembench.core.programs import Where, hook, row
from gmembench.core.steps.zap import BY_GFN


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
            {"slot": f"{p}.range_add", "yield": f"{p}.yield_flush_request", "external": f"{p}.L_external"},
            step="zap.gfn",
            may_yield=1,
            value=walk,
            kind=kind,
        ),
        row(f"{p}.flush_request", {"clean": f"{p}.unlock_mmu"}, step="flush.request"),
        row(f"{p}.flush_kick", step="flush.kick"),
        row(f"{p}.flush_wait", step="flush.wait"),
        row(f"{p}.unlock_mmu", step="mmu.unlock", place=place, site=site),
    )


def beside_zap(p: str) -> Rows:
    """A zap that yields: flush, unlock, lock again, go on (tdp_mmu.c:744-793). And the hardware's part of a zap.

    The hardware's own entry goes after KVM's (tdp_mmu.c:719-721).
    """
    at = Where(place="kvm-invalidate", site="tdp_mmu_iter_cond_resched")
    return (
        row(f"{p}.yield_flush_request", {"clean": f"{p}.yield_unlock"}, step="flush.request"),
        row(f"{p}.yield_flush_kick", step="flush.kick"),
        row(f"{p}.yield_flush_wait", step="flush.wait"),
        row(f"{p}.yield_unlock", step="mmu.unlock", **at),
        row(f"{p}.yield_lock", {"next": f"{p}.zap"}, step="mmu.lock", **at),
        hook("zap", p=p, at=f"{p}.L_external", back=f"{p}.zap"),
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
    """MN-: the notifier's end (kvm_main.c:798-837), of the range that the start had."""
    same = OF_START if whose else whose
    return (
        row(f"{p}.srcu_lock_end", step="srcu.lock", place="kvm-invalidate", site="kvm_handle_hva_range"),
        row(f"{p}.find_slot_end", {"none": f"{p}.srcu_unlock_end"}, step="mn.find_slot", value=same),
        *invalidate_end(f"{p}.end"),
        row(f"{p}.srcu_unlock_end", step="srcu.unlock", place="kvm-invalidate", site="kvm_handle_hva_range"),
        row(f"{p}.active_dec", step="mn.active_dec"),
        row(f"{p}.wake_updater", step="mn.wake_updater"),
    )
