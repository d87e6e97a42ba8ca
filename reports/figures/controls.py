"""Agreement with the trace, and what is left of it when a rule of the model is broken on purpose."""

from gmembench.reports import axes, conformance, formatting, lettering
from gmembench.reports.canvas import Canvas
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results

_WIDTH, _LEFT, _RIGHT, _LANE = 620.0, 210.0, 540.0, 23.0


def draw(results: Results) -> Canvas | None:
    """Draw a bar for the model and one for each control that has a figure; None without any control."""
    for cell in results.cells.index:
        bars = conformance.agreements(results.conformance.get(cell, {}))
        if len(bars) > 1:
            return _bars(bars, str(cell), results.cast[str(results.cells.loc[cell, "design"])].variable)
    return None


def _bars(bars: list[tuple[str, float]], cell: str, colour: str) -> Canvas:
    bottom = 8 + _LANE * len(bars)
    canvas = Canvas(_WIDTH, bottom + 38)
    scale = axes.Scale(0, 100, _LEFT, _RIGHT)
    axes.x_axis(canvas, scale, 4, bottom, "agreement with the trace, % (counted)", 6)
    for number, (name, agreement) in enumerate(bars):
        y = 8 + _LANE * (number + 0.5)
        with canvas.hover(f"{cell}: {name}: {formatting.percent(agreement)} (counted)", cell):
            text = lettering.fitted(name, 11, _LEFT - 16, bold=not number)
            canvas.text(_LEFT - 8, y, text, anchor="end", bold=not number)
            width = scale(100 * agreement) - _LEFT
            canvas.box(_LEFT, y - 8, width, 16, "muted" if number else colour, opacity=0.55 if number else 0.9)
            canvas.text(_LEFT + width + 6, y, formatting.percent(agreement), bold=True)
    return canvas


FIGURE = Figure(
    section="conformance",
    title="Agreement of the model, and of models broken on purpose",
    kind="counted",
    caption="The first bar is the model. Each grey bar is the model with one rule broken: it should be shorter.",
    draw=draw,
    numbers=None,
)
