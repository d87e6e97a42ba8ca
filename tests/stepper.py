"""Stepping by hand: which actor runs its next row is the test's choice. A world stays as each row left it."""

import numpy as np
from small_worlds import Machine, operation

from gmembench.core.drivers.sequential import begin
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.jit import kernel
from gmembench.core.operations import AS_PRIVATE, AS_SHARED
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.rows import BRANCH, END, LEAVE
from gmembench.core.steps.table import link_addresses, run_chain
from gmembench.core.world import actor, head


@kernel
def _begin(buffer: np.ndarray, operations: np.ndarray) -> None:
    begin(actor(head(buffer), operations[0]["actor"]), operations[0])


@kernel
def _run_row(buffer: np.ndarray, number: int, rows: np.ndarray, branches: np.ndarray, position: int) -> int:
    w = head(buffer)
    return run_chain(w, actor(w, number), rows, branches, position)


class Stepper:
    """Programs of several actors on one machine's world, each stopped before some row."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.code = machine, machine.code
        self.rows = machine.code.rows.copy()
        self.rows["jump"] = 1
        self.rows["address"] = link_addresses()[self.rows["step"]]
        self.branches = np.zeros((len(self.rows), len(OUTCOMES)), BRANCH)
        self.branches["way"] = LEAVE
        self.rows["branches"] = self.branches.ctypes.data + self.branches.strides[0] * np.arange(len(self.rows))
        self.at: dict[int, int] = {}

    def start(self, program: str, number: int, gfn: int = 0, count: int = 1, *, kind: str = "", **flags: bool) -> None:
        """Give an actor an operation; it stands before its first row. `kind`: what the guest takes the gfn for."""
        op = operation(program, number, gfn, count, **flags)
        op["flags"] |= {"": 0, "shared": AS_SHARED, "private": AS_PRIVATE}[kind]
        _begin(self.machine.world.buffer, op)
        self.at[number] = int(self.code.entries[op["program"][0]])

    def row(self, number: int) -> str:
        """The full name of the row before which an actor stands; "END" when it is done."""
        return "END" if self.at[number] == END else self.code.info[self.at[number]].name

    def step(self, number: int) -> str:
        """Run one row of an actor; the name of its outcome."""
        position = self.at[number]
        ended = int(_run_row(self.machine.world.buffer, number, self.rows, self.branches, position))
        outcome = ended & ((1 << OUTCOME_BITS) - 1)
        if outcome != BLOCKED:
            self.at[number] = int(self.code.targets[position, outcome])
            if outcome == 0 and not self.code.rows["jump"][position]:
                self.at[number] = position + 1
        return OUTCOMES[outcome]

    def until(self, number: int, name: str, limit: int = 500) -> None:
        """Run an actor up to the row whose full name ends so. It must not block."""
        for _ in range(limit):
            if self.row(number).endswith(name):
                return
            assert self.row(number) != "END", f"{name} was never reached"
            assert self.step(number) != "blocked", f"{self.row(number)} blocks"
        raise AssertionError(f"{name} was not reached in {limit} rows")

    def finish(self, *numbers: int, limit: int = 2000) -> None:
        """Let these actors step in turn until all are done; kicked vCPUs leave the guest when nobody else can step."""
        for _ in range(limit):
            left = [n for n in numbers if self.at[n] != END]
            if not left:
                return
            outcomes = [self.step(n) for n in left]
            if set(outcomes) == {"blocked"}:
                assert self.exit_kicked(), f"all wait: {[self.row(n) for n in left]}"
        raise AssertionError(f"no end after {limit} rounds: {[self.row(n) for n in numbers]}")

    def exit_kicked(self) -> int:
        """Every kicked vCPU leaves the guest; how many did."""
        vcpus = self.machine.world.arrays["actors"][: self.machine.world["vcpus"]]
        kicked = (vcpus["kicked"] != 0) & (vcpus["mode"] != 0)
        vcpus["mode"][kicked] = 0
        return int(kicked.sum())
