"""How long a tier takes and how much memory it needs, before it runs: from what passes took when it was written.

Numbers are of one machine (2 CPUs of a virtual machine, 2026) with compiled kernels. They say whether to wait or to go
for lunch; the factor between two machines is easily two.
"""

import heapq
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from gmembench.benchmarks import axes, child, group, matrix
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.harness import Effort

NS_A_STEP = 2.5
"""A compiled step."""

START_S = 1.8
"""A process starts, imports and loads kernels; those that time do so two at a time."""

SETUP_SHARE = 0.25
"""Worlds, operations and digests, beside the steps of a pass."""

CELL_S = 0.02
"""A cell is made ready, beside its steps."""

MADE_S = 0.15
"""A million operations are made and checked, once for each scenario."""

BYTES_A_GFN = 72
"""Records of a gfn and its pages, at most."""


@dataclass(frozen=True)
class Cost:
    """What a run takes. `compiling_s` comes on top the first time."""

    cells: int
    timed_cells: int
    processes: int
    seconds: float
    memory_bytes: int


def steps_of(cell: Cell) -> float:
    """Steps of one pass."""
    known = matrix.shipped().estimate
    name, variant, settings = axes.split(cell.scenario)
    found = known.get(f"{name}:{variant}") or next(
        (e for key, e in known.items() if key.partition(":")[0] == name), None
    )
    million = getattr(found, cell.size) if found else statistics.fmean(getattr(e, cell.size) for e in known.values())
    return float(million) * 1e6 * _larger(cell, settings)


def _larger(cell: Cell, settings: axes.Settings) -> float:
    """How many times the guest of a setting is larger than that of its size."""
    guest = axes.gfns_of(dict(settings).get("guest", ""))
    return guest / _gfns(cell) if guest else 1.0


def _gfns(cell: Cell) -> int:
    return 1 << {"small": 13, "medium": 17, "full": 20}[cell.size]


def _operations(known: matrix.Estimate, cell: Cell) -> float:
    """Millions of operations of a pass: about as many times fewer than in the full size as there are steps."""
    return known.operations * float(getattr(known, cell.size)) / known.full


def bytes_of(cell: Cell) -> int:
    """Memory that a cell needs while it runs: its world, its operations, and a copy of them."""
    known = matrix.shipped().estimate
    name, variant, settings = axes.split(cell.scenario)
    found = known.get(f"{name}:{variant}") or known.get(name)
    million = _operations(found, cell) if found else 0.1
    larger = _larger(cell, settings)
    return int(larger * (_gfns(cell) * BYTES_A_GFN + 2e6 * million * child.BYTES_AN_OPERATION))


def cost(cells: Sequence[Cell], timed: Sequence[Cell], effort: Effort | None) -> Cost:
    """What a run of applicable cells takes; `effort` None: it only counts."""
    at_once = child.AT_ONCE
    pass_s = {cell.name: (1 + SETUP_SHARE) * NS_A_STEP * 1e-9 * steps_of(cell) for cell in cells}
    scenarios = {cell.scenario: cell for cell in cells}
    known = matrix.shipped().estimate
    made = [_operations(known[name], cell) for name, cell in scenarios.items() if name in known]
    seconds = START_S + (sum(pass_s.values()) + CELL_S * len(cells) + MADE_S * at_once * sum(made)) / at_once
    processes, memory = 0, max((bytes_of(cell) for cell in cells), default=0) * at_once
    needs: list[int] = []
    if effort:
        groups = {g.name: g for g in group.groups_of(timed)}
        for name, number in group.share(list(groups.values()), effort.processes, effort.in_all).items():
            processes += number
            seconds += number * (START_S / at_once + _job_s(groups[name], effort, pass_s))
            needs += [_job_bytes(groups[name])] * min(number, at_once)
    memory = max(memory, sum(heapq.nlargest(at_once, needs)))
    return Cost(len(cells), len(timed) if effort else 0, processes, seconds, memory + at_once * child.BYTES_A_PROCESS)


def _job_s(found: group.Group, effort: Effort, pass_s: dict[str, float]) -> float:
    rounds = effort.warmups + effort.values
    return sum(
        rounds * group.loops_for(round(steps_of(cell)), effort.value_steps) * pass_s[cell.name] for cell in found.cells
    )


def _job_bytes(found: group.Group) -> int:
    """Memory of a process that times a group, beside what every process needs."""
    return sum(_world_bytes(cell) for cell in found.cells) + bytes_of(found.cells[0])


def _world_bytes(cell: Cell) -> int:
    """A copy of the operations without those that a design lacks, in the process that times all designs of a group."""
    return bytes_of(cell) // 8


def text_of(name: str, found: Cost) -> str:
    """The estimate in a sentence."""
    minutes = f"{found.seconds / 60:.0f} min" if found.seconds >= 90 else f"{found.seconds:.0f} s"
    timing = f", {found.processes} processes time {found.timed_cells} of them" if found.processes else ""
    return (
        f"{name}: {found.cells} cells counted{timing}: about {minutes}, {found.memory_bytes / 2**30:.1f} GiB of memory"
    )
