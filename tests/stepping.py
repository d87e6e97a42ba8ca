"""Actors that take turns: a test runs one row of one actor at a time, in any order.

The sequential driver runs each operation to its end. Here every row leaves the chain, so that another
actor can go between any two rows.
"""

from typing import Any

import numpy as np

from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.jit import kernel
from gmembench.core.operations import PRIVATE, PROGRAMS, WRITE
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.rows import BRANCH, END, LEAVE
from gmembench.core.steps.table import row_addresses, run_chain
from gmembench.core.world import IN_GUEST, OUTSIDE_GUEST, Geometry, World, actor, head


@kernel
def run_row(buffer: np.ndarray, rows: np.ndarray, branches: np.ndarray, number: int, position: int) -> int:
    """Run one row; returns the outcome."""
    w = head(buffer)
    return run_chain(w, actor(w, number), rows, branches, position) & ((1 << OUTCOME_BITS) - 1)


class Turns:
    """A design on a small world, and where each actor stands in its program; END where it has none."""

    def __init__(self, code: Code, shape: Geometry) -> None:
        self.code, self.world = code, World(shape)
        self.rows = code.rows.copy()
        self.rows["jump"] = 1
        self.rows["address"] = row_addresses(self.rows)
        self.branches = np.zeros((len(code.rows), len(OUTCOMES)), BRANCH)
        self.branches["way"] = LEAVE
        self.rows["branches"] = self.branches.ctypes.data + self.branches.strides[0] * np.arange(len(code.rows))
        self.at = [END] * len(self.world.arrays["actors"])
        self.names = [item.name for item in code.info]

    def start(
        self, number: int, program: str, gfn: int = 0, count: int = 1, *, write: bool = False, private: bool = False
    ) -> None:
        """Give an idle actor an operation; it has not run any of it yet."""
        assert self.at[number] == END
        a = self.world.arrays["actors"][number]
        a["first"] = a["gfn"] = gfn
        a["end"] = gfn + count
        a["flags"] = (WRITE if write else 0) | (PRIVATE if private else 0)
        a["result"] = a["error"] = a["done"] = 0
        self.at[number] = int(self.code.entries[PROGRAMS.index(program)])
        assert self.at[number] >= 0, program

    def row(self, number: int) -> str:
        """Full name of the row that an actor runs next; "" if it is idle."""
        return "" if self.at[number] == END else self.names[self.at[number]]

    def step(self, number: int) -> str:
        """Run one row of an actor; returns the outcome's name. A kicked vCPU leaves the guest where it can."""
        position = self.at[number]
        outcome = run_row(self.world.buffer, self.rows, self.branches, number, position)
        if outcome == BLOCKED:
            self._acknowledge()
        else:
            self.at[number] = int(self.code.targets[position, outcome])
            if outcome == 0 and self.code.rows["jump"][position] == 0:
                self.at[number] = position + 1
        return OUTCOMES[outcome]

    def _acknowledge(self) -> None:
        for number in range(self.world["vcpus"]):
            v = self.world.arrays["actors"][number]
            inside = self.row(number).rpartition(".")[2] != "use"
            if v["kicked"] and v["mode"] == IN_GUEST and inside:
                v["mode"], v["kicked"] = OUTSIDE_GUEST, 0

    def run(self, number: int, until: str = "", limit: int = 2000) -> str:
        """Run an actor until it is about to run a row, or to its end; returns where it stands.

        Stops where the actor waits for another one.
        """
        waited = 0
        for _ in range(limit):
            if self.at[number] == END or self.row(number) == until:
                return self.row(number)
            waited = waited + 1 if self.step(number) == "blocked" else 0
            if waited == 2:
                return self.row(number)
        raise AssertionError(f"actor {number} runs on for ever, now at {self.row(number)}")

    def do(self, number: int, program: str, gfn: int = 0, count: int = 1, **flags: Any) -> int:
        """Run one operation to its end; returns its result."""
        self.start(number, program, gfn, count, **flags)
        assert self.run(number) == ""
        return int(self.world.arrays["actors"]["result"][number])
