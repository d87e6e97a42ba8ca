"""Private and shared backing over the run, one panel a cell: what is held twice is hatched."""

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from gmembench.reports import designs, formatting, theme
from gmembench.reports.figure import Figure
from gmembench.reports.loading import NAME_PARTS, Results, cell_order, records

_PANEL_INCHES = (3.55, 1.42)
_MARGIN_INCHES = 0.75
_TOP_INCHES = 0.45
_SHARED_ALPHA = 0.38
_GROUP = ["scenario", "hardware", "page_size"]


def draw(results: Results) -> Drawing | None:
    """Draw a row of panels for each scenario, hardware and page size, a column for each design."""
    if results.backing.empty:
        return None
    columns = results.designs
    cells = _all_cells(results)
    groups = records(cells[_GROUP].drop_duplicates())
    size = (
        _MARGIN_INCHES + _PANEL_INCHES[0] * len(columns),
        _TOP_INCHES + _PANEL_INCHES[1] * len(groups) + 0.25,
    )
    drawing = Drawing(figsize=size)
    grid = drawing.subplots(
        len(groups), len(columns), squeeze=False, sharey="row",
        gridspec_kw={
            "left": _MARGIN_INCHES / size[0], "right": 1 - 0.12 / size[0], "wspace": 0.09,
            "bottom": 0.55 / size[1], "top": 1 - (_TOP_INCHES + 0.2) / size[1], "hspace": 0.82,
        },
    )  # fmt: skip
    for row, group in zip(grid, groups, strict=True):
        same = cells[(cells[_GROUP] == pd.Series(group)).all(axis=1)]
        for axes, design in zip(row, columns, strict=True):
            _panel(axes, results, same[same["design"] == design], design)
            axes.spines["left"].set_visible(axes is row[0])
            axes.tick_params(axis="y", length=3 if axes is row[0] else 0)
        _name_row(row, group, results.backing[results.backing["cell"].isin(same.index)])
    for axes in grid[-1]:
        axes.set_xlabel("operations done (counted)")
    _legend(drawing)
    return drawing


def _all_cells(results: Results) -> pd.DataFrame:
    """Cells that ran and cells that cannot, of the groups where some cell has a profile."""
    cells = pd.concat([results.cells[list(NAME_PARTS)], results.not_applicable]).rename_axis("cell")
    found = records(cells.reset_index())
    found.sort(key=cell_order)
    cells = pd.DataFrame(found).set_index("cell")
    profiled = cells.loc[cells.index.isin(results.backing["cell"]), _GROUP].apply(tuple, axis=1)
    return cells[cells[_GROUP].apply(tuple, axis=1).isin(set(profiled))]


def _name_row(row: Sequence[Axes], group: Mapping[str, str], profile: pd.DataFrame) -> None:
    hardware = "" if group["hardware"] == "none" else f" · {group['hardware']}"
    scenario = formatting.shorten(group["scenario"], 80)
    row[0].set_title(f"{scenario}{hardware} · {group['page_size']}", pad=15, size=9)
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


def _areas(axes: Axes, profile: pd.DataFrame, colour: str) -> None:
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
        "that memory is consumed twice until one of them is freed."
    ),
    draw=draw,
    numbers=None,
)
