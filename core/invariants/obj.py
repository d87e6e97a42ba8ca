"""Metadata of a memslot, a file or the VM is used after it was freed, or before it is ready.

The file's bindings name memslots that live, and no memslot object that was freed and used again, which its tag tells.
A binding of a memslot that is not ready yet does no harm until an invalidation walks into it. A reader inside SRCU that
has looked up a memslot finds it alive. A memslot that is in use names no freed file, and nobody holds a reference to a
freed file. Nobody uses a registered region, an inode or a VM object by a pointer to what was there before.
"""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import (
    FILE_FREED,
    LIFE_BUILDING,
    LIFE_FREED,
    LIFE_READY,
    LIFE_UNUSED,
    OBJECT_INODE,
    OBJECT_REGION,
    OBJECT_VM,
    actor,
    cache,
    file,
    slot,
)


@part
def walked_into(w: Record, found: int) -> bool:
    """Whether somebody else than its maker, who holds slots_lock, walks over a memslot object."""
    for i in range(w["actors_n"]):
        a = actor(w, i)
        maker = w["slots_lock"] == a["number"] + 1
        if not maker and a["range_slot"] == found and a["cursor"] < a["stop"]:
            return True
    return False


@part
def bound_to_dead(w: Record) -> int:
    """1 + the memslot object that a binding names although it is gone or another one by now, or used unfinished."""
    for index in range(w["cache_n"]):
        c = cache(w, index)
        if c["slot"] != 0:
            s = slot(w, c["slot"] - 1)
            unfinished = s["life"] == LIFE_BUILDING and not walked_into(w, c["slot"] - 1)
            if (s["life"] != LIFE_READY and not unfinished) or s["tag"] != c["tag"]:
                return c["slot"]
    return 0


@part
def pointer_is_stale(w: Record) -> int:
    """1 + the actor that uses a region or a VM by a pointer, although the object is freed or another one by now."""
    for i in range(w["actors_n"]):
        a = actor(w, i)
        if a["object"] == OBJECT_REGION and a["object_tag"] != w["region_tag"]:
            return 1 + i
        if a["object"] == OBJECT_INODE and file(w, 0)["inode_freed"] != 0:
            return 1 + i
        if a["object"] == OBJECT_VM and (w["vm_refs"] == 0 or a["object_tag"] != w["vm_tag"] & 0xFF):
            return 1 + i
    return 0


@part
def held_and_dead(w: Record) -> int:
    """1 + the memslot object that a reader looked up in its SRCU section although it is freed or another one by now."""
    for i in range(w["actors_n"]):
        a = actor(w, i)
        if a["srcu"] != 0 and a["slot"] >= 0 and a["slot_tag"] != 0:
            s = slot(w, a["slot"])
            dead = s["life"] == LIFE_FREED or s["life"] == LIFE_UNUSED or s["life"] == LIFE_BUILDING
            if dead or s["tag"] != a["slot_tag"]:
                return 1 + a["slot"]
    return 0


def used_after_free(w: Record) -> int:
    """1 + the memslot object that is used though it is gone."""
    found = bound_to_dead(w)
    if found == 0:
        found = held_and_dead(w)
    if found != 0:
        return found
    stale = pointer_is_stale(w)
    if stale != 0:
        return stale
    for i in range(w["slots_n"]):
        s = slot(w, i)
        if s["active"] != 0 and s["file"] >= 0 and file(w, s["file"])["life"] == FILE_FREED:
            return 1 + i
    for i in range(w["files_n"]):
        if file(w, i)["life"] == FILE_FREED and file(w, i)["refs"] > 0:
            return 1
    return 0


INVARIANT = Invariant(
    "OBJ",
    (__doc__ or "").strip(),
    state=Rule(
        used_after_free,
        "object {} is used though it is freed or not ready: a memslot, the file it names, a region, a VM",
    ),
)
