"""Private and shared backing over the run, one panel a cell: what is held twice is striped."""

import numpy as np
import pandas as pd

from gmembench.reports import axes, formatting, lettering
from gmembench.reports.canvas import Canvas, Point
from gmembench.reports.figure import Figure
from gmembench.reports.groups import most_usual
from gmembench.reports.loading import Results, records

_WIDTH, _LEFT = 480.0, 40.0
_PANEL_WIDTH, _PANEL_HEIGHT = 208.0, 74.0
_GAP_X, _GAP_Y = 20.0, 42.0
_TOP = 46.0
_PANELS_AT_MOST = 12
_SHARED_OPACITY = 0.42
_CURVES = {"private": "private_pages", "shared": "shared_pages", "held twice": "double_backed_pages"}


def draw(results: Results) -> Canvas | None:
    """Draw a panel a cell, all on one scale; None if no cell has a profile."""
    cells = _chosen(results)
    if not cells:
        return None
    rows = -(-len(cells) // 2)
    canvas = Canvas(_WIDTH, _TOP + rows * (_PANEL_HEIGHT + _GAP_Y) - 4)
    _legend(canvas)
    profiles = {str(cell): profile for cell, profile in results.backing.groupby("cell")}
    total = max(int((profiles[cell]["private_pages"] + profiles[cell]["shared_pages"]).max()) for cell in cells)
    operations = max(int(profiles[cell]["operation"].max()) for cell in cells)
    for number, cell in enumerate(cells):
        left = _LEFT + (number % 2) * (_PANEL_WIDTH + _GAP_X)
        top = _TOP + (number // 2) * (_PANEL_HEIGHT + _GAP_Y)
        x = axes.Scale(0, max(operations, 1), left, left + _PANEL_WIDTH)
        y = axes.Scale(0, 1.04 * max(formatting.mebibytes(total), 0.001), top + _PANEL_HEIGHT, top)
        _panel(canvas, results, cell, profiles[cell], (x, y), labelled=number % 2 == 0)
    bottom = canvas.height - 8
    canvas.text(_LEFT + _PANEL_WIDTH, bottom, "operations done (counted)", size=10.5, colour="muted", anchor="middle")
    return canvas


def _chosen(results: Results) -> list[str]:
    """Cells with a profile, of the hardware and page size that most designs ran."""
    cells = results.cells[results.cells.index.isin(results.backing["cell"])]
    return [str(cell) for cell in most_usual(cells).index][:_PANELS_AT_MOST]


def _panel(
    canvas: Canvas,
    results: Results,
    cell: str,
    profile: pd.DataFrame,
    scales: tuple[axes.Scale, axes.Scale],
    *,
    labelled: bool,
) -> None:
    x, y = scales
    design = str(results.cells.loc[cell, "design"])
    cast = results.cast[design]
    canvas.marker(x.first + 4, y.last - 10, cast.marker, cast.variable)
    canvas.text(x.first + 13, y.last - 10, lettering.fitted(design, 11, _PANEL_WIDTH - 14), size=11)
    _grid(canvas, scales, labelled=labelled)
    with canvas.hover(_told(cell, profile), cell):
        _areas(canvas, scales, corners(profile), cast.variable)
    canvas.line([(x.first, y.first), (x.last, y.first)], "muted")


def _grid(canvas: Canvas, scales: tuple[axes.Scale, axes.Scale], *, labelled: bool) -> None:
    x, y = scales
    for value in axes.ticks(0, y.high, 4):
        canvas.line([(x.first, y(value)), (x.last, y(value))], "rule")
        if labelled:
            canvas.text(x.first - 5, y(value), axes.short(value), size=10, colour="muted", anchor="end", tick=True)
    for value in axes.ticks(0, x.high, 4):
        canvas.text(x(value), y.first + 10, axes.short(value), size=10, colour="muted", anchor="middle", tick=True)


def _told(cell: str, profile: pd.DataFrame) -> str:
    peak = {key: formatting.size(profile[f"{key}_pages"].max()) for key in ("private", "shared", "double_backed")}
    last = formatting.size(profile["private_pages"].iloc[-1] + profile["shared_pages"].iloc[-1])
    return (
        f"{cell}: at most {peak['private']} MiB private, {peak['shared']} MiB shared and {peak['double_backed']} MiB "
        f"held twice; {last} MiB at the end (counted, {len(profile)} points)"
    )


def corners(profile: pd.DataFrame) -> pd.DataFrame:
    """The points at which some curve bends: the others lie on straight lines, and change no picture."""
    points = profile[["operation", "private_pages", "shared_pages", "double_backed_pages"]].to_numpy(dtype="int64")
    steps = np.diff(points, axis=0)
    # Integer cross products: no point is lost or kept by rounding.
    bends = (steps[:-1, 1:] * steps[1:, :1] != steps[1:, 1:] * steps[:-1, :1]).any(axis=1)
    return profile[np.concatenate(([True], bends, [True]))] if len(profile) > 2 else profile


def numbers(results: Results) -> pd.DataFrame:
    """Return drawn numbers as text: what each cell holds where its curves bend."""
    profiles = {str(cell): profile for cell, profile in results.backing.groupby("cell")}
    found = [
        {"cell": cell, "operations done (counted)": f"{point['operation']:,}"}
        | {f"{name}, MiB (counted)": formatting.size(point[column]) for name, column in _CURVES.items()}
        for cell in _chosen(results)
        for point in records(_points(profiles[cell]))
    ]
    return pd.DataFrame(found)


def _points(profile: pd.DataFrame) -> pd.DataFrame:
    """The points of a profile that stand in the table: the bends; of many every fourth part of them, and the peaks."""
    bends = corners(profile)
    last = len(bends) - 1
    most = {int(bends[column].to_numpy().argmax()) for column in _CURVES.values()}
    return bends.iloc[sorted({quarter * last // 4 for quarter in range(5)} | most)]


def _areas(canvas: Canvas, scales: tuple[axes.Scale, axes.Scale], profile: pd.DataFrame, colour: str) -> None:
    x, y = scales
    places = [x(float(operation)) for operation in profile["operation"]]
    private = formatting.mebibytes(1) * profile["private_pages"]
    total = private + formatting.mebibytes(1) * profile["shared_pages"]
    once = total - formatting.mebibytes(1) * profile["double_backed_pages"]
    floor, middle, upper, lower = (
        [(place, y(float(value))) for place, value in zip(places, curve, strict=True)]
        for curve in (0 * private, private, total, once)
    )
    if private.any():
        canvas.area(_between(floor, middle), colour)
    if (total > private).any():
        canvas.area(_between(middle, upper), colour, opacity=_SHARED_OPACITY)
    if (total > once).any():
        canvas.area(_between(lower, upper), "ink", hatch=True)
    canvas.line(upper, colour, width=1.2)


def _between(lower: list[Point], upper: list[Point]) -> list[Point]:
    return [*lower, *reversed(upper)]


def _legend(canvas: Canvas) -> None:
    x = 4.0
    for text in ("private", "shared", "held twice (a private and a shared copy)"):
        corner = ((x, 7.0), (x + 14, 7.0), (x + 14, 17.0), (x, 17.0))
        twice = "twice" in text
        opacity = _SHARED_OPACITY if text == "shared" else 1
        canvas.area(corner, "ink" if twice else "muted", opacity=opacity, hatch=twice)
        canvas.text(x + 19, 12, text, size=10.5)
        x += 32 + lettering.width(text, 10.5)
    canvas.text(_LEFT - 5, _TOP - 10, "MiB", size=10, colour="muted", anchor="end")


FIGURE = Figure(
    section="scenario",
    order=50,
    title="Memory that backs the guest, over the run",
    kind="counted",
    caption=(
        "Private and shared pages stacked, in MiB, against the operations done so far. Where a page of the guest has "
        "both a private and a shared copy the second copy is striped: that memory is consumed twice until one of them "
        f"is freed. Cells of the hardware and page size that most designs ran, at most {_PANELS_AT_MOST}. "
        "The table of numbers has the points where the curves bend; where these are many, the peaks and a few others."
    ),
    draw=draw,
    numbers=numbers,
)
