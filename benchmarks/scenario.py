"""What a scenario is: operations over a guest, in two or three sizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gmembench.core.operations import OPERATION, PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.core.programs import Design

Parameters = Mapping[str, int | str]

NONE = "none"
PUNCH_POLICIES = (NONE, "eager-before", "eager-after", "batched-before", "batched-after")
"""When the VMM frees the private pages of what becomes shared: never; with each conversion, before or after it sets
the attributes; or those of all conversions of a range at once, before the first or after the last of them."""


def by_gfns(gfns: int, parameters: Parameters) -> dict[str, int | str]:
    """The parameter that makes a guest of this size, for scenarios that have it as such."""
    return {"gfns": gfns}


def no_objection(chosen: Mapping[str, str], parameters: Parameters) -> str | None:
    """A scenario that takes all settings."""
    return None


@dataclass(frozen=True)
class Workload:
    """What one size of a scenario comes to.

    `operations`: OPERATION array over `gfns` gfns; vCPU actors come first, then host actors. `slots`:
    (first gfn, gfns) of each memslot. `nodes`: NUMA nodes; actor i runs on node i modulo their number.
    `spare_gfns`: host pages beyond what backs the guest, for pages that move. `region_gfns`: gfns of a 2M page,
    less than 512 in small worlds. `policy`: the NUMA policy that the VMM gives its mapping.
    """

    operations: np.ndarray
    gfns: int
    slots: tuple[tuple[int, int], ...]
    vcpus: int
    host_actors: int
    nodes: int = 1
    spare_gfns: int = 0
    region_gfns: int = 512
    policy: str = "default"


@dataclass(frozen=True)
class Scenario:
    """A scenario: a name, sizes that are values of one parameter set, and how operations are made.

    `sizes`: "small" and "full", and "medium" if a pass of the full size takes more than some tenths of a second.
    `needs`: programs without which the scenario means nothing for a design. `shared_memory`: it touches
    memory that is shared under every design, so the page size of the shared side matters; a parameter of that
    name (0 or 1) says it for a variant. `variants`:
    name -> parameters; a scenario without variants has the one variant "". `traced`: it takes a trace.
    `unfit`: says in words why a variant, given by its parameters, means nothing for a design, or None.

    Axes: `guest` gives the parameters of a guest size, `guest_gfns` the size of some parameters. `converted`: name of
    the parameter with the largest range that it converts. `numa`: its value of that axis. `fixed`: axis -> why it
    cannot be changed. `unfit_settings`: why settings (axis -> value) cannot be, given the parameters, or None.
    """

    name: str
    doc: str
    sizes: Mapping[str, Parameters]
    build: Callable[[Parameters], Workload]
    needs: tuple[str, ...] = ()
    shared_memory: bool = True
    variants: Mapping[str, Parameters] = field(default_factory=lambda: {"": {}})
    traced: bool = False
    unfit: Callable[[Design, Parameters], str | None] = lambda design, parameters: None
    guest: Callable[[int, Parameters], dict[str, int | str]] = by_gfns
    guest_gfns: Callable[[Parameters], int] = lambda parameters: int(parameters.get("gfns", 0))
    converted: str = "gfns"
    numa: str = "one"
    fixed: Mapping[str, str] = field(default_factory=dict)
    unfit_settings: Callable[[Mapping[str, str], Parameters], str | None] = no_objection

    @property
    def varies_punch(self) -> bool:
        """Whether its variants are policies of punching."""
        return all("punch" in changes for changes in self.variants.values())

    def size_for(self, size: str) -> str:
        """The size that is run where this one is asked for: the full one where there is no medium one."""
        return "full" if size == "medium" and size not in self.sizes else size

    def parameters(self, size: str, variant: str, trace: Path | None) -> dict[str, int | str]:
        """The parameters of a size and variant; `trace` is added for a scenario that takes one."""
        chosen = {**self.sizes[self.size_for(size)], **self.variants.get(variant, {})}
        if self.traced and trace is not None:
            chosen["trace"] = str(trace)
        return chosen


def operations(
    program: str,
    gfns: np.ndarray | Sequence[int] | int,
    *,
    actor: np.ndarray | int = 0,
    count: np.ndarray | int = 1,
    flags: int = 0,
    slot: int = 0,
) -> np.ndarray:
    """An OPERATION array: one operation of a program for each gfn given. `slot`: memslot number, or target node."""
    first = np.atleast_1d(np.asarray(gfns, np.int64))
    made = np.zeros(len(first), OPERATION)
    made["program"] = PROGRAM_NUMBER[program]
    made["gfn"] = first
    made["count"] = count
    made["actor"] = actor
    made["flags"] = flags
    made["slot"] = slot
    return made


def in_turn(*steps: np.ndarray) -> np.ndarray:
    """Arrays of equal length, interleaved: the first operation of each, then the second of each, and so on."""
    return np.stack(steps, axis=1).reshape(-1)


def converted(first: int, gfns: int, parameters: Parameters, *, actor: int, flags: int = 0) -> np.ndarray:
    """A range is converted, in pieces of `conversion_gfns` if the parameters say so."""
    piece = min(gfns, int(parameters.get("conversion_gfns", 0)) or gfns)
    return operations("convert", np.arange(first, first + gfns, piece), actor=actor, count=piece, flags=flags)


def shared(first: int, gfns: int, parameters: Parameters, *, actor: int) -> list[np.ndarray]:
    """The VMM makes a private range shared, and frees its private pages as the policy `punch` says."""
    convert, policy = converted(first, gfns, parameters, actor=actor), str(parameters.get("punch", NONE))
    if policy == NONE:
        return [convert]
    if policy.startswith("batched"):
        punch = operations("punch", first, actor=actor, count=gfns)
        return [punch, convert] if policy.endswith("-before") else [convert, punch]
    punch = operations("punch", convert["gfn"], actor=actor, count=convert["count"])
    return [in_turn(punch, convert) if policy.endswith("-before") else in_turn(convert, punch)]


def touched(first: int, gfns: int, vcpus: int, range_gfns: int) -> np.ndarray:
    """Every gfn of a range is written once; the vCPUs take stripes of `range_gfns` in turn."""
    order = np.arange(first, first + gfns)
    return operations("access", order, actor=order // range_gfns % vcpus, flags=WRITE)


def booted(parameters: Parameters) -> list[np.ndarray]:
    """The VMM (the actor behind the vCPUs) makes the whole guest private, then its vCPUs touch every gfn."""
    gfns, vcpus, piece = (int(parameters[name]) for name in ("gfns", "vcpus", "range_gfns"))
    made = converted(0, gfns, parameters, actor=vcpus, flags=PRIVATE)
    return [made, touched(0, gfns, vcpus, piece)]
