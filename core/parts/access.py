"""Reading and writing what a page holds, and the oracle that remembers what was written."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    CONTENT_DATA,
    ORACLE_PUNCHING,
    ORACLE_ZERO_PRIVATE,
    ORACLE_ZERO_SHARED,
    PAGE_FILE,
    frame,
    page,
)


@part
def write_content(w: Record, a: Record) -> None:
    """Write data of generation + 1 of this gfn to the actor's page, and tell the oracle which copy it was."""
    f = frame(w, a["gfn"])
    p = page(w, a["pfn"])
    private = p["state"] == PAGE_FILE and f["attr"] & ATTR_PRIVATE and w["one_copy"] == 0
    if private:
        generation = (f["gen_private"] + 1) & 0xFF
        f["gen_private"] = generation
        f["oracle"] = f["oracle"] & ~ORACLE_ZERO_PRIVATE
    else:
        generation = (f["gen_shared"] + 1) & 0xFF
        f["gen_shared"] = generation
        f["oracle"] = f["oracle"] & ~ORACLE_ZERO_SHARED
    p["content"] = CONTENT_DATA
    p["content_gfn"] = a["gfn"]
    p["content_gen"] = generation


@part
def read_content(w: Record, a: Record) -> None:
    """Note what the actor's page holds, and that it was used: invariants judge a use when it is made."""
    p = page(w, a["pfn"])
    a["content"] = p["content"]
    a["content_gfn"] = p["content_gfn"]
    a["content_gen"] = p["content_gen"]
    a["used"] = 1


@part
def tell_punching(w: Record, a: Record) -> None:
    """Tell the oracle that the operation's range is being emptied: old data or zeros may be read meanwhile."""
    for gfn in range(a["first"], min(a["end"], w["frames_n"])):
        f = frame(w, gfn)
        f["oracle"] = f["oracle"] | ORACLE_PUNCHING


@part
def tell_punched(w: Record, a: Record, zero: int) -> None:
    """Tell the oracle that the range was emptied: the copy that the flag `zero` names reads zero from now on."""
    for gfn in range(a["first"], min(a["end"], w["frames_n"])):
        f = frame(w, gfn)
        f["oracle"] = (f["oracle"] & ~ORACLE_PUNCHING) | zero
