"""A guest boots: all of its memory becomes private, then its vCPUs touch every page for the first time.

Each vCPU writes to its own stripe of 2 MiB in turn, as a kernel that initialises memory in parallel.
"""

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, operations
from gmembench.core.operations import PRIVATE, WRITE

STRIPE_GFNS = 512


def build(parameters: Parameters) -> Workload:
    """Convert the whole guest to private, then write to every gfn once."""
    gfns, vcpus = int(parameters["gfns"]), int(parameters["vcpus"])
    order = np.arange(gfns)
    actor = order // STRIPE_GFNS % vcpus
    made = (
        operations("convert", 0, actor=vcpus, count=gfns, flags=PRIVATE),
        operations("access", order, actor=actor, flags=WRITE),
    )
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1)


SCENARIO = Scenario(
    name="boot-populate",
    doc=(__doc__ or "").strip(),
    sizes={"small": {"gfns": 1 << 16, "vcpus": 2}, "full": {"gfns": 1 << 20, "vcpus": 8}},
    build=build,
    shared_memory=False,
)
