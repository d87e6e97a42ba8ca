"""An instance: a design on a hardware, a small world, scripts, events, and what must be seen. Drivers explore it."""

from dataclasses import dataclass, field

import numpy as np

from gmembench.core.judges import Panel
from gmembench.core.programs import Code
from gmembench.core.world import Geometry

STEP, YIELD, EXIT, FORCE = 0, 1, 2, 3
"""Kinds of choices: the actor's next row; the same, and its zap yields; the vCPU leaves the guest, because it was
kicked or by itself; FORCE + i: the i-th event makes the row end otherwise."""

MOST_FORCES = 13
"""A choice is one byte: four bits of the actor, four of the kind."""

MOST_ACTORS = 16

EVERYBODY = -1
"""Mask of all actors."""

IDLE = -1
"""In place of a row: between two operations."""


@dataclass(frozen=True)
class Force:
    """An event that makes a row end in an outcome and do nothing.

    `rows`: indices of rows. `outcome`: its code. `actors`: bit mask. `gfn`: only if the actor's gfn is it; -1 any. The
    first `skip` hits go by; at most `times` are forced. `must`: it happens as soon as it can; else both are options.
    """

    event: str
    rows: tuple[int, ...]
    outcome: int
    actors: int = EVERYBODY
    gfn: int = -1
    skip: int = 0
    times: int = 1
    must: bool = False


@dataclass(frozen=True)
class Gate:
    """When the operations of an actor may begin: only while one of `actors` stands before one of `rows`.

    The first `skip` arrivals there go by. An operation whose gate never opens is not owed.
    """

    actor: int
    rows: tuple[int, ...]
    actors: int = EVERYBODY
    gfn: int = -1
    skip: int = 0


Need = tuple[int, tuple[int, ...]]
"""Mask of actors, and rows before one of which one of them stands (IDLE: between operations)."""

Condition = tuple[str, str, int]
"""Path as in "header.inval_count" or "frames[0].attr", operator, value."""


@dataclass(frozen=True)
class Sometimes:
    """A state that must be seen: all of `needs` and `fields` hold in it, or one of `taken` (row, outcome) was taken."""

    name: str
    needs: tuple[Need, ...] = ()
    fields: tuple[Condition, ...] = ()
    taken: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Instance:
    """A design on a hardware, and all that a driver needs to explore it.

    `scripts`: for each actor, vCPUs first, its operations (OPERATION arrays). `prepare`: operations that run one
    after the other before. `timer`: vCPUs may leave the guest by themselves.
    """

    code: Code
    geometry: Geometry
    scripts: tuple[np.ndarray, ...]
    prepare: tuple[np.ndarray, ...] = ()
    panel: Panel = field(default_factory=Panel)
    timer: bool = False
    forces: tuple[Force, ...] = ()
    gates: tuple[Gate, ...] = ()
    sometimes: tuple[Sometimes, ...] = ()
