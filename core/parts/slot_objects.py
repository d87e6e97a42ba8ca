"""Memslot objects: finding one by its number, taking an unused one."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import LIFE_FREED, LIFE_READY, LIFE_UNUSED, slot


@part
def find_number(w: Record, number: int) -> int:
    """The active, ready memslot object of this number; -1 if none."""
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["active"] != 0 and s["life"] == LIFE_READY and s["number"] == number:
            return i
    return -1


@part
def new_object(w: Record) -> int:
    """Take an unused or freed object and give it a new tag; -1 if there is none."""
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["life"] == LIFE_UNUSED or s["life"] == LIFE_FREED:
            s["tag"] = (s["tag"] + 1) & 0xFF
            s["active"] = 0
            s["bound"] = 0
            s["gmem_only"] = 0
            s["flags"] = 0
            return i
    return -1


@part
def unused_objects(w: Record) -> int:
    """How many objects `new_object` could hand out."""
    unused = 0
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["life"] == LIFE_UNUSED or s["life"] == LIFE_FREED:
            unused += 1
    return unused


@part
def first_ready(w: Record) -> int:
    """The first memslot object that is ready and active; -1 if none."""
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["active"] != 0 and s["life"] == LIFE_READY:
            return i
    return -1


@part
def end_swap(w: Record, a: Record) -> None:
    """The new set of memslots is published: count the generation, and drop mn_invalidate_lock if it is held."""
    w["slot_generation"] += 1
    if w["mn_lock"] == a["number"] + 1:
        w["mn_lock"] = 0


@part
def copy_object(w: Record, a: Record, life: int, flags: int) -> None:
    """Make a copy of the memslot in hand, without its file; nobody can find it yet."""
    old, found = slot(w, a["range_slot"]), new_object(w)
    s = slot(w, found)
    s["number"] = old["number"]
    s["base"] = old["base"]
    s["npages"] = old["npages"]
    s["pgoff"] = old["pgoff"]
    s["flags"] = flags
    s["file"] = -1
    s["life"] = life
    a["new_slot"] = found
