"""Pins of pages behind the VMM's mapping: devices, vhost, io_uring (gup.c: pin_user_pages, unpin_user_pages)."""

from gmembench.core.errno import EINVAL, ENOMEM
from gmembench.core.operations import LONG, WRITE
from gmembench.core.outcomes import AGAIN, MIGRATING, NEXT, NOMEM, NONE
from gmembench.core.parts.access import read_content, write_content
from gmembench.core.parts.pins import find_pin, free_consumer, is_pin, pin_page, unpin_page
from gmembench.core.parts.vma import host_pfn
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    CONSUMER_PIN_LONG,
    CONSUMER_PIN_SHORT,
    CONTENT_JUNK,
    PG_MOVABLE,
    cache,
    consumer,
    page,
)

SHORT_ALWAYS = 1
"""Operand `value` of pin.take: the pin is short whatever was asked for (a bug, not the kernel's rule)."""

OF_ACTOR, OF_VM = 0, 1
"""Operand `kind` of pin.take: who pins. The VM's pins are long, and have the number after the last actor's."""


@step("vmm", "alloc", "pin_user_pages", ("nomem",))
def reserve(w: Record, a: Record, r: Record) -> int:
    """Have a record for the next pin."""
    if free_consumer(w) < 0:
        a["result"] = ENOMEM
        return NOMEM
    return NEXT


@step("mm", "refcount", "try_grab_folio", ("nomem",))
def take(w: Record, a: Record, r: Record) -> int:
    """Pin the page that the host maps; look again if it went since the walk: both are one under the PTE's lock."""
    if host_pfn(w, a["gfn"]) == 0:
        return AGAIN
    record = free_consumer(w)
    if record < 0:
        a["result"] = ENOMEM
        return NOMEM
    long = a["flags"] & LONG != 0 or r["kind"] == OF_VM
    kind = CONSUMER_PIN_LONG if long and r["value"] != SHORT_ALWAYS else CONSUMER_PIN_SHORT
    owner = w["actors_n"] if r["kind"] == OF_VM else a["number"]
    a["pfn"] = host_pfn(w, a["gfn"])
    pin_page(w, record, kind, owner, a["gfn"], a["pfn"])
    a["cursor"] = record
    return NEXT


@step("mm", "check", "check_and_migrate_movable_folios", ("migrating",))
def check_movable(w: Record, a: Record, r: Record) -> int:
    """A page that is to be pinned for long must not stay in a movable zone. Huge pages do not move in the model."""
    p = page(w, a["pfn"])
    if consumer(w, a["cursor"])["kind"] == CONSUMER_PIN_LONG and p["flags"] & PG_MOVABLE and p["order"] == 0:
        return MIGRATING
    return NEXT


@step("vmm", "state", "pin_user_pages")
def next_gfn(w: Record, a: Record, r: Record) -> int:
    """Go on with the next gfn of the range."""
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return NEXT


@step("mm", "refcount", "unpin_user_page")
def drop(w: Record, a: Record, r: Record) -> int:
    """Let the pin in hand go; the last reference frees the page."""
    unpin_page(w, a["cursor"])
    return NEXT


@step("mm", "check", "migrate_longterm_unpinnable_folios")
def not_moved(w: Record, a: Record, r: Record) -> int:
    """The page cannot leave the movable zone: the pin fails."""
    a["result"] = ENOMEM
    return NEXT


@step("vmm", "check", "unpin_user_pages", ("none",))
def find(w: Record, a: Record, r: Record) -> int:
    """Find this actor's pin of the next gfn."""
    a["cursor"] = find_pin(w, a["number"], a["gfn"])
    a["gfn"] += 1
    if a["cursor"] < 0:
        return NONE
    a["pfn"] = consumer(w, a["cursor"])["pfn"]
    a["done"] += 1
    return NEXT


@step("vmm", "state", "DMA of a device")
def dma(w: Record, a: Record, r: Record) -> int:
    """With the flag WRITE the device writes to the pinned page, whatever the page is used for by now.

    A page that no longer backs the gfn takes the data all the same; nobody reads them as the gfn's.
    """
    if a["flags"] & WRITE == 0:
        return NEXT
    gfn = a["gfn"] - 1
    if host_pfn(w, gfn) != a["pfn"] and (gfn >= w["cache_n"] or cache(w, gfn)["pfn"] != a["pfn"]):
        page(w, a["pfn"])["content"] = CONTENT_JUNK
        return NEXT
    a["gfn"] = gfn
    write_content(w, a)
    read_content(w, a)
    a["gfn"] = gfn + 1
    a["used"] = 2
    return NEXT


@step("vmm", "state", "unpin_user_pages")
def next_unpin(w: Record, a: Record, r: Record) -> int:
    """Go on with the next gfn; a range without any pin is the caller's mistake."""
    if a["gfn"] < a["end"]:
        return AGAIN
    if a["done"] == 0:
        a["result"] = EINVAL
    return NEXT


@step("mm", "refcount", "exit_files")
def release_all(w: Record, a: Record, r: Record) -> int:
    """The VMM's device files go with it, and with them its pins."""
    for i in range(w["consumers_n"]):
        if is_pin(consumer(w, i)["kind"]):
            unpin_page(w, i)
            return AGAIN
    w["region_first"] = 0
    w["region_end"] = 0
    return NEXT
