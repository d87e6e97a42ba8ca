"""The page of a history: one self-contained HTML file with a chart for every number of every cell."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import gmembench
from gmembench.reports.history.check import WINDOW, Told
from gmembench.reports.history.store import Entry
from gmembench.reports.history.trends import BUCKETS, CellTrend, Line, Trends

WIDTH, HEIGHT, MARGIN = 640, 110, 8
NEWEST_SHARE = 0.7
"""Share of a chart's width for the newest WINDOW runs, if there are older ones."""

CHANGES_AT_MOST = 500


def render(trends: Trends, folder: str) -> str:
    """The page as HTML. All text of the results is escaped."""
    environment = Environment(
        loader=PackageLoader("gmembench.reports"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    drawn, values = trends.thinned
    places = {(cell.cell, cell.facts): number for number, cell in enumerate(trends.cells, 1)}
    return environment.get_template("history.html").render(
        version=gmembench.__version__,
        folder=folder,
        trends=trends,
        first=trends.runs[0][1].when, last=trends.runs[-1][1].when,
        drawn=drawn, values=values, window=WINDOW, buckets=BUCKETS,
        cells=[_cell(cell, trends) for cell in trends.cells],
        changes=[_change(told, trends, places) for told in trends.checked.changes[:CHANGES_AT_MOST]],
        left_out=max(0, len(trends.checked.changes) - CHANGES_AT_MOST),
        moves=[_move(at, trends) for at in trends.moves],
        runs=Markup(_script([[_when(entry), entry.commit[:12], entry.digest] for _, entry in trends.runs])),  # noqa: S704
    )  # fmt: skip


def _script(value: object) -> str:
    """JSON that cannot end the element of a script."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _when(entry: Entry) -> str:
    return f"{entry.when:%Y-%m-%d %H:%M}"


def _change(told: Told, trends: Trends, places: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """A change as the table shows it."""
    entry = next(entry for run, entry in trends.runs if run.file == told.change.run)
    state = "open" if told.open else "blessed" if told.note else "recovered" if told.recovered else ""
    return {
        "told": told,
        "place": places.get((told.change.cell, told.change.facts)),
        "when": _when(entry),
        "commit": entry.commit[:12],
        "state": state or ("better" if not told.change.worse else "older"),
        "mark": "▲" if told.change.worse else "▼",
    }


def _move(at: int, trends: Trends) -> dict[str, str]:
    run, entry = trends.runs[at]
    return {"when": _when(entry), "commit": entry.commit[:12], "about": run.about}


def _cell(cell: CellTrend, trends: Trends) -> dict[str, Any]:
    """A cell with its charts."""
    return {
        "trend": cell,
        "newest": {line.unit: line.text(line.points[-1][1]) for line in cell.lines},
        "charts": [_chart(line, cell, trends) for line in cell.lines if not line.flat],
        "flat": [line for line in cell.lines if line.flat],
        "open": any(told.open for told in cell.changes),
    }


def _chart(line: Line, cell: CellTrend, trends: Trends) -> dict[str, Any]:
    """One chart: its SVG, and the points for whoever points at it."""
    count = len(trends.runs)
    low, high = min(v for _, v in line.points), max(v for _, v in line.points)
    timed = not line.counted
    order = {run.file: at for at, (run, _) in enumerate(trends.runs)}
    changes = [told for told in cell.changes if (told.change.kind == "time") == timed]
    parts = [_boundary(count)]
    if timed:
        parts += [_upright(across(at, count), "move", "another machine") for at in trends.moves]
    parts += [f'<polyline points="{_points(stretch, count, (low, high))}"/>' for stretch in _stretches(line, trends)]
    parts += [_mark(told, across(order[told.change.run], count)) for told in changes]
    ends = [line.text(value) for _, value in (line.points[0], line.points[-1])]
    label = f"{line.unit}: {ends[0]} at first, {ends[1]} now, {len(changes)} changes"
    return {
        "unit": line.unit, "low": line.text(low), "high": line.text(high),
        "now": line.text(line.points[-1][1]),
        "label": label,
        "svg": Markup("".join(parts)),  # noqa: S704 - numbers, and texts that were escaped
        "points": _script([[at, line.number(value), round(across(at, count), 1)] for at, value in line.points]),
    }  # fmt: skip


def across(at: int, count: int) -> float:
    """Where a run stands: the newest WINDOW runs have most of the width."""
    older = count - WINDOW
    inside = WIDTH - 2 * MARGIN
    if older <= 0:
        return MARGIN + inside * (at / (count - 1) if count > 1 else 0.5)
    left = inside * (1 - NEWEST_SHARE)
    if at < older:
        return MARGIN + left * at / older
    return MARGIN + left + (inside - left) * (at - older) / (WINDOW - 1)


def _boundary(count: int) -> str:
    return "" if count <= WINDOW else _upright(across(count - WINDOW, count), "newest", f"the newest {WINDOW} runs")


def _upright(x: float, kind: str, title: str) -> str:
    return Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="0" y2="{}"><title>{}</title></line>').format(
        kind, x, x, HEIGHT, title
    )


def _mark(told: Told, x: float) -> str:
    """A change: a line, and a triangle that points to where the numbers went."""
    kind = "worse" if told.open else "change"
    top = "0,9 9,9 4.5,1" if told.change.worse else "0,1 9,1 4.5,9"
    title = f"{told.change.what}{': ' + told.note if told.note else ''}"
    shape = Markup('<polygon class="{}" points="{}" transform="translate({:.1f} 0)"><title>{}</title></polygon>')
    return _upright(x, kind, title) + shape.format(kind, top, x - 4.5, title)


def _stretches(line: Line, trends: Trends) -> Iterable[list[tuple[int, float]]]:
    """The points, in a new stretch at every change of machine: no line joins times of two machines."""
    if line.counted:
        return [list(line.points)]
    found: list[list[tuple[int, float]]] = []
    last = None
    for at, value in line.points:
        machine = trends.runs[at][0].machine
        if machine != last:
            found.append([])
        found[-1].append((at, value))
        last = machine
    return found


def _points(points: Iterable[tuple[int, float]], count: int, ends: tuple[float, float]) -> str:
    """Points of a polyline; one that stands alone is drawn as a short line."""
    low, high = ends
    span = HEIGHT - 2 * MARGIN - 10

    def y(value: float) -> float:
        return HEIGHT - MARGIN - span * ((value - low) / (high - low) if high > low else 0.5)

    found = [(across(at, count), y(value)) for at, value in points]
    if len(found) == 1:
        found = [(found[0][0] - 1.5, found[0][1]), (found[0][0] + 1.5, found[0][1])]
    return " ".join(f"{x:.1f},{height:.1f}" for x, height in found)
