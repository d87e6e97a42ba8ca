"""Somebody else in the host who takes a free page, writes to it and gives it back."""

from gmembench.core.errno import ENOMEM
from gmembench.core.outcomes import NEXT, NOMEM
from gmembench.core.parts.pool import free_page, take_page
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import CONTENT_JUNK, PAGE_ANON, page


@step("mm", "alloc", "alloc_pages", ("nomem",))
def take(w: Record, a: Record, r: Record) -> int:
    """Take a free page."""
    a["pfn"] = take_page(w, 0)
    if a["pfn"] == 0:
        a["result"] = ENOMEM
        return NOMEM
    page(w, a["pfn"])["state"] = PAGE_ANON
    return NEXT


@step("mm", "state", "store of another process")
def write_junk(w: Record, a: Record, r: Record) -> int:
    """Write data of its own."""
    page(w, a["pfn"])["content"] = CONTENT_JUNK
    return NEXT


@step("mm", "refcount", "free_pages")
def give_back(w: Record, a: Record, r: Record) -> int:
    """Free the page."""
    free_page(w, a["pfn"])
    return NEXT
