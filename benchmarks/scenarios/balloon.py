"""A balloon takes half of a private guest's memory and gives it back, again and again.

Each lap the VMM frees the upper half of the guest range by range (a hole punch, or MADV_DONTNEED where memory
stays in a VMA), the vCPUs go on using the lower half, and then touch what was taken.

Why: returning memory is the one thing that everyone wants of a backing. The curve of backing shows whether a
design really returns it, and the faults show what it costs to have it back.
"""

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, booted, operations, touched


def build(parameters: Parameters) -> Workload:
    """Boot, then inflate and deflate."""
    gfns, piece, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    half = gfns // 2 // piece * piece
    made = booted(parameters)
    for _ in range(int(parameters["laps"])):
        made += [
            operations("punch", np.arange(gfns - half, gfns, piece), actor=vcpus, count=piece),
            touched(0, gfns - half, vcpus, piece),
            touched(gfns - half, half, vcpus, piece),
        ]
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1)


SCENARIO = Scenario(
    name="balloon",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "range_gfns": 512, "laps": 2, "vcpus": 2},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "laps": 2, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "laps": 4, "vcpus": 8},
    },
    build=build,
    needs=("punch",),
    shared_memory=False,
    fixed={"punch": "punching is what a balloon does: nothing becomes shared that would be left to free"},
)
