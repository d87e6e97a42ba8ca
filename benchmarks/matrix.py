"""The matrix as it was written: `matrix.toml`, read strictly, every mistake told with its line and key."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import msgspec

from gmembench.benchmarks import axes
from gmembench.benchmarks.cells import Cell
from gmembench.inject.toml_file import Source, parse, read

FILE = Path(__file__).resolve().parent / "matrix.toml"

SIZES = ("small", "medium", "full")


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table without keys that nobody reads."""


class Exclusion(Strict, frozen=True, kw_only=True):
    """Cells that are not run, and why."""

    cells: str
    reason: str


class Sweep(Strict, frozen=True, kw_only=True):
    """All combinations of values of some axes, for the cells that match."""

    cells: tuple[str, ...]
    axes: dict[str, tuple[str, ...]]


class Tier(Strict, frozen=True, kw_only=True):
    """A tier. `in_all`: processes at most, 0 for no bound."""

    size: str
    warmups: int
    values: int
    value_steps: int
    processes: int
    count: tuple[str, ...]
    time: tuple[str, ...]
    in_all: int = 0
    sweep: tuple[Sweep, ...] = ()


class Estimate(Strict, frozen=True, kw_only=True):
    """Millions of steps of a pass in each size, and of operations in the full one."""

    small: float
    medium: float
    full: float
    operations: float


class Matrix(Strict, frozen=True, kw_only=True):
    """The file."""

    tier: dict[str, Tier]
    exclude: tuple[Exclusion, ...] = ()
    estimate: dict[str, Estimate] = {}


def chosen(globs: Sequence[str], name: str) -> bool:
    """Whether a cell is chosen: the last glob that matches it decides, and one with "!" in front says no."""
    found = False
    for glob in globs:
        if fnmatchcase(name, glob.removeprefix("!")):
            found = not glob.startswith("!")
    return found


def _check_tier(name: str, tier: Tier, source: Source) -> None:
    at = ("tier", name)
    if tier.size not in SIZES:
        source.refuse(f"no size {tier.size!r}", f"choose one of {', '.join(SIZES)}", *at, "size")
    for key, least in (("warmups", 0), ("values", 1), ("value_steps", 1), ("processes", 1), ("in_all", 0)):
        if getattr(tier, key) < least:
            source.refuse(f"{getattr(tier, key)} is too few", f"write {least} or more", *at, key)
    for position, sweep in enumerate(tier.sweep):
        where = (*at, "sweep", position, "axes")
        for axis, values in sweep.axes.items():
            for value in values:
                axes.check(axis, value, source.where(*where))


def parsed(text: str, name: str) -> Matrix:
    """A matrix from a text. Raises UserError with line and key."""
    return _checked(*parse(text, name, Matrix))


def _checked(matrix: Matrix, source: Source) -> Matrix:
    for name, tier in matrix.tier.items():
        _check_tier(name, tier, source)
    for position, exclusion in enumerate(matrix.exclude):
        if not exclusion.reason.strip():
            source.refuse("has no reason", "say why these cells are not run", "exclude", position, "reason")
    return matrix


@cache
def shipped() -> Matrix:
    """The matrix of the package."""
    return _checked(*read(FILE, Matrix))


def excluded(cells: Sequence[Cell], matrix: Matrix) -> list[Cell]:
    """The cells, with the reasons of the matrix for those that it excludes."""
    found = []
    for cell in cells:
        reasons = [e.reason for e in matrix.exclude if cell.reason is None and fnmatchcase(cell.name, e.cells)]
        found.append(replace(cell, reason=reasons[0]) if reasons else cell)
    return found
