"""Registers that do not matter any more: nothing changes when they hold anything."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from interleavings import TWO_SLOTS, random_run
from small_worlds import ALL_DESIGNS, code_of, geometry

from gmembench.benchmarks.peers.instances import TWINS
from gmembench.core.catalog import load_hardware
from gmembench.core.drivers.moves import DEAD, FRESH, STALE
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.jit import INTERPRETED
from gmembench.core.judges import Panel
from gmembench.core.layouts import UNSIGNED
from gmembench.core.liveness import (
    ALWAYS,
    IDLE,
    REGISTERS,
    dead_register_mask,
    first_values,
    live_before,
    live_registers,
    live_when_done,
)
from gmembench.core.operations import PROGRAM_NUMBER
from gmembench.core.outcomes import CODE, NEXT
from gmembench.core.programs import Code, assemble
from gmembench.core.world import SMALL

HARDWARE = load_hardware()
CASES = [(d, h) for d in ALL_DESIGNS for h in HARDWARE if h not in ALL_DESIGNS[d].not_on]
if INTERPRETED:
    CASES = [("guest-memfd", "none"), ("guest-memfd", "snp"), ("fd-restricted", "tdx")]  # compiled runs have them all
JUNK = (-1, 0, 1, 2, 3, 7, 100)
GFNS = (0, 1, 2, 3)
"""Junk that is a gfn of the guest: nothing asks whether a register that is read leads out of the world."""


def names(live: np.ndarray) -> set[str]:
    """Names of the registers that are live."""
    return {name for name, is_live in zip(REGISTERS, live, strict=True) if is_live}


def at(code: Code, row: str) -> int:
    """The index of a row; "" is between operations."""
    return next((i for i, item in enumerate(code.info) if item.name == row), IDLE)


class Scrambler:
    """After every step, junk is written into all registers that are dead."""

    def __init__(self, live: np.ndarray, junk: Sequence[int] = JUNK) -> None:
        self.live, self.junk, self.rng, self.written = live, junk, random.Random(1), 0

    def scramble(self, stepper: Stepper) -> None:
        """Write the junk."""
        for number, a in enumerate(stepper.world.arrays["actors"]):
            for register in np.flatnonzero(~self.live[at(stepper.code, stepper.next_row(number))]):
                junk = self.rng.choice(self.junk)
                a[REGISTERS[register]] = abs(junk) if REGISTERS[register] in UNSIGNED else junk
                self.written += 1

    def run(self, code: Code, seed: int, **how: Any) -> Stepper:
        """A random run, scrambled."""
        take = Stepper.take

        def scrambled(stepper: Stepper, *choice: int) -> int:
            ended = take(stepper, *choice)
            self.scramble(stepper)
            return ended

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stepper, "take", scrambled)
            return random_run(code, seed, **how)


@pytest.mark.parametrize(("design", "hardware"), CASES)
def test_junk_in_dead_registers_changes_no_run(design: str, hardware: str) -> None:
    """With the same choices every row has the same outcomes, and the run ends with the same pages and entries."""
    code = assemble(ALL_DESIGNS[design], HARDWARE[hardware])
    judged = Panel() if hardware == "none" else Panel({})
    how: dict[str, Any] = {"slots": TWO_SLOTS, "panel": judged}
    plain = random_run(code, 3, **how)
    scrambler = Scrambler(live_registers(code, plain.world.geometry))
    other = scrambler.run(code, 3, **how)
    assert scrambler.written > 1000
    assert other.trail == plain.trail
    assert str(other.violation) == str(plain.violation)
    for name in ("frames", "pages", "cache", "slots", "septs", "tlbs"):
        assert np.array_equal(other.world.arrays[name], plain.world.arrays[name]), name


def test_junk_in_a_live_register_does_change_a_run() -> None:
    """The gfn in hand taken for dead, and only that: the same choices lead elsewhere."""
    code = code_of("guest-memfd")
    live = np.ones_like(live_registers(code))
    live[:, REGISTERS.index("gfn")] = False
    plain = random_run(code, 3, panel=Panel({}))
    other = Scrambler(live, GFNS).run(code, 3, panel=Panel({}))
    assert other.trail != plain.trail


def test_what_a_fault_knows() -> None:
    """The snapshot is live from where it is taken to where it is compared; the page from its lookup to its mapping."""
    code = code_of("guest-memfd")
    live = live_registers(code, geometry("guest-memfd"))
    before, after = names(live[at(code, "access.fault.snapshot_seq")]), names(live[at(code, "access.fault.check_attr")])
    assert "seq" not in before
    assert "seq" in after
    assert "pfn" not in after
    assert {"pfn", "seq", "gfn", "end"} <= names(live[at(code, "access.fault.recheck_stale")])


def test_between_operations_little_is_live() -> None:
    """What the beginning of an operation sets is dead before it; what is asked from outside is live for good."""
    code = code_of("guest-memfd")
    live = live_registers(code, geometry("guest-memfd"))
    idle = names(live[IDLE])
    assert idle.isdisjoint(
        {"first", "end", "gfn", "flags", "result", "error", "done", "pfn", "index", "seq", "content"}
    )
    assert {*ALWAYS, "slot", "root", "requests", "srcu", "tlb_generation"} <= idle
    assert "requests" in names(live_when_done(live))
    assert "cursor" not in names(live_before(code, live, PROGRAM_NUMBER["access"])) - names(live_when_done(live))


def test_programs_that_are_never_begun_keep_nothing_alive() -> None:
    """Only a fault asks for the root that a vCPU has loaded; only observed registers are kept for a driver."""
    code = code_of("guest-memfd")
    punches = live_registers(code, programs=[PROGRAM_NUMBER["punch"]])
    assert "root" not in names(punches[IDLE])
    seen = live_registers(code, programs=[PROGRAM_NUMBER["punch"]], observed=["index"])
    assert "index" in names(live_when_done(seen)) - names(punches[IDLE])


def test_a_forced_outcome_keeps_what_the_row_would_have_set() -> None:
    """Where a driver makes a lookup fail without running it, what it sets may still be the old value."""
    code = code_of("guest-memfd")
    row = at(code, "access.fault.snapshot_seq")
    assert "seq" not in names(live_registers(code)[row])
    assert "seq" in names(live_registers(code, forced=[(row, NEXT)])[row])


def test_the_dead_after_an_outcome_are_those_dead_before_its_target() -> None:
    """An actor whose fault is retried needs the page no more; one whose page is found does."""
    code = code_of("guest-memfd")
    live = live_registers(code, geometry("guest-memfd"))
    dead, row, pfn = dead_register_mask(code, live), at(code, "access.fault.recheck_stale"), REGISTERS.index("pfn")
    assert not dead[row, NEXT, pfn]
    assert dead.shape == (*code.targets.shape, len(REGISTERS))
    assert dead[at(code, "access.guest.use"), CODE["done"], pfn]


def test_first_values_are_those_of_a_new_world() -> None:
    """Dead registers are set back to them: no slot is -1, and actors are numbered."""
    first = first_values(geometry("guest-memfd"))
    assert first["slot"].tolist() == [-1] * 4
    assert first["number"].tolist() == [0, 1, 2, 3]


def test_a_snapshot_is_dead_where_nobody_reads_it_again() -> None:
    """And nowhere else: what becomes of one as the sequence counts on can be told without knowing the row."""
    dtype, at = SMALL.arrays["actors"].fields["seq"][:2]  # type: ignore[index]
    assert dtype.itemsize == 1
    met, rng = set(), np.random.default_rng(7)
    for _ in range(20):
        stepper = Stepper.of(TWINS["fault-vs-punch-1-1-timer"].instance())
        while len(options := stepper.options()):
            stepper.take(*rng.choice(options).tolist())
            actors = stepper.world.arrays["actors"]
            live = stepper.prepared.keep.ravel()[actors["row"] + 1] >> np.uint64(at) & np.uint64(1) != 0
            assert ((actors["seq"] != DEAD) == live).all()
            met |= set(actors["seq"].tolist())
    assert met == {DEAD, STALE, FRESH}
