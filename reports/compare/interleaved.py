"""Times of designs that were timed interleaved, in the same processes: each beside the others.

What slows a process down slows all designs in it, so a design is compared by its distance to the median of
its process. On a machine with much else to do that was four times less noisy than its time alone. What slows
all designs of a group is in the median itself, which is compared too.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gmembench.reports.compare.measured import Sample
from gmembench.reports.runs import Numbers, Run
from gmembench.reports.statistics import Floats

CELLS_AT_LEAST = 4
"""Designs in a group, so that one that became slower does not move the median by much."""

Group = Mapping[str, Numbers]


def interleaved_samples(pool: Sequence[Run], new: Run) -> tuple[dict[str, Sample], dict[str, Sample]]:
    """The samples of cells beside the others of their group, and of the medians of groups."""
    cells: dict[str, Sample] = {}
    groups: dict[str, Sample] = {}
    bases = [_groups(run) for run in pool]
    for name, group in _groups(new).items():
        olds = [base[name] for base in bases if name in base]
        common = [cell for cell in group if all(_alike(old.get(cell), group[cell]) for old in olds)]
        if not olds or len(common) < CELLS_AT_LEAST:
            continue
        tables = [_table(old, common) for old in olds]
        now = _table(group, common)
        if not all(len(table) for table in [*tables, now]):
            continue
        medians = [np.median(table, axis=1) for table in tables]
        median = np.median(now, axis=1)
        for at, cell in enumerate(common):
            runs = tuple(table[:, at] - middle for table, middle in zip(tables, medians, strict=True))
            cells[cell] = Sample(runs, now[:, at] - median, len(common))
        groups[name] = Sample(tuple(medians), median)
    return cells, groups


def _groups(run: Run) -> dict[str, dict[str, Numbers]]:
    """Group to its timed cells."""
    found: dict[str, dict[str, Numbers]] = {}
    for name, numbers in run.cells.items():
        if numbers.group and numbers.means_s:
            found.setdefault(numbers.group, {})[name] = numbers
    return found


def _alike(base: Numbers | None, new: Numbers) -> bool:
    return base is not None and (base.facts, base.interpreted) == (new.facts, new.interpreted)


def _table(group: Group, cells: Sequence[str]) -> Floats:
    """Logarithms of times: a row for each process that timed all the cells, a column for each cell."""
    columns = [dict(zip(group[cell].processes, group[cell].means_s, strict=True)) for cell in cells]
    numbers = sorted(set.intersection(*map(set, columns)))
    return np.log([[column[number] for column in columns] for number in numbers])
