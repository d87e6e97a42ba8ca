"""The peers that run the model's rows: the sequential driver itself, and C code of the same rows."""

from collections.abc import Mapping

import numpy as np

from gmembench.benchmarks.peers import compare
from gmembench.benchmarks.peers.twin import Twin
from gmembench.benchmarks.peers.work import CONVERT, PAGE_BYTES, PUNCH, TOUCH_PRIVATE, TOUCH_SHARED, Counts
from gmembench.benchmarks.scenario import operations
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.jit import INTERPRETED
from gmembench.core.operations import PROGRAM_NUMBER, WRITE
from gmembench.core.programs import Code
from gmembench.core.world import SPTE_PRESENT, World

DESIGN = "guest-memfd"
"""The design whose rows are run: the one with a file like the host's memfd, punched by the VMM."""

VCPU, VMM = 0, 1
"""Actors."""


def work_of(phase: str, gfns: int) -> np.ndarray:
    """The operations of a phase."""
    all_gfns = np.arange(gfns)
    if phase in {TOUCH_PRIVATE, TOUCH_SHARED}:
        return operations("access", all_gfns, actor=VCPU, flags=WRITE)
    return operations({CONVERT: "convert", PUNCH: "punch"}[phase], all_gfns, actor=VMM)


def counts_of(code: Code, world: World, hits: np.ndarray, conversions: int) -> Counts:
    """The counts of a world, and of the rows that ran on it."""
    classify = [position for position, item in enumerate(code.info) if item.step.name == code.hardware.classify]
    mapped = (world.arrays["frames"]["spte"]["bits"] & SPTE_PRESENT) != 0
    return Counts(
        faults=int(hits[classify].sum()),
        zeroed_bytes=world["zeroed_pages"] * PAGE_BYTES,
        private_pages=world["private_pages"],
        shared_pages=world["shared_pages"],
        conversions=conversions,
        mapped_gfns=int(mapped.any(axis=1).sum()),
    )


class DriverPeer:
    """Our sequential driver."""

    name = "our driver"
    lacks: Mapping[str, str] = {}

    def __init__(self) -> None:
        how = "interpreted: set NUMBA_DISABLE_JIT=0" if INTERPRETED else "compiled"
        self.same = (
            f"every row of {DESIGN} that the kernel's path has, each counted, and the checks of the oracle; {how}"
        )
        self.code = compare.code_of(DESIGN)

    def begin(self, gfns: int) -> None:
        """A world that is private, and the operations."""
        self.driver = Sequential(self.code, compare.fresh_world(self.code, gfns))
        self.work = {phase: work_of(phase, gfns) for phase in (TOUCH_PRIVATE, CONVERT, TOUCH_SHARED, PUNCH)}

    def run(self, phase: str) -> None:
        """Run the operations of a phase."""
        self.driver.run(self.work[phase])

    def counts(self) -> Counts:
        """From the counters of the driver and of the world."""
        conversions = int(self.driver.results[PROGRAM_NUMBER["convert"], 0])
        return counts_of(self.code, self.driver.world, self.driver.hits, conversions)

    def end(self) -> None:
        """Drop the world."""
        del self.driver, self.work


class TwinPeer:
    """The same rows in C."""

    name = "C twin"
    lacks: Mapping[str, str] = {}
    same = "the same rows and the same counters on the same records, as straight-line C made from the rows by gcc"

    def __init__(self) -> None:
        """Compile the twins. Raises NoCompilerError."""
        self.code = compare.code_of(DESIGN)
        self._made(compare.fresh_world(self.code, 1))

    def _made(self, world: World) -> dict[str, Twin]:
        return {program: Twin(self.code, world, program=program) for program in ("access", "convert", "punch")}

    def begin(self, gfns: int) -> None:
        """A world that is private, a twin of each program on it, and the operations."""
        self.world = compare.fresh_world(self.code, gfns)
        self.twins = self._made(self.world)
        self.work = {phase: work_of(phase, gfns) for phase in (TOUCH_PRIVATE, CONVERT, TOUCH_SHARED, PUNCH)}

    def run(self, phase: str) -> None:
        """Run the operations of a phase."""
        program = {CONVERT: "convert", PUNCH: "punch"}.get(phase, "access")
        self.twins[program].run(self.work[phase])

    def counts(self) -> Counts:
        """From the counters of the twins and of the world."""
        hits = np.sum([twin.hits for twin in self.twins.values()], axis=0)
        return counts_of(self.code, self.world, hits, int(self.twins["convert"].results[0]))

    def end(self) -> None:
        """Drop the world."""
        del self.world, self.twins, self.work
