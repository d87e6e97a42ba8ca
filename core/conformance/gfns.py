"""Dense gfns: the gfns that a trace touches, laid side by side, so that a model needs no room for the rest.

A trace touches a few 2 MiB regions of a guest that may be a terabyte. The regions that hold a fault, a
leaf change or an end of a converted range become clusters; their gfns are numbered through in ascending
order. Where a converted range runs over untouched space, the first region of the gap stands for the whole
gap, so that a call still knows whether *some* gfn of its range changes (kvm_main.c:2621-2627 tests the
whole range).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

REGION_SHIFT = 9
"""A region is 2**9 gfns: 2 MiB, what one entry at level 2 maps."""

REGION_GFNS = 1 << REGION_SHIFT


@dataclass(frozen=True)
class DenseGfns:
    """The regions of a trace in ascending order; region k holds the dense gfns k * 512 .. k * 512 + 511.

    regions: real region numbers (gfn >> 9), ascending, without repetition.
    """

    regions: Ints

    def of(self, gfns: Ints) -> Ints:
        """Dense gfns of real ones (i8, same shape). The gfns must lie in regions of the trace."""
        rank = np.searchsorted(self.regions, gfns >> REGION_SHIFT)
        return (rank << REGION_SHIFT) | (gfns & (REGION_GFNS - 1))

    def clusters(self) -> list[tuple[int, int]]:
        """Runs of adjacent regions as (first real gfn, gfns); dense gfns count through them in this order."""
        if not len(self.regions):
            return []
        starts = np.flatnonzero(np.diff(self.regions, prepend=self.regions[0] - 2) > 1)
        ends = np.append(starts[1:], len(self.regions))
        return [
            (int(self.regions[start]) << REGION_SHIFT, int(end - start) << REGION_SHIFT)
            for start, end in zip(starts, ends, strict=True)
        ]

    def span(self, gfn: int, level: int) -> tuple[int, int]:
        """Dense gfns (first, end) that a leaf at `level` over the real gfn `gfn` maps."""
        if level == 1:
            dense = int(self.of(np.array([gfn]))[0])
            return dense, dense + 1
        shift = REGION_SHIFT * (level - 2)
        first = gfn >> REGION_SHIFT >> shift << shift
        bounds = np.searchsorted(self.regions, [first, first + (1 << shift)])
        return int(bounds[0]) << REGION_SHIFT, int(bounds[1]) << REGION_SHIFT

    def gib_starts(self) -> list[int]:
        """For each region the first dense gfn of the 1 GiB (an entry at level 3) that it lies in."""
        return [int(rank) << REGION_SHIFT for rank in np.searchsorted(self.regions, self.regions >> 9 << 9)]


def dense_gfns(touched: Ints, starts: Ints, ends: Ints) -> DenseGfns:
    """The dense gfns of a trace.

    touched: real gfns of faults and leaf changes. starts, ends: converted or punched ranges [start, end),
    none of them empty (i8, one entry a range).
    """
    edges = np.concatenate([touched, starts, ends - 1]) >> REGION_SHIFT
    regions = np.unique(edges)
    if not len(starts):
        return DenseGfns(regions)
    steps = np.zeros(len(regions), dtype=np.int64)
    np.add.at(steps, np.searchsorted(regions, starts >> REGION_SHIFT), 1)
    np.add.at(steps, np.searchsorted(regions, (ends - 1) >> REGION_SHIFT), -1)
    covered = np.cumsum(steps)[:-1] > 0
    gaps = regions[:-1][covered & (np.diff(regions) > 1)] + 1
    return DenseGfns(np.union1d(regions, gaps))
