"""Where the steps go: programs, below them places, natures and single steps, as wide as they are many."""

from dataclasses import dataclass, field

import pandas as pd

from gmembench.reports import axes, formatting, lanes, lettering, theme
from gmembench.reports.canvas import Canvas
from gmembench.reports.figure import Figure
from gmembench.reports.groups import most_usual
from gmembench.reports.loading import Results

_WIDTH, _LEFT, _RIGHT = 980.0, 156.0, 972.0
_TOP, _LINE, _GAP = 6.0, 16.0, 10.0
_LEVELS = ("program", "place", "nature", "step")
_SMALLEST = 1.6
_DESIGNS_AT_MOST = 12
_PROGRAM_FILL = "rule"
_OPACITY = (1, 1, 0.55, 0.3)
_STEP = 3


@dataclass
class Node:
    """A program, a place in it, a nature or a step there: its name, its hits, and what is below it."""

    name: str
    hits: int = 0
    site: str = ""
    below: dict[str, "Node"] = field(default_factory=dict)


def draw(results: Results) -> Canvas | None:
    """Draw an icicle a cell, all on one scale; None if no cell has a profile of rows."""
    trees = _trees(results)
    if not trees:
        return None
    band = len(_LEVELS) * _LINE + _GAP
    places = {place for root in trees.values() for program in root.below.values() for place in program.below}
    legend = lanes.legend_rows(lanes.in_order(places), _WIDTH)
    first = _TOP + 4 + lanes.LEGEND_LINE * len(legend)
    bottom = first + band * len(trees)
    canvas = Canvas(_WIDTH, bottom + 36)
    scale = axes.Scale(0, max(root.hits for root in trees.values()), _LEFT, _RIGHT)
    lanes.draw_legend(canvas, legend)
    axes.x_axis(canvas, scale, first, bottom, "steps of the whole run (counted)", 7)
    for number, (cell, root) in enumerate(trees.items()):
        _icicle(canvas, results, scale, cell, root, first + band * number)
    return canvas


def _trees(results: Results) -> dict[str, Node]:
    """The steps of each chosen cell that has some."""
    trees = {cell: tree(results.rows[results.rows["cell"] == cell]) for cell in _chosen(results)}
    return {cell: root for cell, root in trees.items() if root.hits}


def _icicle(canvas: Canvas, results: Results, scale: axes.Scale, cell: str, root: Node, top: float) -> None:
    """The name of a cell's design, and its steps beside it."""
    design = str(results.cells.loc[cell, "design"])
    cast = results.cast[design]
    canvas.marker(10, top + _LINE * 0.6, cast.marker, cast.variable)
    canvas.text(20, top + _LINE * 0.6, lettering.fitted(design, 11, _LEFT - 24))
    with canvas.hover(f"{cell}: {root.hits:,} steps (counted)", cell):
        canvas.text(20, top + _LINE * 1.6, f"{root.hits:,} steps", size=10, colour="muted")
        _level(canvas, scale, _Where(root.hits, top, ()), root, 0.0)


def numbers(results: Results) -> pd.DataFrame:
    """Return the drawn numbers as text: the steps of each cell and program, by place and in all."""
    trees = _trees(results)
    programs = [(cell, program) for cell, root in trees.items() for program in _ordered(root)]
    places = lanes.in_order({place for _, program in programs for place in program.below})
    found = [
        {"cell": cell, "program": program.name}
        | {f"{place}, steps (counted)": _hits(program.below.get(place)) for place in places}
        | {"all places, steps (counted)": _hits(program)}
        for cell, program in programs
    ]
    return pd.DataFrame(found)


def _hits(node: Node | None) -> str:
    return f"{node.hits:,}" if node else "0"


def tree(rows: pd.DataFrame) -> Node:
    """The steps of a cell by program, place, nature and step."""
    root = Node("")
    for hits, site, *names in rows.loc[rows["hits"] > 0, ["hits", "site", *_LEVELS]].itertuples(index=False):
        node = root
        node.hits += int(hits)
        for name in names:
            node = node.below.setdefault(str(name), Node(str(name)))
            node.hits += int(hits)
        node.site = str(site)
    return root


def _chosen(results: Results) -> list[str]:
    """Cells of the hardware and page size that most designs ran."""
    return [str(cell) for cell in most_usual(results.cells).index][:_DESIGNS_AT_MOST]


@dataclass(frozen=True)
class _Where:
    """Where a level is drawn: the steps of the cell, the upper edge, and the names above it."""

    total: int
    top: float
    above: tuple[str, ...]


def _ordered(node: Node) -> list[Node]:
    """What is below a node, the largest first."""
    return sorted(node.below.values(), key=lambda child: (-child.hits, child.name))


def _level(canvas: Canvas, scale: axes.Scale, where: _Where, node: Node, start: float) -> None:
    """Draw what is below a node, the largest first; what is too narrow to be seen is drawn as one."""
    small = 0
    for child in _ordered(node):
        if scale(child.hits) - scale(0) < _SMALLEST:
            small += child.hits
            continue
        _box(canvas, scale, where, child, start)
        if child.below:
            names = (*where.above, child.name)
            _level(canvas, scale, _Where(where.total, where.top + _LINE, names), child, start)
        start += child.hits
    if scale(small) - scale(0) >= _SMALLEST:
        _box(canvas, scale, where, Node("others, each too small to be seen", small), start)


def _box(canvas: Canvas, scale: axes.Scale, where: _Where, node: Node, start: float) -> None:
    x, width = scale(start), scale(start + node.hits) - scale(start)
    share = formatting.percent(node.hits / where.total)
    site = f", {node.site}" if node.site else ""
    path = " › ".join((*where.above, node.name))
    with canvas.hover(f"{path}{site}: {node.hits:,} steps, {share}"):
        place = (*where.above, node.name)[1] if where.above else ""
        colour = theme.PLACE_COLOURS.get(place, theme.OTHER_PLACE) if place else _PROGRAM_FILL
        depth = len(where.above)
        canvas.box(x, where.top, width, _LINE - 1, colour, opacity=_OPACITY[depth], stroke="paper")
        text = node.name.partition(".")[2] if depth == _STEP and "." in node.name else node.name
        if lettering.width(text, 9.5) < width - 6:
            canvas.text(x + 4, where.top + _LINE / 2 - 0.5, text, size=9.5, colour=_ink(place, depth))


def _ink(place: str, depth: int) -> str:
    """The colour of a text that can be read on a box."""
    if depth != 1:
        return "ink"
    return "#ffffff" if place in theme.DARK_PLACES else "#101418"


FIGURE = Figure(
    section="scenario",
    order=60,
    wide=True,
    title="Where the steps go",
    kind="counted",
    caption=(
        "For each design four lines: programs, below each the places where its steps stand, their natures, and the "
        "steps themselves. A box is as wide as its steps are many, all designs on one scale; the largest come first. "
        "Point at a box to read what it is. Steps of accesses without a fault are in it too. "
        f"Cells of the hardware and page size that most designs ran, at most {_DESIGNS_AT_MOST}."
    ),
    draw=draw,
    numbers=numbers,
)
