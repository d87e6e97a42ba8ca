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

_NO_FAULT = ("enter.resume", "guest.translate", "guest.use")
"""Steps of an access that need no fault; the counter of fault steps leaves them out."""


@dataclass(frozen=True)
class Stack:
    """What is stacked: the rows of `programs` that `steps` counts, divided by the counter `events`.

    pages: the counter of pages that the events covered; None if each covers one, so that all
      scenarios compare on one scale.
    """

    programs: tuple[str, ...]
    steps: str
    events: str
    noun: str
    pages: str | None


def by_place(results: Results, stack: Stack) -> pd.DataFrame:
    """Return steps an event: one row a cell that has events, one column a place (floats).

    A cell whose rows do not add up to its counter is left out: a bar must not contradict the summary.
    """
    rows = results.rows
    rows = rows[rows["program"].isin(stack.programs) & ~rows["step"].isin(_NO_FAULT)]
    hits = rows.pivot_table(index="cell", columns="place", values="hits", aggfunc="sum", fill_value=0)
    events = results.cells[stack.events].fillna(0)
    agree = hits.sum(axis=1) == results.cells[stack.steps].reindex(hits.index)
    cells = [cell for cell in results.cells.index if events[cell] > 0 and agree.get(cell, default=False)]
    hits = hits.loc[cells, [place for place in _places(hits) if hits.loc[cells, place].sum() > 0]]
    return hits.div(events[cells].astype("float64"), axis=0)


def draw(results: Results, stack: Stack) -> Drawing | None:
    """Draw a bar a cell, stacked by place; None if no cell has such events."""
    table = by_place(results, stack)
    if table.empty:
        return None
    scenarios = lanes.choose(results, table.index, stack.events)
    panels = [[scenario] for scenario in scenarios] if stack.pages else [scenarios]
    layouts = [lanes.lay_out(results, panel) for panel in panels]
    drawing, axes = lanes.draw_panels(layouts, f"steps per {stack.noun} (counted)")
    for panel, layout in zip(axes, layouts, strict=True):
        _panel(panel, layout, table, results, stack)
    _legend(drawing, list(table.columns))
    return drawing


def _panel(axes: Axes, layout: lanes.Layout, table: pd.DataFrame, results: Results, stack: Stack) -> None:
    table = table[table.index.isin([lane.cell for lane in layout.lanes])]
    bars = dict(zip(table.index, records(table), strict=True))
    pages = _mean_pages(results, stack)
    largest = float(table.sum(axis=1).max())
    axes.set_xlim(0, largest * (1.45 if stack.pages else 1.13))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    for lane in layout.lanes:
        if lane.cell in bars:
            _bar(axes, lane.y, bars[lane.cell], largest)
            _total(axes, lane.y, sum(bars[lane.cell].values()), pages.get(lane.cell))
        else:
            lanes.note(axes, lane.y, _remark(results, lane, stack))


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
    if reason:
        return f"not applicable: {reason}"
    if results.cells.loc[lane.cell, stack.events] == 0:
        return f"no {stack.noun} in this cell"
    return "the profile of rows does not add up to the counter"


def _bar(axes: Axes, y: float, steps: Mapping[str, float], largest: float) -> None:
    starts = np.concatenate(([0.0], np.cumsum(list(steps.values()))))
    for (place, length), start in zip(steps.items(), starts, strict=False):
        colour = theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE)
        axes.barh(y, length, left=start, height=0.68, color=colour, edgecolor=theme.PAPER, linewidth=0.6)
        if length > 0.05 * largest:
            text_colour = "#ffffff" if place in theme.DARK_PLACES else "#101418"
            text = formatting.ratio(length)
            axes.text(start + length / 2, y, text, ha="center", va="center_baseline", size=7.5, color=text_colour)


def _mean_pages(results: Results, stack: Stack) -> dict[str, float]:
    """Pages that an event covers on average, of the cells that know it."""
    if stack.pages is None:
        return {}
    means = (results.cells[stack.pages] / results.cells[stack.events]).dropna()
    return {str(cell): float(mean) for cell, mean in means.items()}


def _total(axes: Axes, y: float, steps: float, pages: float | None) -> None:
    text = axes.annotate(formatting.ratio(steps), (steps, y), (5, 0), textcoords="offset points", weight="bold")
    text.set_verticalalignment("center_baseline")
    if pages is not None:
        remark = f"for {formatting.ratio(pages)} pages"
        axes.annotate(remark, (1, 0.5), (4, 0), text, "offset points", va="center", color=theme.MUTED, size=8)


def _legend(drawing: Drawing, places: list[str]) -> None:
    patches = [Patch(color=theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE), label=place) for place in places]
    drawing.legend(
        handles=patches, loc="upper left", ncols=len(places), handlelength=0.9, handleheight=0.9, columnspacing=1.3,
        borderaxespad=0.4,
    )  # fmt: skip
