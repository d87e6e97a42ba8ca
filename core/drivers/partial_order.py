"""Partial order: which actor's row may go first alone, for nothing that others ever do depends on when it runs.

The rows' declared reads and writes say so (core/locations.py). Rows that change what is judged, or watched for, never
go first alone, nor do rows that may wait. Neither does one row at least of every loop of a program, so that no actor is
put off for ever: then violations, deadlocks and states from which no end is reached are found just as without. (Asking
instead that a row that goes alone leads to a state not seen before refused nine of ten.) Rows that go alone run at once
after the move before them, and the states between are not kept.
"""

import re

import numpy as np

from gmembench.core.drivers.instance import IDLE
from gmembench.core.drivers.moves import MAY_YIELD
from gmembench.core.drivers.prepared import Prepared, masks_in
from gmembench.core.footprints import footprint_of
from gmembench.core.footprints.rows import row_prints
from gmembench.core.liveness import REGISTERS
from gmembench.core.locations import EXIT_READS, EXIT_WRITES, mask_of
from gmembench.core.outcomes import BLOCKED


class PartialOrder:
    """The masks of an instance, as the search reads them.

    `reads`, `writes`: u8 by row. `holds`: by row, index of the set of locks that its actor holds. `future`: u8 (2,
    lockset, row + 2): what an actor before a row may yet read and write; before the last, what leaving the guest does;
    the last, IDLE, is empty. `rest`: u8 (2, lockset, operation + 1): the same from the beginning of an operation to the
    end of its script. `alone_rows`: u1 (actor, row), whether the row may go first alone. `why_not`: why none may; "" if
    some may: events make the rows of different actors depend on one another.
    """

    def __init__(self, prepared: Prepared) -> None:
        instance, self.prepared = prepared.instance, prepared
        self.why_not = "rows of different actors depend on events" if instance.forces or instance.gates else ""
        masks = masks_in(instance, prepared.programs)
        self.reads, self.writes = masks.reads, masks.writes
        self.holds = masks.holds.astype(np.int64)
        both = np.stack([masks.future_reads, masks.future_writes])
        leaving = np.zeros((2, both.shape[1], 2), np.uint64)
        leaving[0, :, 0], leaving[1, :, 0] = mask_of(EXIT_READS), mask_of(EXIT_WRITES)
        self.future = np.concatenate([both, leaving], axis=2)
        self.rest = self._rest(both)
        told = (prepared.judged != 0) | (prepared.flags[1:] & MAY_YIELD != 0) | (masks.waits != 0) | self._waits()
        self.alone_rows = np.array([self._without_loops(~(told | shown)) for shown in self._shown()], np.uint8)

    @property
    def applies(self) -> bool:
        """Whether rows may go first alone."""
        return not self.why_not

    def _rest(self, both: np.ndarray) -> np.ndarray:
        p = self.prepared
        found = np.zeros((*both.shape[:2], len(p.operations) + 1), np.uint64)
        ends = set(p.ends.tolist())
        for number in reversed(range(len(p.operations))):
            found[:, :, number] = both[:, :, p.entries[p.operations["program"][number]]]
            if number + 1 not in ends:
                found[:, :, number] |= found[:, :, number + 1]
        return found

    def _waits(self) -> np.ndarray:
        """Rows whose step may have to wait."""
        outcomes = [footprint_of(item.step.name).outcomes for item in self.prepared.code.info]
        return np.array([found is None or BLOCKED in found for found in outcomes], bool)

    def _without_loops(self, rows: np.ndarray) -> np.ndarray:
        """The rows but for one of each loop that they make."""
        prints = row_prints(self.prepared.code, self.prepared.instance.geometry, self.prepared.programs)
        targets = [sorted({t for t, _ in prints.following(row)} - {IDLE}) for row in range(len(rows))]
        kept = rows.copy()
        done = np.zeros(len(rows), bool)
        for first in np.flatnonzero(rows):
            path: list[tuple[int, list[int]]] = [(int(first), [])] if not done[first] else []
            on_path = set()
            while path:
                row, following = path[-1]
                if row not in on_path:
                    on_path.add(row)
                    following += [t for t in targets[row] if kept[t] and not done[t]]
                if following:
                    row = following.pop()
                    if row in on_path:
                        kept[row] = False
                    elif kept[row] and not done[row]:
                        path.append((row, []))
                else:
                    done[row] = True
                    on_path.discard(row)
                    path.pop()
        return kept

    def _shown(self) -> np.ndarray:
        """Rows that lead from or to a watched place, or write a watched field."""
        p = self.prepared
        here = p.watches.tags[:, 1:] != 0
        leads = (here.shape[0], *p.targets.shape)
        there = np.broadcast_to(p.targets[None, :, :], leads)
        found = here | np.take_along_axis(p.watches.tags, there.reshape(len(here), -1) + 1, 1).reshape(leads).any(2)
        fields = [path for item in p.instance.sometimes for path, _, _ in item.fields]
        shared = [re.sub(r"\[\d+\]", "", path) for path in fields]  # frames[0].spte[1].bits -> frames.spte.bits
        watched = mask_of(name for name in shared if not name.startswith("actors."))
        found |= (self.writes & np.uint64(watched)) != 0
        for path in fields:
            array, _, register = path.rpartition(".")
            if array.startswith("actors[") and register in REGISTERS:
                found[int(array[len("actors[") : -1])] = True
        return found
