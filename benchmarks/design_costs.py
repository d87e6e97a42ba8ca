"""What a design costs, counted: a fixed life of 512 gfns, one operation of each kind at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gmembench.benchmarks.prepared import geometry_of
from gmembench.benchmarks.scenario import Workload, operations
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.hardware.none import HARDWARE
from gmembench.core.operations import PRIVATE, PROGRAMS, WRITE
from gmembench.core.programs import Design, assemble
from gmembench.core.world import Geometry, World

GFNS = 512
GUEST_GFNS = 1024
VCPU, HOST = 0, 1


@dataclass(frozen=True)
class CostRow:
    """One kind of operation: how often it ran, over how many gfns, and the rows and flushes it took in all."""

    what: str
    times: int
    gfns: int
    rows: int
    kvm_rows: int
    flushes: int


def _one(program: str, actor: int = HOST, *, count: int = GFNS, flags: int = 0) -> np.ndarray:
    return operations(program, 0, actor=actor, count=count, flags=flags)


def _each(program: str, actor: int, flags: int = 0) -> np.ndarray:
    return operations(program, np.arange(GFNS), actor=actor, flags=flags)


def life() -> Iterator[tuple[str, np.ndarray]]:
    """(what, operations) in the order in which they run."""
    yield "make 512 gfns private", _one("convert", flags=PRIVATE)
    yield "first touch by the guest", _each("access", VCPU, WRITE)
    yield "second touch", _each("access", VCPU)
    yield "NUMA scan of 512 gfns", _one("numa_zap")
    yield "touch after the scan", _each("access", VCPU)
    yield "make 512 gfns shared", _one("convert")
    yield "touch of shared memory", _each("access", VCPU, WRITE)
    yield "touch by the VMM", _each("host_access", HOST)
    yield "make one gfn private", _one("convert", count=1, flags=PRIVATE)
    yield "punch 512 gfns", _one("punch")
    yield "delete the memslot", _one("slot_delete")
    yield "end of the VM", _one("teardown")


def geometry(design: Design) -> Geometry:
    """The world in which costs are counted."""
    empty = operations("reuse", 0)[:0]
    workload = Workload(empty, GUEST_GFNS, ((0, GUEST_GFNS),), vcpus=1, host_actors=1)
    return geometry_of(workload, design, HARDWARE, "4K")


def state_bytes(design: Design) -> float:
    """Bytes of state a gfn, in a large world."""
    return World(geometry(design)).bytes_per_gfn


def cost_rows(design: Design) -> list[CostRow]:
    """Counts of each kind of operation that the design has."""
    driver = Sequential(assemble(design, HARDWARE), World(geometry(design)))
    in_kvm = np.array([item.place.startswith("kvm-") for item in driver.code.info])
    waits = np.array([item.step.name == "flush.wait" for item in driver.code.info])
    found: list[CostRow] = []
    for what, work in life():
        program = PROGRAMS[work["program"][0]]
        if program not in design.programs:
            continue
        before = driver.hits.copy()
        driver.run(work)
        hits = driver.hits - before
        gfns = int(work["count"].sum())
        found.append(CostRow(what, len(work), gfns, int(hits.sum()), int(hits[in_kvm].sum()), int(hits[waits].sum())))
    return found
