"""The sequential driver: each operation runs to its end before the next one begins.

Where a step waits for vCPUs to acknowledge a kick, the kicked vCPUs leave the guest at once; any
other wait can never end and is reported.
"""

from collections.abc import Sequence

import numpy as np

from gmembench.core.errno import RESULTS
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.jit import kernel, part
from gmembench.core.operations import OPERATION, PROGRAMS
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.rows import BRANCH, END, LEAVE
from gmembench.core.steps.table import row_addresses, run_chain
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, OUTSIDE_GUEST, World, actor, head, prefetch_cache, prefetch_frame

RUNNING, STUCK, MISSING = 0, 1, 2
OUTCOME_MASK = (1 << OUTCOME_BITS) - 1
AHEAD = 8
"""The memory of an operation's first gfn is fetched this many operations earlier."""


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
    branches: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    start: int,
    stop: int,
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
        if i + AHEAD < stop:
            prefetch_frame(w, operations[i + AHEAD]["gfn"])
            prefetch_cache(w, operations[i + AHEAD]["gfn"])
        begin(a, op)
        while True:
            ended = run_chain(w, a, rows, branches, position)
            position = ended >> OUTCOME_BITS
            if ended & OUTCOME_MASK != BLOCKED:
                break
            if acknowledge_kicks(w) == 0:
                state[0] = i
                state[1] = position
                return STUCK
            rows[position]["hits"] -= 1
            branches[position, BLOCKED]["taken"] -= 1
        results[op["program"], a["result"]] += 1
    return RUNNING


class Stuck(Exception):
    """A step waits for something that no other actor will ever do. Names the operation and the row."""


def _branches(code: Code) -> np.ndarray:
    """BRANCH array (row, outcome) that follows the targets of the code and leaves at the end of a program."""
    branches = np.zeros((len(code.rows), len(OUTCOMES)), BRANCH)
    distances = code.targets - np.arange(len(code.rows))[:, None]
    branches["way"] = np.where(code.targets == END, LEAVE, distances * code.rows.itemsize)
    return branches


class Sequential:
    """A design assembled, a world, and the counters of a run.

    `hits`: i8 array, times a row ran. `taken`: i8 array (row, outcome), times an outcome other than a
    plain *next* was taken. `results`: i8 array (program, result).
    """

    def __init__(self, code: Code, world: World) -> None:
        self.code, self.world = code, world
        self.rows = code.rows.copy()
        self.rows["address"] = row_addresses(code.rows)
        self.branches = _branches(code)
        self.rows["branches"] = self.branches.ctypes.data + self.branches.strides[0] * np.arange(len(code.rows))
        self.hits = self.rows["hits"]
        self.taken = self.branches["taken"]
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
            self.branches,
            self.code.entries,
            operations,
            start,
            stop,
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
