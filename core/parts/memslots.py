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
def enter_slot(w: Record, a: Record, found: int, by_index: bool) -> None:
    """Let the walk enter a memslot: cursor and stop become the gfns of the walk's range inside it."""
    s = slot(w, found)
    a["range_slot"] = found
    shift = s["pgoff"] - s["base"] if by_index else 0
    first = max(a["walk"], s["base"] + shift)
    last = min(a["walk_end"], s["base"] + shift + s["npages"])
    a["cursor"] = first - shift
    a["stop"] = last - shift
    a["walk"] = last


@part
def walk_on(w: Record, a: Record, by_index: bool) -> bool:
    """Enter the next memslot (or binding) of the walk; False at its end."""
    if a["walk"] >= a["walk_end"]:
        return False
    found = next_binding(w, a["walk"], a["walk_end"]) if by_index else next_slot(w, a["walk"], a["walk_end"])
    if found < 0:
        return False
    enter_slot(w, a, found, by_index)
    return True


@part
def begin_walk(w: Record, a: Record, start: int, end: int, by_index: bool) -> bool:
    """Begin a walk over [start, end) in gfns or file indexes; False if no memslot lies there."""
    a["walk"] = start
    a["walk_end"] = end
    return walk_on(w, a, by_index)
