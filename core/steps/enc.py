"""Encrypted memory behind one VMA: markers in the page table in place of mappings (David Hildenbrand's sketch, 2021).

A page of the file is mapped exactly once, so its marker in the page table is kept as a flag of the page: PG_GUEST.
"""

from gmembench.core.errno import EFAULT, EHWPOISON, SIGBUS
from gmembench.core.outcomes import ABSENT, AGAIN, NEXT, OTHER, POISONED
from gmembench.core.outcomes import GUEST_PAGE as MARKER
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, PG_GUEST, PG_POISONED, cache, frame, page, slot


@step("mm", "check", "find_vma", ("other",))
def find_vma(w: Record, a: Record, r: Record) -> int:
    """The memslot's hva must lie in the VMA of an encrypted file; find the index in that file."""
    s = slot(w, a["slot"])
    a["file"] = s["file"]
    a["error"] = EFAULT
    if s["file"] < 0:
        return OTHER
    a["index"] = a["gfn"] - s["base"] + s["pgoff"]
    return NEXT


@step("mm", "refcount", "follow_page_pte", ("absent", "poisoned"))
def read_marker(w: Record, a: Record, r: Record) -> int:
    """GUP with a flag: read the marker and take a reference to its page, under the lock of the page table."""
    pfn = cache(w, a["index"])["pfn"]
    if pfn == 0 or page(w, pfn)["flags"] & PG_GUEST == 0:
        return ABSENT
    p = page(w, pfn)
    if p["flags"] & PG_POISONED:
        a["error"] = EHWPOISON
        return POISONED
    p["refs"] = p["refs"] + 1
    a["pfn"] = pfn
    a["order"] = 0
    return NEXT


@step("mm", "state", "set_pte_at")
def set_marker(w: Record, a: Record, r: Record) -> int:
    """Put the marker of the folio into the page table, under the folio lock."""
    p = page(w, a["pfn"])
    p["flags"] = p["flags"] | PG_GUEST
    return NEXT


@step("mm", "state", "zap_pte_range")
def clear_marker(w: Record, a: Record, r: Record) -> int:
    """Take the marker of one gfn out of the page table; the page stays in the file."""
    gfn = a["gfn"]
    if gfn < w["cache_n"] and cache(w, gfn)["pfn"] != 0:
        p = page(w, cache(w, gfn)["pfn"])
        p["flags"] = p["flags"] & ~PG_GUEST
    a["gfn"] = gfn + 1
    return AGAIN if a["gfn"] < a["end"] else NEXT


@step("mm", "check", "handle_mm_fault", ("guest_page",))
def check_overlay(w: Record, a: Record, r: Record) -> int:
    """Where a gfn is private its memslot, and so its hva, is the encrypted one: whoever walks there meets a marker.

    Operand `value`: the result of that.
    """
    if frame(w, a["gfn"])["attr"] & ATTR_PRIVATE:
        a["result"] = r["value"]
        return MARKER
    return NEXT


REFUSED_USER, REFUSED_KERNEL = SIGBUS, EFAULT
"""Results of an access by the VMM's own instructions, and by GUP or KVM without the flag."""
