"""A recording interpreter: runs of plain Python that note which fields each step reads and writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from gmembench.core import views
from gmembench.core.footprints.kinds import HEADER_KIND, SELF
from gmembench.core.layouts import Layout
from gmembench.core.steps import table
from gmembench.core.steps.registry import all_steps
from gmembench.core.world import LAYOUTS, actor, small_head


def kinds_of(layout: Layout) -> dict[int, str]:
    """Identity of a dtype of the layout -> the kind of its records; entries of the stage-2 tables are left out."""
    return {id(layout.header): HEADER_KIND, **{id(made): name for name, made in layout.arrays.items()}}


KINDS = {id(layout): kinds_of(layout) for layout in LAYOUTS}


class Seen(NamedTuple):
    """Fields that a step was seen to read and to write."""

    reads: frozenset[str]
    writes: frozenset[str]


Touched = set[tuple[str, str]]
"""(kind of record, field)."""


def _names(touched: Touched) -> frozenset[str]:
    return frozenset(f"{kind}.{field}" for kind, field in touched if not field.endswith(("_at", "_n")))


class Notes:
    """What each row was seen to touch, by row and outcome; and what each rule was, by invariant and when."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], tuple[Touched, Touched]] = {}
        self.rules: dict[tuple[str, str], Seen] = {}
        self.reads: Touched = set()
        self.writes: Touched = set()
        self.number = -1

    def begin(self, number: int) -> None:
        """A step of an actor begins."""
        self.reads, self.writes, self.number = set(), set(), number

    def end(self, row: int, outcome: int) -> None:
        """The step of a row ends; what drivers and judges touch is nobody's."""
        reads, writes = self.rows.setdefault((row, outcome), (set(), set()))
        reads |= self.reads
        writes |= self.writes
        self.begin(-1)

    @property
    def seen(self) -> dict[tuple[int, int], Seen]:
        """(row, outcome) -> what it touched."""
        return {row: Seen(_names(reads), _names(writes)) for row, (reads, writes) in self.rows.items()}

    def watch(self, name: str, when: str, buffer: np.ndarray, judge: Any, kinds: tuple[Any, ...]) -> None:
        """Ask a rule about a small world, of its first actor."""
        w = small_head(buffer)
        a = actor(w, 0)
        a.kind = SELF  # type: ignore[attr-defined]  # a NotingView while this records
        self.begin(0)
        judge(*(w, a, 0)[: len(kinds)])
        self.rules[name, when] = Seen(_names(self.reads), _names(self.writes))
        self.begin(-1)


def _noting_view(notes: Notes) -> type[views.View]:
    class NotingView(views.View):
        __slots__ = ("kind",)

        def __init__(self, buffer: np.ndarray, start: int, dtype: np.dtype, layout: Layout) -> None:
            super().__init__(buffer, start, dtype, layout)
            self.kind = KINDS[id(layout)].get(id(dtype), "frames.spte")
            if self.kind == "tlbs" and notes.number >= 0:
                self.kind = self._owner(start)

        def _owner(self, start: int) -> str:
            header = self.buffer[: self.layout.header.itemsize].view(self.layout.header)[0]
            entry = (start - int(header["tlbs_at"])) // self.layout.arrays["tlbs"].itemsize
            return "self.tlbs" if entry // (int(header["tlb_mask"]) + 1) == notes.number else "tlbs"

        def __getitem__(self, field: str) -> int:
            notes.reads.add((self.kind, field))
            return super().__getitem__(field)

        def __setitem__(self, field: str, value: int) -> None:
            notes.writes.add((self.kind, field))
            super().__setitem__(field, value)

    return NotingView


def _noted(notes: Notes, function: Any) -> Any:
    def run(w: Any, a: Any, r: Any) -> int:
        kind, a.kind = a.kind, SELF
        notes.begin(int(a.record["number"]))
        outcome = int(function(w, a, r))
        notes.end(int(r["position"]), outcome)
        a.kind = kind
        return outcome

    return run


@contextmanager
def recording() -> Iterator[Notes]:
    """While this is entered, interpreted steps are noted."""
    notes = Notes()
    as_they_were = list(table._functions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "View", _noting_view(notes))
        table._functions[:] = [_noted(notes, step.function) for step in all_steps()]
        try:
            yield notes
        finally:
            table._functions[:] = as_they_were
