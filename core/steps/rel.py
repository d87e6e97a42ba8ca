"""Closing a guest_memfd file: the last fput and kvm_gmem_release (guest_memfd.c:290-338)."""

from gmembench.core.errno import EBADF
from gmembench.core.jit import part
from gmembench.core.outcomes import AGAIN, BLOCKED, NEXT, NONE
from gmembench.core.parts.files import descriptor_open, put_file_reference
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import FILE_FREED, cache, file, slot


@part
def forget_bindings(w: Record) -> None:
    """Empty the bindings of the file."""
    for index in range(w["cache_n"]):
        c = cache(w, index)
        c["slot"] = 0
        c["tag"] = 0
    for i in range(w["slots_n"]):
        slot(w, i)["bound"] = 0


@step("vmm", "refcount", "close", ("none",))
def close_fd(w: Record, a: Record, r: Record) -> int:
    """Close the descriptor and drop its reference. Calls under way and faults in flight hold the file longer."""
    if not descriptor_open(w, 0):
        a["result"] = EBADF
        return NONE
    file(w, 0)["closed"] = 1
    put_file_reference(w, 0)
    a["file"] = 0
    a["index"] = 0
    return NEXT


@step("backing", "refcount", "____fput")
def wait_last(w: Record, a: Record, r: Record) -> int:
    """The release is deferred until the last reference is gone. Who drops it does not matter: this actor runs it."""
    if file(w, 0)["refs"] != 0:
        return BLOCKED
    return NEXT


@step("kvm-memslot", "state", "kvm_gmem_release")
def clear_slot_file(w: Record, a: Record, r: Record) -> int:
    """Clear the file pointer of the next memslot in the bindings."""
    index = a["index"]
    while index < w["cache_n"] and cache(w, index)["slot"] == 0:
        index += 1
    if index >= w["cache_n"]:
        return NEXT
    bound = cache(w, index)["slot"]
    slot(w, bound - 1)["file"] = -1
    while index < w["cache_n"] and cache(w, index)["slot"] == bound:
        index += 1
    a["index"] = index
    return AGAIN


@step("kvm-invalidate", "callback", "kvm_gmem_invalidate_start", ("none",))
def find_binding(w: Record, a: Record, r: Record) -> int:
    """Find the first memslot bound anywhere in the file; without one nothing is counted, at start as at end."""
    if begin_walk(w, a, 0, w["cache_n"], True):
        return NEXT
    return NONE


@step("backing", "state", "list_del", guards="a punch by another file of the same inode: the model has one file")
def unlink(w: Record, a: Record, r: Record) -> int:
    """Take the file off the inode's list: nobody can reach its bindings any more, whatever they still name."""
    forget_bindings(w)
    return NEXT


@step("backing", "state", "kvm_gmem_release")
def free_file(w: Record, a: Record, r: Record) -> int:
    """Destroy the bindings and free the file object."""
    forget_bindings(w)
    file(w, 0)["life"] = FILE_FREED
    return NEXT


@step("kvm-memslot", "refcount", "kvm_put_kvm")
def put_vm(w: Record, a: Record, r: Record) -> int:
    """Drop the file's reference to the VM; then the inode goes."""
    w["vm_refs"] -= 1
    if w["vm_refs"] == 0:
        w["vm_tag"] += 1
    a["index"] = 0
    return NEXT
