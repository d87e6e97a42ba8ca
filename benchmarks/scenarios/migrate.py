"""Pages of a guest move between two NUMA nodes, and vCPUs of the target node use them.

The guest is all private (variant `private`) or all shared (`shared`). Each lap the kernel migrates range after
range to the other node (move_pages, compaction), and a vCPU that runs there writes every page.

Why: memory policy and compaction need pages that can move. A pinned page cannot, a file may refuse, and hardware
that owns a page must be asked. `count.result.migrate.*` says how the migrations ended; the steps say what a
refused one costs.
"""

from collections.abc import Mapping

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, converted, operations, touched
from gmembench.core.operations import PRIVATE, WRITE

NODES = 2
SPARE_GFNS = 4096
"""Host pages that are free: a page moves to another one, and 2M pages to aligned ones."""


def build(parameters: Parameters) -> Workload:
    """Touch the guest, then move it to and fro. vCPUs are an even number: vCPU i runs on node i modulo 2."""
    gfns, piece, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    kind = PRIVATE if parameters["side"] == "private" else 0
    made = [converted(0, gfns, parameters, actor=vcpus, flags=kind), touched(0, gfns, vcpus, piece)]
    for lap in range(int(parameters["laps"])):
        for number, first in enumerate(range(0, gfns, piece)):
            node = (number + lap + 1) % NODES  # stripes were touched by vCPUs of alternating nodes
            vcpu = (number * NODES + node) % vcpus
            made += [
                operations("migrate", first, actor=vcpus, count=piece, slot=node),
                operations("access", np.arange(first, first + piece), actor=vcpu, flags=WRITE),
            ]
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1, NODES, spare_gfns=SPARE_GFNS)


def unfit_settings(chosen: Mapping[str, str], parameters: Parameters) -> str | None:
    """vCPUs run on two nodes in turn."""
    return "two NUMA nodes need an even number of vCPUs" if int(parameters["vcpus"]) % NODES else None


SCENARIO = Scenario(
    name="migrate",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 12, "range_gfns": 512, "laps": 2, "vcpus": 2},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "laps": 2, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "laps": 2, "vcpus": 8},
    },
    build=build,
    needs=("migrate",),
    numa="first-touch",
    fixed={
        "punch": "no private memory becomes shared here, so nothing is left to free",
        "numa": "pages are moved to and fro between two nodes, whatever a policy says",
    },
    unfit_settings=unfit_settings,
    variants={"private": {"side": "private", "shared_memory": 0}, "shared": {"side": "shared"}},
)
