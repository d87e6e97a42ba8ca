"""NUMA balancing scans a private working set, and its vCPUs come back to every page of it.

The guest is private, touched, and spread over two NUMA nodes. The kernel's scanner (task_numa_work) takes its
next window and makes every host mapping in it inaccessible, which tells KVM to zap the range; then vCPUs touch
the window again. From lap to lap a window is touched from the other node, as after the scheduler has moved a
vCPU, so every hint fault asks whether the page should move. The rate is one scan for each touch of a window.

Why: the 2021 argument turned on this. A VMA design pins its private pages, the scan zaps them all the same, and
the fault must find the same page again. A file without a mapping has nothing to scan, unless one root holds
private and shared entries, which are then zapped together.
"""

from collections.abc import Mapping

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, booted, operations
from gmembench.core.operations import WRITE

NODES = 2
SPARE_GFNS = 4096
"""Host pages that are free: a page moves to another one, and 2M pages to aligned ones."""


def build(parameters: Parameters) -> Workload:
    """Boot, then scan and touch window after window."""
    gfns, window, vcpus = (int(parameters[name]) for name in ("gfns", "scan_gfns", "vcpus"))
    made = booted(parameters)
    for lap in range(int(parameters["laps"])):
        for first in range(0, gfns, window):
            pages = np.arange(first, min(first + window, gfns))
            actor = (pages // int(parameters["range_gfns"]) + lap + 1) % vcpus
            made += [
                operations("numa_zap", first, actor=vcpus, count=len(pages)),
                operations("access", pages, actor=actor, flags=WRITE),
            ]
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1, NODES, spare_gfns=SPARE_GFNS)


def unfit_settings(chosen: Mapping[str, str], parameters: Parameters) -> str | None:
    """vCPUs run on two nodes in turn."""
    return "two NUMA nodes need an even number of vCPUs" if int(parameters["vcpus"]) % NODES else None


SCENARIO = Scenario(
    name="autonuma",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "scan_gfns": 2048, "range_gfns": 512, "laps": 2, "vcpus": 4},
        "medium": {"gfns": 1 << 17, "scan_gfns": 1 << 13, "range_gfns": 512, "laps": 2, "vcpus": 8},
        "full": {"gfns": 1 << 20, "scan_gfns": 1 << 16, "range_gfns": 512, "laps": 2, "vcpus": 8},
    },
    build=build,
    needs=("numa_zap",),
    shared_memory=False,
    numa="first-touch",
    fixed={
        "punch": "no private memory becomes shared here, so nothing is left to free",
        "numa": "pages are touched from two nodes in turn, and a mapping with a policy is not scanned",
    },
    unfit_settings=unfit_settings,
)
