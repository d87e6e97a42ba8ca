"""A canvas as PNG. Equal canvases give equal bytes.

Shapes are drawn large and made smaller, which smooths their edges; texts are then written over them. matplotlib would
take ten times as long, most of it for the layout of texts whose places are known here.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from math import hypot

from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageColor, ImageDraw, ImageFont

from gmembench.reports import lettering
from gmembench.reports.canvas import HATCH_PIXELS, Canvas, Point, Shape, Text

DOTS = 1.5
"""Dots a pixel."""

SMOOTHING = 2
"""Shapes are drawn so many times as large."""


def png(canvas: Canvas, colours: Mapping[str, str]) -> bytes:
    """The canvas as PNG, one and a half dots a pixel; `colours` says what the names of colours stand for."""
    size = (round(canvas.width * DOTS), round(canvas.height * DOTS))
    picture = Image.new("RGB", (size[0] * SMOOTHING, size[1] * SMOOTHING), colours["paper"])
    pen = ImageDraw.Draw(picture, "RGBA")
    for mark in canvas.marks:
        if isinstance(mark, Shape):
            _shape(picture, pen, mark, colours)
    picture = picture.reduce(SMOOTHING)
    pen = ImageDraw.Draw(picture)
    for mark in canvas.marks:
        if isinstance(mark, Text):
            _text(picture, pen, mark, colours.get(mark.colour, mark.colour))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _scaled(points: Sequence[Point]) -> list[Point]:
    scale = DOTS * SMOOTHING
    return [(x * scale, y * scale) for x, y in points]


def _shape(picture: Image.Image, pen: ImageDraw.ImageDraw, shape: Shape, colours: Mapping[str, str]) -> None:
    points = _scaled(shape.points)
    if shape.hatch:
        _stripes(picture, points, _ink(shape.fill, shape.opacity, colours))
    elif shape.closed and shape.fill and len(points) > 1:
        pen.polygon(points, fill=_ink(shape.fill, shape.opacity, colours))
    if not shape.stroke:
        return
    width = max(1, round(shape.width * DOTS * SMOOTHING))
    line = [*points, points[0]] if shape.closed else points
    for piece in _dashes(line, [length * DOTS * SMOOTHING for length in shape.dash]):
        pen.line(piece, fill=_ink(shape.stroke, shape.opacity, colours), width=width, joint="curve")


def _ink(colour: str, opacity: float, colours: Mapping[str, str]) -> tuple[int, int, int, int]:
    red, green, blue = ImageColor.getrgb(colours.get(colour, colour))[:3]
    return red, green, blue, round(255 * opacity)


def _stripes(picture: Image.Image, points: Sequence[Point], ink: tuple[int, int, int, int]) -> None:
    """Fill an area with stripes from the lower left to the upper right."""
    mask = Image.new("1", picture.size)
    ImageDraw.Draw(mask).polygon(points, fill=1)
    box = mask.getbbox()
    if box is None:
        return
    stripes = Image.new("1", picture.size)
    pen = ImageDraw.Draw(stripes)
    apart, width = round(HATCH_PIXELS * 1.414 * DOTS * SMOOTHING), round(1.2 * DOTS * SMOOTHING)
    left, top, right, bottom = box
    for start in range((left + top) // apart * apart, right + bottom + apart, apart):
        pen.line([(start - bottom, bottom), (start - top, top)], fill=1, width=width)
    empty = Image.new("1", picture.size)
    picture.paste(ink[:3], mask=Image.composite(stripes, empty, mask))


def _dashes(line: Sequence[Point], lengths: Sequence[float]) -> Iterator[list[Point]]:
    """The strokes of a line whose strokes and gaps are so long, or the whole line without lengths."""
    if not lengths:
        yield list(line)
        return
    place, left = 0, lengths[0]
    stroke = [line[0]]
    for (x, y), end in pairwise(line):
        here = (x, y)
        rest = hypot(end[0] - x, end[1] - y)
        while rest > left:
            share = left / rest
            here = (here[0] + share * (end[0] - here[0]), here[1] + share * (end[1] - here[1]))
            if place % 2 == 0:
                yield [*stroke, here]
            rest -= left
            place += 1
            left, stroke = lengths[place % len(lengths)], [here]
        left -= rest
        stroke.append(end)
    if place % 2 == 0:
        yield stroke


@cache
def _font(size: float, bold: bool, italic: bool) -> ImageFont.FreeTypeFont:
    style = FontProperties(
        family=lettering.FAMILY, weight="bold" if bold else "normal", style="italic" if italic else "normal"
    )
    return ImageFont.truetype(findfont(style), size * DOTS, layout_engine=ImageFont.Layout.BASIC)


_ANCHORS = {"start": "l", "middle": "m", "end": "r"}


def _text(picture: Image.Image, pen: ImageDraw.ImageDraw, text: Text, colour: str) -> None:
    font = _font(text.size, text.bold, text.italic)
    x, y = text.x * DOTS, (text.y + 0.35 * text.size) * DOTS
    if not text.angle:
        pen.text((x, y), text.text, fill=colour, font=font, anchor=_ANCHORS[text.anchor] + "s")
        return
    # Turned about its beginning: written in the middle of a square, which is turned and laid over the picture.
    half = round(pen.textlength(text.text, font)) + round(2 * text.size * DOTS)
    mask = Image.new("L", (2 * half, 2 * half))
    writing = ImageDraw.Draw(mask)
    writing.text((half, half + 0.35 * text.size * DOTS), text.text, fill=255, font=font, anchor="ls")
    turned = mask.rotate(text.angle, Image.Resampling.BICUBIC)
    picture.paste(ImageColor.getrgb(colour), (round(x) - half, round(text.y * DOTS) - half), turned)
