"""The VMA side: host page table entries of the VMM, single and huge."""

from gmembench.core.jit import part
from gmembench.core.parts.pins import spread_pins
from gmembench.core.parts.pool import account_double, split_block
from gmembench.core.parts.stage2 import region_head
from gmembench.core.views import Record
from gmembench.core.world import (
    HPTE_HUGE,
    HPTE_MIGRATION,
    HPTE_NONE,
    HPTE_STATE,
    HPTE_SWAP,
    PAGE_FILE,
    cache,
    frame,
    page,
)


@part
def hpte_gfn(w: Record, gfn: int) -> int:
    """The gfn at which the host PTE that maps the page behind `gfn` stands; -1 if there is none."""
    if frame(w, gfn)["hpte"] != 0:
        return gfn
    if w["shared_order"] != 0:
        first = region_head(w, gfn)
        if frame(w, first)["hpte"] & HPTE_HUGE:
            return first
    return -1


@part
def hpte_state(w: Record, gfn: int) -> int:
    """State of the host PTE behind a gfn: HPTE_*."""
    at = hpte_gfn(w, gfn)
    if at < 0:
        return 0
    return frame(w, at)["hpte"] & HPTE_STATE


@part
def names_page(state: int) -> bool:
    """Whether a host PTE of this state names a page: a swap or a poison entry has none."""
    return state > HPTE_NONE and state < HPTE_SWAP


@part
def host_pfn(w: Record, gfn: int) -> int:
    """The page of the VMA behind a gfn; 0 if there is none."""
    at = hpte_gfn(w, gfn)
    if at < 0 or not names_page(frame(w, at)["hpte"] & HPTE_STATE):
        return 0
    return frame(w, at)["hpfn"] + gfn - at


@part
def migrates(w: Record, gfn: int, pfn: int) -> bool:
    """Whether the host PTE of a gfn is the migration entry of this page."""
    return frame(w, gfn)["hpte"] & HPTE_STATE == HPTE_MIGRATION and frame(w, gfn)["hpfn"] == pfn


@part
def host_backed(w: Record, gfn: int) -> bool:
    """Whether the VMA holds a page of its own behind a gfn: a mapping of the file's page is no second backing."""
    pfn = host_pfn(w, gfn)
    return pfn != 0 and page(w, pfn)["state"] != PAGE_FILE


@part
def may_be_huge(w: Record, gfn: int) -> bool:
    """Whether a fault may map the region of a gfn huge: it lies inside the guest and has no page yet."""
    if w["shared_order"] == 0:
        return False
    first = region_head(w, gfn)
    end = first + (1 << w["region_shift"])
    if end > w["frames_n"]:
        return False
    for g in range(first, end):
        if frame(w, g)["hpte"] != 0:
            return False
    return True


@part
def mapped_by_another(w: Record, gfn: int, order: int) -> bool:
    """Whether a fault that allocated a page or a block finds its entry taken.

    A huge entry needs the whole region to itself (pmd_none in __do_huge_pmd_anonymous_page).
    """
    if order != 0:
        return not may_be_huge(w, gfn)
    return hpte_state(w, gfn) != HPTE_NONE


@part
def count_double(w: Record, first: int, order: int, sign: int) -> None:
    """Account gfns that are (or are no longer) backed by the VMA and by the file at once."""
    if w["cache_n"] == 0:
        return
    double = 0
    for gfn in range(first, first + (1 << order)):
        if cache(w, gfn)["pfn"] != 0:
            double += 1
    if double != 0:
        account_double(w, sign * double)


@part
def split_host_entry(w: Record, first: int) -> None:
    """Split a huge host PTE and its page into single ones: each keeps the reference of its PTE, and its own pins."""
    h = frame(w, first)
    state, pfn = h["hpte"] & HPTE_STATE, h["hpfn"]
    split_block(w, pfn, 1)
    spread_pins(w, pfn, 1 << w["region_shift"])
    for i in range(1 << w["region_shift"]):
        f = frame(w, first + i)
        f["hpte"] = state
        f["hpfn"] = pfn + i
