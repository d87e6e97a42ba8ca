"""What a figure is, and the walk that finds them all.

A figure is a module in `figures/` with one value, `FIGURE`. Its name is the name of its file.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure as Drawing

from gmembench.reports import figures
from gmembench.reports.loading import Results

SECTIONS = ("faults", "conversions", "touchpoints", "memory", "time", "conformance")
"""Sections of the page that take figures; inside one, figures stand in the order of their names."""


@dataclass(frozen=True)
class Figure:
    """One figure: where it stands, what it shows, and how it is drawn.

    draw: None if the results hold nothing to draw.
    numbers: the drawn numbers as a frame whose columns are ready for readers, or None if a table of
      the page has them already.
    """

    section: str
    title: str
    kind: str
    caption: str
    draw: Callable[[Results], Drawing | None]
    numbers: Callable[[Results], pd.DataFrame] | None


def find_figures(folder: ModuleType = figures) -> dict[str, Figure]:
    """Return the figures of a package by name, in sorted order.

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
    return found
