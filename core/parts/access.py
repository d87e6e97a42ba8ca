"""Reading and writing what a page holds, and the oracle that remembers what was written."""

from gmembench.core.jit import part
from gmembench.core.parts.huge import backing_state
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    CONTENT_DATA,
    HARDWARE_NONE,
    ORACLE_DATA_PRIVATE,
    ORACLE_DATA_SHARED,
    ORACLE_JUNK,
    ORACLE_RACED_PRIVATE,
    ORACLE_RACED_SHARED,
    ORACLE_ZERO_PRIVATE,
    ORACLE_ZERO_SHARED,
    PAGE_FILE,
    PG_GUEST,
    frame,
    page,
)


@part
def of_private_copy(w: Record, gfn: int, pfn: int) -> bool:
    """Whether a page is of the gfn's private copy. Where a gfn has one copy, it counts as the shared one."""
    if w["one_copy"] != 0 or frame(w, gfn)["attr"] & ATTR_PRIVATE == 0:
        return False
    return backing_state(w, pfn) == PAGE_FILE or page(w, pfn)["flags"] & PG_GUEST != 0


@part
def write_content(w: Record, a: Record) -> None:
    """Write data of generation + 1 of this gfn to the actor's page, and tell the oracle which copy it was."""
    f = frame(w, a["gfn"])
    p = page(w, a["pfn"])
    if of_private_copy(w, a["gfn"], a["pfn"]):
        generation = (f["gen_private"] + 1) & 0xFF
        f["gen_private"] = generation
        f["oracle"] = f["oracle"] & ~ORACLE_ZERO_PRIVATE | ORACLE_DATA_PRIVATE
        if f["punches"] != 0:
            f["oracle"] = f["oracle"] | ORACLE_RACED_PRIVATE
    else:
        generation = (f["gen_shared"] + 1) & 0xFF
        f["gen_shared"] = generation
        f["oracle"] = f["oracle"] & ~(ORACLE_ZERO_SHARED | ORACLE_JUNK) | ORACLE_DATA_SHARED
        if f["punches"] != 0:
            f["oracle"] = f["oracle"] | ORACLE_RACED_SHARED
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
        f["punches"] = f["punches"] + 1


@part
def tell_emptied(w: Record, gfn: int, zero: int) -> None:
    """Tell the oracle that the copy of a gfn that the flag `zero` names reads zero from now on.

    Not if it was written since the request was made: then the data may have come after it.
    """
    f = frame(w, gfn)
    if zero == ORACLE_ZERO_PRIVATE:
        data, raced = ORACLE_DATA_PRIVATE, ORACLE_RACED_PRIVATE
    else:
        data, raced = ORACLE_DATA_SHARED, ORACLE_RACED_SHARED
    if f["oracle"] & raced == 0:
        f["oracle"] = f["oracle"] & ~data & ~ORACLE_JUNK
    f["oracle"] = f["oracle"] | zero


@part
def tell_rekeyed(w: Record, gfn: int) -> None:
    """Tell the oracle that the only page of a gfn changes hands: on encrypted hardware nobody can read it as it was."""
    f = frame(w, gfn)
    if w["hardware"] != HARDWARE_NONE:
        f["oracle"] = f["oracle"] | ORACLE_ZERO_SHARED | ORACLE_JUNK


@part
def tell_left_td(w: Record, gfn: int) -> None:
    """Tell the oracle that a private page of a gfn left the TD: mapped anew it reads zero."""
    f = frame(w, gfn)
    if w["one_copy"] == 0:
        f["oracle"] = f["oracle"] | ORACLE_ZERO_PRIVATE
    elif f["attr"] & ATTR_PRIVATE:
        f["oracle"] = f["oracle"] | ORACLE_ZERO_SHARED


@part
def tell_punched(w: Record, a: Record, zero: int) -> None:
    """Tell the oracle that the range was emptied: the copy that the flag `zero` names reads zero from now on."""
    tell_punched_until(w, a, a["end"], zero)


@part
def tell_punched_until(w: Record, a: Record, end: int, zero: int) -> None:
    """Tell the oracle that a request is over, and that the range was emptied up to a gfn."""
    for gfn in range(a["first"], min(a["end"], w["frames_n"])):
        if gfn < end:
            tell_emptied(w, gfn, zero)
        f = frame(w, gfn)
        if f["punches"] != 0:
            f["punches"] = f["punches"] - 1
        if f["punches"] == 0:
            f["oracle"] = f["oracle"] & ~(ORACLE_RACED_PRIVATE | ORACLE_RACED_SHARED)
