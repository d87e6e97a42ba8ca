"""Groups of cells that differ in the design only, and the jobs that time them: one process a job.

Designs are compared inside a group, so one process times all of them, in an order of its own: what the process and
its moment bring along, memory layout and the drift of the machine, is then the same for all.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gmembench.benchmarks.cells import Cell

LOOPS_AT_MOST = 1 << 12


@dataclass(frozen=True)
class Group:
    """Cells of one scenario on one hardware at one page size: one for each design."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Job:
    """What one process does: `loops` passes a value for each cell, `warmups` and then `values` rounds of all cells.

    `states`: cell -> the state in which the untimed pass ended. `seed`: of the order of cells in each round.
    """

    group: str
    process: int
    seed: int
    warmups: int
    values: int
    loops: Mapping[str, int]
    states: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name among the jobs of a run."""
        return f"{self.group}#{self.process}"

    def without(self, cells: Iterable[str]) -> "Job":
        """The same job without some cells; the others keep their seed, and so nearly their order."""
        gone = set(cells)
        return replace(
            self,
            loops={name: loops for name, loops in self.loops.items() if name not in gone},
            states={name: state for name, state in self.states.items() if name not in gone},
        )

    def orders(self) -> list[list[str]]:
        """The cells in the order of each round, warm-ups first."""
        shuffle = random.Random(self.seed)
        rounds = []
        for _ in range(self.warmups + self.values):
            names = list(self.loops)
            shuffle.shuffle(names)
            rounds.append(names)
        return rounds

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**vars(self), "loops": dict(self.loops), "states": dict(self.states)}


def groups_of(cells: Sequence[Cell]) -> list[Group]:
    """The groups of some cells, in the order in which they first appear."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.group, []).append(cell)
    return [Group(name, tuple(members)) for name, members in found.items()]


def round_robin(groups: Iterable[Group]) -> list[Group]:
    """The groups in an order that takes one of every scenario, then a second of every scenario, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for group in groups:
        scenario = group.cells[0].scenario
        turn = seen.get(scenario, 0)
        seen[scenario] = turn + 1
        turns.append((turn, group))
    return [group for _, group in sorted(turns, key=lambda pair: pair[0])]


def share(groups: Sequence[Group], processes: int, in_all: int | None) -> dict[str, int]:
    """Processes for each group that is timed; a group that gets none is not in the answer.

    If there are too many, each gets fewer; if one for each is too many, each scenario has its turn.
    """
    if in_all is None:
        return {group.name: processes for group in groups}
    each = max(1, min(processes, in_all // max(1, len(groups))))
    return {group.name: each for group in round_robin(groups)[:in_all]}


def rounds(processes: Mapping[str, int], seed: int) -> Iterator[tuple[str, int]]:
    """Group and number of every process: in every round one of each group, shuffled."""
    shuffle = random.Random(seed)
    for number in range(max(processes.values(), default=0)):
        names = [name for name, wanted in processes.items() if wanted > number]
        shuffle.shuffle(names)
        yield from ((name, number) for name in names)


def seed_of(seed: int, group: str, process: int) -> int:
    """The seed of one job, the same whenever the run is resumed."""
    return random.Random(f"{seed}/{group}/{process}").getrandbits(32)


def loops_for(steps: int, wanted: int) -> int:
    """Passes in one value, so that it has about `wanted` steps: by counted numbers, so it is the same in every run."""
    return max(1, min(round(wanted / max(1, steps)), LOOPS_AT_MOST))
