"""Bindings between memslots and the guest_memfd file (guest_memfd.c: kvm_gmem_bind, kvm_gmem_unbind)."""

from gmembench.core.errno import EBADF, EEXIST
from gmembench.core.outcomes import AGAIN, BUSY, DYING, NEXT, NONE
from gmembench.core.parts.files import descriptor_open
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import FILE_LIVE, cache, file, slot


@step("kvm-memslot", "refcount", "kvm_gmem_bind", ("dying",))
def fget(w: Record, a: Record, r: Record) -> int:
    """Take a reference to the file that the VMM names."""
    if not descriptor_open(w, 0):
        a["result"] = EBADF
        return DYING
    file(w, 0)["refs"] += 1
    a["file"] = 0
    return NEXT


@step("kvm-memslot", "check", "kvm_gmem_bind", ("busy",))
def check(w: Record, a: Record, r: Record) -> int:
    """Refuse a range of the file that another memslot has bound."""
    s = slot(w, a["new_slot"])
    for index in range(s["pgoff"], s["pgoff"] + s["npages"]):
        if cache(w, index)["slot"] != 0:
            a["result"] = EEXIST
            return BUSY
    a["index"] = s["pgoff"]
    return NEXT


@step("kvm-memslot", "state", "xa_store_range", ("nomem",))
def store(w: Record, a: Record, r: Record) -> int:
    """Store the binding of one index."""
    s = slot(w, a["new_slot"])
    c = cache(w, a["index"])
    c["slot"] = a["new_slot"] + 1
    c["tag"] = s["tag"]
    s["bound"] = 1
    a["index"] += 1
    if a["index"] < s["pgoff"] + s["npages"]:
        return AGAIN
    return NEXT


@step("kvm-memslot", "check", "kvm_gmem_unbind", ("none",))
def find_file(w: Record, a: Record, r: Record) -> int:
    """A memslot without a file has nothing to unbind."""
    s = slot(w, a["range_slot"])
    if s["file"] < 0:
        return NONE
    a["file"] = s["file"]
    a["index"] = s["pgoff"]
    return NEXT


@step("kvm-memslot", "refcount", "kvm_gmem_get_file", ("dying",))
def get_file(w: Record, a: Record, r: Record) -> int:
    """Take a reference to the file, so that it can be locked; a file that is being closed gives none."""
    if file(w, a["file"])["life"] != FILE_LIVE:
        return DYING
    file(w, a["file"])["refs"] += 1
    return NEXT


@step("kvm-memslot", "state", "xa_store_range")
def erase(w: Record, a: Record, r: Record) -> int:
    """Erase the binding of one index."""
    s = slot(w, a["range_slot"])
    c = cache(w, a["index"])
    c["slot"] = 0
    c["tag"] = 0
    s["bound"] = 0
    a["index"] += 1
    if a["index"] < s["pgoff"] + s["npages"]:
        return AGAIN
    return NEXT


@step("kvm-memslot", "state", "xa_store_range")
def rollback(w: Record, a: Record, r: Record) -> int:
    """Erase the bindings that were stored before one failed, the last one first."""
    s = slot(w, a["new_slot"])
    s["bound"] = 0
    if a["index"] > s["pgoff"]:
        a["index"] -= 1
        c = cache(w, a["index"])
        c["slot"] = 0
        c["tag"] = 0
        return AGAIN
    return NEXT
