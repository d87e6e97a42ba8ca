"""A canvas: marks in the order in which they were made, which become SVG here and dots in `raster.py`.

Lengths are in pixels of 1/96 inch, from the top left corner. A colour is `#rrggbb`, or the name of a variable of the
page, which a stand-alone picture replaces by the light colour of that name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from markupsafe import Markup, escape

from gmembench.reports import lettering

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

HATCH_PIXELS = 5


@dataclass(frozen=True)
class Shape:
    """A line or an area through points; `closed` areas are filled. `dash`: lengths of strokes and gaps."""

    points: tuple[Point, ...]
    closed: bool
    fill: str = ""
    stroke: str = ""
    width: float = 1
    opacity: float = 1
    dash: tuple[float, ...] = ()
    hatch: bool = False


@dataclass(frozen=True)
class Text:
    """A text whose middle line stands at y. `tick`: of an axis, and no number of a cell."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: Anchor
    bold: bool = False
    italic: bool = False
    angle: float = 0
    tick: bool = False


@dataclass(frozen=True)
class Hover:
    """What a reader is told who points at the marks up to the `None` that ends it.

    cell: the cell that they are of; "" inside another `Hover` that says it.
    """

    title: str
    cell: str = ""


Mark = Shape | Text | Hover | None


@dataclass
class Canvas:
    """A drawing of a size, and its marks so far."""

    width: float
    height: float
    marks: list[Mark] = field(default_factory=list)

    def box(  # noqa: PLR0913 - what can be said of a box
        self, x: float, y: float, width: float, height: float, fill: str, *, opacity: float = 1, stroke: str = ""
    ) -> None:
        """Draw a rectangle; a stroke lies half inside it."""
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        self.marks.append(Shape(corners, True, fill, stroke, opacity=opacity))

    def area(self, points: Sequence[Point], fill: str, *, opacity: float = 1, hatch: bool = False) -> None:
        """Fill the area that points surround, with stripes of the colour if `hatch`."""
        self.marks.append(Shape(tuple(points), True, fill, opacity=opacity, hatch=hatch))

    def line(
        self,
        points: Sequence[Point],
        colour: str,
        *,
        width: float = 1,
        dash: tuple[float, ...] = (),
        opacity: float = 1,
    ) -> None:
        """Draw a line through points."""
        self.marks.append(Shape(tuple(points), False, "", colour, width, opacity, dash))

    def text(  # noqa: PLR0913 - what can be said of a text
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 11,
        colour: str = "ink",
        anchor: Anchor = "start",
        bold: bool = False,
        italic: bool = False,
        angle: float = 0,
        tick: bool = False,
    ) -> None:
        """Write a text whose middle line stands at y."""
        self.marks.append(Text(x, y, text, size, colour, anchor, bold, italic, angle, tick))

    def marker(self, x: float, y: float, name: str, colour: str, *, size: float = 4, opacity: float = 1) -> None:
        """Draw a marker of MARKERS; its area is about that of a circle of this radius."""
        corners = [(x + size * dx, y + size * dy) for dx, dy in MARKERS[name]]
        self.marks.append(Shape(tuple(corners), True, colour, opacity=opacity))

    @contextmanager
    def hover(self, title: str, cell: str = "") -> Iterator[None]:
        """Marks that are made inside tell this to a reader who points at them."""
        self.marks.append(Hover(title, cell))
        yield
        self.marks.append(None)


def _regular(corners: int, turn: float = 0) -> tuple[Point, ...]:
    from math import cos, pi, sin

    angles = [2 * pi * (corner / corners + turn) - pi / 2 for corner in range(corners)]
    return tuple((round(1.1 * cos(angle), 3), round(1.1 * sin(angle), 3)) for angle in angles)


def _star(points: int) -> tuple[Point, ...]:
    outer = _regular(2 * points)
    return tuple((x, y) if corner % 2 == 0 else (0.45 * x, 0.45 * y) for corner, (x, y) in enumerate(outer))


_PLUS = 0.38
MARKERS: Mapping[str, tuple[Point, ...]] = {
    "circle": _regular(12),
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "up": ((0, -1.25), (1.15, 0.85), (-1.15, 0.85)),
    "diamond": ((0, -1.3), (1.1, 0), (0, 1.3), (-1.1, 0)),
    "down": ((0, 1.25), (1.15, -0.85), (-1.15, -0.85)),
    "plus": (
        (-_PLUS, -1.2), (_PLUS, -1.2), (_PLUS, -_PLUS), (1.2, -_PLUS), (1.2, _PLUS), (_PLUS, _PLUS),
        (_PLUS, 1.2), (-_PLUS, 1.2), (-_PLUS, _PLUS), (-1.2, _PLUS), (-1.2, -_PLUS), (-_PLUS, -_PLUS),
    ),
    "star": tuple((1.35 * x, 1.35 * y) for x, y in _star(5)),
    "right": ((1.25, 0), (-0.85, 1.15), (-0.85, -1.15)),
    "left": ((-1.25, 0), (0.85, 1.15), (0.85, -1.15)),
    "hourglass": ((-1.1, -1.1), (1.1, -1.1), (-1.1, 1.1), (1.1, 1.1)),
    "hexagon": _regular(6),
    "flat": ((-1.4, -0.5), (1.4, -0.5), (1.4, 0.5), (-1.4, 0.5)),
}  # fmt: skip
"""Name of a marker -> its corners, about a radius of 1."""


def svg(canvas: Canvas, colours: Mapping[str, str]) -> str:
    """The canvas as a stand-alone SVG document; `colours` says what the names of colours stand for."""
    size = f'width="{_number(canvas.width)}" height="{_number(canvas.height)}"'
    style = f'font-family="{lettering.FAMILY}, sans-serif"'
    paper = f'<rect width="100%" height="100%" fill="{colours["paper"]}"/>'
    body = "".join(_elements(canvas, colours, "", None))
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {_box(canvas)} {style}>{paper}\n{body}</svg>\n'


def element(canvas: Canvas, name: str, label: str, numbers: Mapping[str, int]) -> Markup:
    """The canvas as an element of the page: its own ids begin with `name`, colours are the page's variables.

    label: what a reader is told who does not see it, "" if the text beside it says all.
    numbers: cell -> its number, by which a mark tells where it is from.
    """
    body = Markup("").join(Markup(text) for text in _elements(canvas, None, name, numbers))  # noqa: S704 - escaped below
    return Markup('<svg {} {} style="max-width: {}px">{}</svg>').format(
        Markup('role="img" aria-label="{}"').format(label) if label else Markup('aria-hidden="true"'),
        Markup(_box(canvas)),  # noqa: S704 - numbers
        _number(1.35 * canvas.width),
        body,
    )


def _box(canvas: Canvas) -> str:
    return f'viewBox="0 0 {_number(canvas.width)} {_number(canvas.height)}"'


def _elements(
    canvas: Canvas, colours: Mapping[str, str] | None, name: str, numbers: Mapping[str, int] | None
) -> Iterator[str]:
    """The marks as text, all that comes from files escaped."""
    patterns = sorted({mark.fill for mark in canvas.marks if isinstance(mark, Shape) and mark.hatch})
    hatches = {colour: f"{name}-hatch-{number}".lstrip("-") for number, colour in enumerate(patterns)}
    for colour, pattern in hatches.items():
        yield _pattern(pattern, _colour(colour, colours))
    for mark in canvas.marks:
        if mark is None:
            yield "</g>\n"
        elif isinstance(mark, Hover):
            known = numbers is not None and mark.cell in numbers
            cell = f' data-c="{numbers[mark.cell]}"' if numbers is not None and known else ""
            yield f"<g{cell}><title>{escape(mark.title)}</title>"
        elif isinstance(mark, Text):
            yield _text(mark, _colour(mark.colour, colours))
        else:
            yield _shape(mark, colours, hatches)


def _pattern(name: str, colour: str) -> str:
    size = f'width="{HATCH_PIXELS}" height="{HATCH_PIXELS}"'
    turned = 'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"'
    line = f'<path d="M1 0V{HATCH_PIXELS}" stroke="{colour}" stroke-width="1.2"/>'
    return f'<pattern id="{name}" {size} {turned}>{line}</pattern>'


def _colour(colour: str, colours: Mapping[str, str] | None) -> str:
    if not colour or colour.startswith("#"):
        return colour or "none"
    return f"var(--{colour})" if colours is None else colours[colour]


def _shape(shape: Shape, colours: Mapping[str, str] | None, hatches: Mapping[str, str]) -> str:
    fill = f"url(#{hatches[shape.fill]})" if shape.hatch else _colour(shape.fill, colours)
    look = f' fill="{fill}"'
    if shape.stroke:
        look += f' stroke="{_colour(shape.stroke, colours)}"'
        look += f' stroke-width="{_number(shape.width)}"' if shape.width != 1 else ""
    if shape.dash:
        look += f' stroke-dasharray="{" ".join(map(_number, shape.dash))}"'
    if shape.opacity != 1:
        look += f' opacity="{_number(shape.opacity, 2)}"'
    return f'<path d="{_path(shape)}"{look}/>'


def _path(shape: Shape) -> str:
    """The corners, in tenths of pixels, each relative to the one before: a quarter of the length."""
    tenths = [(round(10 * x), round(10 * y)) for x, y in shape.points]
    path = f"M{_tenths(tenths[0][0])} {_tenths(tenths[0][1])}"
    for (x, y), (to_x, to_y) in pairwise(tenths):
        across, down = to_x - x, to_y - y
        if not down:
            path += f"h{_tenths(across)}" if across else ""
        else:
            path += f"l{_tenths(across)} {_tenths(down)}" if across else f"v{_tenths(down)}"
    return path + ("z" if shape.closed else "")


def _tenths(number: int) -> str:
    """Tenths as a decimal number without a needless nought."""
    whole, rest = divmod(abs(number), 10)
    return ("-" if number < 0 else "") + (f"{whole or ''}.{rest}" if rest else str(whole))


def _text(text: Text, colour: str) -> str:
    place = f'x="{_number(text.x)}" y="{_number(text.y)}" dy=".35em" font-size="{_number(text.size)}" fill="{colour}"'
    place += f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
    place += ' class="tick"' if text.tick else ""
    place += ' font-weight="bold"' if text.bold else ""
    place += ' font-style="italic"' if text.italic else ""
    if text.angle:
        place += f' transform="rotate({_number(-text.angle)} {_number(text.x)} {_number(text.y)})"'
    return f"<text {place}>{escape(text.text)}</text>"


def _number(value: float, digits: int = 1) -> str:
    """A number as short as it can be."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
