"""Trends of a history: the series of every cell, thinned, with their changes, for a page or a terminal."""

import fnmatch
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmembench.reports.compare.counted import COSTS
from gmembench.reports.history.check import WINDOW, Checked, Told
from gmembench.reports.history.series import IndexedRun, Series, indexed_runs, read_series, thinned
from gmembench.reports.history.store import Entry, entry_of

BUCKETS = 50
"""Stretches of older runs, of each of which the least and the largest value are drawn."""

STEPS, TIME = "steps", "ns an operation"
"""Units of the two lines."""

_BARS = "▁▂▃▄▅▆▇█"
_BARS_AT_MOST = 40
_STEPS = COSTS.index("steps")


@dataclass(frozen=True)
class Line:
    """One number of one cell over the runs: (number of the run, value), thinned; of how many values in all."""

    unit: str
    points: tuple[tuple[int, float], ...]
    values: int

    @property
    def counted(self) -> bool:
        """True for a counted number, which is shown to the last digit."""
        return self.unit == STEPS

    @property
    def flat(self) -> bool:
        """True if all its values are one, of a run or of many, so that there is nothing to draw."""
        return len({value for _, value in self.points}) == 1

    def number(self, value: float) -> float:
        """The value as exactly as it is known."""
        return int(value) if self.counted else float(f"{value:.5g}")

    def text(self, value: float) -> str:
        """The same for a reader."""
        return f"{value:,.0f}" if self.counted else f"{value:,.4g}"


@dataclass(frozen=True)
class CellTrend:
    """One cell in one configuration: its lines and changes, and whether it was in the newest run."""

    cell: str
    facts: str
    lines: tuple[Line, ...]
    changes: tuple[Told, ...]
    current: bool


@dataclass(frozen=True)
class Trends:
    """All cells, their runs, and at which runs the machine is another than before."""

    cells: tuple[CellTrend, ...]
    runs: tuple[tuple[IndexedRun, Entry], ...]
    moves: tuple[int, ...]
    checked: Checked

    @property
    def thinned(self) -> tuple[int, int]:
        """How many values are drawn, and how many there are."""
        lines = [line for cell in self.cells for line in cell.lines]
        return sum(len(line.points) for line in lines), sum(line.values for line in lines)

    def as_data(self) -> dict[str, Any]:
        """Plain data: the newest value of every line."""
        return {
            "trends": [
                {
                    "cell": cell.cell, "facts": cell.facts, "current": cell.current, "changes": len(cell.changes),
                    **{line.unit: line.points[-1][1] for line in cell.lines},
                }
                for cell in self.cells
            ]
        }  # fmt: skip

    def as_text(self) -> str:
        """A line a cell: its newest values, and bars over its newest runs."""
        width = max(len(cell.cell) for cell in self.cells)
        alone = len(self.runs) == 1
        lines = [f"{len(self.runs):,} runs; bars: the newest {_BARS_AT_MOST}, each line between its least and largest"]
        if alone:
            lines = ["one run has no trend; its numbers:"]
        for cell in self.cells:
            parts = [
                f"{'' if alone else bars(line) + ' '}{line.text(line.points[-1][1])} {line.unit}" for line in cell.lines
            ]
            changed = f"  {len(cell.changes)} changes" if cell.changes else ""
            opened = ", open regression" if any(one.open for one in cell.changes) else ""
            lines.append(f"{cell.cell:{width}}  {'  '.join(parts)}{changed}{opened}")
        return "\n".join(lines) + "\n"


def bars(line: Line) -> str:
    """The newest points as signs of eight heights."""
    values = [value for _, value in line.points[-_BARS_AT_MOST:]]
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0
    return "".join(_BARS[round((value - low) * scale)] for value in values)


def trends(index: sqlite3.Connection, checked: Checked, glob: str = "*") -> Trends:
    """The trends of the cells that match."""
    runs = indexed_runs(index)
    changes: dict[tuple[str, str], list[Told]] = {}
    for told in checked.changes:
        changes.setdefault((told.change.cell, told.change.facts), []).append(told)
    series = [one for one in read_series(index) if fnmatch.fnmatchcase(one.cell, glob)]
    cells = [
        CellTrend(
            one.cell, one.facts, _lines(one), tuple(changes.get((one.cell, one.facts), ())),
            one.points[-1].at == len(runs) - 1,
        )
        for one in series
    ]  # fmt: skip
    cells.sort(key=lambda cell: (not any(told.open for told in cell.changes), cell.cell))
    entries = tuple((run, entry_of(run.file, Path())) for run in runs)
    return Trends(tuple(cells), entries, _moves(runs), checked)


def _lines(one: Series) -> tuple[Line, ...]:
    steps = [(point.at, float(point.costs[_STEPS] or 0)) for point in one.points]
    times = [(point.at, 1e9 * point.time_s) for point in one.points if point.time_s is not None]
    lines = [(STEPS, steps), (TIME, times)]
    return tuple(Line(unit, tuple(thinned(points, WINDOW, BUCKETS)), len(points)) for unit, points in lines if points)


def _moves(runs: Sequence[IndexedRun]) -> tuple[int, ...]:
    """Runs that were timed on another machine than the timed run before them."""
    found, last = [], ""
    for at, run in enumerate(runs):
        if run.machine and last and run.machine != last:
            found.append(at)
        last = run.machine or last
    return tuple(found)
