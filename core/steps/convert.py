"""KVM_SET_MEMORY_ATTRIBUTES: converting a range of gfns (kvm_main.c:2447-2656, mmu.c:8130-8275)."""

from gmembench.core.operations import PRIVATE
from gmembench.core.outcomes import AGAIN, NEXT, NONE, SAME
from gmembench.core.parts.attributes import huge_range_to_add, region_is_mixed, wanted_attr
from gmembench.core.parts.invalidation import widen
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.stage2 import table_index
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, ATTR_RESERVED, frame, region


@step("kvm-attributes", "check", "kvm_range_has_memory_attributes", ("same",))
def check_noop(w: Record, a: Record, r: Record) -> int:
    """Do nothing if the whole range has the attribute already."""
    wanted = wanted_attr(a)
    for gfn in range(a["first"], a["end"]):
        if frame(w, gfn)["attr"] & ATTR_PRIVATE != wanted:
            return NEXT
    return SAME


@step("kvm-attributes", "alloc", "xa_reserve", ("nomem",))
def reserve(w: Record, a: Record, r: Record) -> int:
    """Reserve the entry of a gfn, so that storing cannot fail. Entries are only needed to set the attribute.

    One that stays reserved, because a later one could not be had, counts for nothing.
    """
    if a["flags"] & PRIVATE:
        f = frame(w, a["gfn"])
        f["attr"] = f["attr"] | ATTR_RESERVED
        if a["gfn"] + 1 < a["end"]:
            a["gfn"] += 1
            return AGAIN
    a["gfn"] = a["first"]
    return NEXT


@step("kvm-attributes", "callback", "kvm_handle_gfn_range", ("none",))
def find_slot_post(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot of the range again; begin to update its regions."""
    if begin_walk(w, a, a["first"], a["end"], False):
        a["cursor"], a["level"] = a["first"], 2
        return NEXT
    return NONE


@step("kvm-attributes", "callback", "kvm_handle_gfn_range", ("none",))
def find_slot(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot of the range to zap; without one nothing is counted."""
    if begin_walk(w, a, a["first"], a["end"], False):
        return NEXT
    return NONE


@step("kvm-attributes", "state", "kvm_arch_pre_set_memory_attributes")
def range_add_huge(w: Record, a: Record, r: Record) -> int:
    """Widen the range by the regions that the request cuts at its head and tail, unless they are mixed already.

    Otherwise a fault on a neighbour could map the region huge before it is marked as mixed.
    """
    if a["round"] < 4:
        first = huge_range_to_add(w, a, a["round"])
        if first >= 0:
            level = 2 + (a["round"] >> 1)
            widen(w, first, first + (1 << (w["region_shift"] * (level - 1))))
        a["round"] += 1
        return AGAIN
    return NEXT


@step("kvm-attributes", "state", "kvm_vm_set_mem_attributes")
def store_attr(w: Record, a: Record, r: Record) -> int:
    """Store the attribute of one gfn. mmu_lock is not held."""
    frame(w, a["gfn"])["attr"] = wanted_attr(a)
    if a["gfn"] + 1 < a["end"]:
        a["gfn"] += 1
        return AGAIN
    return NEXT


@step("kvm-attributes", "state", "kvm_arch_post_set_memory_attributes")
def update_mixed(w: Record, a: Record, r: Record) -> int:
    """Mark each region of the range as mixed or not, 2M first, then 1G from the 2M results."""
    shift = w["region_shift"] * (a["level"] - 1)
    first = a["cursor"] >> shift << shift
    region(w, table_index(w, a["level"], first))["mixed"] = region_is_mixed(w, a, a["level"], first)
    a["cursor"] = first + (1 << shift)
    if a["cursor"] < a["end"]:
        return AGAIN
    if a["level"] == 2:
        a["cursor"], a["level"] = a["first"], 3
        return AGAIN
    return NEXT
