"""Private and shared backing over the run, one panel a cell: what is held twice is hatched."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from gmembench.reports import designs, formatting, theme
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results, cell_order, records
from gmembench.reports.schema import NAME_PARTS

_PANEL_INCHES = (3.55, 1.42)
_PANELS_ACROSS = 3
_PANELS_AT_MOST = 36
_MARGIN_INCHES = 0.75
_TOP_INCHES = 0.45
_SHARED_ALPHA = 0.38
_GROUP = ["scenario", "hardware", "page_size"]


def draw(results: Results) -> Drawing | None:
    """Draw a band of panels for each scenario, hardware and page size, a panel for each design."""
    if results.backing.empty:
        return None
    cells = _all_cells(results)
    groups = _chosen(results, cells, records(cells[_GROUP].drop_duplicates()))
    across = min(len(results.designs), _PANELS_ACROSS)
    bands = -(-len(results.designs) // across)
    size = (
        _MARGIN_INCHES + _PANEL_INCHES[0] * across,
        _TOP_INCHES + _PANEL_INCHES[1] * len(groups) * bands + 0.25,
    )
    drawing = Drawing(figsize=size)
    grid = drawing.subplots(
        len(groups) * bands, across, squeeze=False, sharey="row",
        gridspec_kw={
            "left": _MARGIN_INCHES / size[0], "right": 1 - 0.12 / size[0], "wspace": 0.09,
            "bottom": 0.55 / size[1], "top": 1 - (_TOP_INCHES + 0.2) / size[1], "hspace": 0.82,
        },
    )  # fmt: skip
    for number, group in enumerate(groups):
        _group(grid[number * bands : (number + 1) * bands], results, cells, group)
    for axes in grid[-1]:
        axes.set_xlabel("operations done (counted)")
    _legend(drawing)
    return drawing


def _group(rows: Any, results: Results, cells: pd.DataFrame, group: Mapping[str, str]) -> None:
    """Draw one scenario, hardware and page size: a panel a design, in as many rows as they need."""
    same = cells[(cells[_GROUP] == pd.Series(group)).all(axis=1)]
    profile = results.backing[results.backing["cell"].isin(same.index)]
    panels = [axes for row in rows for axes in row]
    for axes, design in zip(panels, results.designs, strict=False):
        _panel(axes, results, same[same["design"] == design], design)
    for axes in panels[len(results.designs) :]:
        axes.set_axis_off()
    for row in rows:
        for axes in row:
            axes.spines["left"].set_visible(axes is row[0])
            axes.tick_params(axis="y", length=3 if axes is row[0] else 0)
        _scale_row(row, profile)
    hardware = "" if group["hardware"] == "none" else f" · {group['hardware']}"
    scenario = formatting.shorten(group["scenario"], 80)
    rows[0][0].set_title(f"{scenario}{hardware} · {group['page_size']}", pad=15, size=9)


def _chosen(results: Results, cells: pd.DataFrame, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All groups, or where they are many, those in which the most memory is held twice or given back."""
    if len(groups) * len(results.designs) <= _PANELS_AT_MOST:
        return groups
    movement = results.backing.groupby("cell")[["private_pages", "shared_pages", "double_backed_pages"]].apply(_moved)
    of_group = cells.join(movement.rename("moved")).groupby(_GROUP)["moved"].max().fillna(0)
    small = [g for g in groups if g["page_size"] == "4K" and g["hardware"] == "none"] or groups
    ran = cells.loc[cells.index.isin(results.cells.index)].groupby(_GROUP)["design"].nunique()
    ranked = sorted(small, key=lambda g: -float(of_group[tuple(g.values())]) * int(ran[tuple(g.values())]))
    families: dict[str, dict[str, Any]] = {}  # of the variants of a scenario, the one with most to see
    for group in ranked:
        families.setdefault(group["scenario"].partition(":")[0], group)
    kept = list(families.values())[: max(1, _PANELS_AT_MOST // len(results.designs))]
    return [group for group in groups if group in kept]


def _moved(profile: pd.DataFrame) -> float:
    """The share of a cell's backing that is held twice, and that is given back before its last point."""
    total = (profile["private_pages"] + profile["shared_pages"]).to_numpy()
    returned = (np.maximum.accumulate(total) - total)[:-1]
    largest = max(int(total.max()), 1)
    return float(profile["double_backed_pages"].max() + max(returned, default=0)) / largest


def _all_cells(results: Results) -> pd.DataFrame:
    """Cells that ran and cells that cannot, of the groups where some cell has a profile."""
    cells = pd.concat([results.cells[list(NAME_PARTS)], results.not_applicable]).rename_axis("cell")
    found = records(cells.reset_index())
    found.sort(key=cell_order)
    cells = pd.DataFrame(found).set_index("cell")
    profiled = cells.loc[cells.index.isin(results.backing["cell"]), _GROUP].apply(tuple, axis=1)
    return cells[cells[_GROUP].apply(tuple, axis=1).isin(set(profiled))]


def _scale_row(row: Sequence[Axes], profile: pd.DataFrame) -> None:
    row[0].set_ylabel("MiB (counted)")
    largest = int((profile["private_pages"] + profile["shared_pages"]).max())
    row[0].set_ylim(0, 1.06 * formatting.mebibytes(max(largest, 1)))


def _panel(axes: Axes, results: Results, cells: pd.DataFrame, design: str) -> None:
    colour = designs.look(design).colour
    axes.annotate(
        formatting.shorten(design, 40), (0, 1), (0, 4), "axes fraction", "offset points", color=colour, size=8.5
    )
    axes.grid(axis="y")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    profile = results.backing[results.backing["cell"].isin(cells.index)]
    if profile.empty:
        reason = cells["reason"].iloc[0] if len(cells) and "reason" in cells else None
        _no_profile(axes, reason if isinstance(reason, str) else None)
    else:
        _areas(axes, profile, colour)


def _no_profile(axes: Axes, reason: str | None) -> None:
    text = f"not applicable: {reason}" if reason else "not in these results"
    lines = "\n".join(textwrap.wrap(text, 52, replace_whitespace=False)[:5])
    axes.text(0.02, 0.92, lines, transform=axes.transAxes, va="top", color=theme.MUTED, size=8, style="italic")
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _corners(profile: pd.DataFrame) -> pd.DataFrame:
    """The points at which some curve bends: the others lie on straight lines, and change no picture."""
    points = profile[["operation", "private_pages", "shared_pages", "double_backed_pages"]].to_numpy(dtype="int64")
    steps = np.diff(points, axis=0)
    # Integer cross products: no point is lost or kept by rounding.
    bends = (steps[:-1, 1:] * steps[1:, :1] != steps[1:, 1:] * steps[:-1, :1]).any(axis=1)
    return profile[np.concatenate(([True], bends, [True]))] if len(profile) > 2 else profile


def _areas(axes: Axes, profile: pd.DataFrame, colour: str) -> None:
    profile = _corners(profile)
    x = profile["operation"]
    private = formatting.mebibytes(1) * profile["private_pages"]
    total = private + formatting.mebibytes(1) * profile["shared_pages"]
    once = total - formatting.mebibytes(1) * profile["double_backed_pages"]
    axes.fill_between(x, 0, private, color=colour, linewidth=0)
    axes.fill_between(x, private, total, color=colour, alpha=_SHARED_ALPHA, linewidth=0)
    if (total > once).any():
        axes.fill_between(x, once, total, facecolor="none", edgecolor=theme.INK, hatch="////", linewidth=0)
    axes.plot(x, total, color=colour, linewidth=1)
    axes.set_xlim(int(x.min()), max(int(x.max()), int(x.min()) + 1))


def _legend(drawing: Drawing) -> None:
    patches = [
        Patch(facecolor=theme.MUTED, label="private"),
        Patch(facecolor=theme.MUTED, alpha=_SHARED_ALPHA, label="shared"),
        Patch(
            facecolor="none",
            edgecolor=theme.INK,
            hatch="////",
            linewidth=0,
            label="held twice (private and shared at once)",
        ),
    ]
    drawing.legend(handles=patches, loc="upper left", ncols=3, handlelength=1.6, handleheight=1.0, borderaxespad=0.3)


FIGURE = Figure(
    section="memory",
    title="Memory that backs the guest, over the run",
    kind="counted",
    caption=(
        "One panel a cell: private and shared pages stacked, in MiB, against the operations done so far. "
        "Where a page of the guest has both a private and a shared copy the second copy is hatched: "
        "that memory is consumed twice until one of them is freed. "
        "Where the results hold many cells it shows 4K pages on hardware none, in the scenarios in which the most "
        "memory is held twice or given back."
    ),
    draw=draw,
    numbers=None,
)
