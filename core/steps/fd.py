"""A shmem file as the memory of one VM: pages found under their lock, the VM called back under it (2021-2022)."""

from gmembench.core.errno import EBADF, EEXIST, EFAULT, EINVAL
from gmembench.core.jit import part
from gmembench.core.operations import PRIVATE
from gmembench.core.outcomes import BUSY, DYING, MISMATCH, NEXT, NOMEM, NONE, RACED, SHARED
from gmembench.core.parts.access import tell_punching
from gmembench.core.parts.attributes import mark_mixed_regions
from gmembench.core.parts.files import descriptor_open
from gmembench.core.parts.folios import add_folio, erase_folio, unlock_and_put
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.pool import take_page
from gmembench.core.parts.stage2 import table_index
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, OBJECT_NONE, OBJECT_VM, cache, file, frame, page, region, slot

OF_FOLIO, OF_RANGE = 0, 1
"""Operand `value` of a callback: it speaks of the folio in hand, or of the whole range of the operation."""

OWNER, REGISTERED, BY_ADDRESS, BY_TAG = 0, 1, 2, 3
"""Operand `value` of a call: of the VM that the file was paired with; of whoever is registered now; of the VM at the
address of that one, if one lives there; of just that VM, if it lives."""


@part
def set_presence(w: Record, index: int, attr: int) -> None:
    """Note that an index has a folio, or no longer: the attribute of its gfn is the model's copy of presence.

    Its regions count as mixed until the call has gone over all of its range.
    """
    frame(w, index)["attr"] = attr
    for level in range(2, 4):
        region(w, table_index(w, level, index))["mixed"] = 1


@step("kvm-fault", "callback", "kvm_private_mem_get_pfn", ("none",))
def lookup_private_slot(w: Record, a: Record, r: Record) -> int:
    """Find the index in the file of the private memslot; a private access where there is none exits."""
    s = slot(w, a["slot"])
    a["error"] = EFAULT
    if s["file"] < 0:
        return NONE
    a["file"] = s["file"]
    a["index"] = a["gfn"] - s["base"] + s["pgoff"]
    return NEXT


@step("kvm-fault", "check", "kvm_faultin_pfn_private", ("mismatch",))
def check_absent(w: Record, a: Record, r: Record) -> int:
    """A shared access to a gfn whose page is in the file does not match: presence says private."""
    s = slot(w, a["slot"])
    if s["file"] >= 0 and cache(w, a["gfn"] - s["base"] + s["pgoff"])["pfn"] != 0:
        a["error"] = EFAULT
        return MISMATCH
    return NEXT


@step("kvm-fault", "lock", "shmem_put_unlock_pfn")
def put_unlock(w: Record, a: Record, r: Record) -> int:
    """Unlock the page and drop the reference (put_unlock_pfn): from here on a callback may zap it."""
    unlock_and_put(w, a["pfn"])
    return NEXT


@step("vmm", "refcount", "fdget", ("dying", "shared"))
def fallocate(w: Record, a: Record, r: Record) -> int:
    """The VMM converts by fallocate: to private by allocating, to shared by punching, which the oracle is told."""
    if not descriptor_open(w, 0):
        a["result"] = EBADF
        return DYING
    file(w, 0)["refs"] += 1
    a["file"] = 0
    a["index"] = a["first"]
    if a["flags"] & PRIVATE:
        return NEXT
    tell_punching(w, a)
    return SHARED


@step("backing", "alloc", "shmem_alloc_and_acct_folio", ("nomem", "raced"))
def add_folio_(w: Record, a: Record, r: Record) -> int:
    """Allocate a page and add it to the page cache, locked and not cleared: its gfn is private from here on."""
    if cache(w, a["index"])["pfn"] != 0:
        return RACED
    pfn = take_page(w, 0)
    if pfn == 0:
        return NOMEM
    add_folio(w, a, pfn, a["index"], 0)
    set_presence(w, a["index"], ATTR_PRIVATE)
    return NEXT


@step("backing", "state", "filemap_remove_folio")
def remove_folio(w: Record, a: Record, r: Record) -> int:
    """Remove the page from the page cache: its gfn is shared from here on. References may remain."""
    set_presence(w, page(w, a["pfn"])["index"], 0)
    erase_folio(w, a["pfn"])
    return NEXT


@step("kvm-invalidate", "callback", "memfile_notifier_invalidate", ("none",))
def call_owner(w: Record, a: Record, r: Record) -> int:
    """Call the VM that owns the file. Nothing holds the VM: if it was freed, the callback uses it all the same.

    Operand `value`: whether that is so. A VM that has registered takes itself off the list before it goes. A test of
    the VM by its address (vm_is_dead) passes if another VM was made there.
    """
    a["slot"] = -1
    a["slot_tag"] = 0
    owner = file(w, 0)["owner_tag"]
    alive, same = w["vm_refs"] != 0, owner == w["vm_tag"] & 0xFF
    if r["value"] == BY_ADDRESS and not alive:
        return NONE
    if (r["value"] == REGISTERED or r["value"] == BY_TAG) and not (alive and same):
        return NONE
    a["object"] = OBJECT_VM
    a["object_tag"] = owner
    return NEXT


@step("kvm-invalidate", "callback", "memfile_notifier_invalidate")
def called(w: Record, a: Record, r: Record) -> int:
    """The callback is over."""
    a["object"] = OBJECT_NONE
    return NEXT


@step("kvm-invalidate", "callback", "kvm_private_mem_notifier_handler", ("none",))
def find_slot(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot bound in the range: of the folio in hand, or with `value` 1 of the operation."""
    first = a["first"] if r["value"] == OF_RANGE else page(w, a["pfn"])["index"]
    end = min(a["end"], w["cache_n"]) if r["value"] == OF_RANGE else first + 1
    a["zapped"] = 0
    if begin_walk(w, a, first, end, True):
        return NEXT
    return NONE


@step("kvm-invalidate", "state", "kvm_private_mem_notifier_handler")
def update_mixed(w: Record, a: Record, r: Record) -> int:
    """Mark the regions of the range as mixed or not, so that no huge shared entry covers a private gfn."""
    mark_mixed_regions(w, a["first"], min(a["end"], w["frames_n"]))
    return NEXT


@step("kvm-memslot", "state", "memfile_register_notifier", ("busy",))
def register(w: Record, a: Record, r: Record) -> int:
    """Register the memslot with the file, unless another one has a part of its range."""
    s = slot(w, a["new_slot"])
    for index in range(s["pgoff"], s["pgoff"] + s["npages"]):
        if cache(w, index)["slot"] != 0:
            a["result"] = EEXIST
            return BUSY
    for index in range(s["pgoff"], s["pgoff"] + s["npages"]):
        c = cache(w, index)
        c["slot"] = a["new_slot"] + 1
        c["tag"] = s["tag"]
    s["bound"] = 1
    return NEXT


@step("kvm-memslot", "state", "memfile_unregister_notifier")
def unregister(w: Record, a: Record, r: Record) -> int:
    """Take the memslot off the file."""
    s = slot(w, a["range_slot"])
    for index in range(s["pgoff"], s["pgoff"] + s["npages"]):
        c = cache(w, index)
        c["slot"] = 0
        c["tag"] = 0
    s["bound"] = 0
    return NEXT


@step("kvm-memslot", "refcount", "kvm_destroy_vm")
def free_vm(w: Record, a: Record, r: Record) -> int:
    """Free the VM: the file does not hold it."""
    w["vm_refs"] = 0
    w["vm_tag"] += 1
    return NEXT


@step("vmm", "alloc", "kvm_create_vm", ("none",))
def create_vm(w: Record, a: Record, r: Record) -> int:
    """Make another VM, at the address of the one that was freed; there must be none."""
    if w["vm_refs"] != 0:
        a["result"] = EINVAL
        return NONE
    w["vm_refs"] = 1
    a["result"] = 0
    return NEXT


@step("vmm", "refcount", "close", ("none", "busy"))
def close_file(w: Record, a: Record, r: Record) -> int:
    """Close the descriptor. Memslots hold the file on; if there are none, it goes."""
    if not descriptor_open(w, 0):
        a["result"] = EBADF
        return NONE
    file(w, 0)["closed"] = 1
    file(w, 0)["refs"] -= 1
    begin_eviction(w, a)
    return BUSY if held(w) else NEXT


@step("kvm-memslot", "refcount", "fput", ("none",))
def put_slot_file(w: Record, a: Record, r: Record) -> int:
    """Drop the memslot's reference to the file: the last one lets it go, if the descriptor is closed."""
    begin_eviction(w, a)
    return NONE if held(w) else NEXT


@part
def begin_eviction(w: Record, a: Record) -> None:
    """The whole file may be about to go: a walk over its pages begins at its first index."""
    a["index"] = 0
    a["first"] = 0
    a["end"] = w["cache_n"]


@part
def held(w: Record) -> bool:
    """Whether the descriptor, a call under way or a memslot holds the file."""
    if file(w, 0)["refs"] > 0:
        return True
    for i in range(w["slots_n"]):
        if slot(w, i)["file"] >= 0:
            return True
    return False
