"""get_user_pages: the page behind a shared gfn (kvm_main.c:2910-3087, gup.c:818, memory.c:6289-6378)."""

from gmembench.core.errno import ENOMEM, SIGBUS
from gmembench.core.outcomes import (
    ABSENT,
    AGAIN,
    HIT,
    MIGRATING,
    NEXT,
    NOMEM,
    NONE,
    OTHER,
    POISONED,
    PROTNONE,
    SWAPPED,
)
from gmembench.core.parts.content import packed_content, unpack_content
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.policy import node_of
from gmembench.core.parts.pool import account_shared, put_page, take_page, zero_pages
from gmembench.core.parts.stage2 import region_head
from gmembench.core.parts.vma import count_double, host_pfn, hpte_state, mapped_by_another, may_be_huge
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    HPTE_HUGE,
    HPTE_MIGRATION,
    HPTE_NONE,
    HPTE_POISON,
    HPTE_PROTNONE,
    HPTE_RW,
    HPTE_SWAP,
    PAGE_ANON,
    PG_MOVABLE,
    frame,
    page,
)


@step("mm", "check", "get_user_page_fast_only", ("hit",))
def fast(w: Record, a: Record, r: Record) -> int:
    """Without mmap_lock, take a reference to the page if the host maps it; a NUMA hint is no hit."""
    if hpte_state(w, a["gfn"]) != HPTE_RW:
        return NEXT
    a["pfn"] = host_pfn(w, a["gfn"])
    h = page(w, block_head(w, a["pfn"]))
    h["refs"] = h["refs"] + 1
    a["order"] = h["order"]
    return HIT


@step("mm", "check", "find_vma", ("none",))
def find_vma(w: Record, a: Record, r: Record) -> int:
    """Find the VMA. The VMM maps all of its memory, so there is one inside the guest."""
    if a["gfn"] >= w["frames_n"]:
        return NONE
    return NEXT


@step("mm", "check", "follow_page_pte", ("absent", "protnone", "migrating", "other"))
def walk(w: Record, a: Record, r: Record) -> int:
    """Walk the host page table. Other: a swap or a poison entry."""
    state = hpte_state(w, a["gfn"])
    if state == HPTE_NONE:
        return ABSENT
    if state == HPTE_PROTNONE:
        return PROTNONE
    if state == HPTE_MIGRATION:
        return MIGRATING
    if state >= HPTE_SWAP:
        return OTHER
    return NEXT


@step("mm", "check", "do_swap_page", ("swapped", "poisoned"))
def read_entry(w: Record, a: Record, r: Record) -> int:
    """Read an entry that names no page. A poisoned one is answered with SIGBUS, or with operand `value`."""
    state = hpte_state(w, a["gfn"])
    if state == HPTE_SWAP:
        a["old_bits"] = frame(w, a["gfn"])["hpfn"]
        return SWAPPED
    if state == HPTE_POISON:
        a["error"] = r["value"] if r["value"] != 0 else SIGBUS
        a["result"] = a["error"]
        return POISONED
    return NEXT


@step("mm", "state", "swap_read_folio")
def swap_in(w: Record, a: Record, r: Record) -> int:
    """Read the swap slot into the new page."""
    unpack_content(w, a["pfn"], a["gfn"], a["old_bits"])
    return NEXT


@step("mm", "state", "do_swap_page")
def set_swapped_pte(w: Record, a: Record, r: Record) -> int:
    """Map the page if the entry is the same that was read, else let it go."""
    f = frame(w, a["gfn"])
    if f["hpte"] != HPTE_SWAP or f["hpfn"] != packed_content(w, a["pfn"]):
        put_page(w, a["pfn"])
        return NEXT
    f["hpfn"] = a["pfn"]
    f["hpte"] = HPTE_RW
    page(w, a["pfn"])["index"] = a["gfn"]
    account_shared(w, 1)
    count_double(w, a["gfn"], 0, 1)
    return NEXT


@step("mm", "refcount", "try_grab_folio")
def take_ref(w: Record, a: Record, r: Record) -> int:
    """Take a reference to the page; look again if it went since the walk: both are one under the PTE's lock.

    It went too if it is about to move: a migration entry gives no page.
    """
    if host_pfn(w, a["gfn"]) == 0 or hpte_state(w, a["gfn"]) == HPTE_MIGRATION:
        return AGAIN
    a["pfn"] = host_pfn(w, a["gfn"])
    h = page(w, block_head(w, a["pfn"]))
    h["refs"] = h["refs"] + 1
    a["order"] = h["order"]
    return NEXT


@step("mm", "alloc", "do_anonymous_page", ("nomem",))
def alloc(w: Record, a: Record, r: Record) -> int:
    """Allocate a page, or a huge one where the region is empty and the VMA allows it.

    Without memory the VMM's own call fails with ENOMEM, but a guest fault with EFAULT: all that KVM learns
    is that get_user_pages failed (kvm_handle_error_pfn).
    """
    order = w["shared_order"] if may_be_huge(w, a["gfn"]) else 0
    pfn = take_page(w, order)
    if pfn == 0 and order != 0:
        order = 0
        pfn = take_page(w, 0)
    if pfn == 0:
        a["result"] = ENOMEM
        return NOMEM
    p = page(w, pfn)
    p["state"] = PAGE_ANON
    p["refs"] = 1
    p["node"] = node_of(w, a, a["gfn"])
    if w["movable"] != 0:
        p["flags"] = PG_MOVABLE
    a["pfn"] = pfn
    a["order"] = order
    return NEXT


@step("mm", "zero", "clear_huge_page")
def zero(w: Record, a: Record, r: Record) -> int:
    """Clear what was allocated."""
    zero_pages(w, a["pfn"], a["order"])
    return NEXT


@step("mm", "state", "set_pte_at")
def set_pte(w: Record, a: Record, r: Record) -> int:
    """Map the page in the host page table, unless another thread was faster: for a huge one, anywhere in the region."""
    if mapped_by_another(w, a["gfn"], a["order"]):
        put_page(w, a["pfn"])
        return NEXT
    first = region_head(w, a["gfn"]) if a["order"] != 0 else a["gfn"]
    f = frame(w, first)
    f["hpfn"] = a["pfn"]
    f["hpte"] = HPTE_RW | HPTE_HUGE if a["order"] != 0 else HPTE_RW
    page(w, a["pfn"])["index"] = first
    account_shared(w, 1 << a["order"])
    count_double(w, first, a["order"], 1)
    return NEXT


@step("mm", "state", "populate_vma_page_range")
def next_gfn(w: Record, a: Record, r: Record) -> int:
    """Go on with the next gfn of the range that is populated."""
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return NEXT
