"""Times of designs that were timed interleaved, in the same processes: each beside the others.

What slows a process down for a second slows all designs of that round. How much is the median over designs of how far
each is from its usual time; a design is compared after that of the others is taken off, round by round. A process
counts by the median of its rounds: one that is disturbed takes several times as long. On a machine with much else to do
that was nearly half as noisy as the means of processes beside each other, which were four times less noisy than means
alone. What slows all designs of a group is in the median itself, which is compared too; and so is what a design's
cells have in common: that shows through their noise what no cell shows alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gmembench.reports.compare.measured import Sample
from gmembench.reports.runs import Numbers, Run
from gmembench.reports.statistics import Floats

CELLS_AT_LEAST = 4
"""Cells in a group: with fewer, the median of the others is that of one or two."""

GROUPS_AT_LEAST = 4
"""Cells of a design, so that one that became slower does not move what they have in common by much."""

MOVED = 0.06
"""By this much (of a logarithm) a cell must differ from the others in a whole run to be no measure for them.

A cell that became twice as fast stands at one end of the others in one run and at the other end in the next, which
moves their median by as much as they scatter, by 1 to 11 %. To see each run as it differs from what is usual in that
run mends it as well, but then the test takes chance for a difference twice as often as it says.
"""

STEADY_AT_LEAST = 3
"""Cells that are a measure: with fewer, all are."""

Group = Mapping[str, Numbers]


@dataclass(frozen=True)
class Interleaved:
    """Samples of cells beside the others of their group, of the medians of groups, and of all cells of a design."""

    cells: dict[str, Sample] = field(default_factory=dict)
    groups: dict[str, Sample] = field(default_factory=dict)
    designs: dict[str, Sample] = field(default_factory=dict)


Part = tuple[Sequence[int], Sample]
"""Numbers of the base runs that have a cell, and its sample with as many runs."""


def interleaved_samples(pool: Sequence[Run], new: Run) -> Interleaved:
    """The samples of what both the pool and the new run have timed in processes that cells shared."""
    found = Interleaved()
    parts: dict[str, list[Part]] = {}
    bases = [_groups(run) for run in pool]
    for name, group in _groups(new).items():
        had = _runs_with(group, [base.get(name, {}) for base in bases])
        most = max(had, key=lambda runs: len(had[runs]))
        for runs, cells in had.items():
            common = [cell for more, members in had.items() if set(runs) <= set(more) for cell in members]
            samples, pace = _beside_each_other([bases[run][name] for run in runs], group, common)
            for cell in cells if samples else ():
                found.cells[cell] = samples[cell]
                parts.setdefault(group[cell].facts["design"], []).append((runs, samples[cell]))
            if pace and runs == most:
                found.groups[name] = pace
    in_common = {f"*/{design}/*": _in_common(cells) for design, cells in parts.items()}
    found.designs.update({name: sample for name, sample in in_common.items() if sample})
    return found


def _groups(run: Run) -> dict[str, dict[str, Numbers]]:
    """Group to its timed cells."""
    found: dict[str, dict[str, Numbers]] = {}
    for name, numbers in run.cells.items():
        if numbers.group and numbers.rounds_s:
            found.setdefault(numbers.group, {})[name] = numbers
    return found


def _runs_with(group: Group, bases: Sequence[Group]) -> dict[tuple[int, ...], list[str]]:
    """Numbers of base runs -> the cells of a group that just these have timed in the same configuration."""
    found: dict[tuple[int, ...], list[str]] = {}
    for cell, numbers in group.items():
        runs = tuple(run for run, base in enumerate(bases) if _alike(base.get(cell), numbers))
        found.setdefault(runs, []).append(cell)
    return found


def _alike(base: Numbers | None, new: Numbers) -> bool:
    return base is not None and (base.facts, base.interpreted) == (new.facts, new.interpreted)


def _beside_each_other(
    bases: Sequence[Group], new: Group, cells: Sequence[str]
) -> tuple[dict[str, Sample], Sample | None]:
    """The samples of cells that all runs have, and of their pace; nothing if they are too few."""
    tables = [processes_of([_rounds(run[cell]) for cell in cells]) for run in (*bases, new)]
    if not bases or len(cells) < CELLS_AT_LEAST or not all(map(len, tables)):
        return {}, None
    usual = usual_times([rounds for table in tables for rounds in table])
    steady = _steady(np.array([usual_times(table) for table in tables]) - usual)
    *olds, now = (_places([rounds - usual for rounds in table], steady) for table in tables)
    samples = {
        cell: Sample(tuple(places[:, at] for places, _ in olds), now[0][:, at], len(cells))
        for at, cell in enumerate(cells)
    }
    return samples, Sample(tuple(pace for _, pace in olds), now[1])


def _steady(runs: Floats) -> NDArray[np.bool_]:
    """Which cells are a measure for others: those that no run moves far from the median of the cells.

    `runs`: (runs, cells), how far a cell is from its usual time in a run.
    """
    moved = np.abs(runs - np.median(runs, axis=1, keepdims=True)).max(axis=0) > MOVED
    return ~moved if (~moved).sum() >= STEADY_AT_LEAST else np.ones_like(moved)


def _places(processes: Sequence[Floats], steady: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of each process, how far its cells are beside the others (processes, cells), and all together (processes,)."""
    beside = np.array([beside_the_others(rounds, steady) for rounds in processes])
    return beside, np.array([np.median(np.median(rounds[:, steady], axis=1)) for rounds in processes])


def _rounds(numbers: Numbers) -> dict[int, Sequence[float]]:
    return dict(zip(numbers.processes, numbers.rounds_s, strict=True))


def processes_of(cells: Sequence[Mapping[int, Sequence[float]]]) -> list[Floats]:
    """Logarithms of times, (rounds, cells), of each process that timed all the cells in all of its rounds.

    `cells`: of each the values (s) of a process, by its number.
    """
    numbers = sorted(set.intersection(*map(set, cells)))
    tables = ([cell[number] for cell in cells] for number in numbers)
    return [np.log(table).T for table in tables if len(set(map(len, table))) == 1]


def usual_times(processes: Sequence[Floats]) -> Floats:
    """The median of each cell over the rounds of all processes."""
    usual: Floats = np.median(np.concatenate(processes), axis=0)
    return usual


def beside_the_others(rounds: Floats, steady: NDArray[np.bool_] | None = None) -> Floats:
    """How far each cell is from its usual time in a process, without what the others of its round are: (cells,).

    `rounds`: (rounds, cells), the usual times taken off. It is the median of the others, because a cell's own change
    must not hide in what it is compared with; and the median over the rounds. `steady`: the others that count, all if
    None.
    """
    every = np.arange(rounds.shape[1])
    measures = every if steady is None else every[steady]
    others = [np.median(rounds[:, measures[measures != at]], axis=1) for at in every]
    places: Floats = np.median(rounds - np.stack(others, axis=1), axis=0)
    return places


def _in_common(parts: Sequence[Part]) -> Sample | None:
    """What all cells of a design have in common: the median over its cells, of first processes, of second ones, ...

    Base runs that have too few of its cells are left out; None if there is no other.
    """
    by_run: dict[int, list[Floats]] = {}
    for runs, sample in parts:
        for run, values in zip(runs, sample.runs, strict=True):
            by_run.setdefault(run, []).append(values)
    enough = [_medians(by_run[run]) for run in sorted(by_run) if len(by_run[run]) >= GROUPS_AT_LEAST]
    if not enough or len(parts) < GROUPS_AT_LEAST:
        return None
    return Sample(tuple(enough), _medians([sample.new for _, sample in parts]))


def _medians(groups: Sequence[Floats]) -> Floats:
    """The median over groups of their first values, of their second ones, and so on."""
    most = max(map(len, groups))
    return np.array([np.median([values[at] for values in groups if at < len(values)]) for at in range(most)])
