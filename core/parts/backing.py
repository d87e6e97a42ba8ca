"""Which page is behind a gfn, told from outside: invariants ask it, no step does."""

from gmembench.core.jit import part
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.memslots import slot_of_gfn
from gmembench.core.parts.vma import host_pfn, hpte_state
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    HPTE_MIGRATION,
    HPTE_PROTNONE,
    HPTE_RW,
    IN_GUEST,
    PAGE_FILE,
    PAGE_FREE,
    PG_GUEST,
    cache,
    frame,
    page,
    slot,
)


@part
def page_head(w: Record, pfn: int) -> int:
    """The page whose record speaks for `pfn`: the head of its huge page, or itself."""
    if w["largest_order"] == 0:
        return pfn
    return block_head(w, pfn)


@part
def file_index(w: Record, gfn: int) -> int:
    """The index in the file that the memslot of a gfn gives; the gfn's own number without a memslot."""
    found = slot_of_gfn(w, gfn)
    if found < 0:
        return gfn
    return gfn - slot(w, found)["base"] + slot(w, found)["pgoff"]


@part
def file_has(w: Record, index: int, pfn: int) -> bool:
    """Whether the file has the page at this index. A huge folio may be noted at its first index only."""
    if index < 0 or index >= w["cache_n"]:
        return False
    if cache(w, index)["pfn"] == pfn:
        return True
    head = page_head(w, pfn)
    first = index - (pfn - head)
    return head != pfn and first >= 0 and cache(w, first)["pfn"] == head


@part
def vma_has(w: Record, gfn: int, pfn: int) -> bool:
    """Whether the host page table names the page behind a gfn, accessible or not."""
    state = hpte_state(w, gfn)
    named = state in (HPTE_RW, HPTE_PROTNONE, HPTE_MIGRATION)
    return named and host_pfn(w, gfn) == pfn


@part
def backs(w: Record, gfn: int, pfn: int) -> bool:
    """Whether a page is what the file, or the VMA, has behind a gfn now."""
    state = page(w, page_head(w, pfn))["state"]
    if state == PAGE_FREE:
        return False
    if state == PAGE_FILE:
        return file_has(w, file_index(w, gfn), pfn)
    return vma_has(w, gfn, pfn)


@part
def by_page_kind(w: Record, gfn: int) -> bool:
    """Whether the page itself tells private from shared: not where one file backs both kinds of the gfn."""
    found = slot_of_gfn(w, gfn)
    return found >= 0 and slot(w, found)["gmem_only"] == 0 and w["one_copy"] == 0


@part
def changing_vma(w: Record) -> bool:
    """Whether the attribute is a flag of the VMA, and the VMA is being changed."""
    return w["cache_n"] == 0 and w["mmap_writer"] != 0


@part
def of_private_kind(w: Record, pfn: int) -> bool:
    """Whether a page is one that private memory is made of: of the file, or marked as the guest's in the VMA."""
    head = page(w, page_head(w, pfn))
    return head["state"] == PAGE_FILE or head["flags"] & PG_GUEST != 0


@part
def holds_private(w: Record, pfn: int) -> bool:
    """Whether a page holds private memory now, which the host must not touch."""
    head = page(w, page_head(w, pfn))
    if head["flags"] & PG_GUEST:
        return head["state"] != PAGE_FREE
    if head["state"] != PAGE_FILE or head["index"] >= w["frames_n"]:
        return False
    gfn = min(head["index"] + pfn - page_head(w, pfn), w["frames_n"] - 1)
    return frame(w, gfn)["attr"] & ATTR_PRIVATE != 0


@part
def guest_used(w: Record, a: Record) -> bool:
    """Whether the use that an actor just made was the guest's, and not the host's or KVM's own."""
    return a["number"] < w["vcpus"] and a["mode"] == IN_GUEST
