"""Series of a history: the numbers of one cell in one configuration over the runs, from the index."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from gmembench.reports.compare.counted import COSTS


@dataclass(frozen=True)
class Point:
    """One cell in one run. at: number of the run, oldest 0; machine: number of its row in the index of machines."""

    at: int
    machine: str
    time_s: float | None
    costs: tuple[int | None, ...]


@dataclass(frozen=True)
class Series:
    """The points of a cell in one configuration, oldest first."""

    cell: str
    facts: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class IndexedRun:
    """A run as the index knows it. about: its machine in words; digest: of the model's sources."""

    file: str
    machine: str
    about: str
    digest: str


def indexed_runs(index: sqlite3.Connection) -> list[IndexedRun]:
    """All runs, oldest first."""
    return [IndexedRun(*row) for row in index.execute("SELECT file, machine, about, digest FROM runs ORDER BY file")]


def read_series(index: sqlite3.Connection, start: int = 0, end: int | None = None) -> list[Series]:
    """The series over the runs from number `start` to before `end`, by cell."""
    rows = index.execute("SELECT run, machine FROM runs ORDER BY file").fetchall()[start:end]
    found: dict[int, list[Point]] = {}
    columns = ", ".join(COSTS)
    for at, (run, machine) in enumerate(rows, start):
        query = f"SELECT series, time_s, {columns} FROM points WHERE run = ?"  # noqa: S608 - our own names
        for number, time_s, *costs in index.execute(query, (run,)):
            found.setdefault(number, []).append(Point(at, machine, time_s, tuple(costs)))
    names = {number: (cell, facts) for number, cell, facts in index.execute("SELECT series, cell, facts FROM series")}
    series = [Series(*names[number], tuple(points)) for number, points in found.items()]
    return sorted(series, key=lambda one: (one.cell, one.points[0].at))


def timed(series: Series) -> dict[str, list[Point]]:
    """The points with a time, by machine."""
    found: dict[str, list[Point]] = {}
    for point in series.points:
        if point.time_s is not None:
            found.setdefault(point.machine, []).append(point)
    return found


def cost_changes(before: Point, after: Point) -> list[tuple[str, int, int]]:
    """Counters that differ between two points, and are known in both: name, before, after."""
    return [
        (name, old, new)
        for name, old, new in zip(COSTS, before.costs, after.costs, strict=True)
        if old is not None and new is not None and old != new
    ]


def thinned(points: Sequence[tuple[int, float]], whole: int, buckets: int) -> list[tuple[int, float]]:
    """The newest `whole` points, and of the older ones the least and the largest of each of `buckets` stretches."""
    older, newest = points[:-whole] if whole else points, points[-whole:] if whole else []
    if len(older) <= 2 * buckets:
        return list(points)
    kept: list[tuple[int, float]] = []
    for number in range(buckets):
        stretch = older[number * len(older) // buckets : (number + 1) * len(older) // buckets]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, *newest]
