"""Single pages are converted inside 2M regions, and the neighbours are used: huge mappings are lost and won back.

The guest is all shared (variant `shared`) or all private (`private`), and every page is touched. In each region
one page is converted to the other kind, then every page of the region is written; the page is converted back,
and every page is written again. `count.mappings_2m` says how many regions are mapped as a whole in the end.

Why: a 4K conversion costs more than itself. Each neighbour of the converted page faults again, at 4K, and
whether a region ever becomes huge again depends on the design. A design has huge pages on the side that the
variant touches, or on the other side only: both are worth knowing.
"""

from collections.abc import Mapping

import numpy as np

from gmembench.benchmarks.scenario import NONE, Parameters, Scenario, Workload, converted, operations, shared, touched
from gmembench.core.operations import PRIVATE, WRITE

HOLE = 3
"""The page of a region that is converted: neither its first nor its last."""


def to(kind: int, first: int, gfns: int, parameters: Parameters, vmm: int) -> list[np.ndarray]:
    """Pages become private, or shared."""
    if kind == PRIVATE:
        return [operations("convert", first, actor=vmm, count=gfns, flags=PRIVATE)]
    return shared(first, gfns, {**parameters, "conversion_gfns": 0}, actor=vmm)


def build(parameters: Parameters) -> Workload:
    """Bring the guest to one kind, then break and mend each region."""
    gfns, region, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    hole = int(parameters.get("conversion_gfns", 0)) or 1
    kind = PRIVATE if parameters["side"] == "private" else 0
    made = [converted(0, gfns, {}, actor=vcpus, flags=kind), touched(0, gfns, vcpus, region)]
    for first in range(0, gfns, region):
        used = operations("access", np.arange(first, first + region), actor=first // region % vcpus, flags=WRITE)
        place = (first + max(HOLE, hole), hole, parameters)
        made += [*to(kind ^ PRIVATE, *place, vcpus), used, *to(kind, *place, vcpus), used]
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1)


def unfit_settings(chosen: Mapping[str, str], parameters: Parameters) -> str | None:
    """What is converted must leave neighbours, and is one conversion."""
    if int(parameters.get("conversion_gfns", 0)) >= int(parameters["range_gfns"]):
        return "a part of each region is converted, not all of it: choose less than 2M"
    if chosen.get("punch", NONE).startswith("batched"):
        return "one conversion at a time is one batch, so it would be the same as eager"
    return None


SCENARIO = Scenario(
    name="fragment",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "range_gfns": 512, "vcpus": 2},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "vcpus": 8},
    },
    build=build,
    needs=("convert",),
    converted="range_gfns",
    unfit_settings=unfit_settings,
    variants={"shared": {"side": "shared"}, "private": {"side": "private", "shared_memory": 0}},
)
