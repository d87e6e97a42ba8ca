"""Pins of pages by devices (FOLL_PIN), each with a record of who holds it."""

from gmembench.core.jit import part
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.pool import put_page
from gmembench.core.views import Record
from gmembench.core.world import (
    CONSUMER_NONE,
    CONSUMER_PIN_LONG,
    CONSUMER_PIN_SHORT,
    PG_PINNED_LONG,
    consumer,
    page,
)


@part
def is_pin(kind: int) -> bool:
    """Whether a consumer of this kind is a pin."""
    return kind >= CONSUMER_PIN_SHORT and kind <= CONSUMER_PIN_LONG


@part
def free_consumer(w: Record) -> int:
    """A record that is not in use; -1 if there is none."""
    for i in range(w["consumers_n"]):
        if consumer(w, i)["kind"] == CONSUMER_NONE:
            return i
    return -1


@part
def find_pin(w: Record, actor: int, gfn: int) -> int:
    """The first pin that an actor has on the page behind a gfn; -1 if there is none."""
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if is_pin(c["kind"]) and c["actor"] == actor and c["gfn"] == gfn:
            return i
    return -1


@part
def mark_long(w: Record, head: int) -> None:
    """Set or clear the flag of pages that are pinned for long, from the records."""
    p = page(w, head)
    p["flags"] = p["flags"] & ~PG_PINNED_LONG
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if c["kind"] == CONSUMER_PIN_LONG and block_head(w, c["pfn"]) == head:
            p["flags"] = p["flags"] | PG_PINNED_LONG


@part
def pin_page(w: Record, record: int, kind: int, actor: int, gfn: int, pfn: int) -> None:
    """Pin a page: a reference and a pin, at the head of a huge page."""
    c, p = consumer(w, record), page(w, block_head(w, pfn))
    c["kind"] = kind
    c["actor"] = actor
    c["gfn"] = gfn
    c["pfn"] = pfn
    p["refs"] = p["refs"] + 1
    p["pins"] = p["pins"] + 1
    mark_long(w, block_head(w, pfn))


@part
def unpin_page(w: Record, record: int) -> None:
    """Let a pin go; the last reference frees the page."""
    c = consumer(w, record)
    head = block_head(w, c["pfn"])
    p = page(w, head)
    c["kind"] = CONSUMER_NONE
    p["pins"] = p["pins"] - 1
    mark_long(w, head)
    put_page(w, head)


@part
def spread_pins(w: Record, pfn: int, pages: int) -> None:
    """Give the pins of a huge page that was just split to the pages that they were meant for."""
    h = page(w, pfn)
    if h["pins"] == 0:
        return
    h["refs"] = h["refs"] - h["pins"]
    for i in range(pfn, pfn + pages):
        page(w, i)["pins"] = 0
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if is_pin(c["kind"]) and pfn <= c["pfn"] and c["pfn"] < pfn + pages:
            p = page(w, c["pfn"])
            p["refs"] = p["refs"] + 1
            p["pins"] = p["pins"] + 1
    for i in range(pfn, pfn + pages):
        mark_long(w, i)


@part
def held_for_a_while(w: Record, head: int) -> bool:
    """Whether somebody but the host PTE and pins holds a huge page: a fault in flight."""
    p = page(w, head)
    return p["refs"] != 1 + p["pins"]
