"""Measuring the sequential driver against its C twin, and against itself in a larger world.

Both run the same operations on the same buffer, restored before each run, which also touches all of its
memory. Times are CPU time of the thread, so that other processes of the host count less. The members of
a pair run one after the other in a seeded random order; the ratio is taken pair by pair.
"""

import contextlib
import os
import platform
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gmembench.benchmarks.peers.twin import Twin
from gmembench.benchmarks.prepared import geometry_of
from gmembench.benchmarks.scenario import Workload, operations
from gmembench.core.catalog import load_designs
from gmembench.core.drivers.sequential import AHEAD, Sequential
from gmembench.core.hardware import none
from gmembench.core.operations import PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.core.programs import Code, assemble
from gmembench.core.world import World

ORDERS = {"sequential": 0, "random": AHEAD}
"""Order of the gfns -> how far ahead the twin fetches. In sequence the processor does it, and C is faster without."""

PAGE_BYTES = 4096
CHUNK_GFNS = 1 << 20
"""A large world is populated in pieces: operations take 32 bytes a gfn."""


class DifferentError(Exception):
    """The driver and its twin did not do the same: says what differs."""


@dataclass(frozen=True)
class Comparison:
    """Pairs of one design and order. `ours_ns` and `twin_ns`: f8 arrays, nanoseconds per fault of each pair."""

    design: str
    order: str
    gfns: int
    rows_per_fault: float
    ours_ns: npt.NDArray[np.float64]
    twin_ns: npt.NDArray[np.float64]

    @property
    def ratios(self) -> npt.NDArray[np.float64]:
        """Ours over the twin's, pair by pair."""
        return self.ours_ns / self.twin_ns


def code_of(design: str) -> Code:
    """A design on hardware without memory encryption, assembled."""
    return assemble(load_designs()[design], none.HARDWARE)


def fresh_world(code: Code, gfns: int, vcpus: int = 1) -> World:
    """A world of one memslot with nothing allocated and all of its memory touched: private, if the design can be.

    Pages are of the smallest size that the design has.
    """
    workload = Workload(operations("access", []), gfns, ((0, gfns),), vcpus, 1)
    world = World(geometry_of(workload, code.design, code.hardware, code.design.sizes[0]))
    if "convert" in code.design.programs and not code.design.init_private:
        Sequential(code, world).run(operations("convert", 0, actor=vcpus, count=gfns, flags=PRIVATE))
    world.buffer[::PAGE_BYTES] |= 0
    return world


def population(gfns: int, order: str, *, seed: int = 1, vcpus: int = 1, flags: int = WRITE) -> np.ndarray:
    """OPERATION array: an access to each gfn once, in one of ORDERS, the vCPUs in turn."""
    first = np.arange(gfns)
    if order == "random":
        np.random.default_rng(seed).shuffle(first)
    return operations("access", first, actor=np.arange(gfns) % vcpus, flags=flags)


def _timed_ns(work: Callable[[np.ndarray], None], todo: np.ndarray) -> int:
    before = time.thread_time_ns()
    work(todo)
    return time.thread_time_ns() - before


def check_same(ours: Sequential, our_buffer: np.ndarray, twin: Twin, twin_buffer: np.ndarray) -> None:
    """Raise DifferentError unless the worlds are byte-identical and all counters are equal."""
    results = ours.results[PROGRAM_NUMBER["access"]]
    for what, first, second in (
        ("bytes of the world", our_buffer, twin_buffer),
        ("hits", ours.hits, twin.hits),
        ("outcomes taken", ours.taken, twin.taken),
        ("results", results, twin.results),
    ):
        if not np.array_equal(first, second):
            where = np.argwhere(first != second)[0].tolist()
            raise DifferentError(f"{what} differ from the twin's, first at {where}")


def run_pair(ours: Sequential, twin: Twin, pristine: np.ndarray, todo: np.ndarray, twin_first: bool) -> tuple[int, int]:
    """Run both, new and on one world, from the same state: ns of ours, ns of the twin. Raises DifferentError."""
    buffer = ours.world.buffer
    spent, left = {}, {}
    for member in (twin, ours) if twin_first else (ours, twin):
        np.copyto(buffer, pristine)
        spent[type(member)] = _timed_ns(member.run, todo)
        left[type(member)] = buffer.copy()
    check_same(ours, left[Sequential], twin, left[Twin])
    return spent[Sequential], spent[Twin]


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Keep this thread on one of its CPUs meanwhile, where the host can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def compare(design: str, gfns: int, order: str, pairs: int, seed: int = 1) -> Comparison:
    """Populate a guest in pairs. Raises DifferentError, NoCompilerError, Stuck."""
    code = code_of(design)
    world = fresh_world(code, gfns)
    pristine = world.buffer.copy()
    todo = population(gfns, order, seed=seed)
    chooser = random.Random(seed)
    times = np.zeros((pairs, 2))
    for i in range(-1, pairs):  # the first pair warms up
        ours, twin = Sequential(code, world), Twin(code, world, ORDERS[order])
        times[i] = run_pair(ours, twin, pristine, todo, chooser.random() < 0.5)
    return Comparison(design, order, gfns, float(ours.hits.sum()) / gfns, times[:, 0] / gfns, times[:, 1] / gfns)


def sequential_ns(design: str, gfns: int) -> float:
    """Nanoseconds per fault of our driver alone, sequential, in a new world with all memory touched."""
    code = code_of(design)
    driver = Sequential(code, fresh_world(code, gfns))
    todo = population(min(gfns, CHUNK_GFNS), "sequential")
    spent = 0
    for _ in range(0, gfns, len(todo)):
        spent += _timed_ns(driver.run, todo)
        todo["gfn"] += len(todo)
        todo = todo[todo["gfn"] < gfns]
    return spent / gfns


def scaling(design: str, small_gfns: int, large_gfns: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Two f8 arrays: nanoseconds per fault in the small and in the large world, run by run."""
    times = [(sequential_ns(design, small_gfns), sequential_ns(design, large_gfns)) for _ in range(runs)]
    return np.array(times)[:, 0], np.array(times)[:, 1]


def cpu_name() -> str:
    """Name of the processor."""
    for line in _cpu_lines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
