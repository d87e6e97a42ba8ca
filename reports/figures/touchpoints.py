"""Touchpoints in KVM's own code as a heat map: a line a place and nature, a column a design."""

from collections.abc import Mapping

import pandas as pd

from gmembench.reports import lettering
from gmembench.reports.canvas import Canvas
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results
from gmembench.reports.touchpoints import kvm_rows, places

_LEFT, _COLUMN, _LINE = 118.0, 46.0, 20.0
_TURN = 40.0
_NAME = 150.0
_SMALLEST, _LARGEST = 0.1, 0.6


def draw(results: Results) -> Canvas | None:
    """Draw the table; a field is the darker, the more touchpoints it has. None without a profile of rows."""
    rows = kvm_rows(results)
    if rows.empty:
        return None
    pairs = rows.drop_duplicates(["design", "place", "nature", "site"])
    counts = pairs.groupby(["place", "nature", "design"]).size()
    some = set(rows["design"])
    designs = [design for design in results.designs if design in some]
    top = 26 + max(min(lettering.width(design, 10.5), _NAME) for design in designs) * 0.68
    lines = _lines(rows)
    canvas = Canvas(_right(designs) + _over(designs) + 8, top + _LINE * (len(lines) + 1) + 10)
    _heads(canvas, results, designs, top)
    cells = dict(zip(rows["design"][::-1], rows["cell"][::-1], strict=True))
    first = {design: cells[design] for design in designs}
    for number, (place, nature) in enumerate(lines):
        y = top + _LINE * (number + 0.5)
        if nature is None:
            canvas.line([(4, y + 8), (_right(designs), y + 8)], "rule")
            canvas.text(4, y, place, size=11, bold=True)
        else:
            _line(canvas, results, counts, first, (place, nature), y)
    _totals(canvas, rows, first, top + _LINE * (len(lines) + 0.6))
    return canvas


def _lines(rows: pd.DataFrame) -> list[tuple[str, str | None]]:
    """Each place as a heading, and its natures below it."""
    found: list[tuple[str, str | None]] = []
    for place in places(rows):
        natures = sorted(set(rows.loc[rows["place"] == place, "nature"]))
        found += [(place, None), *((place, nature) for nature in natures)]
    return found


def _heads(canvas: Canvas, results: Results, designs: list[str], top: float) -> None:
    for column, design in enumerate(designs):
        x = _LEFT + _COLUMN * (column + 0.5)
        cast = results.cast[design]
        canvas.marker(x - 2, top - 8, cast.marker, cast.variable)
        canvas.text(x + 2, top - 20, lettering.fitted(design, 10.5, _NAME), size=10.5, angle=_TURN)


def _right(designs: list[str]) -> float:
    """Where the last column ends."""
    return _LEFT + _COLUMN * len(designs)


def _over(designs: list[str]) -> float:
    """How far the turned names of the designs reach beyond the last column."""
    ends = [lettering.width(design, 10.5) * 0.78 + _COLUMN * (n + 0.5) for n, design in enumerate(designs)]
    return max(max(ends) - _COLUMN * len(designs), 0)


def _line(
    canvas: Canvas, results: Results, counts: pd.Series, first: Mapping[str, str], key: tuple[str, str], y: float
) -> None:
    """The fields of a place and nature. `first`: each design and its first cell, in the order of the columns."""
    place, nature = key
    canvas.text(14, y, nature, size=11)
    for column, (design, cell) in enumerate(first.items()):
        count = int(counts.get((place, nature, design), 0))
        with canvas.hover(f"{design}: {count} touchpoints, {place}, {nature} (counted)", cell):
            x = _LEFT + _COLUMN * column
            _field(canvas, results.cast[design].variable, x, y, count, int(counts.max()))


def _field(canvas: Canvas, colour: str, x: float, y: float, count: int, largest: int) -> None:
    if not count:
        canvas.text(x + _COLUMN / 2, y, "·", size=11, colour="muted", anchor="middle")
        return
    opacity = _SMALLEST + (_LARGEST - _SMALLEST) * count / largest
    canvas.box(x + 1, y - _LINE / 2 + 1, _COLUMN - 2, _LINE - 2, colour, opacity=opacity)
    canvas.text(x + _COLUMN / 2, y, str(count), size=11, anchor="middle")


def _totals(canvas: Canvas, rows: pd.DataFrame, first: Mapping[str, str], y: float) -> None:
    """A number a design. `first`: each design and its first cell, in the order of the columns."""
    once = rows.drop_duplicates(["design", "site", "nature"]).groupby("design").size()
    canvas.text(4, y, "all", size=11, bold=True)
    for column, design in enumerate(first):
        x = _LEFT + _COLUMN * (column + 0.5)
        count = int(once[design])
        with canvas.hover(f"{design}: {count} touchpoints in all (counted)", first[design]):
            canvas.text(x, y, str(count), size=11, bold=True, anchor="middle")


FIGURE = Figure(
    section="touchpoints",
    title="Touchpoints in KVM, by place and nature",
    kind="counted",
    caption=(
        "Each number is a count of distinct pairs of kernel function and nature in the programs of the design, "
        "whether a run reached them or not. A darker field holds more; a dot is none. "
        "“All” counts a pair once, even if it stands in two places."
    ),
    draw=draw,
    numbers=None,
)
