"""The contact sheet: figures small, a band for each scenario, in one picture. Equal figures give equal bytes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.font_manager import FontProperties, findfont
from PIL import Image, ImageDraw, ImageFont

from gmembench.reports import lettering, theme

COLUMNS = 4
WIDTH, HEIGHT = 460, 400
MARGIN, TITLE, HEADING = 18, 24, 40
MOST = 60
"""Beyond this, later figures are left out, and the sheet says so."""


@dataclass(frozen=True)
class Thumbnail:
    """A figure of the sheet: its scenario ("" for all), its title, and its picture."""

    scenario: str
    title: str
    png: bytes


@dataclass(frozen=True)
class _Row:
    """A row of thumbnails: the heading above it ("" if it goes on), and its pictures with their titles."""

    heading: str
    pictures: Sequence[tuple[str, Image.Image]]

    @property
    def height(self) -> int:
        """With its heading and the margin below."""
        tallest = max(picture.height for _, picture in self.pictures)
        return (HEADING if self.heading else 0) + TITLE + tallest + MARGIN


def png(figures: Sequence[Thumbnail]) -> bytes:
    """The sheet as PNG; empty without figures. Scenarios with changed axes come last: they resemble their originals."""
    if not figures:
        return b""
    shown = sorted(figures, key=lambda figure: "@" in figure.scenario)[:MOST]
    rows = _rows(shown)
    columns = max(len(row.pictures) for row in rows)
    size = (MARGIN + columns * (WIDTH + MARGIN), MARGIN + sum(row.height for row in rows) + TITLE)
    sheet = Image.new("RGB", size, theme.PAPER)
    pen = ImageDraw.Draw(sheet)
    y = MARGIN
    for row in rows:
        _draw(sheet, pen, row, y)
        y += row.height
    left_out = f", {len(figures) - MOST} more in the folder figures" if len(figures) > MOST else ""
    pen.text((MARGIN, y), f"{len(shown)} figures{left_out}", fill=theme.MUTED, font=_font(13))
    buffer = io.BytesIO()
    sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _rows(figures: Sequence[Thumbnail]) -> list[_Row]:
    """Rows of thumbnails; each scenario begins a new one."""
    rows: list[_Row] = []
    for scenario, group in groupby(figures, key=lambda figure: figure.scenario):
        pictures = [(figure.title, _small(figure.png)) for figure in group]
        rows += [
            _Row("" if first else scenario or "all scenarios", pictures[first : first + COLUMNS])
            for first in range(0, len(pictures), COLUMNS)
        ]
    return rows


def _draw(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: _Row, y: int) -> None:
    if row.heading:
        pen.line([(MARGIN, y), (sheet.width - MARGIN, y)], fill=theme.GRID)
        heading = lettering.fitted(row.heading, 17, sheet.width - 2 * MARGIN, bold=True)
        pen.text((MARGIN, y + 10), heading, fill=theme.INK, font=_font(17, bold=True))
        y += HEADING
    for number, (title, picture) in enumerate(row.pictures):
        x = MARGIN + number * (WIDTH + MARGIN)
        pen.text((x, y), lettering.fitted(title, 13, WIDTH), fill=theme.MUTED, font=_font(13))
        sheet.paste(picture, (x, y + TITLE))


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        findfont(FontProperties(family=lettering.FAMILY, weight="bold" if bold else "normal")), size
    )


def _small(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return picture
