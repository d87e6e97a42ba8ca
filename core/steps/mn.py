"""The mmu_notifier callbacks of KVM around its handlers (kvm_main.c:722-837)."""

from gmembench.core.operations import NOT_NOW
from gmembench.core.outcomes import BLOCKED, BUSY, NEXT, NONE
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.notifier import notified_end, notified_start
from gmembench.core.steps.registry import step
from gmembench.core.views import Record


@step("kvm-invalidate", "state", "kvm_mmu_notifier_invalidate_range_start")
def active_inc(w: Record, a: Record, r: Record) -> int:
    """Count the notification in: the active memslots must not change until it ends. They are not being changed now."""
    if w["mn_lock"] != 0:
        return BLOCKED
    w["mn_active"] += 1
    return NEXT


@step(
    "kvm-invalidate", "callback", "gfn_to_pfn_cache_invalidate_start", guards="pfns cached outside the stage-2 tables"
)
def invalidate_gpc(w: Record, a: Record, r: Record) -> int:
    """Invalidate gfn-to-pfn caches. The model has none."""
    return NEXT


@step("kvm-invalidate", "callback", "kvm_handle_hva_range", ("none",))
def find_slot(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot behind the hva range; without one no lock is taken and nothing is counted.

    Operand `value`: whose range it is, OF_* in parts/notifier.py.
    """
    start, end = notified_start(w, a, r["value"]), notified_end(w, a, r["value"])
    a["notified"], a["notified_end"] = start, end
    if begin_walk(w, a, start, end, False):
        return NEXT
    return NONE


@step("kvm-invalidate", "state", "kvm_mmu_notifier_invalidate_range_end")
def active_dec(w: Record, a: Record, r: Record) -> int:
    """Count the notification out."""
    w["mn_active"] -= 1
    return NEXT


@step(
    "kvm-invalidate",
    "state",
    "kvm_mmu_notifier_invalidate_range_end",
    guards="sleep of the updater: here it polls the count",
)
def wake_updater(w: Record, a: Record, r: Record) -> int:
    """Wake a memslot updater that waits for the count to be 0."""
    return NEXT


@step("mm", "callback", "mn_hlist_invalidate_range_start", ("busy",))
def start_other(w: Record, a: Record, r: Record) -> int:
    """Call the next subscriber of the mmu_notifier. It may not sleep here, and answers EAGAIN if it had to."""
    return BUSY if a["flags"] & NOT_NOW else NEXT


@step("mm", "callback", "mn_hlist_invalidate_end")
def end_other(w: Record, a: Record, r: Record) -> int:
    """Tell the other subscriber of the end."""
    return NEXT
