"""Steps of one kind of event, by place, as stacked bars: shared by the figures of faults and conversions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from gmembench.reports import formatting, lanes, theme
from gmembench.reports.loading import Results, records


@dataclass(frozen=True)
class Stack:
    """What is stacked: rows of `programs` outside the guest, divided by the counter `events`."""

    programs: tuple[str, ...]
    events: str
    noun: str


def by_place(results: Results, stack: Stack) -> pd.DataFrame:
    """Return steps an event: one row a cell that has events, one column a place (floats)."""
    rows = results.rows
    rows = rows[rows["program"].isin(stack.programs) & (rows["place"] != "guest")]
    hits = rows.pivot_table(index="cell", columns="place", values="hits", aggfunc="sum", fill_value=0)
    events = results.cells[stack.events].fillna(0)
    cells = [cell for cell in results.cells.index if events[cell] > 0 and cell in hits.index]
    hits = hits.loc[cells, [place for place in _places(hits) if hits.loc[cells, place].sum() > 0]]
    return hits.div(events[cells].astype("float64"), axis=0)


def draw(results: Results, stack: Stack) -> Drawing | None:
    """Draw a bar a cell, stacked by place; None if no cell has such events."""
    table = by_place(results, stack)
    if table.empty:
        return None
    layout = lanes.lay_out(results, results.cells.loc[table.index, "scenario"])
    drawing, axes = lanes.draw_lanes(layout, f"steps per {stack.noun} (counted)")
    largest = float(table.sum(axis=1).max())
    bars = dict(zip(table.index, records(table), strict=True))
    axes.set_xlim(0, largest * 1.13)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    for lane in layout.lanes:
        if lane.cell in bars:
            _bar(axes, lane.y, bars[lane.cell], largest)
        else:
            lanes.note(axes, lane.y, _remark(results, lane, stack))
    _legend(drawing, list(table.columns))
    return drawing


def numbers(results: Results, stack: Stack) -> pd.DataFrame:
    """Return the drawn numbers as text: one row a cell, one column a place, and their sum."""
    table = by_place(results, stack)
    table["all places"] = table.sum(axis=1)
    shown = table.map(formatting.ratio).reset_index()
    return shown.rename(columns={c: f"{c}, steps (counted)" for c in table.columns})


def _places(hits: pd.DataFrame) -> list[str]:
    known = [place for place in theme.PLACE_COLOURS if place in hits.columns]
    return known + sorted(set(hits.columns) - set(known))


def _remark(results: Results, lane: lanes.Lane, stack: Stack) -> str:
    reason = lane.reason or results.missing_program(lane.cell, stack.programs[0])
    return f"not applicable: {reason}" if reason else f"no {stack.noun} in this cell"


def _bar(axes: Axes, y: float, steps: Mapping[str, float], largest: float) -> None:
    starts = np.concatenate(([0.0], np.cumsum(list(steps.values()))))
    for (place, length), start in zip(steps.items(), starts, strict=False):
        colour = theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE)
        axes.barh(y, length, left=start, height=0.68, color=colour, edgecolor=theme.PAPER, linewidth=0.6)
        if length > 0.05 * largest:
            text_colour = "#ffffff" if place in theme.DARK_PLACES else "#101418"
            text = formatting.ratio(length)
            axes.text(start + length / 2, y, text, ha="center", va="center_baseline", size=7.5, color=text_colour)
    total = formatting.ratio(float(starts[-1]))
    axes.text(starts[-1] + 0.012 * largest, y, total, va="center_baseline", weight="bold")


def _legend(drawing: Drawing, places: list[str]) -> None:
    patches = [Patch(color=theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE), label=place) for place in places]
    drawing.legend(
        handles=patches, loc="upper left", ncols=len(places), handlelength=0.9, handleheight=0.9, columnspacing=1.3,
        borderaxespad=0.4,
    )  # fmt: skip
