"""Lanes: the shared layout of figures with one horizontal line a cell, grouped by scenario."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from gmembench.reports import designs, formatting, theme
from gmembench.reports.loading import Results, cell_order
from gmembench.reports.schema import NAME_PARTS

WIDTH_INCHES = 7.8
_LANE_INCHES = 0.27
_TOP_INCHES = 0.36
_BOTTOM_INCHES = 0.5
_GAP_INCHES = 0.38
_LABEL_INCHES = 2.3
_LANES_AT_MOST = 40
CROWDED = (
    " Where the results hold many cells it shows 4K pages in the scenarios that most designs ran; the tables have all."
)
"""A sentence for the captions of figures with lanes."""


@dataclass(frozen=True)
class Lane:
    """One cell: its height on the axis, its parts, and why it is not applicable (None if it ran)."""

    y: float
    cell: str
    parts: Mapping[str, str]
    reason: str | None


@dataclass(frozen=True)
class Layout:
    """Lanes and headings from top to bottom."""

    lanes: list[Lane]
    headings: list[tuple[float, str]]
    height: float


def crowded(results: Results) -> bool:
    """Whether there are too many cells for one readable figure."""
    return len(results.cells) > _LANES_AT_MOST


def choose(results: Results, cells: Iterable[str], events: str) -> list[str]:
    """Scenarios of some cells, in the order of the table: all, or if they are too many those that most designs ran.

    Among equals, those with the most events, which a counter of that name counts.
    """
    found = results.cells.loc[list(cells)]
    names = list(found["scenario"].unique())
    if not crowded(results):
        return names
    designs_in = found.groupby("scenario")["design"].nunique()
    seen = found.groupby("scenario")[events].sum()
    chosen: list[str] = []
    lanes = 0
    for name in sorted(names, key=lambda name: (-int(designs_in[name]), -int(seen[name]))):
        lanes += len(_cells(results, {name}))
        if chosen and lanes > _LANES_AT_MOST:
            break
        chosen.append(name)
    return [name for name in names if name in chosen]


def lay_out(results: Results, scenarios: Iterable[str], only: Collection[str] | None = None) -> Layout:
    """Give every cell of some scenarios a lane under the heading of its scenario.

    Where there are too many cells, those of pages larger than 4K are left out; `only`: lanes for these cells alone.
    """
    lanes: list[Lane] = []
    headings: list[tuple[float, str]] = []
    y = 0.0
    for cell, parts, reason in _cells(results, set(scenarios)):
        if only is not None and cell not in only:
            continue
        if not headings or headings[-1][1] != parts["scenario"]:
            y += 0.25 if headings else 0.0
            headings.append((y, parts["scenario"]))
            y += 1.0
        lanes.append(Lane(y, cell, parts, reason))
        y += 1.0
    return Layout(lanes, headings, y)


def draw_panels(layouts: Sequence[Layout], axis_label: str) -> tuple[Drawing, list[Axes]]:
    """Return a drawing with labelled, empty lanes: a panel a layout, one under the other, each with its own x axis."""
    heights = [_LANE_INCHES * layout.height for layout in layouts]
    height = _TOP_INCHES + sum(heights) + _GAP_INCHES * (len(layouts) - 1) + _BOTTOM_INCHES
    drawing = Drawing(figsize=(WIDTH_INCHES, height))
    left = _LABEL_INCHES / WIDTH_INCHES
    panels = []
    top = height - _TOP_INCHES
    for layout, inches in zip(layouts, heights, strict=True):
        axes = drawing.add_axes((left, (top - inches) / height, 0.97 - left, inches / height))
        _prepare(axes, layout)
        panels.append(axes)
        top -= inches + _GAP_INCHES
    panels[-1].set_xlabel(axis_label)
    return drawing, panels


def _prepare(axes: Axes, layout: Layout) -> None:
    axes.set_ylim(layout.height - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_yticks([lane.y for lane in layout.lanes], [_label(lane.parts) for lane in layout.lanes])
    for tick, lane in zip(axes.get_yticklabels(), layout.lanes, strict=True):
        tick.set_color(designs.look(lane.parts["design"]).colour)
    for y, heading in layout.headings:
        _heading(axes, y, heading)


def note(axes: Axes, y: float, text: str) -> None:
    """Write a remark into a lane that has nothing to draw."""
    remark = axes.text(0.006, y, formatting.shorten(text, 80), transform=axes.get_yaxis_transform(), va="center")
    remark.set(color=theme.MUTED, size=8, style="italic")


def _heading(axes: Axes, y: float, text: str) -> None:
    inches = axes.get_position().width * WIDTH_INCHES
    left = -(_LABEL_INCHES - 0.08) / inches
    axes.text(left, y, formatting.shorten(text, 90), transform=axes.get_yaxis_transform(), va="center", weight="bold")


def _label(parts: Mapping[str, str]) -> str:
    hardware = "" if parts["hardware"] in ("none", "") else f" {parts['hardware']}"
    return f"{formatting.shorten(parts['design'], 24)}{formatting.shorten(hardware, 6)} {parts['page_size']}"


def _cells(results: Results, scenarios: set[str]) -> list[tuple[str, dict[str, Any], str | None]]:
    only_small = crowded(results)
    found: list[tuple[str, dict[str, Any], str | None]] = [
        (str(cell), {part: row[part] for part in NAME_PARTS}, row.get("reason"))
        for frame in (results.cells, results.not_applicable)
        for cell, row in frame.iterrows()
        if row["scenario"] in scenarios and (not only_small or row["page_size"] == "4K")
    ]
    return sorted(found, key=lambda item: cell_order(item[1]))
