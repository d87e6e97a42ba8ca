"""Which registers of an actor still matter: backward dataflow over the rows of all programs.

A register is live before a row if some way on from there reads it before it is set. A dead one may hold anything, so a
driver that compares states gives it one value: the first one, or one that says that a snapshot is forgotten.
"""

from collections.abc import Collection, Mapping
from functools import cache, reduce
from operator import or_

import numpy as np

from gmembench.core.footprints.kinds import SELF
from gmembench.core.footprints.rows import RowPrints, row_prints, targets_of
from gmembench.core.invariant import Invariant
from gmembench.core.judges import SHIPPED
from gmembench.core.programs import Code
from gmembench.core.rows import END
from gmembench.core.world import ACTOR, Geometry, World

REGISTERS: tuple[str, ...] = tuple(ACTOR.names or ())
"""The registers, in the order of the last index of the arrays here."""

OTHERS = "actors"
"""Kind of the actors that a step looks up, its own or another."""

ALWAYS = ("number", "node", "mode", "kicked")
"""Live whatever the programs do: the first two say who the actor is; drivers ask for the others to let a vCPU exit."""

OF_DRIVER = frozenset(["used", "yield_now"])
"""Registers that a driver sets before each step and needs no longer after it."""

IDLE = -1
"""Index, in an array by row, of an actor between two operations; targets END lead there."""


@cache
def registers(names: frozenset[str], kind: str = SELF) -> int:
    """Mask of the registers among fields of a kind of actor: bits in the order of REGISTERS."""
    own = {name.removeprefix(f"{kind}.") for name in names if name.startswith(f"{kind}.")}
    return sum(1 << bit for bit, name in enumerate(REGISTERS) if name in own)


@cache
def named(names: frozenset[str]) -> int:
    """Mask of registers by their own names."""
    return sum(1 << bit for bit, name in enumerate(REGISTERS) if name in names)


def always_live(rows: RowPrints, observed: Collection[str], invariants: Mapping[str, Invariant]) -> int:
    """Mask of the registers that others than the actor's own rows may look at or change at any time."""
    found = named(frozenset([*ALWAYS, *observed])) | registers(
        rows.source.of_rules(invariants, "state", "rest"), OTHERS
    )
    for row in rows.reached:
        found |= registers(rows.prints[row].reads, OTHERS) | registers(rows.prints[row].writes, OTHERS)
    return found


class _Flow:
    """The dataflow: for each row a mask of the registers that are live before it. The last one is IDLE."""

    def __init__(self, rows: RowPrints, invariants: Mapping[str, Invariant]) -> None:
        self.rows = rows
        self.of_end = registers(rows.source.of_rules(invariants, "end"))
        self.begun = registers(rows.source.of_begin().kills)
        of_use, of_driver = registers(rows.source.of_rules(invariants, "use")), named(OF_DRIVER)
        self.uses = [registers(item.uses) & ~of_driver for item in rows.prints]
        self.ways = [
            [
                (target, ~(registers(way.kills) | of_driver), of_use if way.used else 0)
                for target, way in rows.following(row)
            ]
            for row in range(len(rows.prints))
        ]
        self.live = [0] * (len(rows.prints) + 1)

    def before(self, row: int) -> int:
        """What is live before a row: what it uses, and what is judged or live after it and not set by it."""
        found = self.uses[row]
        for target, kept, judged in self.ways[row]:
            after = self.live[target] | judged
            found |= (after | self.of_end if target == END else after) & kept
        return found

    def at_idle(self) -> int:
        """What is live before some operation begins."""
        return reduce(or_, (self.live[row] for row in self.rows.entries), 0) & ~self.begun

    def run(self) -> list[int]:
        """Go round until nothing changes. Rows mostly lead downwards, so from below."""
        changed = True
        while changed:
            changed = False
            for row in (IDLE, *reversed(range(len(self.rows.prints)))):
                found = self.at_idle() if row == IDLE else self.before(row)
                if found != self.live[row]:
                    self.live[row], changed = found, True
        return self.live


def _as_bools(masks: Collection[int]) -> np.ndarray:
    """bool array (masks, registers): their bits."""
    return np.array([[mask >> bit & 1 for bit in range(len(REGISTERS))] for mask in masks], bool)


def live_registers(
    code: Code,
    geometry: Geometry | None = None,
    *,
    programs: Collection[int] | None = None,
    observed: Collection[str] = (),
    forced: Collection[tuple[int, int]] = (),
    invariants: Mapping[str, Invariant] = SHIPPED,
) -> np.ndarray:
    """bool array (rows + 1, registers): what is live before each row, and at last between two operations.

    `geometry`: of the world; without it what is found holds in all. `programs`: numbers of those that may be begun,
    all by default. `observed`: registers that a driver looks at. `forced`: (row, outcome) pairs that a driver makes
    happen without running the step. `invariants`: who judges.
    """
    rows = row_prints(code, geometry, programs, forced)
    found, always = _Flow(rows, invariants).run(), always_live(rows, observed, invariants)
    return _as_bools([live | always for live in found])


def live_before(code: Code, live: np.ndarray, program: int) -> np.ndarray:
    """bool array (registers): what is live between two operations if the next one is of this program."""
    begun = _as_bools([registers(RowPrints(code, programs=()).source.of_begin().kills)])[0]
    return np.array(live[code.entries[program]] & ~begun | live_when_done(live))


def live_when_done(live: np.ndarray) -> np.ndarray:
    """bool array (registers): what is live of an actor that has nothing left to do."""
    return np.array(live.all(axis=0))


def dead_register_mask(code: Code, live: np.ndarray) -> np.ndarray:
    """bool array (row, outcome, registers): what nobody reads again after a row ended so."""
    dead: np.ndarray = ~live[targets_of(code)]
    return dead


def first_values(geometry: Geometry) -> np.ndarray:
    """ACTOR array: the registers of each actor of a new world, to which dead ones are set back."""
    return World(geometry).arrays["actors"].copy()
