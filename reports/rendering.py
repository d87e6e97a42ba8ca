"""Matplotlib figures to bytes: PNG, SVG, and SVG to put into the page.

Equal figures give equal bytes: no dates, no names of software, a fixed salt for ids.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing

from gmembench.reports import theme

PNG_DOTS_PER_INCH = 120


@contextmanager
def themed() -> Iterator[None]:
    """Draw and save inside this context."""
    with rc_context(theme.SETTINGS), warnings.catch_warnings():  # type: ignore[arg-type]  # the stub wants literals
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names come from files: an empty box is all we can do
        yield


def png(drawing: Drawing, dots_per_inch: int = PNG_DOTS_PER_INCH) -> bytes:
    """Return the drawing as PNG."""
    buffer = io.BytesIO()
    quick = {"compress_level": 3}  # a tenth larger than by default, and quicker to write
    drawing.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None}, pil_kwargs=quick)
    return buffer.getvalue()


def svg(drawing: Drawing) -> str:
    """Return the drawing as a stand-alone SVG document."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    drawing.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()


def inline(document: str, name: str, label: str, variables: Mapping[str, str]) -> str:
    """Return an SVG document as an element for the page.

    Its ids get the figure's name, so that figures do not use each other's clip paths, and each colour
    in `variables` becomes the CSS variable of that name. `label` is escaped by the caller.
    """
    element = document[document.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", element)
    for colour, variable in variables.items():
        element = re.sub(rf"\b(fill|stroke): {colour}", rf"\1: var(--{variable})", element)
    element = element.replace('xmlns:xlink="http://www.w3.org/1999/xlink" ', "").replace("xlink:href", "href")
    return element.replace("<svg", f'<svg role="img" aria-label="{label}" style="{_widths(element)}"', 1)


def _widths(element: str) -> str:
    """Keep the text legible: a figure shrinks a little on a narrow screen, then its box scrolls."""
    points = re.search(r'width="([0-9.]+)pt"', element)
    if points is None:
        raise ValueError("the SVG has no width in points")
    pixels = float(points[1]) * 96 / 72
    return f"min-width: {0.8 * pixels:.0f}px; max-width: {1.3 * pixels:.0f}px"
