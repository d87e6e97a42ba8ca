"""A guest does I/O through a ring of buffers that it shares with the VMM and takes back.

Each turn takes the next range of the ring: the guest shares it, writes to it, the VMM reads it, and
the guest makes it private again and uses it. When a range becomes shared, the VMM frees its private
pages: before it sets the attributes (as the kernel's selftest does) or after. The shared pages stay,
as those of a pool that is pinned for a device do, so a range that has been shared once and is private
again is backed twice.

Why: this is how a confidential guest does I/O (swiotlb), and the order of punching and converting was argued.
"""

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, converted, operations, shared
from gmembench.core.operations import PRIVATE, WRITE


def turn(first: int, gfns: int, parameters: Parameters, guest: int, vmm: int) -> list[np.ndarray]:
    """One use of the range of `gfns` at `first` by vCPU `guest` and host actor `vmm`."""
    pages = np.arange(first, first + gfns)
    return [
        *shared(first, gfns, parameters, actor=vmm),
        operations("access", pages, actor=guest, flags=WRITE),
        operations("host_access", pages, actor=vmm),
        converted(first, gfns, parameters, actor=vmm, flags=PRIVATE),
        operations("access", pages, actor=guest, flags=WRITE),
    ]


def build(parameters: Parameters) -> Workload:
    """Make the guest private, touch its ring, then go round the ring."""
    ranges, laps = int(parameters["ranges"]), int(parameters["laps"])
    gfns, vcpus = int(parameters["range_gfns"]), int(parameters["vcpus"])
    total = ranges * gfns
    made = [
        operations("convert", np.arange(0, total, gfns), actor=vcpus, count=gfns, flags=PRIVATE),
        operations("access", np.arange(total), flags=WRITE),
    ]
    for number in range(ranges * laps):
        first = number % ranges * gfns
        made += turn(first, gfns, parameters, number % vcpus, vcpus)
    return Workload(np.concatenate(made), total, ((0, total),), vcpus, 1)


def by_ranges(gfns: int, parameters: Parameters) -> dict[str, int | str]:
    """The ring is the guest."""
    return {"ranges": gfns // int(parameters["range_gfns"])}


def guest_gfns(parameters: Parameters) -> int:
    """The ring is the guest."""
    return int(parameters["ranges"]) * int(parameters["range_gfns"])


SCENARIO = Scenario(
    name="bounce-buffer",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"ranges": 16, "range_gfns": 512, "laps": 2, "vcpus": 2},
        "medium": {"ranges": 64, "range_gfns": 512, "laps": 2, "vcpus": 4},
        "full": {"ranges": 64, "range_gfns": 512, "laps": 16, "vcpus": 4},
    },
    build=build,
    needs=("convert",),
    guest=by_ranges,
    guest_gfns=guest_gfns,
    converted="range_gfns",
    variants={"punch-first": {"punch": "eager-before"}, "attributes-first": {"punch": "eager-after"}},
)
