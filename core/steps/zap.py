"""Zapping leaf entries of a range (tdp_mmu.c:744-793, 921-960)."""

from gmembench.core.outcomes import AGAIN, NEXT, SLOT, YIELD
from gmembench.core.parts.memslots import walk_on
from gmembench.core.parts.zaps import zap_at, zap_filtered
from gmembench.core.steps.registry import step
from gmembench.core.views import Record

BY_GFN, BY_INDEX = 0, 1
"""Operand `value`: the walk goes over memslots by gfn, or over the bindings of the file by index."""


@step("kvm-invalidate", "spte-bits", "tdp_mmu_zap_leafs", ("slot", "external"))
def gfn(w: Record, a: Record, r: Record) -> int:
    """Zap the entry of one gfn, or pass a region without tables; then the next gfn, then the next memslot.

    External: the hardware has an entry of its own, which must go now. Only hardware with separate roots says so.

    With operand `may_yield` it may give up mmu_lock in the middle (a choice of the driver). Operand `kind`
    is the attribute filter, 1 private and 2 shared: without separate roots the kernel ignores it, because
    one root holds both kinds (tdp_mmu.h:35).
    """
    if a["cursor"] < a["stop"]:
        zap_at(w, a, r["kind"])
        if a["cursor"] < a["stop"]:
            if r["may_yield"] != 0 and a["yield_now"] != 0:
                return YIELD
            return AGAIN
    if walk_on(w, a, r["value"] == BY_INDEX):
        return SLOT
    return NEXT


@step("kvm-invalidate", "spte-bits", "tdp_mmu_zap_leafs", ("slot", "external"))
def nothing(w: Record, a: Record, r: Record) -> int:
    """Leave the entries of the range as they are: a control, no kernel does this."""
    a["cursor"] = a["stop"]
    if walk_on(w, a, r["value"] == BY_INDEX):
        return SLOT
    return NEXT


@step("kvm-invalidate", "spte-bits", "tdp_mmu_zap_leafs", ("slot", "external"))
def gfn_obeying_filter(w: Record, a: Record, r: Record) -> int:
    """Zap only entries of the filter's kind, though the roots are not separate: a control, no kernel does this."""
    if a["cursor"] < a["stop"]:
        zap_filtered(w, a, r["kind"])
        if a["cursor"] < a["stop"]:
            return AGAIN
    if walk_on(w, a, r["value"] == BY_INDEX):
        return SLOT
    return NEXT
