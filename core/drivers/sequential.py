"""The sequential driver: each operation runs to its end before the next one begins.

Where a step waits for vCPUs to acknowledge a kick, the kicked vCPUs leave the guest at once; any
other wait can never end and is reported.
"""

from collections.abc import Sequence

import numpy as np

from gmembench.core.jit import kernel, part
from gmembench.core.operations import OPERATION, PROGRAMS
from gmembench.core.outcomes import BLOCKED, NEXT, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.rows import END
from gmembench.core.steps.table import invoke, step_addresses
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, OUTSIDE_GUEST, World, actor, head

RUNNING, STUCK, MISSING = 0, 1, 2


@part
def acknowledge_kicks(w: Record) -> int:
    """Let every kicked vCPU leave the guest; return how many did."""
    acknowledged = 0
    for i in range(w["vcpus"]):
        b = actor(w, i)
        if b["kicked"] != 0 and b["mode"] == IN_GUEST:
            b["mode"] = OUTSIDE_GUEST
            b["kicked"] = 0
            acknowledged += 1
    w["ipis"] += acknowledged
    return acknowledged


@part
def begin(a: Record, op: Record) -> None:
    """Hand an operation to its actor."""
    a["first"] = op["gfn"]
    a["gfn"] = op["gfn"]
    a["end"] = op["gfn"] + op["count"]
    a["flags"] = op["flags"]
    a["wanted_slot"] = op["slot"]
    a["result"] = 0
    a["error"] = 0
    a["done"] = 0


@kernel
def run_operations(
    buffer: np.ndarray,
    rows: np.ndarray,
    targets: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    start: int,
    stop: int,
    hits: np.ndarray,
    taken: np.ndarray,
    results: np.ndarray,
    state: np.ndarray,
) -> int:
    """Run operations[start:stop]. Returns RUNNING, or STUCK or MISSING with (operation, row) in `state`."""
    w = head(buffer)
    for i in range(start, stop):
        op = operations[i]
        a = actor(w, op["actor"])
        position = entries[op["program"]]
        if position < 0:
            state[0] = i
            return MISSING
        begin(a, op)
        while position != END:
            r = rows[position]
            hits[position] += 1
            outcome = invoke(w, a, r)
            if outcome | r["jump"] == NEXT:
                position += 1
            elif outcome == BLOCKED:
                if acknowledge_kicks(w) == 0:
                    state[0] = i
                    state[1] = position
                    return STUCK
                hits[position] -= 1
            else:
                taken[position, outcome] += 1
                position = targets[position, outcome]
        results[op["program"], a["result"]] += 1
    return RUNNING


RESULTS = 134
"""Results of operations are 0 or an errno of Linux; EHWPOISON is the largest in use."""


class Stuck(Exception):
    """A step waits for something that no other actor will ever do. Names the operation and the row."""


class Sequential:
    """A design assembled, a world, and the counters of a run.

    `hits`: i8 array, times a row ran. `taken`: i8 array (row, outcome), times an outcome other than a
    plain *next* was taken. `results`: i8 array (program, result).
    """

    def __init__(self, code: Code, world: World) -> None:
        self.code, self.world = code, world
        self.rows = code.rows.copy()
        self.rows["address"] = step_addresses()[code.rows["step"]]
        self.hits = np.zeros(len(code.rows), np.int64)
        self.taken = np.zeros((len(code.rows), len(OUTCOMES)), np.int64)
        self.results = np.zeros((len(PROGRAMS), RESULTS), np.int64)
        self._state = np.zeros(2, np.int64)

    def run(self, operations: np.ndarray, start: int = 0, stop: int | None = None) -> None:
        """Run operations[start:stop] (OPERATION records), in order.

        Raises Stuck if a step waits for ever, ValueError if the design lacks a program that is asked for.
        """
        if operations.dtype != OPERATION:
            raise ValueError(f"operations of dtype {operations.dtype}, not OPERATION")
        stop = len(operations) if stop is None else stop
        ended = run_operations(
            self.world.buffer,
            self.rows,
            self.code.targets,
            self.code.entries,
            operations,
            start,
            stop,
            self.hits,
            self.taken,
            self.results,
            self._state,
        )
        if ended == STUCK:
            row = self.code.info[self._state[1]].name
            raise Stuck(f"operation {self._state[0]}: {row} waits, and nothing else will run")
        if ended == MISSING:
            name = PROGRAMS[operations[self._state[0]]["program"]]
            raise ValueError(f"operation {self._state[0]}: {self.code.design.name} has no program {name!r}")

    def steps(self, names: Sequence[str]) -> int:
        """How often the rows of these full names ran, together."""
        wanted = set(names)
        return int(sum(self.hits[i] for i, item in enumerate(self.code.info) if item.name in wanted))
