"""The owner table of SNP: RMPUPDATE, PSMASH, PVALIDATE (arch/x86/virt/svm/sev.c; sev.c: sev_gmem_prepare)."""

from gmembench.core.jit import part
from gmembench.core.outcomes import ABSENT, HIT, NEXT, NONE, REFUSED
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.pool import zero_pages
from gmembench.core.parts.rmp import entry_first, entry_pages, folio_pages, share_page, some_assigned, unassigned_region
from gmembench.core.parts.stage2 import translate_pfn
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import HW_HUGE, HW_OWNED, HW_VALIDATED, IN_GUEST, PG_KEY_DIRTY, PG_UPTODATE, page

ONE_PAGE, WHOLE_FOLIO = 0, 1
"""Operand `value`: how much is taken back at once."""


@part
def taken_back(w: Record, a: Record, r: Record) -> int:
    """How many pages a row takes back, by its operand `value`."""
    return folio_pages(w, a["pfn"]) if r["value"] == WHOLE_FOLIO else 1


@step("hardware", "check", "snp_lookup_rmpentry", ("none", "hit"))
def lookup(w: Record, a: Record, r: Record) -> int:
    """Look the page up. None: it is the host's. Hit: its entry covers no more than is asked for. Else it covers 2M.

    Of a folio that is taken back whole each page is looked up: 4K parts of it may have been given one by one.
    """
    p = page(w, a["pfn"])
    if p["hw"] & HW_OWNED == 0:
        return HIT if r["value"] == WHOLE_FOLIO and some_assigned(w, a["pfn"]) else NONE
    if p["hw"] & HW_HUGE and not (r["value"] == WHOLE_FOLIO and p["order"] >= w["region_shift"]):
        return NEXT
    return HIT


@step("hardware", "hw-op", "rmp_make_private", ("overlap", "refused"))
def assign(w: Record, a: Record, r: Record) -> int:
    """RMPUPDATE: give the page to the guest, not validated; by 2M if the folio is as large and none of it is given.

    A page whose data is not complete yet is part of the launch: the firmware measures and validates it.
    """
    head = block_head(w, a["pfn"])
    if page(w, head)["order"] >= w["region_shift"] and unassigned_region(w, a["pfn"]):
        owner, count = HW_OWNED | HW_HUGE, 1 << w["region_shift"]
        first = a["pfn"] >> w["region_shift"] << w["region_shift"]
    else:
        owner, count, first = HW_OWNED, 1, a["pfn"]
    if page(w, head)["flags"] & PG_UPTODATE == 0:
        owner = owner | HW_VALIDATED
    for pfn in range(first, first + count):
        page(w, pfn)["hw"] = owner
    return NEXT


@step("hardware", "hw-op", "rmp_make_shared", ("overlap", "refused"))
def share(w: Record, a: Record, r: Record) -> int:
    """RMPUPDATE: take the folio, or a page of it, back from the guest. Refused for a part of what one entry covers."""
    pages = taken_back(w, a, r)
    if page(w, a["pfn"])["hw"] & HW_HUGE and pages < entry_pages(w, a["pfn"]):
        return REFUSED
    for pfn in range(a["pfn"], a["pfn"] + pages):
        share_page(w, pfn)
    return NEXT


@step("hardware", "hw-op", "psmash", ("busy", "refused"))
def psmash(w: Record, a: Record, r: Record) -> int:
    """PSMASH: split an entry of 2M into entries of 4K. Refused if there is no such entry (any more)."""
    if page(w, a["pfn"])["hw"] & HW_HUGE == 0:
        return REFUSED
    first, count = entry_first(w, a["pfn"]), entry_pages(w, a["pfn"])
    for pfn in range(first, first + count):
        page(w, pfn)["hw"] = page(w, pfn)["hw"] & ~HW_HUGE
    return NEXT


@step("hardware", "hw-op", "clflush_cache_range")
def clflush(w: Record, a: Record, r: Record) -> int:
    """Write the folio's cache lines back and drop them: they hold data under the guest's key."""
    for pfn in range(a["pfn"], a["pfn"] + taken_back(w, a, r)):
        page(w, pfn)["flags"] = page(w, pfn)["flags"] & ~PG_KEY_DIRTY
    return NEXT


@step("guest", "hw-op", "PVALIDATE", ("absent",))
def pvalidate(w: Record, a: Record, r: Record) -> int:
    """The guest validates what one entry covers, and clears it: a new page holds nothing of use to it."""
    if a["mode"] != IN_GUEST or a["root"] < 0:
        return ABSENT
    pfn = translate_pfn(w, a["gfn"], a["root"])
    if pfn == 0 or page(w, pfn)["hw"] & HW_OWNED == 0:
        return ABSENT
    first, count = entry_first(w, pfn), entry_pages(w, pfn)
    for i in range(first, first + count):
        if page(w, i)["hw"] & HW_VALIDATED == 0:
            page(w, i)["hw"] = page(w, i)["hw"] | HW_VALIDATED
            zero_pages(w, i, 0)
    return NEXT
