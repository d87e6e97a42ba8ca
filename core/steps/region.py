"""Regions of the VMM's memory that SEV has encrypted in place: registered, they are pinned for long (sev.c).

The model has one region at a time. Its pins belong to the VM and not to a thread.
"""

from gmembench.core.errno import EINVAL, ENOMEM
from gmembench.core.outcomes import AGAIN, BLOCKED, NEXT, NOMEM, NONE
from gmembench.core.parts.pins import find_pin, unpin_page
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import OBJECT_NONE, OBJECT_REGION


@step("kvm-memslot", "lock", "sev_mem_enc_register_region")
def lock_vm(w: Record, a: Record, r: Record) -> int:
    """Take kvm->lock, which keeps the list of regions."""
    if w["vm_lock"] != 0:
        return BLOCKED
    w["vm_lock"] = a["number"] + 1
    return NEXT


@step("kvm-memslot", "lock", "sev_mem_enc_register_region")
def unlock_vm(w: Record, a: Record, r: Record) -> int:
    """Drop kvm->lock: from here on another thread may unregister the region."""
    w["vm_lock"] = 0
    return NEXT


@step("kvm-memslot", "alloc", "sev_mem_enc_register_region", ("nomem",))
def begin(w: Record, a: Record, r: Record) -> int:
    """Allocate the region object; nobody can find it yet. The model has one."""
    if w["region_end"] != 0:
        a["result"] = ENOMEM
        return NOMEM
    a["result"] = 0
    a["object_tag"] = w["region_tag"]
    return NEXT


@step("kvm-memslot", "check", "sev_pin_memory", ("nomem",))
def check_pinned(w: Record, a: Record, r: Record) -> int:
    """All pages of the range must be pinned, or none."""
    a["gfn"] = a["first"]
    if a["result"] != 0:
        a["result"] = ENOMEM
        return NOMEM
    return NEXT


@step("kvm-memslot", "flush", "sev_clflush_pages")
def flush(w: Record, a: Record, r: Record) -> int:
    """Flush the region's pages from the caches, before the guest uses them by its key. This reads the region object."""
    a["object"] = OBJECT_REGION
    return NEXT


@step("kvm-memslot", "state", "sev_mem_enc_register_region")
def add_list(w: Record, a: Record, r: Record) -> int:
    """Put the region on the VM's list."""
    a["object"] = OBJECT_NONE
    w["region_first"] = a["first"]
    w["region_end"] = a["end"]
    return NEXT


@step("vmm", "state", "KVM_MEMORY_ENCRYPT_REG_REGION returns")
def returned(w: Record, a: Record, r: Record) -> int:
    """The call is over, and the region object no longer in use."""
    a["object"] = OBJECT_NONE
    return NEXT


@step("kvm-memslot", "check", "find_enc_region", ("none",))
def find(w: Record, a: Record, r: Record) -> int:
    """Find the region of just this range."""
    if w["region_end"] == 0 or w["region_first"] != a["first"] or w["region_end"] != a["end"]:
        a["result"] = EINVAL
        return NONE
    return NEXT


@step("kvm-memslot", "flush", "sev_writeback_caches")
def writeback(w: Record, a: Record, r: Record) -> int:
    """Write the caches back, before the pages may be used for something else."""
    a["gfn"] = a["first"]
    return NEXT


@step("kvm-memslot", "refcount", "sev_unpin_memory")
def drop(w: Record, a: Record, r: Record) -> int:
    """Let the VM's pin of one gfn go."""
    found = find_pin(w, w["actors_n"], a["gfn"])
    if found >= 0:
        unpin_page(w, found)
    a["gfn"] += 1
    return AGAIN if a["gfn"] < a["end"] else NEXT


@step("kvm-memslot", "state", "__unregister_enc_region_locked")
def free(w: Record, a: Record, r: Record) -> int:
    """Take the region off the list and free it."""
    w["region_first"] = 0
    w["region_end"] = 0
    w["region_tag"] = (w["region_tag"] + 1) & 0x3F
    return NEXT
