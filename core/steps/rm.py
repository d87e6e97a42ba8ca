"""restrictedmem: a file that hides a shmem file and tells KVM before it changes (mm/restrictedmem.c, v10, 2022)."""

from gmembench.core.errno import EINVAL, SIGBUS
from gmembench.core.outcomes import BLOCKED, BUSY, NEXT, NONE, OTHER
from gmembench.core.parts.memslots import enter_slot, next_binding
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import cache, file, slot


@step("kvm-fault", "callback", "restrictedmem_get_page", ("other",))
def check_binding(w: Record, a: Record, r: Record) -> int:
    """Find the index in the file. Somebody must have bound it: the memslot holds the file, so it cannot be gone."""
    s = slot(w, a["slot"])
    a["file"] = s["file"]
    a["index"] = a["gfn"] - s["base"] + s["pgoff"]
    if s["file"] < 0 or cache(w, a["index"])["slot"] == 0:
        w["warns"] += 1
        a["error"] = EINVAL
        return OTHER
    return NEXT


@step("backing", "lock", "restrictedmem_punch_hole")
def lock_read(w: Record, a: Record, r: Record) -> int:
    """Take the file's rwsem for reading: the bindings stay, so that start and end find the same."""
    f = file(w, a["file"])
    if f["inval_writer"] != 0:
        return BLOCKED
    f["inval_readers"] += 1
    a["walk"] = a["first"]
    return NEXT


@step("kvm-invalidate", "callback", "restrictedmem_punch_hole", ("none",))
def next_bound(w: Record, a: Record, r: Record) -> int:
    """Take the next memslot bound in the range: each is told by a call of its own, at start as at end."""
    end = min(a["end"], w["cache_n"])
    found = next_binding(w, a["walk"], end) if a["walk"] < end else -1
    if found < 0:
        a["walk"] = a["first"]
        return NONE
    a["walk_end"] = end
    enter_slot(w, a, found, True)
    a["walk_end"] = a["walk"]
    return NEXT


@step("kvm-memslot", "check", "restrictedmem_bind", ("busy",))
def check_free(w: Record, a: Record, r: Record) -> int:
    """Refuse a range of the file that another memslot has bound: bindings are exclusive."""
    s = slot(w, a["new_slot"])
    a["index"] = s["pgoff"]
    for index in range(s["pgoff"], s["pgoff"] + s["npages"]):
        if cache(w, index)["slot"] != 0:
            a["result"] = EINVAL
            return BUSY
    return NEXT


@step("kvm-invalidate", "callback", "kvm_restrictedmem_error")
def error(w: Record, a: Record, r: Record) -> int:
    """Send SIGBUS to the task in hand. The guest's entry stays, and so does the page in the file."""
    a["result"] = SIGBUS
    return NEXT
