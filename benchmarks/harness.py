"""Count every cell once, then time cells under pyperf, interleaved: one worker process of each in every round.

Designs timed in blocks differ by the drift of the machine; one process of each in random order
takes most of that out. The number of passes in a value is chosen from a pass measured before, so
no process is spent on calibration. The order is shuffled with a fixed seed.
"""

import contextlib
import random
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyperf

from gmembench.benchmarks import child
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.counters import SILENCE_AT_MOST_S, counted_lines
from gmembench.benchmarks.progress import Progress
from gmembench.core.errors import UserError

LOOPS_AT_MOST = 1 << 16
SETUP_SHARE = 10
"""Passes are also bounded so that a value with its set-up takes at most this many times the wanted time."""

SLACK = 20
"""A worker process is ended when it takes this many times what a pass measured before lets expect, and a while."""


@dataclass(frozen=True)
class Effort:
    """How much is measured. `processes_in_all` bounds the worker processes of a run, None does not.

    Cells of 4K pages get `processes_per_cell`, those of larger pages `processes_per_huge_cell`.
    """

    size: str
    values: int
    warmups: int
    value_s: float
    processes_per_cell: int
    processes_per_huge_cell: int
    processes_in_all: int | None


QUICK = Effort("small", 3, 1, 0.01, processes_per_cell=2, processes_per_huge_cell=1, processes_in_all=24)
FULL = Effort("full", 3, 1, 0.1, processes_per_cell=10, processes_per_huge_cell=10, processes_in_all=None)


@dataclass
class Outcome:
    """What a run found, by cell name: counted lines, pyperf benchmarks, causes of failure, cells left untimed."""

    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    timed: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    untimed: list[str] = field(default_factory=list)


def round_robin(cells: Iterable[Cell]) -> list[Cell]:
    """The cells in an order that takes one of every scenario, then a second of every scenario, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for cell in cells:
        turn = seen.get(cell.scenario, 0)
        seen[cell.scenario] = turn + 1
        turns.append((turn, cell))
    return [cell for _, cell in sorted(turns, key=lambda pair: pair[0])]


def share(cells: Sequence[Cell], effort: Effort) -> dict[str, int]:
    """Worker processes for each cell that is timed; a cell that gets none is not in the answer."""
    in_all = effort.processes_in_all
    huge, small = effort.processes_per_huge_cell, effort.processes_per_cell
    wanted = {cell.name: small if cell.page_size == "4K" else huge for cell in cells}
    if in_all is None or sum(wanted.values()) <= in_all:
        return wanted
    return {cell.name: 1 for cell in round_robin(cells)[:in_all]}


def rounds(processes: dict[str, int]) -> list[str]:
    """The order in which worker processes run: in every round one of each cell, shuffled."""
    shuffle = random.Random(0)  # a fixed seed: two runs time in the same order
    order: list[str] = []
    for number in range(max(processes.values(), default=0)):
        names = [name for name, wanted in processes.items() if wanted > number]
        shuffle.shuffle(names)
        order += names
    return order


def loops_for(pass_s: float, wall_s: float, value_s: float) -> int:
    """Passes in one value, so that it takes `value_s` seconds, and with set-up at most ten times that."""
    wanted = value_s / max(pass_s, 1e-9)
    affordable = SETUP_SHARE * value_s / max(wall_s, 1e-9)
    return max(1, min(round(wanted), round(affordable), LOOPS_AT_MOST))


def time_command(name: str, loops: int, effort: Effort, request: child.Request, output: Path) -> list[str]:
    """The command of a pyperf manager for one worker process of a cell."""
    command = [*child.module_command("gmembench.benchmarks.worker"), f"--cell={name}", *request.arguments()]
    command += ["--processes", "1", "--values", str(effort.values), "--warmups", str(effort.warmups)]
    command += ["--loops", str(loops), "--quiet", "--output", str(output)]
    return [*command, f"--inherit-environ={','.join(child.inherited_names())}"]


def timed_once(name: str, loops: int, wall_s: float, effort: Effort, request: child.Request) -> Any:
    """One pyperf benchmark with the run of one worker process. `wall_s`: what a pass takes with its set-up.

    Raises ChildFailed with the cause.
    """
    limit_s = SILENCE_AT_MOST_S + SLACK * loops * wall_s * (effort.values + effort.warmups)
    with tempfile.TemporaryDirectory(prefix="gmembench-") as folder:
        output = Path(folder, "result.json")
        with child.running(time_command(name, loops, effort, request, output)) as timing:
            try:
                timing.process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                raise child.ChildFailed(
                    f"timing was ended after {limit_s:.0f} s, many times what it should take"
                ) from None
            if timing.process.returncode or not output.exists():
                raise child.ChildFailed(timing.cause_of_end())
        return pyperf.Benchmark.load(str(output))


def count_cells(
    cells: Sequence[Cell], request: child.Request, timed: Collection[str], outcome: Outcome, show: Progress
) -> None:
    """Fill `outcome.counted`, and `outcome.failed` with the cells that raised or ran no step.

    `timed`: names of the cells for which the time of a pass is wanted.
    Raises UserError for a cell whose sizes or operations are a mistake of its author.
    """
    with contextlib.closing(counted_lines([cell.name for cell in cells], request, timed)) as lines:
        for line in lines:
            if "mistake" in line:
                raise UserError(*line["mistake"])
            _note_line(line, outcome, show)


def _note_line(line: dict[str, Any], outcome: Outcome, show: Progress) -> None:
    """Keep a counted line, or its error."""
    name = line["cell"]
    if "error" not in line and line["counted"]["count.steps"] < 1:
        line["error"] = "it ran no step, so nothing was measured"
    if "error" in line:
        outcome.failed[name] = line["error"]
        show.failed(name, line["error"])
    else:
        outcome.counted[name] = line
        show.counted(name, line["counted"]["count.steps"])


def time_cells(
    processes: dict[str, int], effort: Effort, request: child.Request, outcome: Outcome, show: Progress
) -> None:
    """Fill `outcome.timed`; a cell that fails is not started again and keeps no time."""
    done: dict[str, int] = {}
    for name in rounds(processes):
        if name in outcome.failed:
            show.skipped(name)
            continue
        line = outcome.counted[name]
        show.timing(name)
        try:
            loops = loops_for(line["pass_s"], line["wall_s"], effort.value_s)
            run = timed_once(name, loops, line["wall_s"], effort, request)
        except child.ChildFailed as error:
            outcome.failed[name] = str(error)
            outcome.timed.pop(name, None)
            show.failed(name, str(error))
            continue
        if name in outcome.timed:
            outcome.timed[name].add_runs(run)
        else:
            outcome.timed[name] = run
        done[name] = done.get(name, 0) + 1
        show.timed(name, outcome.timed[name].mean(), done[name], processes[name])


def run_cells(
    cells: Sequence[Cell],
    effort: Effort | None,
    request: child.Request,
    show: Progress,
    timed: Sequence[Cell] | None = None,
) -> Outcome:
    """Count the applicable `cells` and, unless `effort` is None, time those of `timed` (None: all of them).

    Kernels are compiled before timing.
    """
    outcome = Outcome()
    planned = share(cells if timed is None else timed, effort) if effort else {}
    outcome.untimed = [cell.name for cell in cells if cell.name not in planned] if effort else []
    show.begin(len(cells) + sum(planned.values()))
    count_cells(cells, request, planned, outcome, show)
    if effort:
        time_cells(planned, effort, request, outcome, show)
    return outcome
