"""Every vCPU converts memory back and forth, a page here and a region there.

Each turn a vCPU shares a range of its own part of the guest, writes its first page, takes the range back and
writes the page again. Ranges are 1, 8, 64 and 512 gfns (4K to 2M) in turn. Each vCPU has a host thread that does
its conversions, as the thread of the vCPU does in a VMM. Nothing is punched.

Why: a conversion costs something once and something for each page. Ranges of four sizes show both, and many
small ones are what a guest without a pool of shared buffers does.
"""

from collections.abc import Mapping

import numpy as np

from gmembench.benchmarks.scenario import NONE, Parameters, Scenario, Workload, booted, in_turn, operations
from gmembench.core.operations import PRIVATE, WRITE

DIVISORS = (512, 64, 8, 1)
"""A range is a region of `range_gfns` divided by one of these."""


def build(parameters: Parameters) -> Workload:
    """Boot, then `turns` conversions to shared and back."""
    gfns, region, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    turn = np.arange(int(parameters["turns"]))
    vcpu, own = turn % vcpus, turn // vcpus
    size = np.maximum(1, region // np.array(DIVISORS))[own % len(DIVISORS)]
    granule = int(parameters.get("conversion_gfns", 0))
    regions = gfns // vcpus // region  # of each vCPU
    place = own // len(DIVISORS)  # walks through the vCPU's regions, and inside them
    first = (vcpu * regions + place % regions) * region + place // regions * size % region
    size = np.full_like(size, granule) if granule else size
    first = first // size * size
    convert = operations("convert", first, actor=vcpus + vcpu, count=size)
    punch = operations("punch", first, actor=vcpus + vcpu, count=size)
    policy = str(parameters.get("punch", NONE))
    share = {NONE: (convert,), "eager-before": (punch, convert), "eager-after": (convert, punch)}[policy]
    storm = in_turn(
        *share,
        operations("access", first, actor=vcpu, flags=WRITE),
        operations("convert", first, actor=vcpus + vcpu, count=size, flags=PRIVATE),
        operations("access", first, actor=vcpu, flags=WRITE),
    )
    return Workload(
        np.concatenate([*booted({**parameters, "conversion_gfns": 0}), storm]), gfns, ((0, gfns),), vcpus, vcpus
    )


def unfit_settings(chosen: Mapping[str, str], parameters: Parameters) -> str | None:
    """Every vCPU needs a region of its own, and conversions follow each other at places far apart."""
    vcpus, regions = int(parameters["vcpus"]), int(parameters["gfns"]) // int(parameters["range_gfns"])
    if vcpus > regions:
        return f"{vcpus} vCPUs need a region each, and the guest has {regions}"
    if chosen.get("punch", NONE).startswith("batched"):
        return "conversions follow each other at places far apart, so no punch can free several at once"
    return None


SCENARIO = Scenario(
    name="convert-storm",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "range_gfns": 512, "turns": 512, "vcpus": 4},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "turns": 1 << 12, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "turns": 1 << 16, "vcpus": 8},
    },
    build=build,
    needs=("convert",),
    converted="range_gfns",
    unfit_settings=unfit_settings,
)
