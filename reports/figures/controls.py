"""Agreement with the trace, and what is left of it when a rule of the model is broken on purpose."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter

from gmembench.reports import conformance, designs, formatting, theme
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results

_WIDTH_INCHES = 7.8
_LABEL_INCHES = 2.9
_LANE_INCHES = 0.29


def draw(results: Results) -> Drawing | None:
    """Draw a bar for the model and one for each control that has a figure; None without any control."""
    for cell in results.cells.index:
        bars = conformance.agreements(results.conformance.get(cell, {}))
        if len(bars) > 1:
            return _bars(bars, designs.look(results.cells.loc[cell, "design"]).colour)
    return None


def _bars(bars: list[tuple[str, float]], colour: str) -> Drawing:
    height = _LANE_INCHES * len(bars) + 0.65
    drawing = Drawing(figsize=(_WIDTH_INCHES, height))
    left = _LABEL_INCHES / _WIDTH_INCHES
    axes = drawing.add_axes((left, 0.5 / height, 0.9 - left, 1 - 0.6 / height))
    for y, (_, agreement) in enumerate(bars):
        _bar(axes, y, agreement, theme.MUTED if y else colour)
    axes.set_yticks(range(len(bars)), [formatting.shorten(name, 44) for name, _ in bars])
    axes.get_yticklabels()[0].set(color=theme.INK, weight="bold")
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("agreement with the trace (counted)")
    return drawing


def _bar(axes: Axes, y: int, agreement: float, colour: str) -> None:
    axes.barh(y, agreement, height=0.66, color=colour, alpha=0.9 if y == 0 else 0.55)
    axes.text(agreement + 0.01, y, formatting.percent(agreement), va="center_baseline", weight="bold", size=8.5)


FIGURE = Figure(
    section="conformance",
    title="Agreement of the model, and of models broken on purpose",
    kind="counted",
    caption="The first bar is the model. Each grey bar is the model with one rule broken: it should be shorter.",
    draw=draw,
    numbers=None,
)
