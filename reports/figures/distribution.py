"""How measured times are distributed: the share of processes, and of single values, that took at most so long."""

from itertools import pairwise

import numpy as np
import pandas as pd

from gmembench.reports import axes, formatting, lanes, lettering
from gmembench.reports.canvas import Canvas, Point
from gmembench.reports.designs import Cast
from gmembench.reports.figure import Figure
from gmembench.reports.groups import most_usual
from gmembench.reports.loading import Results
from gmembench.reports.measured import process_means

_WIDTH, _LEFT, _RIGHT = 480.0, 44.0, 468.0
_TOP, _BOTTOM = 8.0, 218.0
_LEGEND_LINE = 17.0
_POINTS_AT_MOST = 160
_CURVES_AT_MOST = 12
FEW = 6
"""Of fewer processes a curve would be a stair that nobody can read."""
DOTS_AT_MOST = 26
"""A process. More would be one bar."""


def draw(results: Results) -> Canvas | None:
    """Draw a curve for each timed cell of a scenario; None if no cell has two processes."""
    curves = _curves(results)
    if not curves:
        return None
    if max(len(means) for _, _, means in curves) < FEW:
        return _dots(results, [cell for cell, _, _ in curves])
    rows = -(-len(curves) // 2)
    canvas = Canvas(_WIDTH, _BOTTOM + 44 + _LEGEND_LINE * rows)
    low = min(float(values[0]) for _, values, _ in curves)
    high = max(float(values[-1]) for _, values, _ in curves)
    x = axes.Scale(low, max(high, low * 1.001), _LEFT, _RIGHT)
    y = axes.Scale(0, 1, _BOTTOM, _TOP)
    axes.x_axis(canvas, x, _TOP, _BOTTOM, "ns an operation (measured: the model's code)", 5)
    for share in (0, 0.25, 0.5, 0.75, 1):
        canvas.line([(_LEFT, y(share)), (_RIGHT, y(share))], "rule")
        canvas.text(_LEFT - 5, y(share), f"{share:.0%}", size=10, colour="muted", anchor="end", tick=True)
    for number, (cell, values, means) in enumerate(curves):
        _curve(canvas, results, (x, y), cell, values, means)
        _legend(canvas, results, cell, number, rows)
    return canvas


def _dots(results: Results, cells: list[str]) -> Canvas:
    """A lane a cell, in it a line a process: each value a dot, the mean a large marker."""
    layout = lanes.lay_out(results, only=cells)
    canvas = Canvas(lanes.WIDTH, layout.height)
    times = results.times[results.times["cell"].isin(cells)]
    low, high = float(times["time_ns"].min()), float(times["time_ns"].max())
    room = max(high - low, 0.02 * high)
    scale = axes.Scale(low - 0.04 * room, high + 0.04 * room, lanes.LEFT, lanes.WIDTH - 14)
    axes.x_axis(canvas, scale, 4, layout.bottom, "ns an operation (measured: the model's code)", 5)
    lanes.draw_labels(canvas, results, layout)
    for lane in layout.lanes:
        cast = results.cast[lane.parts["design"]]
        processes = [own["time_ns"].to_numpy() for _, own in times[times["cell"] == lane.cell].groupby("process")]
        told = f"{lane.cell}: {formatting.plural(len(processes), 'process')}, each a line of dots (measured)"
        with canvas.hover(told, lane.cell):
            for y, values in zip(np.linspace(lane.y - 6, lane.y + 6, len(processes)), processes, strict=True):
                _dotted(canvas, scale, float(y), values, cast)
    return canvas


def dots(values: np.ndarray) -> np.ndarray:
    """The values of a process that are dots: all, or evenly spaced quantiles from the least to the largest."""
    if len(values) <= DOTS_AT_MOST:
        return values
    return np.asarray(np.quantile(values, np.linspace(0, 1, DOTS_AT_MOST)))


def _dotted(canvas: Canvas, scale: axes.Scale, y: float, values: np.ndarray, cast: Cast) -> None:
    """The line of a process, its dots, and the mean of all its values."""
    canvas.line([(scale(float(values.min())), y), (scale(float(values.max())), y)], cast.variable, opacity=0.35)
    for value in dots(values):
        canvas.marker(scale(float(value)), y, "circle", cast.variable, size=1.6, opacity=0.6)
    canvas.marker(scale(float(values.mean())), y, cast.marker, cast.variable, size=2.8)


def numbers(results: Results) -> pd.DataFrame:
    """Return the drawn numbers as text: quantiles of the values of each cell."""
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    found = [
        {"cell": cell, "values": f"{len(values):,}"}
        | {f"{share:.0%}, ns (measured)": formatting.time_ns(float(np.quantile(values, share))) for share in shares}
        for cell, values, _ in _curves(results)
    ]
    return pd.DataFrame(found)


def _curves(results: Results) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Cell, its values and the means of its processes, both sorted; of the most usual hardware and page size."""
    timed = results.cells[results.cells.index.isin(results.times["cell"])]
    values = {cell: np.sort(found) for cell, found in results.times.groupby("cell")["time_ns"]}
    means = {cell: np.sort(found) for cell, found in process_means(results).groupby("cell")["time_ns"]}
    found = [(str(cell), values[cell], means[cell]) for cell in most_usual(timed).index if len(means[cell]) > 1]
    return found[:_CURVES_AT_MOST]


def _curve(
    canvas: Canvas,
    results: Results,
    scales: tuple[axes.Scale, axes.Scale],
    cell: str,
    values: np.ndarray,
    means: np.ndarray,
) -> None:
    cast = results.cast[str(results.cells.loc[cell, "design"])]
    told = f"{cell}: {len(means)} processes, {len(values):,} values, half of them within "
    told += f"{formatting.time_ns(float(np.median(values)))} ns (measured)"
    with canvas.hover(told, cell):
        if len(values) > len(means):
            canvas.line(_steps(values, scales), cast.variable, opacity=0.45)
        line = _steps(means, scales)
        canvas.line(line, cast.variable, width=2, dash=cast.dash)
        for place, (left, right) in enumerate(pairwise(line[::2])):
            if place % max(len(means) // 6, 1) == 0:
                canvas.marker((left[0] + right[0]) / 2, right[1], cast.marker, cast.variable, size=3.2)


def _steps(ordered: np.ndarray, scales: tuple[axes.Scale, axes.Scale]) -> list[Point]:
    """The corners of the share of values up to each; of many values, those of as many quantiles as one can see."""
    x, y = scales
    if len(ordered) > _POINTS_AT_MOST:
        ordered = np.quantile(ordered, np.linspace(0, 1, _POINTS_AT_MOST))
    shares = [rank / len(ordered) for rank in range(len(ordered) + 1)]
    points = [(x(float(ordered[0])), y(0))]
    for value, (before, share) in zip(ordered, pairwise(shares), strict=True):
        points += [(x(float(value)), y(before)), (x(float(value)), y(share))]
    return points[1:]


def _legend(canvas: Canvas, results: Results, cell: str, number: int, rows: int) -> None:
    design = str(results.cells.loc[cell, "design"])
    cast = results.cast[design]
    x, y = 8 + 238 * (number // rows), _BOTTOM + 46 + _LEGEND_LINE * (number % rows)
    canvas.line([(x, y), (x + 30, y)], cast.variable, width=2, dash=cast.dash)
    canvas.marker(x + 15, y, cast.marker, cast.variable, size=3.6)
    canvas.text(x + 36, y, lettering.fitted(design, 10.5, 195), size=10.5)


FIGURE = Figure(
    section="scenario",
    order=40,
    title="Distribution of the measured times",
    kind="measured",
    caption=(
        "How large a share took at most so long. The strong line counts processes by their means, which is what may be "
        "compared; the pale line counts single values, which of one process are alike. The axis does not begin at zero."
        f" With fewer than {FEW} processes a cell each value is a dot instead, each process a line of dots, and the "
        f"large marker its mean; of more than {DOTS_AT_MOST} values of a process, evenly spaced quantiles."
        f" Cells of the most usual hardware and page size; of a curve of more than {_POINTS_AT_MOST} values, quantiles."
    ),
    draw=draw,
    numbers=numbers,
)
