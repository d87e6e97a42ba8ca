"""Count every cell once, then time groups of cells, interleaved: every process times all designs of one group.

Designs timed in blocks differ by the drift of the machine; designs timed in one process, in random order, share it.
Passes in a value follow from counted steps, so they are the same in every run, and no process calibrates.
What is finished is kept in the store at once, and what the store has is not done again.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gmembench.benchmarks import child, plain
from gmembench.benchmarks import group as groups
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.counters import counted_lines
from gmembench.benchmarks.progress import Progress
from gmembench.benchmarks.store import Store
from gmembench.benchmarks.timing import CellFailed, Timer
from gmembench.core.errors import UserError

LIMIT_AT_LEAST_S = 60.0
"""So long any process may be silent."""

SLACK = 50
"""So many times as long as its steps should take a value may take on top."""

NS_A_STEP = {"interpreted": 60_000.0}
NS_A_STEP_COMPILED = 5.0
"""A step takes 1 to 5 ns, interpreted 20 us and more."""

MEMORY_SHARE = 3
"""Processes get ready beside each other if they need less than one part in so many of the machine's memory."""

LONGEST = "trace/"
"""Cells that are counted first: a design is also held against the trace, which takes seconds."""

COUNTED, JOBS, PLAIN = "counted", "jobs", "plain"
"""Kinds of pieces in the store."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: `processes` for each group, `in_all` at most (None: no bound).

    A process does `warmups` rounds that do not count, then `values` rounds; a value has about `value_steps` steps.
    """

    size: str
    values: int
    warmups: int
    value_steps: int
    processes: int
    in_all: int | None = None


@dataclass
class Outcome:
    """What a run found, by cell name: counted lines, pyperf runs as plain data, causes of failure, cells left untimed.

    `rows`: tables of rows, by name. `plain`: pyperf's own JSON of a cell, from the plain harness. `wall_s`: of all
    `parts` of a run that was resumed.
    """

    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    plain: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    untimed: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    parts: int = 1

    @property
    def timed(self) -> set[str]:
        """Cells that have a time, all of it."""
        return (set(self.runs) | set(self.plain)) - set(self.failed)


@dataclass(frozen=True)
class Work:
    """What a run is to do. `effort` None: only count. `harness`: "interleaved" or "pyperf", with `pyperf_options`."""

    cells: Sequence[Cell]
    timed: Sequence[Cell]
    effort: Effort | None
    request: child.Request
    seed: int = 0
    harness: str = "interleaved"
    pyperf_options: tuple[str, ...] = ()
    cell_limit_s: float | None = None


def memory_bytes() -> int:
    """Memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Run:
    """A run under way: `outcome` is right at every moment, also when an exception ends the run."""

    def __init__(self, work: Work, show: Progress, store: Store | None = None) -> None:
        self.work, self.show, self.store = work, show, store
        self.outcome = Outcome()
        self._begun_s = time.monotonic()
        self._before_s = 0.0
        self._tables = {cell.name: cell.rows for cell in work.cells}
        chosen = groups.groups_of(work.timed) if work.effort else []
        self.groups = {group.name: group for group in chosen}
        self.processes = groups.share(chosen, work.effort.processes, work.effort.in_all) if work.effort else {}

    def do(self) -> Outcome:
        """Count, then time. Raises UserError for a mistake of a scenario's author."""
        try:
            return self._do()
        finally:
            self.outcome.wall_s = self._wall_s()

    def _wall_s(self) -> float:
        """Seconds of the run so far, earlier parts included."""
        return self._before_s + time.monotonic() - self._begun_s

    def _continue(self, pieces: Iterable[dict[str, Any]]) -> None:
        """Take the clock of an earlier part from its pieces."""
        for piece in pieces:
            self._before_s = max(self._before_s, piece["elapsed_s"])
            self.outcome.parts = max(self.outcome.parts, piece["part"] + 1)

    def _do(self) -> Outcome:
        planned = {cell.name for name in self.processes for cell in self.groups[name].cells}
        self.outcome.untimed = [c.name for c in self.work.cells if c.name not in planned] if self.work.effort else []
        plain_cells = len(planned) if self.work.harness == "pyperf" else 0
        self.show.begin(len(self.work.cells) + (plain_cells or sum(self.processes.values())))
        self._count()
        if self.work.harness == "pyperf":
            self._time_plainly([cell for cell in self.work.cells if cell.name in planned])
        else:
            self._time()
        return self.outcome

    def _count(self) -> None:
        kept = self.store.kept(COUNTED) if self.store else {}
        self._continue(kept.values())
        for cell in self.work.cells:
            self._note_rows(kept.get(cell.name, {}))
        left = []
        for cell in self.work.cells:
            if cell.name in kept and (not cell.rows or cell.rows in self.outcome.rows):
                self._note_counted(kept[cell.name])
            else:
                left.append(cell.name)
        left.sort(key=lambda name: not name.startswith(LONGEST))
        with contextlib.closing(counted_lines(left, self.work.request)) as lines:
            for line in lines:
                if "mistake" in line:
                    raise UserError(*line["mistake"])
                self._note_counted(line)
                if "error" not in line:
                    self._keep(COUNTED, line["cell"], line, [line["cell"]])

    def _note_rows(self, line: dict[str, Any]) -> None:
        if "rows" in line:
            self.outcome.rows[self._tables[line["cell"]]] = line["rows"]

    def _note_counted(self, line: dict[str, Any]) -> None:
        name = line["cell"]
        self._note_rows(line)
        if "error" not in line and line["counted"]["count.steps"] < 1:
            line["error"] = "it ran no step, so nothing was measured"
        if "error" in line:
            self._fail(name, line["error"], step=True)
        else:
            self.outcome.counted[name] = line
            self.show.counted(name, line["counted"]["count.steps"])

    def _fail(self, name: str, cause: str, *, step: bool = False) -> None:
        self.outcome.failed[name] = cause
        self.show.failed(name, cause, step=step)

    def _keep(self, kind: str, name: str, found: dict[str, Any], cells: Collection[str]) -> None:
        """Put a piece on disk; where that is not possible its cells have failed, and the run goes on."""
        if self.store is None:
            return
        try:
            clock = {"elapsed_s": self._wall_s(), "part": self.outcome.parts}
            self.store.keep(kind, name, {**found, **clock})
        except OSError as error:
            for cell in cells:
                self._fail(cell, f"cannot be kept in {self.store.folder}: {error.strerror}")

    def _jobs(self, effort: Effort) -> Iterator[groups.Job]:
        """The jobs in their order; cells that failed meanwhile are left out."""
        for name, number in groups.rounds(self.processes, self.work.seed):
            cells = [c.name for c in self.groups[name].cells if c.name not in self.outcome.failed]
            lines = {cell: self.outcome.counted[cell] for cell in cells}
            yield groups.Job(
                name,
                number,
                groups.seed_of(self.work.seed, name, number),
                effort.warmups,
                effort.values,
                {cell: _loops(line, effort) for cell, line in lines.items()},
                {cell: line["counted"]["check.state"] for cell, line in lines.items()},
            )

    def _time(self) -> None:
        if self.work.effort is None:
            return
        kept = self.store.kept(JOBS) if self.store else {}
        self._continue(kept.values())
        jobs = self._jobs(self.work.effort)
        while few := list(itertools.islice(jobs, child.AT_ONCE)):
            with contextlib.ExitStack() as stack:
                ahead = self._started([job for job in few if job.name not in kept], stack)
                for job in few:
                    found = kept.get(job.name) or self._done(job, ahead.get(job.name))
                    if found:
                        self._note_runs(job, found)
                    self.show.timed(job.group, job.process + 1, self.processes[job.group])

    def _started(self, jobs: Sequence[groups.Job], stack: contextlib.ExitStack) -> dict[str, Timer]:
        """Processes that got ready beside each other: half of a short job is its start. None where memory is short."""
        if len(jobs) < 2 or sum(map(self._bytes, jobs)) * MEMORY_SHARE > memory_bytes():
            return {}
        self.show.timing(", ".join(job.group for job in jobs))
        timers = [stack.enter_context(self._timer(job)) for job in jobs if job.loops]
        for timer in timers:
            timer.make_ready()
        return {timer.job.name: timer for timer in timers}

    def _timer(self, job: groups.Job) -> Timer:
        return Timer(job, self.work.request, self._limit_s(job))

    def _done(self, job: groups.Job, ahead: Timer | None) -> dict[str, Any]:
        """The answer to a job; without cells that failed. `ahead`: its process, unless a cell failed meanwhile."""
        while (job := job.without(self.outcome.failed)).loops:
            self.show.timing(job.group)
            try:
                with ahead if ahead and ahead.job == job else self._timer(job) as timer:
                    found = timer.answer()
            except CellFailed as error:
                self._fail(error.cell, str(error))
                continue
            self._keep(JOBS, job.name, found, list(job.loops))
            return found
        return {}

    def _bytes(self, job: groups.Job) -> int:
        """Memory that a process needs: its operations for each design, and one world."""
        lines = [self.outcome.counted[name]["counted"] for name in job.loops]
        work = sum(int(line.get("count.operations", 0)) for line in lines) * child.BYTES_AN_OPERATION
        return child.BYTES_A_PROCESS + work + max((int(line.get("count.state_bytes", 0)) for line in lines), default=0)

    def _limit_s(self, job: groups.Job) -> float:
        """Seconds that a process may take for one value of one cell, its preparation included."""
        if self.work.cell_limit_s is not None:
            return self.work.cell_limit_s
        return max(LIMIT_AT_LEAST_S + SLACK * self._value_s(name) * loops for name, loops in job.loops.items())

    def _value_s(self, name: str) -> float:
        line = self.outcome.counted[name]
        ns: float = NS_A_STEP.get(line["jit"], NS_A_STEP_COMPILED) * line["counted"]["count.steps"]
        return ns * 1e-9

    def _note_runs(self, job: groups.Job, found: dict[str, Any]) -> None:
        for name, run in found["runs"].items():
            merged = {**run, "metadata": {**found["metadata"], **run["metadata"]}}
            if name not in self.outcome.failed:
                self.outcome.runs.setdefault(name, []).append(merged)

    def _time_plainly(self, cells: Sequence[Cell]) -> None:
        """Time one cell after the other with pyperf's own manager."""
        kept = self.store.kept(PLAIN) if self.store else {}
        self._continue(kept.values())
        for cell in cells:
            if cell.name in self.outcome.failed:
                continue
            text = kept.get(cell.name, {}).get("text") or self._timed_plainly(cell.name)
            if text:
                self.outcome.plain[cell.name] = text
                self.show.timed_plainly(cell.name)

    def _timed_plainly(self, name: str) -> str:
        self.show.timing(name)
        state = self.outcome.counted[name]["counted"]["check.state"]
        limit_s = self.work.cell_limit_s or plain.limit_s(self._value_s(name))
        try:
            text = plain.timed(name, state, self.work.request, self.work.pyperf_options, limit_s)
        except child.ChildFailed as error:
            self._fail(name, str(error))
            return ""
        self._keep(PLAIN, name, {"text": text}, [name])
        return text


def _loops(line: dict[str, Any], effort: Effort) -> int:
    """Passes in a value of a counted cell. Interpreted, one pass is long enough."""
    if line["jit"] == "interpreted":
        return 1
    return groups.loops_for(line["counted"]["count.steps"], effort.value_steps)
