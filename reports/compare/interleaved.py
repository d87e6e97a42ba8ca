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

from gmembench.reports.compare.measured import Sample
from gmembench.reports.runs import Numbers, Run
from gmembench.reports.statistics import Floats

CELLS_AT_LEAST = 4
"""Designs in a group, so that one that became slower does not move the median by much."""

GROUPS_AT_LEAST = 4
"""Cells of a design, so that one that became slower does not move what they have in common by much."""

Group = Mapping[str, Numbers]


@dataclass(frozen=True)
class Interleaved:
    """Samples of cells beside the others of their group, of the medians of groups, and of all cells of a design."""

    cells: dict[str, Sample] = field(default_factory=dict)
    groups: dict[str, Sample] = field(default_factory=dict)
    designs: dict[str, Sample] = field(default_factory=dict)


def interleaved_samples(pool: Sequence[Run], new: Run) -> Interleaved:
    """The samples of what both the pool and the new run have timed in processes that cells shared."""
    found = Interleaved()
    cells_of: dict[str, list[Sample]] = {}
    bases = [_groups(run) for run in pool]
    for name, group in _groups(new).items():
        olds = [base[name] for base in bases if name in base]
        common = [cell for cell in group if all(_alike(old.get(cell), group[cell]) for old in olds)]
        if not olds or len(common) < CELLS_AT_LEAST:
            continue
        tables = [processes_of([_rounds(one[cell]) for cell in common]) for one in (*olds, group)]
        if not all(map(len, tables)):
            continue
        usual = usual_times([rounds for table in tables for rounds in table])
        *runs, now = ([rounds - usual for rounds in table] for table in tables)
        beside = [np.array([beside_the_others(rounds) for rounds in run]) for run in (*runs, now)]
        for at, cell in enumerate(common):
            *old_values, new_values = (run[:, at] for run in beside)
            found.cells[cell] = Sample(tuple(old_values), new_values, len(common))
            if len(olds) == len(pool):
                cells_of.setdefault(group[cell].facts["design"], []).append(found.cells[cell])
        *old_paces, new_paces = (np.array([np.median(np.median(r, axis=1)) for r in run]) for run in (*runs, now))
        found.groups[name] = Sample(tuple(old_paces), new_paces)
    for design, samples in cells_of.items():
        if len(samples) >= GROUPS_AT_LEAST:
            found.designs[f"*/{design}/*"] = _in_common(samples)
    return found


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


def beside_the_others(rounds: Floats) -> Floats:
    """How far each cell is from its usual time in a process, without what the others of its round are: (cells,).

    `rounds`: (rounds, cells), the usual times taken off. It is the median of the others, because a cell's own change
    must not hide in what it is compared with; and the median over the rounds.
    """
    others = [np.median(np.delete(rounds, at, axis=1), axis=1) for at in range(rounds.shape[1])]
    places: Floats = np.median(rounds - np.stack(others, axis=1), axis=0)
    return places


def _in_common(samples: Sequence[Sample]) -> Sample:
    """What all cells of a design have in common: the median over its cells, of first processes, of second ones, ..."""
    runs = zip(*(sample.runs for sample in samples), strict=True)
    beside = min(sample.beside for sample in samples)
    return Sample(tuple(map(_medians, runs)), _medians([sample.new for sample in samples]), beside)


def _medians(groups: Sequence[Floats]) -> Floats:
    """The median over groups of their first values, of their second ones, and so on."""
    most = max(map(len, groups))
    return np.array([np.median([values[at] for values in groups if at < len(values)]) for at in range(most)])


def _groups(run: Run) -> dict[str, dict[str, Numbers]]:
    """Group to its timed cells."""
    found: dict[str, dict[str, Numbers]] = {}
    for name, numbers in run.cells.items():
        if numbers.group and numbers.rounds_s:
            found.setdefault(numbers.group, {})[name] = numbers
    return found


def _alike(base: Numbers | None, new: Numbers) -> bool:
    return base is not None and (base.facts, base.interpreted) == (new.facts, new.interpreted)


def _rounds(numbers: Numbers) -> dict[int, Sequence[float]]:
    return dict(zip(numbers.processes, numbers.rounds_s, strict=True))
