"""Touchpoints in KVM's own code as a heat map: nature by place, one panel a design."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from gmembench.reports import designs, formatting, theme
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results
from gmembench.reports.touchpoints import kvm_rows, places

_PANEL_INCHES = 3.55
_PANELS_ACROSS = 3
_LABEL_INCHES = 0.95
_ROW_INCHES = 0.3
_TOP_INCHES = 0.65


def draw(results: Results) -> Drawing | None:
    """Draw one panel a design; shades grow with the number, on one scale for all panels."""
    rows = kvm_rows(results)
    if rows.empty:
        return None
    grids = {design: _grid(found) for design, found in rows.groupby("design")}
    natures = sorted(set(rows["nature"]))
    columns = [*places(rows), "all"]
    drawn = [design for design in results.designs if design in grids]
    across = min(len(drawn), _PANELS_ACROSS)
    band = _TOP_INCHES + _ROW_INCHES * (len(natures) + 1)
    width = _LABEL_INCHES + _PANEL_INCHES * across
    height = band * -(-len(drawn) // across)
    drawing = Drawing(figsize=(width, height))
    largest = max(int(grid.to_numpy()[:-1, :-1].max()) for grid in grids.values())
    for number, design in enumerate(drawn):
        left = (_LABEL_INCHES + _PANEL_INCHES * (number % across)) / width
        bottom = height - band * (number // across + 1) + 0.1
        box = (left, bottom / height, (_PANEL_INCHES - 0.3) / width, (band - _TOP_INCHES - 0.2) / height)
        grid = grids[design].reindex(index=[*natures, "all"], columns=columns, fill_value=0)
        _panel(drawing.add_axes(box), design, grid, largest, labelled=number % across == 0)
    return drawing


def _grid(rows: pd.DataFrame) -> pd.DataFrame:
    """Distinct (site, nature) pairs by nature and place, with margins `all` that count a pair once."""
    pairs = rows.drop_duplicates(["site", "nature", "place"])
    grid = pairs.pivot_table(index="nature", columns="place", values="site", aggfunc="nunique", fill_value=0)
    once = rows.drop_duplicates(["site", "nature"])
    grid["all"] = once.groupby("nature")["site"].nunique()
    grid.loc["all"] = [
        pairs[pairs["place"] == place].drop_duplicates(["site", "nature"]).shape[0] for place in grid.columns[:-1]
    ] + [len(once)]
    return grid


def _panel(axes: Axes, design: str, grid: pd.DataFrame, largest: int, *, labelled: bool) -> None:
    colour = designs.look(design).colour
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        if not value:
            continue
        margin = row == len(grid) - 1 or column == len(grid.columns) - 1
        if not margin:
            alpha = 0.1 + 0.5 * value / largest
            axes.add_patch(Rectangle((column, row), 0.96, 0.92, facecolor=colour, alpha=alpha, edgecolor="none"))
        axes.text(
            column + 0.48, row + 0.46, str(value), ha="center", va="center_baseline",
            color=theme.INK, weight="bold" if margin else "normal",
        )  # fmt: skip
    axes.set_xlim(0, len(grid.columns))
    axes.set_ylim(len(grid), 0)
    _name_panel(axes, design, grid, labelled=labelled)


def _name_panel(axes: Axes, design: str, grid: pd.DataFrame, *, labelled: bool) -> None:
    axes.set_title(
        f"{formatting.shorten(design, 24)}: touchpoints (counted)", color=designs.look(design).colour, pad=26
    )
    names = [str(column).removeprefix("kvm-") for column in grid.columns]
    axes.set_xticks(np.arange(len(names)) + 0.48, names)
    axes.xaxis.tick_top()
    axes.set_yticks(
        np.arange(len(grid)) + 0.46, [str(nature) for nature in grid.index] if labelled else [""] * len(grid)
    )
    axes.tick_params(length=0, pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)


FIGURE = Figure(
    section="touchpoints",
    title="Touchpoints in KVM, by place and nature",
    kind="counted",
    caption=(
        "Each number is a count of distinct pairs of kernel function and nature in the programs of the design, "
        "whether a run reached them or not. A darker field holds more. "
        "“All” counts a pair once, even if it stands in two places."
    ),
    draw=draw,
    numbers=None,
)
