"""Lanes: the shared layout of figures with one horizontal line a cell, of one scenario."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gmembench.reports import lettering, theme
from gmembench.reports.canvas import Canvas
from gmembench.reports.loading import Results, cell_order
from gmembench.reports.schema import NAME_PARTS

WIDTH = 480.0
LEFT = 164.0
RIGHT = WIDTH - 62
TOP = 8.0
BOTTOM = 36.0
LANE = 21.0
TEXT_SIZE = 10.5
NOTE_SIZE = 10.0
LANES_AT_MOST = 54
LEGEND_LINE = 16


@dataclass(frozen=True)
class Lane:
    """One cell: the height of its middle, its parts, and why it is not applicable (None if it ran)."""

    y: float
    cell: str
    parts: Mapping[str, str]
    reason: str | None


@dataclass(frozen=True)
class Layout:
    """Lanes and headings from top to bottom; `left_out`: how many cells have no lane."""

    lanes: list[Lane]
    headings: list[tuple[float, str]]
    bottom: float
    left_out: int

    @property
    def height(self) -> float:
        """Of the whole picture."""
        return self.bottom + BOTTOM + (LANE if self.left_out else 0)


def lay_out(results: Results, top: float = TOP, only: Collection[str] | None = None) -> Layout:
    """Give the cells of a scenario a lane each, by hardware and page size; `only`: lanes for these cells alone."""
    lanes: list[Lane] = []
    headings: list[tuple[float, str]] = []
    found = [item for item in _cells(results) if only is None or item[0] in only]
    groups = [(name, list(group)) for name, group in groupby(found, key=lambda item: _group(item[1]))]
    groups = [(name, group) for name, group in groups if any(reason is None for _, _, reason in group)]
    # The first group shows whom the scenario leaves out; in the others the same lines would only be in the way.
    groups[1:] = [(name, [item for item in group if item[2] is None]) for name, group in groups[1:]]
    y = top
    for name, group in groups:
        if len(groups) > 1 and len(lanes) < LANES_AT_MOST:
            headings.append((y + LANE / 2, name))
            y += LANE
        for cell, parts, reason in group[: LANES_AT_MOST - len(lanes)]:
            lanes.append(Lane(y + LANE / 2, cell, parts, reason))
            y += LANE
    return Layout(lanes, headings, y, sum(len(group) for _, group in groups) - len(lanes))


def draw_labels(canvas: Canvas, results: Results, layout: Layout) -> None:
    """Write the names of the lanes."""
    for y, heading in layout.headings:
        canvas.text(4, y, heading, size=NOTE_SIZE, colour="muted", bold=True)
    for lane in layout.lanes:
        design = lane.parts["design"]
        cast = results.cast.get(design)
        if cast:
            canvas.marker(10, lane.y, cast.marker, cast.variable)
        name = lettering.fitted(design, TEXT_SIZE, LEFT - 21)
        canvas.text(20, lane.y, name, size=TEXT_SIZE)
    if layout.left_out:
        text = f"and {layout.left_out} cells more, which are in the table of all cells"
        canvas.text(4, layout.height - LANE / 2, text, size=NOTE_SIZE, colour="muted", italic=True)


def note(canvas: Canvas, lane: Lane, text: str) -> None:
    """Write a remark into a lane that has nothing to draw."""
    short = lettering.begun(text, NOTE_SIZE, WIDTH - LEFT - 8)
    with canvas.hover(f"{lane.cell}: {text}", lane.cell):
        canvas.text(LEFT + 4, lane.y, short, size=NOTE_SIZE, colour="muted", italic=True)


def in_order(places: Collection[str]) -> list[str]:
    """Places as figures sort them: those that have a colour of their own, then the others."""
    known = [place for place in theme.PLACE_COLOURS if place in places]
    return known + sorted(set(places) - set(known))


def legend_rows(places: Sequence[str], width: float) -> list[list[str]]:
    """The places in as many lines as they need."""
    rows: list[list[str]] = [[]]
    room = width - 8
    for place in places:
        room -= _legend_width(place)
        if room < 0:
            rows.append([])
            room = width - 8 - _legend_width(place)
        rows[-1].append(place)
    return rows


def _legend_width(place: str) -> float:
    return 28 + lettering.width(place, NOTE_SIZE)


def draw_legend(canvas: Canvas, rows: Sequence[Sequence[str]]) -> None:
    """Say at the top which colour is which place."""
    for line, places in enumerate(rows):
        x, y = 4.0, 9 + LEGEND_LINE * line
        for place in places:
            canvas.box(x, y - 5, 10, 10, theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE))
            canvas.text(x + 14, y, place, size=NOTE_SIZE)
            x += _legend_width(place)


def _group(parts: Mapping[str, str]) -> str:
    return f"hardware {parts['hardware']}, {parts['page_size']}"


def _cells(results: Results) -> list[tuple[str, dict[str, Any], str | None]]:
    found: list[tuple[str, dict[str, Any], str | None]] = [
        (str(cell), {part: row[part] for part in NAME_PARTS}, row.get("reason"))
        for frame in (results.cells, results.not_applicable)
        for cell, row in frame.iterrows()
    ]
    return sorted(found, key=lambda item: cell_order(item[1]))
