"""A guest gives buffers with data to the VMM and takes them back with data: by copying, or by converting in place.

The job is the same in every variant: each turn the data of one private buffer reaches the VMM, the VMM reads and
writes every page, and what it wrote is in the private buffer at the end.

- `copy`: the guest shares a bounce buffer, copies the data there, the VMM works on it, the guest copies it back
  and makes the bounce buffer private again. A copy of a page is a read of one page and a write of another.
- `pool`: the same with bounce buffers that were shared once, at boot (swiotlb), so nothing is converted.
- `in-place`: the guest shares the private buffer itself, the VMM works on it, the guest takes it back and reads
  it. Only designs whose conversion keeps the data can run it.

Why: that conversions keep the data is the argument for converting in place, and this is what it saves. What is
fair: designs with a private and a shared copy lose the data in a conversion, so `in-place` does not apply
to them, and `copy` and `pool` are what they can do, `pool` at its best. Designs that convert in place run all
three, so the saving is seen within one design too. Nothing is punched: that is the matter of double-backing.
Bounce buffers are backed when they are first used: their memory is part of the price of copying.
"""

from collections.abc import Mapping

import numpy as np

from gmembench.benchmarks.scenario import (
    NONE,
    Parameters,
    Scenario,
    Workload,
    converted,
    in_turn,
    operations,
    shared,
    touched,
)
from gmembench.core.operations import PRIVATE, WRITE
from gmembench.core.programs import Design


def copied(source: np.ndarray, target: np.ndarray, vcpu: int) -> np.ndarray:
    """The guest copies pages: it reads one and writes the other."""
    return in_turn(operations("access", source, actor=vcpu), operations("access", target, actor=vcpu, flags=WRITE))


def used(pages: np.ndarray, vmm: int) -> np.ndarray:
    """The VMM reads and writes pages."""
    return in_turn(
        operations("host_access", pages, actor=vmm), operations("host_access", pages, actor=vmm, flags=WRITE)
    )


def turn(parameters: Parameters, buffer: np.ndarray, bounce: np.ndarray, vcpu: int, vmm: int) -> list[np.ndarray]:
    """One buffer goes to the VMM and comes back."""
    way = str(parameters["way"])
    lent = buffer if way == "in-place" else bounce
    share = shared(int(lent[0]), len(lent), parameters, actor=vmm)
    unshare = converted(int(lent[0]), len(lent), parameters, actor=vmm, flags=PRIVATE)
    if way == "in-place":
        return [*share, used(lent, vmm), unshare, operations("access", buffer, actor=vcpu)]
    work = [copied(buffer, bounce, vcpu), used(bounce, vmm), copied(bounce, buffer, vcpu)]
    return work if way == "pool" else [*share, *work, unshare]


def build(parameters: Parameters) -> Workload:
    """Boot with `buffers` private buffers and as many bounce buffers, then use them in turn."""
    buffers, size, vcpus = (int(parameters[name]) for name in ("buffers", "range_gfns", "vcpus"))
    way, half = str(parameters["way"]), buffers * size
    made = [converted(0, 2 * half, {}, actor=vcpus, flags=PRIVATE), touched(0, half, vcpus, size)]
    if way == "pool":
        made.append(operations("convert", half, actor=vcpus, count=half))
    laps = int(parameters["laps"])
    alike = laps if buffers % vcpus == 0 else 1  # then every lap has the same vCPU at the same buffer
    turns: list[np.ndarray] = []
    for number in range(buffers * laps // alike):
        buffer = np.arange(size) + number % buffers * size
        turns += turn(parameters, buffer, half + buffer, number % vcpus, vcpus)
    made += turns * alike
    return Workload(np.concatenate(made), 2 * half, ((0, 2 * half),), vcpus, 1)


def unfit(design: Design, parameters: Parameters) -> str | None:
    """Only a conversion that keeps the data can do without copying."""
    if parameters["way"] == "in-place" and not design.one_copy:
        return f"a conversion of {design.name} does not keep the data: private and shared memory are different pages"
    return None


def by_buffers(gfns: int, parameters: Parameters) -> dict[str, int | str]:
    """Half of the guest is buffers, half bounce buffers."""
    return {"buffers": gfns // 2 // int(parameters["range_gfns"])}


def guest_gfns(parameters: Parameters) -> int:
    """Half of the guest is buffers, half bounce buffers."""
    return 2 * int(parameters["buffers"]) * int(parameters["range_gfns"])


def unfit_settings(chosen: Mapping[str, str], parameters: Parameters) -> str | None:
    """A punch would free data that a conversion in place keeps; a pool is shared before it has any pages."""
    way = str(parameters["way"])
    if chosen.get("punch", NONE) != NONE and way == "in-place":
        return "a punch would free the data that converting in place is there to keep"
    if way == "pool" and {"punch", "conversion"} & chosen.keys():
        return "a pool is shared once, before it is backed: nothing is converted later, and nothing is there to free"
    return None


SCENARIO = Scenario(
    name="inplace-vs-dual",
    doc=(__doc__ or "").strip(),
    sizes={
        "small": {"buffers": 64, "range_gfns": 16, "laps": 2, "vcpus": 2},
        "medium": {"buffers": 1024, "range_gfns": 64, "laps": 2, "vcpus": 8},
        "full": {"buffers": 4096, "range_gfns": 64, "laps": 4, "vcpus": 8},
    },
    build=build,
    needs=("convert", "host_access"),
    guest=by_buffers,
    guest_gfns=guest_gfns,
    converted="range_gfns",
    unfit_settings=unfit_settings,
    variants={"copy": {"way": "copy"}, "pool": {"way": "pool"}, "in-place": {"way": "in-place"}},
    unfit=unfit,
)
