"""A guest boots: all of its memory becomes private, then its vCPUs touch every page for the first time.

Each vCPU writes to its own stripe of 2 MiB in turn, as a kernel that initialises memory in parallel.

Why: the plain cost of a fault, and of zeroing, without anything in its way.
"""

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, booted


def build(parameters: Parameters) -> Workload:
    """Convert the whole guest to private, then write to every gfn once."""
    gfns, vcpus = int(parameters["gfns"]), int(parameters["vcpus"])
    return Workload(np.concatenate(booted(parameters)), gfns, ((0, gfns),), vcpus, 1)


SCENARIO = Scenario(
    name="boot-populate",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 16, "range_gfns": 512, "vcpus": 2},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "vcpus": 8},
    },
    build=build,
    shared_memory=False,
    fixed={"punch": "no private memory becomes shared here, so nothing is left to free"},
)
