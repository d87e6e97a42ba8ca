"""Attributes of ranges and regions."""

from gmembench.core.jit import part
from gmembench.core.operations import PRIVATE
from gmembench.core.parts.stage2 import region_mixed, table_index
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, frame, region, slot


@part
def wanted_attr(a: Record) -> int:
    """The attribute that a conversion stores."""
    return ATTR_PRIVATE if a["flags"] & PRIVATE else 0


@part
def huge_range_to_add(w: Record, a: Record, which: int) -> int:
    """First gfn of the region cut by the request in this memslot: 0 head, 1 tail at 2M, 2 and 3 at 1G; -1 for none.

    A region that the memslot does not hold whole is never mapped huge, so it is not added.
    """
    s = slot(w, a["range_slot"])
    level = 2 + (which >> 1)
    size = 1 << (w["region_shift"] * (level - 1))
    at_tail = which & 1
    edge = a["stop"] - 1 if at_tail else a["cursor"]
    first = edge // size * size
    if at_tail and first == a["cursor"] // size * size:
        return -1
    covered = a["cursor"] <= first and first + size <= a["stop"]
    inside = s["base"] <= first and first + size <= s["base"] + s["npages"]
    if covered or not inside or region_mixed(w, level, first):
        return -1
    return first


@part
def region_is_mixed(w: Record, a: Record, level: int, first: int) -> int:
    """1 if the attributes inside the region of `level` at `first` differ; not where the conversion covers it."""
    end = min(first + (1 << (w["region_shift"] * (level - 1))), w["frames_n"])
    if a["first"] <= first and end <= a["end"]:
        return 0
    return attributes_differ(w, level, first)


@part
def attributes_differ(w: Record, level: int, first: int) -> int:
    """1 if the attributes inside the region of `level` at `first` differ; level 3 asks the flags of level 2."""
    end = min(first + (1 << (w["region_shift"] * (level - 1))), w["frames_n"])
    attr = frame(w, first)["attr"] & ATTR_PRIVATE
    if level == 2:
        for gfn in range(first + 1, end):
            if frame(w, gfn)["attr"] & ATTR_PRIVATE != attr:
                return 1
        return 0
    for gfn in range(first, end, 1 << w["region_shift"]):
        if region(w, table_index(w, 2, gfn))["mixed"] != 0 or frame(w, gfn)["attr"] & ATTR_PRIVATE != attr:
            return 1
    return 0


@part
def mark_mixed_regions(w: Record, start: int, end: int) -> None:
    """Set the flags of all regions that [start, end) touches from the attributes as they are."""
    for level in range(2, 4):
        size = 1 << (w["region_shift"] * (level - 1))
        for first in range(start // size * size, end, size):
            region(w, table_index(w, level, first))["mixed"] = attributes_differ(w, level, first)
