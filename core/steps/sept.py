"""SEAMCALLs and TDCALLs on the secure EPT, which only the TDX module writes (tdx.c:303-320, 1700-1845).

A SEAMCALL that finds one of the module's own locks taken says busy; one that is used against the rules is refused.
"""

from gmembench.core.outcomes import ABSENT, BUSY, NEXT, PENDING, REFUSED
from gmembench.core.parts.pool import zero_pages
from gmembench.core.parts.sept import EPOCHS, give_back, inside, tracked, tree_locked
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    HW_OWNED,
    IN_GUEST,
    SEPT_BLOCKED,
    SEPT_FREE,
    SEPT_MAPPED,
    SEPT_PENDING,
    SEPT_PENDING_BLOCKED,
    actor,
    page,
    sept,
)


@step("hardware", "hw-op", "tdh_mem_page_aug", ("busy", "refused"))
def aug(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.PAGE.AUG: give a page to the TD at a free entry; the guest must accept it before use."""
    s, p = sept(w, a["gfn"]), page(w, a["pfn"])
    if tree_locked(w):
        return BUSY
    if s["state"] != SEPT_FREE or p["hw"] & HW_OWNED:
        return REFUSED
    s["pfn"] = a["pfn"]
    s["state"] = SEPT_PENDING
    p["hw"] = HW_OWNED
    return NEXT


@step("guest", "hw-op", "TDG.MEM.PAGE.ACCEPT", ("absent",))
def accept(w: Record, a: Record, r: Record) -> int:
    """The guest accepts a pending page, which fills it with zeros; without such an entry that is a fault."""
    s = sept(w, a["gfn"])
    if a["mode"] != IN_GUEST:
        return ABSENT
    if s["state"] == SEPT_PENDING:
        s["state"] = SEPT_MAPPED
        zero_pages(w, s["pfn"], 0)
        return NEXT
    return NEXT if s["state"] == SEPT_MAPPED else ABSENT


@step("hardware", "hw-op", "tdh_mem_range_block", ("busy", "refused"))
def block(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.RANGE.BLOCK: no new translation of the gfn at the cursor; note the epoch. Takes the tree lock."""
    s = sept(w, a["cursor"])
    if tree_locked(w):
        return BUSY
    if s["state"] == SEPT_MAPPED:
        s["state"] = SEPT_BLOCKED
    elif s["state"] == SEPT_PENDING:
        s["state"] = SEPT_PENDING_BLOCKED
    else:
        return REFUSED
    s["epoch"] = w["tdx_epoch"] % EPOCHS
    return NEXT


@step("hardware", "hw-op", "tdh_mem_track", ("busy", "refused"))
def track(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.TRACK: begin a new TD epoch. Refused while a vCPU of the epoch before this one is in the guest."""
    for i in range(w["vcpus"]):
        v = actor(w, i)
        if inside(v) and v["entered_epoch"] < w["tdx_epoch"]:
            return REFUSED
    w["tdx_epoch"] += 1
    return NEXT


@step("hardware", "hw-op", "tdh_mem_page_remove", ("busy", "refused"))
def remove(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.PAGE.REMOVE: take the page at the cursor out of the TD. Its content is lost. Needs BLOCK and TRACK."""
    gfn = a["cursor"]
    s = sept(w, gfn)
    if tree_locked(w):
        return BUSY
    if (s["state"] != SEPT_BLOCKED and s["state"] != SEPT_PENDING_BLOCKED) or not tracked(w, gfn):
        return REFUSED
    a["old_pfn"] = s["pfn"]
    give_back(w, gfn)
    return NEXT


@step("hardware", "hw-op", "tdh_mem_range_unblock", ("pending", "busy", "refused"))
def unblock(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.RANGE.UNBLOCK: let the faulting gfn be translated again, content kept. Pending: TRACK is not done."""
    s = sept(w, a["gfn"])
    if tree_locked(w):
        return BUSY
    if s["state"] != SEPT_BLOCKED and s["state"] != SEPT_PENDING_BLOCKED:
        return REFUSED
    if not tracked(w, a["gfn"]):
        return PENDING
    s["state"] = SEPT_MAPPED if s["state"] == SEPT_BLOCKED else SEPT_PENDING
    return NEXT
