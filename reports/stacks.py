"""Steps of one kind of event, by place, as stacked bars: shared by the figures of faults and conversions."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from gmembench.reports import axes, formatting, lanes, lettering, theme
from gmembench.reports.canvas import Canvas
from gmembench.reports.loading import Results, records
from gmembench.reports.once import once

_NO_FAULT = ("enter.resume", "guest.translate", "guest.use")
"""Steps of an access that need no fault; the counter of fault steps leaves them out."""


NUMBER_SIZE = 9.5


@dataclass(frozen=True)
class Stack:
    """What is stacked: the rows of `programs` that `steps` counts, divided by the counter `events`.

    pages: the counter of pages that the events covered; None if each covers one.
    """

    programs: tuple[str, ...]
    steps: str
    events: str
    noun: str
    pages: str | None


@once
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
    hits = hits.loc[cells, [place for place in lanes.in_order(set(hits.columns)) if hits.loc[cells, place].sum() > 0]]
    return hits.div(events[cells].astype("float64"), axis=0)


def draw(results: Results, stack: Stack) -> Canvas | None:
    """Draw a bar for each cell of a scenario, stacked by place; None if no cell has such events."""
    table = by_place(results, stack)
    if table.empty:
        return None
    legend = lanes.legend_rows(list(table.columns), lanes.WIDTH)
    layout = lanes.lay_out(results, 14 + lanes.LEGEND_LINE * len(legend))
    canvas = Canvas(lanes.WIDTH, layout.height)
    lanes.draw_legend(canvas, legend)
    pages = _mean_pages(results, stack)
    right = lanes.RIGHT - (_width_beside(table, pages) if pages else 0)
    scale = axes.Scale(0, float(table.sum(axis=1).max()), lanes.LEFT, right)
    top = 10 + lanes.LEGEND_LINE * len(legend)
    axes.x_axis(canvas, scale, top, layout.bottom, f"steps per {stack.noun} (counted)")
    lanes.draw_labels(canvas, results, layout)
    bars = dict(zip(table.index, records(table), strict=True))
    for lane in layout.lanes:
        if lane.cell in bars:
            _bar(canvas, scale, lane, bars[lane.cell], stack.noun)
            _total(canvas, scale, lane, sum(bars[lane.cell].values()), pages.get(lane.cell))
        else:
            lanes.note(canvas, lane, _remark(results, lane, stack))
    return canvas


def numbers(results: Results, stack: Stack) -> pd.DataFrame:
    """Return the drawn numbers as text: one row a cell, one column a place, and their sum."""
    table = by_place(results, stack)
    table = table.assign(**{"all places": table.sum(axis=1)})
    shown = table.map(formatting.ratio).reset_index()
    return shown.rename(columns={c: f"{c}, steps (counted)" for c in table.columns})


def _remark(results: Results, lane: lanes.Lane, stack: Stack) -> str:
    reason = lane.reason or results.missing_program(lane.cell, stack.programs[0])
    if reason:
        return f"not applicable: {reason.removeprefix(lane.parts['design']).lstrip()}"
    if results.cells.loc[lane.cell, stack.events] == 0:
        return f"no {stack.noun} in this cell"
    return "the profile of rows does not add up to the counter"


def _bar(canvas: Canvas, scale: axes.Scale, lane: lanes.Lane, steps: Mapping[str, float], noun: str) -> None:
    start = 0.0
    for place, length in steps.items():
        x, width = scale(start), scale(start + length) - scale(start)
        start += length
        if not width:
            continue
        with canvas.hover(f"{lane.cell}: {formatting.ratio(length)} steps per {noun} in {place} (counted)", lane.cell):
            colour = theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE)
            canvas.box(x, lane.y - 7.5, width, 15, colour, stroke="paper")
            text = formatting.ratio(length)
            if lettering.width(text, NUMBER_SIZE) < width - 4:
                colour = "#ffffff" if place in theme.DARK_PLACES else "#101418"
                canvas.text(x + width / 2, lane.y, text, size=NUMBER_SIZE, colour=colour, anchor="middle")


def _mean_pages(results: Results, stack: Stack) -> dict[str, float]:
    """Pages that an event covers on average, of the cells that know it."""
    if stack.pages is None:
        return {}
    means = (results.cells[stack.pages] / results.cells[stack.events]).dropna()
    return {str(cell): float(mean) for cell, mean in means.items()}


def _width_beside(table: pd.DataFrame, pages: Mapping[str, float]) -> float:
    """How far total and pages reach beyond the room that a total alone has."""
    totals = table.sum(axis=1)
    widths = [
        lettering.width(formatting.ratio(totals[cell]), 11, bold=True)
        + lettering.width(_pages_text(pages[cell]), NUMBER_SIZE)
        for cell in table.index
        if cell in pages
    ]
    return max(0.0, max(widths, default=0) + 18 - (lanes.WIDTH - lanes.RIGHT))


def _pages_text(pages: float) -> str:
    return f"/ {formatting.ratio(pages)} pages"


def _total(canvas: Canvas, scale: axes.Scale, lane: lanes.Lane, steps: float, pages: float | None) -> None:
    x, text = scale(steps) + 5, formatting.ratio(steps)
    with canvas.hover(f"{lane.cell}: {text} steps in all places (counted)", lane.cell):
        canvas.text(x, lane.y, text, bold=True)
        if pages is not None:
            x += lettering.width(text, 11, bold=True) + 5
            canvas.text(x, lane.y, _pages_text(pages), size=NUMBER_SIZE, colour="muted")
