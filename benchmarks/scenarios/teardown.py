"""A full guest is torn down: all of its memory is backed, an eighth of it shared.

Why: the end of a VM frees everything at once, and designs differ in who owns what by then: pins to drop, owner
tables of the hardware to clear page by page, files that outlive the VM. Long teardowns are a common complaint
about confidential VMs.
"""

import numpy as np

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload, booted, operations, shared, touched


def build(parameters: Parameters) -> Workload:
    """Boot, share the first eighth and use it from both sides, then end the VM."""
    gfns, piece, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    part = gfns // 8
    made = [
        *booted(parameters),
        *shared(0, part, parameters, actor=vcpus),
        touched(0, part, vcpus, piece),
        operations("host_access", np.arange(part), actor=vcpus),
        operations("teardown", 0, actor=vcpus, count=gfns),
    ]
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1)


SCENARIO = Scenario(
    name="teardown",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "range_gfns": 512, "vcpus": 2},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "vcpus": 8},
    },
    build=build,
    needs=("teardown",),
)
