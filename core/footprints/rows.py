"""The rows of a code with their footprints, and where each way out of them leads."""

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from gmembench.core.footprints import Footprint, Footprints, Way, footprints_in
from gmembench.core.operations import PROGRAMS
from gmembench.core.outcomes import BLOCKED, CODE, NEXT, YIELD
from gmembench.core.programs import Code
from gmembench.core.rows import END, OPERANDS
from gmembench.core.world import Geometry

SKIPPED = Way(None, frozenset(), frozenset(), frozenset())
"""The way of a row whose outcome a driver forces: its step is not run."""


def targets_of(code: Code) -> np.ndarray:
    """i8 array (row, outcome) -> row or END: as in the code, but with *next* to the row below written down too."""
    targets = code.targets.astype(np.int64)
    below = np.arange(1, len(code.rows) + 1)
    targets[:, NEXT] = np.where(code.rows["jump"] == 0, below, targets[:, NEXT])
    return targets


class RowPrints:
    """Footprints by row, of a code in worlds of a geometry (None: in all).

    `programs`: numbers of those that may be begun, all by default. `forced`: (row, outcome) pairs that a driver makes
    happen without running the step.
    """

    def __init__(
        self,
        code: Code,
        geometry: Geometry | None = None,
        programs: Collection[int] | None = None,
        forced: Collection[tuple[int, int]] = (),
    ) -> None:
        self.code, self.forced, self.targets = code, tuple(forced), targets_of(code)
        self.source: Footprints = footprints_in(geometry)
        begun = range(len(PROGRAMS)) if programs is None else programs
        self.entries = sorted({int(code.entries[number]) for number in begun} - {-1})
        operands = [tuple(int(code.rows[name][row]) for name in OPERANDS) for row in range(len(code.rows))]
        self.prints: list[Footprint] = [
            self.source.of(item.step, given) for item, given in zip(code.info, operands, strict=True)
        ]
        self._ways = [tuple(self._following(row)) for row in range(len(code.rows))]

    def following(self, row: int) -> tuple[tuple[int, Way], ...]:
        """(row or END, way) of all that may come after a row, waiting left out."""
        return self._ways[row]

    def _following(self, row: int) -> Iterator[tuple[int, Way]]:
        for way in self.prints[row].ways:
            outcomes = self._declared(row) if way.outcome is None else {way.outcome}
            for outcome in sorted(outcomes - {BLOCKED}):
                yield int(self.targets[row, outcome]), way
        for at, outcome in self.forced:
            if at == row:
                yield int(self.targets[row, outcome]), SKIPPED

    def _declared(self, row: int) -> set[int]:
        return {CODE[name] for name in ("next", "again", *self.code.info[row].step.outcomes)} - {YIELD}

    @cached_property
    def reached(self) -> list[int]:
        """Rows that some program leads to, in order."""
        seen, todo = set(self.entries), list(self.entries)
        while todo:
            for target, _ in self.following(todo.pop()):
                if target != END and target not in seen:
                    seen.add(target)
                    todo.append(target)
        return sorted(seen)


PRINTS_KEPT = 8

_prints: dict[tuple[Any, ...], RowPrints] = {}


def row_prints(
    code: Code,
    geometry: Geometry | None = None,
    programs: Collection[int] | None = None,
    forced: Collection[tuple[int, int]] = (),
) -> RowPrints:
    """The same, kept for whoever asks for it next: several analyses of one code are made one after the other."""
    key = (id(code), geometry, None if programs is None else tuple(programs), tuple(forced))
    if key not in _prints:
        if len(_prints) >= PRINTS_KEPT:
            del _prints[next(iter(_prints))]
        _prints[key] = RowPrints(code, geometry, programs, forced)  # it holds the code, so nothing else gets its id
    return _prints[key]
