"""The VMA side: host page table entries of the VMM, single and huge."""

from gmembench.core.jit import part
from gmembench.core.parts.stage2 import region_head
from gmembench.core.views import Record
from gmembench.core.world import HPTE_HUGE, HPTE_STATE, frame


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
    """State of the host PTE behind a gfn: HPTE_NONE, HPTE_RW, HPTE_PROTNONE or HPTE_MIGRATION."""
    at = hpte_gfn(w, gfn)
    if at < 0:
        return 0
    return frame(w, at)["hpte"] & HPTE_STATE


@part
def host_pfn(w: Record, gfn: int) -> int:
    """The page of the VMA behind a gfn; 0 if there is none."""
    at = hpte_gfn(w, gfn)
    if at < 0:
        return 0
    return frame(w, at)["hpfn"] + gfn - at


@part
def host_backed(w: Record, gfn: int) -> bool:
    """Whether the VMA holds a page behind a gfn."""
    return hpte_gfn(w, gfn) >= 0
