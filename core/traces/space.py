"""The guest-physical space of a trace made dense: only 2 MiB regions that are touched become gfns of the world."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmembench.core.errors import UserError

Numbers = npt.NDArray[np.int64]

REGION_GFNS = 512
"""gfns of 2 MiB."""

MOST_GFNS = 1 << 26
"""A world of more gfns than this (256 GiB of guest memory) is refused."""


@dataclass(frozen=True)
class Space:
    """Slots: i8 arrays of one length, ascending; `first` guest gfn, `count` of gfns, first `world` gfn."""

    first: Numbers
    count: Numbers
    world: Numbers

    def slots(self) -> list[tuple[int, int, int]]:
        """(first guest gfn, gfns, first world gfn) of each slot."""
        return list(zip(self.first.tolist(), self.count.tolist(), self.world.tolist(), strict=True))

    def slots_met(self, begin: Numbers, end: Numbers) -> tuple[Numbers, Numbers]:
        """For ranges [begin, end) of guest gfns: the first slot each meets, and the slot after the last."""
        first = np.searchsorted(self.first + self.count, begin, side="right")
        last = np.searchsorted(self.first, end, side="left")
        return first.astype(np.int64), np.where(end > begin, last, first).astype(np.int64)


def touched_space(ranges: npt.NDArray[np.void], path: str) -> Space:
    """The space that the operations `ranges` touch (OPERATION, guest gfns), rounded to 2 MiB regions.

    Raises UserError for more than MOST_GFNS. No region is listed one by one, so a huge range costs nothing.
    """
    some = ranges[ranges["count"] > 0]
    begin = some["gfn"] // REGION_GFNS
    end = (some["gfn"] + some["count"] - 1) // REGION_GFNS + 1
    first, last = _union(begin, end)
    count = (last - first) * REGION_GFNS
    total = int(count.sum(dtype=np.float64))
    if total > MOST_GFNS:
        what = f"touches {total} gfns in 2 MiB regions, at most {MOST_GFNS} fit"
        raise UserError(what, path, "cut the trace to fewer, or record kvm_page_fault too")
    return Space(first * REGION_GFNS, count, np.cumsum(count) - count)


def _union(begin: Numbers, end: Numbers) -> tuple[Numbers, Numbers]:
    """The union of ranges [begin, end): its parts, ascending, adjacent ones joined."""
    order = np.argsort(begin, kind="stable")
    begin, reach = begin[order], np.maximum.accumulate(end[order])
    starts = np.flatnonzero(np.append(True, begin[1:] > reach[:-1])) if begin.size else np.zeros(0, dtype=np.int64)
    stops = np.append(starts[1:], begin.size) - 1 if begin.size else starts
    return begin[starts], reach[stops]
