"""The contact sheet: all figures small, in one picture. Equal figures give equal bytes."""

import io
from collections.abc import Sequence

from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from gmembench.reports import lettering, theme

COLUMNS = 5
WIDTH, HEIGHT = 380, 250
MARGIN, TITLE = 14, 26
MOST = 60
"""Beyond this, later figures are left out, and the sheet says so."""


def png(figures: Sequence[tuple[str, bytes]]) -> bytes:
    """The sheet of some figures (title, PNG) as PNG; empty without figures."""
    if not figures:
        return b""
    shown = list(figures[:MOST])
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = (MARGIN + columns * (WIDTH + MARGIN), MARGIN + rows * (HEIGHT + TITLE + MARGIN) + TITLE)
    sheet = Image.new("RGB", size, theme.PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(findfont(lettering.FAMILY), 13)
    for number, (title, data) in enumerate(shown):
        x = MARGIN + (number % columns) * (WIDTH + MARGIN)
        y = MARGIN + (number // columns) * (HEIGHT + TITLE + MARGIN)
        pen.text((x, y), lettering.fitted(title, 13, WIDTH), fill=theme.INK, font=font)
        sheet.paste(_small(data), (x, y + TITLE))
    left_out = f", {len(figures) - MOST} more in the folder figures" if len(figures) > MOST else ""
    pen.text((MARGIN, size[1] - TITLE), f"{len(shown)} figures{left_out}", fill=theme.MUTED, font=font)
    buffer = io.BytesIO()
    sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _small(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return picture
