"""Wall-clock time of the model's own code: every process a point, the median a bar, the middle half a band."""

import numpy as np
import pandas as pd

from gmembench.reports import axes, formatting, lanes
from gmembench.reports.canvas import Canvas
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results
from gmembench.reports.measured import Distribution, distributions, process_means

_POINTS_AT_MOST = 60
_COLUMNS = tuple(f"{what}, ns (measured)" for what in ("least", "25 %", "median", "75 %", "most"))


def draw(results: Results) -> Canvas | None:
    """Draw one lane a cell of a scenario that was timed; None if none was."""
    if not results.measured:
        return None
    means = {str(cell): found for cell, found in process_means(results).groupby("cell")["time_ns"]}
    spread = distributions(results)
    layout = lanes.lay_out(results, only=spread)
    canvas = Canvas(lanes.WIDTH, layout.height)
    scale = _scale(pd.concat([means[lane.cell] for lane in layout.lanes]))
    axes.x_axis(canvas, scale, 4, layout.bottom, "ns an operation (measured: the model's code)", 4)
    lanes.draw_labels(canvas, results, layout)
    for lane in layout.lanes:
        _lane(canvas, results, scale, lane, means[lane.cell], spread[lane.cell])
    return canvas


def numbers(results: Results) -> pd.DataFrame:
    """Return the drawn numbers as text: one row a cell."""
    found = []
    for cell, means in process_means(results).groupby("cell", sort=False)["time_ns"]:
        spread = (means.min(), *np.percentile(means, (25, 50, 75)), means.max())
        times = dict(zip(_COLUMNS, map(formatting.time_ns, spread), strict=True))
        found.append({"cell": cell, "processes": str(len(means)), **times})
    return pd.DataFrame(found)


def _scale(times_ns: "pd.Series[float]") -> axes.Scale:
    """Zoom to the data: the differences between processes are what a distribution shows."""
    low, high = float(times_ns.min()), float(times_ns.max())
    room = max(high - low, 0.02 * high)
    return axes.Scale(low - 0.06 * room, high + 0.06 * room, lanes.LEFT, lanes.RIGHT)


def _lane(
    canvas: Canvas,
    results: Results,
    scale: axes.Scale,
    lane: lanes.Lane,
    points: "pd.Series[float]",
    spread: Distribution,
) -> None:
    cast = results.cast[lane.parts["design"]]
    with canvas.hover(_told(lane, spread), lane.cell):
        if spread.processes > 1:
            low, high = scale(spread.low_ns), scale(spread.high_ns)
            canvas.box(low, lane.y - 7.5, high - low, 15, cast.variable, opacity=0.25)
        shown = _thinned(points)
        offsets = np.linspace(-5, 5, len(shown)) if len(shown) > 1 else np.zeros(1)
        for point, offset in zip(shown, offsets, strict=True):
            canvas.marker(scale(point), lane.y + float(offset), cast.marker, cast.variable, size=2.2, opacity=0.85)
        median = scale(spread.median_ns)
        canvas.line([(median, lane.y - 8), (median, lane.y + 8)], "ink", width=1.8)
        canvas.text(lanes.RIGHT + 6, lane.y, formatting.time_ns(spread.median_ns), bold=True)


def _thinned(points: "pd.Series[float]") -> list[float]:
    """All points, or where they are many the quantiles of as many as a lane can show."""
    if len(points) <= _POINTS_AT_MOST:
        return [float(point) for point in points]
    return [float(point) for point in np.quantile(points, np.linspace(0, 1, _POINTS_AT_MOST))]


def _told(lane: lanes.Lane, spread: Distribution) -> str:
    median, low, high = (formatting.time_ns(value) for value in (spread.median_ns, spread.low_ns, spread.high_ns))
    half = f", middle half {low} to {high}" if spread.processes > 1 else ""
    return f"{lane.cell}: median {median} ns{half}, {formatting.plural(spread.processes, 'process')} (measured)"


FIGURE = Figure(
    section="scenario",
    order=30,
    title="Measured time an operation",
    kind="measured",
    caption=(
        "Each point is the mean of one process; the dark bar and the number are the median of the processes, the pale "
        f"band is their middle half. The axis does not begin at zero. Of more than {_POINTS_AT_MOST} processes, "
        "quantiles are drawn."
    ),
    draw=draw,
    numbers=numbers,
)
