"""Which registers of an actor still matter: backward dataflow over the rows of all programs.

A register is live before a row if some way on from there reads it before it is set. A dead one may hold anything, so a
driver that compares states sets it back to its first value.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from gmembench.core.footprints import Footprint, begin_footprint, footprint_of_step, rule_reads
from gmembench.core.footprints.kinds import SELF
from gmembench.core.invariant import Invariant
from gmembench.core.judges import SHIPPED
from gmembench.core.operations import PROGRAMS
from gmembench.core.outcomes import AGAIN, BLOCKED, CODE, NEXT, YIELD
from gmembench.core.programs import Code
from gmembench.core.rows import END
from gmembench.core.world import ACTOR, Geometry, World

REGISTERS: tuple[str, ...] = tuple(ACTOR.names or ())
"""The registers, in the order of the last index of the arrays here."""

OTHERS = "actors"
"""Kind of the actors that a step looks up, its own or another."""

ALWAYS = ("number", "node", "mode", "kicked")
"""Live whatever the programs do: the first two say who the actor is; drivers ask for the others to let a vCPU exit."""

OF_DRIVER = ("used", "yield_now")
"""Registers that a driver sets before each step and needs no longer after it."""

IDLE = -1
"""Index, in an array by row, of an actor between two operations; targets END lead there."""


def targets_of(code: Code) -> np.ndarray:
    """i8 array (row, outcome) -> row or END: as in the code, but with *next* to the row below written down too."""
    targets = code.targets.astype(np.int64)
    below = np.arange(1, len(code.rows) + 1)
    targets[:, NEXT] = np.where(code.rows["jump"] == 0, below, targets[:, NEXT])
    return targets


def outcomes_of(code: Code, row: int) -> frozenset[int]:
    """The outcomes that a row may have and then go on: all but BLOCKED."""
    step = code.info[row].step
    known = footprint_of_step(step).outcomes
    if known is None:
        known = frozenset([NEXT, AGAIN, *(CODE[name] for name in step.outcomes)])
    yields = frozenset() if code.rows["may_yield"][row] else frozenset([YIELD])
    return known - yields - {BLOCKED}


def _registers(names: Iterable[str], kind: str = SELF) -> frozenset[str]:
    """The registers among fields of a kind of actor."""
    return frozenset(name.removeprefix(f"{kind}.") for name in names if name.startswith(f"{kind}.")) & set(REGISTERS)


def _judged(invariants: Mapping[str, Invariant], *whens: str) -> frozenset[str]:
    return frozenset().union(*(rule_reads(item, when) for item in invariants.values() for when in whens))


def always_live(
    code: Code, observed: Collection[str] = (), invariants: Mapping[str, Invariant] = SHIPPED
) -> frozenset[str]:
    """Registers that others than the actor's own rows may look at or change at any time."""
    prints = [footprint_of_step(step) for step in {item.step for item in code.info}]
    touched = frozenset().union(*(item.reads | item.writes for item in prints))
    return frozenset([*ALWAYS, *observed]) | _registers(touched | _judged(invariants, "state", "rest"), OTHERS)


class _Flow:
    """The dataflow: for each row the registers that are live before it. The last one is IDLE."""

    def __init__(self, code: Code, forced: Collection[tuple[int, int]], invariants: Mapping[str, Invariant]) -> None:
        self.code, self.forced = code, set(forced)
        self.targets = targets_of(code)
        self.of_use = _registers(_judged(invariants, "use"))
        self.of_end = _registers(_judged(invariants, "end"))
        self.live: list[frozenset[str]] = [frozenset()] * (len(code.rows) + 1)

    def along(self, row: int, outcome: int, footprint: Footprint) -> frozenset[str]:
        """What is live before a row because of one of its outcomes."""
        target = int(self.targets[row, outcome])
        after = self.live[target]
        if f"{SELF}.used" in footprint.writes:
            after |= self.of_use
        if target == END:
            after |= self.of_end
        return after - _registers(footprint.kills_on(outcome))

    def before(self, row: int) -> frozenset[str]:
        """What is live before a row."""
        footprint = footprint_of_step(self.code.info[row].step)
        found = _registers(footprint.uses)
        for outcome in outcomes_of(self.code, row):
            found |= self.along(row, outcome, footprint)
        for at, outcome in self.forced:
            if at == row:
                found |= self.live[int(self.targets[row, outcome])]
        return found - set(OF_DRIVER)

    def at_idle(self, programs: Iterable[int]) -> frozenset[str]:
        """What is live before an operation of some programs begins."""
        entries = [int(self.code.entries[number]) for number in programs]
        found = frozenset().union(*(self.live[entry] for entry in entries if entry >= 0))
        return found - _registers(begin_footprint().kills)

    def run(self, programs: Collection[int]) -> None:
        """Go round until nothing changes. Rows mostly lead downwards, so from below."""
        changed = True
        while changed:
            changed = False
            for row in (IDLE, *reversed(range(len(self.code.rows)))):
                found = self.at_idle(programs) if row == IDLE else self.before(row)
                if found != self.live[row]:
                    self.live[row], changed = found, True


def _array(sets: Iterable[frozenset[str]]) -> np.ndarray:
    return np.array([[name in names for name in REGISTERS] for names in sets], bool)


def live_registers(
    code: Code,
    *,
    programs: Collection[int] | None = None,
    observed: Collection[str] = (),
    forced: Collection[tuple[int, int]] = (),
    invariants: Mapping[str, Invariant] = SHIPPED,
) -> np.ndarray:
    """bool array (rows + 1, registers): what is live before each row, and at last between two operations.

    `programs`: numbers of those that may be begun, all by default. `observed`: registers that a driver looks at.
    `forced`: (row, outcome) pairs that a driver makes happen without running the step. `invariants`: who judges.
    """
    flow = _Flow(code, forced, invariants)
    flow.run(range(len(PROGRAMS)) if programs is None else programs)
    always = always_live(code, observed, invariants)
    return _array(names | always for names in flow.live)


def live_before(code: Code, live: np.ndarray, program: int) -> np.ndarray:
    """bool array (registers): what is live between two operations if the next one is of this program."""
    begun = _registers(begin_footprint().kills)
    kept = np.array([name not in begun for name in REGISTERS])
    always: np.ndarray = live.all(axis=0)
    found: np.ndarray = live[code.entries[program]] & kept | always
    return found


def live_when_done(live: np.ndarray) -> np.ndarray:
    """bool array (registers): what is live of an actor that has nothing left to do."""
    found: np.ndarray = live.all(axis=0)
    return found


def dead_register_mask(code: Code, live: np.ndarray) -> np.ndarray:
    """bool array (row, outcome, registers): what may be set back to its first value after a row ended so."""
    dead: np.ndarray = ~live[targets_of(code)]
    return dead


def first_values(geometry: Geometry) -> np.ndarray:
    """ACTOR array: the registers of each actor of a new world, to which dead ones are set back."""
    return World(geometry).arrays["actors"].copy()
