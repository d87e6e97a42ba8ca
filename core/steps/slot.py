"""Creating and deleting memslots (kvm_main.c:1617-1673, 1802-1991)."""

from gmembench.core.errno import EEXIST, EINVAL, ENOMEM, OK
from gmembench.core.outcomes import BLOCKED, NEXT, NOMEM, NONE, OVERLAP
from gmembench.core.parts.attributes import mark_mixed_regions
from gmembench.core.parts.memslots import begin_walk, next_slot
from gmembench.core.parts.slot_objects import copy_object, end_swap, find_number, new_object, unused_objects
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    LIFE_BUILDING,
    LIFE_FREED,
    LIFE_INVALID,
    LIFE_READY,
    LIFE_UNUSED,
    SLOT_GUEST_MEMFD,
    slot,
)


@step("kvm-memslot", "lock", "kvm_set_memory_region")
def lock_slots(w: Record, a: Record, r: Record) -> int:
    """Take slots_lock."""
    if w["slots_lock"] != 0:
        return BLOCKED
    w["slots_lock"] = a["number"] + 1
    return NEXT


@step("kvm-memslot", "lock", "kvm_set_memory_region")
def unlock_slots(w: Record, a: Record, r: Record) -> int:
    """Drop slots_lock."""
    w["slots_lock"] = 0
    return NEXT


@step("kvm-memslot", "check", "kvm_set_memory_region", ("none",))
def find(w: Record, a: Record, r: Record) -> int:
    """Find the memslot by its number."""
    a["range_slot"] = find_number(w, a["wanted_slot"])
    if a["range_slot"] < 0:
        a["result"] = EINVAL
        return NONE
    return NEXT


@step("kvm-memslot", "check", "kvm_check_memslot_overlap", ("overlap",))
def check_overlap(w: Record, a: Record, r: Record) -> int:
    """Refuse a change of a memslot that is there, and a range that another one holds.

    A memslot with a file is immutable, another hva or size is refused, and without a difference there is
    nothing to do (kvm_set_memory_region).
    """
    found = find_number(w, a["wanted_slot"])
    if found >= 0:
        s = slot(w, found)
        same = s["base"] == a["first"] and s["base"] + s["npages"] == a["end"]
        a["result"] = OK if same and s["flags"] & SLOT_GUEST_MEMFD == 0 else EINVAL
        return OVERLAP
    if next_slot(w, a["first"], a["end"]) >= 0:
        a["result"] = EEXIST
        return OVERLAP
    return NEXT


@step("kvm-memslot", "lock", "slots_arch_lock")
def lock_arch(w: Record, a: Record, r: Record) -> int:
    """Take slots_arch_lock."""
    if w["slots_arch_lock"] != 0:
        return BLOCKED
    w["slots_arch_lock"] = a["number"] + 1
    return NEXT


@step("kvm-memslot", "lock", "slots_arch_lock")
def unlock_arch(w: Record, a: Record, r: Record) -> int:
    """Drop slots_arch_lock."""
    w["slots_arch_lock"] = 0
    return NEXT


@step("kvm-memslot", "alloc", "kvm_set_memslot", ("nomem",))
def alloc(w: Record, a: Record, r: Record) -> int:
    """Allocate the new memslot object; nobody can find it yet. One object is left for an INVALID copy."""
    if unused_objects(w) < 2:
        a["result"] = ENOMEM
        return NOMEM
    a["new_slot"] = new_object(w)
    s = slot(w, a["new_slot"])
    s["number"] = a["wanted_slot"]
    s["base"] = a["first"]
    s["npages"] = a["end"] - a["first"]
    s["pgoff"] = a["first"]
    s["file"] = -1
    s["life"] = LIFE_BUILDING
    return NEXT


@step("kvm-memslot", "alloc", "kvm_arch_prepare_memory_region", ("nomem",))
def alloc_arch(w: Record, a: Record, r: Record) -> int:
    """Allocate the memslot's rmap and lpage_info, and set the mixed flags from the attributes as they are."""
    if w["private_memory"] != 0:
        mark_mixed_regions(w, a["first"], a["end"])
    slot(w, a["new_slot"])["life"] = LIFE_READY
    return NEXT


@step("kvm-memslot", "lock", "kvm_swap_active_memslots")
def wait_mn_idle(w: Record, a: Record, r: Record) -> int:
    """Wait until no notification is between its start and its end: it must find the same memslots at both.

    mn_invalidate_lock is held from the last test until the new set is published.
    """
    if w["mn_active"] != 0:
        return BLOCKED
    w["mn_lock"] = a["number"] + 1
    return NEXT


@step("kvm-memslot", "state", "kvm_swap_active_memslots")
def publish(w: Record, a: Record, r: Record) -> int:
    """Put the new object into the active set."""
    slot(w, a["new_slot"])["active"] = 1
    end_swap(w, a)
    return NEXT


@step("kvm-memslot", "state", "kvm_invalidate_memslot")
def copy_invalid(w: Record, a: Record, r: Record) -> int:
    """Make an INVALID copy of the memslot, without the file."""
    copy_object(w, a, LIFE_INVALID, 0)
    return NEXT


@step("kvm-memslot", "state", "kvm_invalidate_memslot")
def publish_invalid(w: Record, a: Record, r: Record) -> int:
    """Replace the memslot by its INVALID copy in the active set."""
    slot(w, a["range_slot"])["active"] = 0
    slot(w, a["new_slot"])["active"] = 1
    end_swap(w, a)
    return NEXT


@step("kvm-memslot", "state", "kvm_arch_flush_shadow_memslot")
def begin_zap(w: Record, a: Record, r: Record) -> int:
    """Begin to zap all of the memslot. SRCU protects this, not the invalidation count."""
    deleted = a["range_slot"]
    s = slot(w, deleted)
    begin_walk(w, a, s["base"], s["base"] + s["npages"], False)
    a["range_slot"] = deleted
    a["zapped"] = 0
    return NEXT


@step("kvm-memslot", "state", "kvm_delete_memslot")
def publish_removed(w: Record, a: Record, r: Record) -> int:
    """Take the INVALID copy out of the active set."""
    slot(w, a["new_slot"])["active"] = 0
    end_swap(w, a)
    return NEXT


@step("kvm-memslot", "state", "kvm_set_memslot")
def free_copy(w: Record, a: Record, r: Record) -> int:
    """Free the INVALID copy."""
    slot(w, a["new_slot"])["life"] = LIFE_FREED
    return NEXT


@step("kvm-memslot", "state", "kvm_free_memslot")
def free(w: Record, a: Record, r: Record) -> int:
    """Free the memslot object."""
    slot(w, a["range_slot"])["life"] = LIFE_FREED
    return NEXT


@step("kvm-memslot", "state", "kvm_gmem_prepare")
def set_file(w: Record, a: Record, r: Record) -> int:
    """Name the file in the memslot that is being built; one that can be mapped serves all of its faults."""
    s = slot(w, a["new_slot"])
    s["file"] = a["file"]
    s["gmem_only"] = w["gmem_only"]
    s["flags"] = s["flags"] | SLOT_GUEST_MEMFD
    return NEXT


@step("kvm-memslot", "state", "kvm_gmem_unbind")
def clear_file(w: Record, a: Record, r: Record) -> int:
    """Forget the file."""
    slot(w, a["range_slot"])["file"] = -1
    return NEXT


@step("kvm-memslot", "state", "kvm_free_memslot")
def discard(w: Record, a: Record, r: Record) -> int:
    """Free a memslot object that was never published."""
    s = slot(w, a["new_slot"])
    s["file"] = -1
    s["life"] = LIFE_UNUSED
    return NEXT
