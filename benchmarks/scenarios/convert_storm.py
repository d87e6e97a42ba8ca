"""Every vCPU converts memory back and forth, a page here and a region there.

Each turn a vCPU shares a range of its own part of the guest, writes its first page, takes the range back and
writes the page again. Ranges are 1, 8, 64 and 512 gfns (4K to 2M) in turn. Each vCPU has a host thread that does
its conversions, as the thread of the vCPU does in a VMM. Nothing is punched.

Why: a conversion costs something once and something for each page. Ranges of four sizes show both, and many
small ones are what a guest without a pool of shared buffers does.
"""

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, booted, in_turn, operations
from gmembench.core.operations import PRIVATE, WRITE

DIVISORS = (512, 64, 8, 1)
"""A range is a region of `range_gfns` divided by one of these."""


def build(parameters: Parameters) -> Workload:
    """Boot, then `turns` conversions to shared and back."""
    gfns, region, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    turn = np.arange(int(parameters["turns"]))
    vcpu, own = turn % vcpus, turn // vcpus
    size = np.maximum(1, region // np.array(DIVISORS))[own % len(DIVISORS)]
    regions = gfns // vcpus // region  # of each vCPU
    place = own // len(DIVISORS)  # walks through the vCPU's regions, and inside them
    first = (vcpu * regions + place % regions) * region + place // regions * size % region
    storm = in_turn(
        operations("convert", first, actor=vcpus + vcpu, count=size),
        operations("access", first, actor=vcpu, flags=WRITE),
        operations("convert", first, actor=vcpus + vcpu, count=size, flags=PRIVATE),
        operations("access", first, actor=vcpu, flags=WRITE),
    )
    return Workload(np.concatenate([*booted(gfns, vcpus, region), storm]), gfns, ((0, gfns),), vcpus, vcpus)


SCENARIO = Scenario(
    name="convert-storm",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "range_gfns": 512, "turns": 512, "vcpus": 4},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "turns": 1 << 16, "vcpus": 8},
    },
    build=build,
    needs=("convert",),
)
