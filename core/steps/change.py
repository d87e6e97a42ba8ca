"""Changing a memslot: its flags, its base (kvm_main.c: kvm_set_memory_region, kvm_set_memslot)."""

from gmembench.core.errno import EEXIST, EINVAL, OK
from gmembench.core.outcomes import NEXT, REFUSED, SAME
from gmembench.core.parts.attributes import mark_mixed_regions
from gmembench.core.parts.slot_objects import copy_object, end_swap
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import LIFE_READY, SLOT_GUEST_MEMFD, SLOT_LOG_DIRTY, slot


@step("kvm-memslot", "check", "kvm_set_memory_region", ("refused",))
def check_flags(w: Record, a: Record, r: Record) -> int:
    """A memslot with a file can only be deleted: no flag of it may change."""
    if slot(w, a["range_slot"])["flags"] & SLOT_GUEST_MEMFD:
        a["result"] = EINVAL
        return REFUSED
    return NEXT


@step("kvm-memslot", "state", "kvm_update_flags_memslot")
def copy_flags(w: Record, a: Record, r: Record) -> int:
    """Make a copy of the memslot with dirty logging switched over. It has no file."""
    flags = slot(w, a["range_slot"])["flags"]
    copy_object(w, a, LIFE_READY, (flags ^ SLOT_LOG_DIRTY) & ~SLOT_GUEST_MEMFD)
    return NEXT


@step("kvm-memslot", "state", "kvm_replace_memslot")
def publish(w: Record, a: Record, r: Record) -> int:
    """Replace the memslot by its copy in the active set."""
    slot(w, a["range_slot"])["active"] = 0
    slot(w, a["new_slot"])["active"] = 1
    end_swap(w, a)
    return NEXT


@step("kvm-memslot", "check", "kvm_set_memory_region", ("refused", "same"))
def check_move(w: Record, a: Record, r: Record) -> int:
    """Refuse to move a memslot that has a file, out of the guest, or onto another one."""
    moved = a["range_slot"]
    s = slot(w, moved)
    if s["flags"] & SLOT_GUEST_MEMFD or a["first"] + s["npages"] > w["frames_n"]:
        a["result"] = EINVAL
        return REFUSED
    if s["base"] == a["first"]:
        a["result"] = OK
        return SAME
    for i in range(w["slots_n"]):
        other = slot(w, i)
        apart = other["base"] >= a["first"] + s["npages"] or other["base"] + other["npages"] <= a["first"]
        if i != moved and other["active"] != 0 and not apart:
            a["result"] = EEXIST
            return REFUSED
    return NEXT


@step("kvm-memslot", "state", "kvm_arch_prepare_memory_region")
def mark_mixed(w: Record, a: Record, r: Record) -> int:
    """Set the mixed flags below the new place from the attributes as they are."""
    if w["private_memory"] != 0:
        s = slot(w, a["range_slot"])
        mark_mixed_regions(w, a["first"], a["first"] + s["npages"])
    return NEXT


@step("kvm-memslot", "state", "kvm_move_memslot")
def publish_moved(w: Record, a: Record, r: Record) -> int:
    """Put the memslot at its new base into the active set, in place of the INVALID copy, as an object of its own."""
    s = slot(w, a["range_slot"])
    s["base"] = a["first"]
    s["pgoff"] = a["first"]
    s["tag"] = (s["tag"] + 1) & 0xFF
    s["active"] = 1
    slot(w, a["new_slot"])["active"] = 0
    end_swap(w, a)
    return NEXT
