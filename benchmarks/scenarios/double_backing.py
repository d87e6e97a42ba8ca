"""A private guest shares a quarter of its memory for good, and the VMM frees the private copies, or does not.

Range by range the VMM sets the attributes, punches the private pages (variant `punch`) or leaves them
(`no-punch`), and guest and host write to the shared memory. The result to look at is the peak of all backing.

Why: "a converted range must not consume twice its memory" was a requirement on both sides in 2021. Where private
and shared memory have pages of their own, punching is what keeps it. Where one page serves both there is nothing
to free, so the variant `punch` does not apply: it would take the page that was just shared.
"""

import numpy as np

from gmembench.benchmarks.scenario import NONE, Parameters, Scenario, Workload, booted, operations, shared
from gmembench.core.operations import WRITE
from gmembench.core.programs import Design


def build(parameters: Parameters) -> Workload:
    """Boot, then share range after range."""
    gfns, piece, vcpus = (int(parameters[name]) for name in ("gfns", "range_gfns", "vcpus"))
    made = booted({**parameters, "conversion_gfns": 0})
    for number, first in enumerate(range(0, gfns // 4, piece)):
        pages = np.arange(first, first + piece)
        made += [
            *shared(first, piece, parameters, actor=vcpus),
            operations("access", pages, actor=number % vcpus, flags=WRITE),
            operations("host_access", pages, actor=vcpus, flags=WRITE),
        ]
    return Workload(np.concatenate(made), gfns, ((0, gfns),), vcpus, 1)


def unfit(design: Design, parameters: Parameters) -> str | None:
    """Punching frees the only page where one page serves private and shared memory."""
    if parameters.get("punch", NONE) != NONE and (design.one_copy or design.gmem_only):
        return f"{design.name} has one page for private and shared memory: a punch would free the page in use"
    return None


SCENARIO = Scenario(
    name="double-backing",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"gfns": 1 << 13, "range_gfns": 512, "vcpus": 2},
        "medium": {"gfns": 1 << 17, "range_gfns": 512, "vcpus": 8},
        "full": {"gfns": 1 << 20, "range_gfns": 512, "vcpus": 8},
    },
    build=build,
    needs=("convert",),
    converted="range_gfns",
    variants={"punch": {"punch": "eager-after"}, "no-punch": {"punch": NONE}},
    unfit=unfit,
)
