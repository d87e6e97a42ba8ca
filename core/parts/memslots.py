"""Lookups in the memslots and in the bindings of a file."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import slot


@part
def slot_of_gfn(w: Record, gfn: int) -> int:
    """The active memslot object that holds a gfn; -1 if none."""
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["active"] != 0 and s["base"] <= gfn and gfn < s["base"] + s["npages"]:
            return i
    return -1


@part
def next_slot(w: Record, start: int, end: int) -> int:
    """The active memslot object with the lowest gfn in [start, end); -1 if none."""
    best, best_gfn = -1, end
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["active"] != 0 and s["base"] + s["npages"] > start:
            gfn = max(s["base"], start)
            if gfn < best_gfn:
                best, best_gfn = i, gfn
    return best


@part
def next_binding(w: Record, start: int, end: int) -> int:
    """The memslot object bound at the lowest file index in [start, end); -1 if none.

    Bound is what the file's bindings say, whether the slot is active or not.
    """
    best, best_index = -1, end
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["bound"] != 0 and s["pgoff"] + s["npages"] > start:
            index = max(s["pgoff"], start)
            if index < best_index:
                best, best_index = i, index
    return best


@part
def index_of_gfn(w: Record, gfn: int) -> int:
    """The file index behind a gfn by its active memslot; -1 if none."""
    i = slot_of_gfn(w, gfn)
    if i < 0 or slot(w, i)["file"] < 0:
        return -1
    return gfn - slot(w, i)["base"] + slot(w, i)["pgoff"]
