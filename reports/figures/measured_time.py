"""Wall-clock time of the model's own code: every process a point, the median a bar, one panel a scenario."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from gmembench.reports import designs, formatting, lanes, theme
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results
from gmembench.reports.measured import Distribution, distributions, process_means

_MARKERS = {"4K": "o", "2M": "s", "1G": "^"}


def draw(results: Results) -> Drawing | None:
    """Draw one panel a scenario and one lane a cell; None if nothing was measured."""
    if not results.measured:
        return None
    means = process_means(results)
    spread = distributions(results)
    scenarios = lanes.choose(results, [cell for cell in results.cells.index if cell in spread], "operations")
    only = spread if lanes.crowded(results) else None
    layouts = [lanes.lay_out(results, [scenario], only) for scenario in scenarios]
    drawing, panels = lanes.draw_panels(
        layouts, "nanoseconds an operation (measured: the model's own code, not a kernel)"
    )
    for layout, axes in zip(layouts, panels, strict=True):
        _scale(axes, means.loc[means["cell"].isin([lane.cell for lane in layout.lanes]), "time_ns"])
        for lane in layout.lanes:
            if lane.cell in spread:
                points = means.loc[means["cell"] == lane.cell, "time_ns"]
                _lane(axes, lane, points, spread[lane.cell])
            else:
                lanes.note(axes, lane.y, f"not applicable: {lane.reason}" if lane.reason else "not measured")
    return drawing


def numbers(results: Results) -> pd.DataFrame:
    """Return the drawn numbers as text: one row a cell and process."""
    means = process_means(results)
    means["time_ns"] = means["time_ns"].map(formatting.time_ns)
    means["process"] = means["process"].astype(int) + 1
    return means.rename(columns={"time_ns": "mean, ns an operation (measured)"})


def _scale(axes: Axes, times_ns: "pd.Series[float]") -> None:
    """Zoom to the data: the differences between processes are what a distribution shows."""
    low, high = float(times_ns.min()), float(times_ns.max())
    room = max(high - low, 0.02 * high)
    axes.set_xlim(low - 0.08 * room, high + 0.16 * room)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def _lane(axes: Axes, lane: lanes.Lane, points: "pd.Series[float]", spread: Distribution) -> None:
    colour = designs.look(lane.parts["design"]).colour
    marker = _MARKERS.get(lane.parts["page_size"], "D")
    if spread.processes > 1:
        box = (spread.low_ns, spread.high_ns)
        axes.fill_between(box, lane.y - 0.36, lane.y + 0.36, color=colour, alpha=0.22, linewidth=0)
    offsets = np.linspace(-0.24, 0.24, len(points)) if len(points) > 1 else np.zeros(1)
    axes.plot(points, lane.y + offsets, marker, color=colour, markersize=3.8, alpha=0.85, markeredgewidth=0)
    axes.plot((spread.median_ns,) * 2, (lane.y - 0.36, lane.y + 0.36), color=theme.INK, linewidth=1.6)
    axes.annotate(
        formatting.time_ns(spread.median_ns), (points.max(), lane.y), (7, 0), textcoords="offset points",
        va="center_baseline", weight="bold", size=8.5,
    )  # fmt: skip


FIGURE = Figure(
    section="time",
    title="Measured time an operation",
    kind="measured",
    caption=(
        "One panel a scenario, one line a cell. Each point is the mean of one process, the dark bar and the "
        "number are the median of the processes, the pale band is their middle half. Circles are 4K cells, "
        "squares 2M cells. Every panel has a scale of its own, and none begins at zero." + lanes.CROWDED
    ),
    draw=draw,
    numbers=numbers,
)
