"""What a figure is, and the walk that finds them all.

A figure is a module in `figures/` with one value, `FIGURE`. Its name is the name of its file.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pandas as pd

from gmembench.reports import figures
from gmembench.reports.canvas import Canvas
from gmembench.reports.loading import Results

SECTIONS = ("overview", "scenario", "touchpoints", "conformance")
"""Sections of the page that take figures. A figure of `scenario` is drawn once for each, from its cells alone."""


@dataclass(frozen=True)
class Figure:
    """One figure: where it stands, what it shows, and how it is drawn.

    order: inside a section, figures stand in the order of this number, then of their names.
    wide: whether it takes the whole width of the page.
    draw: None if the results hold nothing to draw.
    numbers: the drawn numbers as a frame whose columns are ready for readers and whose first is `cell`, or None
      if a table of the page has them already.
    """

    section: str
    title: str
    kind: str
    caption: str
    draw: Callable[[Results], Canvas | None]
    numbers: Callable[[Results], pd.DataFrame] | None
    order: int = 0
    wide: bool = False


def find_figures(folder: ModuleType = figures) -> dict[str, Figure]:
    """Return the figures of a package by name, in the order of a page.

    Errors of import propagate. Raises TypeError if a module has no FIGURE, ValueError for an unknown section.
    """
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(folder.__path__)):
        figure = getattr(importlib.import_module(f"{folder.__name__}.{name}"), "FIGURE", None)
        if not isinstance(figure, Figure):
            raise TypeError(f"{folder.__name__}.{name} has no FIGURE")
        if figure.section not in SECTIONS:
            raise ValueError(f"{folder.__name__}.{name}: no section {figure.section!r} among {SECTIONS}")
        found[name] = figure
    return dict(sorted(found.items(), key=lambda item: (SECTIONS.index(item[1].section), item[1].order, item[0])))
