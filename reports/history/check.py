"""Change points of a history: counters from run to run, times by E-divisive over the newest runs.

Only the newest WINDOW runs are searched. What was found in older ones is kept in `changes.json` as it was when
they left the window: it is frozen.
"""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from gmembench.core.errors import UserError
from gmembench.reports.compare.rules import Rules
from gmembench.reports.history import series as reading
from gmembench.reports.history.blessing import Blessing, blessing_of
from gmembench.reports.history.changepoints import SEGMENT_AT_LEAST, change_points
from gmembench.reports.history.series import IndexedRun, Point, Series

WINDOW = 200
FILE = "changes.json"
SHOWN_COUNTERS = 3


class Change(msgspec.Struct, frozen=True):
    """One change of one cell.

    kind: "counted" or "time". run: file of the first run on the new level, `since` that of the run before it.
    before, after: the first counter that changed, or seconds an operation. what: in words. machine: for a time.
    p: of the permutation test; 0 for counters, which are exact. frozen: found earlier, and not searched again.
    """

    cell: str
    facts: str
    kind: str
    run: str
    since: str
    before: float
    after: float
    what: str
    worse: bool
    machine: str = ""
    p: float = 0.0
    frozen: bool = False


class _Frozen(msgspec.Struct):
    schema: int
    changes: list[Change]


@dataclass(frozen=True)
class Told:
    """A change, and what became of it: blessed with a note, recovered, or open."""

    change: Change
    note: str | None
    recovered: bool

    @property
    def open(self) -> bool:
        """True for a regression that nobody blessed, that is still there, and that is in the newest runs."""
        return self.change.worse and self.note is None and not self.recovered and not self.change.frozen


@dataclass(frozen=True)
class Checked:
    """All changes, newest first, and which runs were searched: from number `start` of `runs`."""

    changes: tuple[Told, ...]
    runs: int
    start: int
    cells: int

    @property
    def open(self) -> list[Told]:
        """Regressions to look at."""
        return [told for told in self.changes if told.open]


def check(
    index: sqlite3.Connection,
    frozen: Sequence[Change],
    blessings: Sequence[Blessing],
    rules: Rules,
    window: int | None = WINDOW,
) -> Checked:
    """Search the newest runs (all of them if `window` is None) and take the frozen changes along."""
    runs = reading.indexed_runs(index)
    start = 0 if window is None else max(0, len(runs) - window)
    series = reading.read_series(index, start)
    order = {run.file: number for number, run in enumerate(runs)}
    found = _counted(series, runs, rules) + _timed(series, runs, rules, WINDOW)
    found += _kept(frozen, found, order, start)
    told = [_told(change, series, blessings, order, rules) for change in found]
    told.sort(key=lambda one: (-order[one.change.run], not one.open, one.change.cell, one.change.kind))
    return Checked(tuple(told), len(runs), start, len({one.cell for one in series}))


def _kept(earlier: Sequence[Change], found: Sequence[Change], order: Mapping[str, int], start: int) -> list[Change]:
    """Changes that were found earlier, where they cannot be found again or not for sure.

    Those of runs that are not searched any more, and of times in the older half of the searched ones: near the edge
    there are too few points to see them.
    """
    kept = []
    for change in earlier:
        at = order.get(change.run, math.inf)
        if at <= start > 0:
            kept.append(msgspec.structs.replace(change, frozen=True))
            continue
        seen_again = any(_same_place(change, other, order) for other in found)
        if change.kind == "time" and start > 0 and at < start + WINDOW // 2 and not seen_again:
            kept.append(change)
    return kept


def _same_place(change: Change, other: Change, order: Mapping[str, int]) -> bool:
    same = (change.cell, change.facts, change.kind, change.machine)
    near = abs(order.get(change.run, math.inf) - order[other.run]) <= SEGMENT_AT_LEAST
    return near and same == (other.cell, other.facts, other.kind, other.machine)


def read_frozen(folder: Path) -> list[Change]:
    """The changes that were found before. Raises UserError for a file that cannot be understood."""
    path = folder / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Frozen)
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        mend = "remove it and run gmembench history check --all"
        raise UserError(f"the changes found earlier cannot be read ({error})", str(path), mend) from None
    return found.changes


def frozen_text(checked: Checked) -> bytes:
    """What `changes.json` shall hold, for the next check."""
    return msgspec.json.format(msgspec.json.encode(_Frozen(1, [told.change for told in checked.changes])), indent=1)


def _counted(series: Sequence[Series], runs: Sequence[IndexedRun], rules: Rules) -> list[Change]:
    found = []
    for one in series:
        grow = 1 + rules.counted_of(one.cell)
        for before, after in zip(one.points, one.points[1:], strict=False):
            changes = reading.cost_changes(before, after)
            if changes:
                worse = [change for change in changes if change[2] > change[1] * grow]
                first = (worse or changes)[0]
                shown = [f"{name} {old:,} -> {new:,}" for name, old, new in [*worse, *changes][:SHOWN_COUNTERS]]
                what = ", ".join(dict.fromkeys(shown))
                ends = (runs[after.at].file, runs[before.at].file)
                found.append(Change(one.cell, one.facts, "counted", *ends, first[1], first[2], what, bool(worse)))
    return found


def _timed(series: Sequence[Series], runs: Sequence[IndexedRun], rules: Rules, window: int) -> list[Change]:
    """Changes of time, each series and machine by itself; longer series in overlapping windows."""
    parts: list[tuple[Series, str, list[Point]]] = []
    for one in series:
        for machine, points in reading.timed(one).items():
            starts = range(0, max(1, len(points) - window // 2), window // 2) if len(points) > window else [0]
            parts += [(one, machine, points[start : start + window]) for start in starts]
    parts = [part for part in parts if len(part[2]) >= 2 * SEGMENT_AT_LEAST]
    logs = [np.log([point.time_s for point in points if point.time_s]) for _, _, points in parts]
    least = min((rules.threshold_of(one.cell) for one, _, _ in parts), default=rules.threshold)
    found: dict[tuple[str, str, str, str], Change] = {}
    for (one, machine, points), values, splits in zip(
        parts, logs, change_points(logs, math.log1p(least), rules.alpha), strict=True
    ):
        edges = [0, *(split.at for split in splits), len(values)]
        for number, split in enumerate(splits):
            before = float(values[edges[number] : split.at].mean())
            after = float(values[split.at : edges[number + 2]].mean())
            if abs(after - before) >= math.log1p(rules.threshold_of(one.cell)):
                files = (runs[points[split.at].at].file, runs[points[split.at - 1].at].file)
                change = _time_change(one, machine, files, before, after)
                key = (one.cell, one.facts, machine, files[0])
                found.setdefault(key, msgspec.structs.replace(change, p=split.p))
    return list(found.values())


def _time_change(one: Series, machine: str, files: tuple[str, str], before: float, after: float) -> Change:
    seconds = (math.exp(before), math.exp(after))
    what = f"time {1e9 * seconds[0]:,.4g} -> {1e9 * seconds[1]:,.4g} ns ({math.expm1(after - before):+.1%})"
    return Change(one.cell, one.facts, "time", *files, *seconds, what, after > before, machine)


def _told(
    change: Change, series: Sequence[Series], blessings: Sequence[Blessing], order: dict[str, int], rules: Rules
) -> Told:
    blessing = blessing_of(change.cell, change.kind, change.run, blessings, order)
    recovered = change.worse and not change.frozen and _recovered(change, series, order, rules)
    return Told(change, blessing.note if blessing else None, recovered)


def _recovered(change: Change, series: Sequence[Series], order: dict[str, int], rules: Rules) -> bool:
    """True if the newest runs are as good again as those before the change."""
    one = next(s for s in series if (s.cell, s.facts) == (change.cell, change.facts))
    if change.kind == "counted":
        before = next(point for point in one.points if point.at == order[change.since])
        grow = 1 + rules.counted_of(change.cell)
        return all(new <= old * grow for _, old, new in reading.cost_changes(before, one.points[-1]))
    points = [point for point in reading.timed(one)[change.machine] if point.at >= order[change.run]]
    newest = [math.log(point.time_s) for point in points[-SEGMENT_AT_LEAST:] if point.time_s]
    limit = math.log(change.before) + math.log1p(rules.threshold_of(change.cell))
    return sum(newest) / len(newest) <= limit
