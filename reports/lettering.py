"""Widths of texts in the font of all figures, so that a figure knows what fits before it is drawn."""

from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font

FAMILY = "DejaVu Sans"
"""Comes with matplotlib, so that a picture of dots is the same everywhere."""


@cache
def _advance(character: str, bold: bool) -> float:
    """How far a character moves the pen, in parts of the font size; a whole one if the font does not have it."""
    font = get_font(findfont(FontProperties(family=FAMILY, weight="bold" if bold else "normal")))
    if not font.get_char_index(ord(character)):
        return 1.0
    font.set_size(100, 72)
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536 / 100


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a text in the unit of its size."""
    return sum(_advance(character, bold) for character in text) * size


def fitted(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, shortened in its middle until it fits. A picture of dots may round every character up a little."""
    if width(text, size, bold=bold) <= 0.96 * room:
        return text
    keep = len(text) - 1
    while keep > 4 and width(_shortened(text, keep), size, bold=bold) > 0.96 * room:
        keep -= 1
    return _shortened(text, keep)


def begun(text: str, size: float, room: float) -> str:
    """The text, its end left out if it does not fit: for sentences, whose beginning says most."""
    if width(text, size) <= 0.96 * room:
        return text
    keep = len(text) - 1
    while keep > 4 and width(text[:keep] + "\N{HORIZONTAL ELLIPSIS}", size) > 0.96 * room:
        keep -= 1
    return text[:keep].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _shortened(text: str, keep: int) -> str:
    return text[: -(-keep // 2)] + "\N{HORIZONTAL ELLIPSIS}" + text[len(text) - keep // 2 :]
