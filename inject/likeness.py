"""Likeness: whether a mutant does the same as another one wherever that one went.

Two mutants of a program may differ only in rows that a world never comes to. Then exploring the second finds what
exploring the first has found, step by step, and need not be done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from gmembench.core.footprints.rows import targets_of
from gmembench.core.operations import PROGRAM_NUMBER
from gmembench.core.outcomes import BLOCKED
from gmembench.core.programs import Code
from gmembench.core.rows import END, OPERANDS
from gmembench.inject.trial import Trial


@dataclass(frozen=True)
class Shape:
    """One program: what each row runs, under its name, since events go by names; and where each outcome leads."""

    entry: int
    rows: tuple[tuple[object, ...], ...]
    leads: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, code: Code, program: str) -> Self:
        """The shape of one program of a code, its rows counted from its first."""
        mine = [row for row, info in enumerate(code.info) if info.program == program]
        first = mine[0]
        fields = ("step", *OPERANDS)
        rows = tuple((code.info[row].name, *(int(code.rows[name][row]) for name in fields)) for row in mine)
        leads = targets_of(code)[mine]
        leads = np.where(leads == END, END, leads - first)
        entry = int(code.entries[PROGRAM_NUMBER[program]]) - first
        return cls(entry, rows, tuple(map(tuple, leads.tolist())))


@dataclass(frozen=True)
class Past:
    """A mutant that was explored. `ran`: row of the shape -> outcomes in which it ended, if it ran."""

    shape: Shape
    ran: Mapping[int, tuple[int, ...]]
    trial: Trial

    @classmethod
    def of(cls, code: Code, program: str, taken: np.ndarray, trial: Trial) -> Self:
        """What happened in one program. `taken`: (row, outcome) of the whole code -> how often."""
        mine = taken[[info.program == program for info in code.info]]
        ran = {row: tuple(o for o in np.flatnonzero(mine[row]).tolist() if o != BLOCKED) for row in range(len(mine))}
        return cls(Shape.of(code, program), ran, trial)


def alike(past: Past, shape: Shape) -> bool:
    """Whether a mutant does what the past one did: from its entry, along all ways that were taken there.

    What differs stands behind ways that nobody went.
    """
    old, waiting = past.shape, [(past.shape.entry, shape.entry)]
    seen = set(waiting)
    while waiting:
        at, place = waiting.pop()
        if END in (at, place):
            if at != place:
                return False
            continue
        if old.rows[at] != shape.rows[place]:
            return False
        for outcome in past.ran[at]:
            pair = old.leads[at][outcome], shape.leads[place][outcome]
            if pair not in seen:
                seen.add(pair)
                waiting.append(pair)
    return True
