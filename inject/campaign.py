"""Campaigns: very many schedules at random, on several processes, of an instance and of parts of it.

Schedules are numbered, and made in batches. A batch's number alone says which strategy makes it and what it leaves out,
so what a campaign finds does not depend on how many workers there are: results are put together in the order of their
numbers, and nothing counts that comes after the schedule that ended it.
"""

import math
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from gmembench.core.drivers.instance import Instance, Sometimes
from gmembench.core.drivers.sampling import STRATEGIES, Choice, Sampler, Sampling, Strategy, mixed
from gmembench.core.errors import UserError
from gmembench.core.intrinsics.words import ALL_ONES
from gmembench.core.judges import Violation
from gmembench.inject.coverage import rows_in_reach
from gmembench.inject.setting import Setting, instance_of, setting_of

K = TypeVar("K")

BATCH = 4096
"""Schedules of a batch."""

TASK = 8
"""Batches that a worker makes at once."""

BASELINE_EVERY = 4
"""One of so many batches of another strategy is made by the random one, so that both are told side by side."""

CONFIDENCE_RUNS = 3.0
"""A failure that shows with probability p or more is missed by 3/p runs with a probability of 5 % at most."""

MUST_SEE = 100_000
"""A campaign of so many schedules fails if it never sees a state that must be seen; a shorter one only says so."""

SWARM_EVERY = 2
"""One of so many batches leaves something out."""


@dataclass(frozen=True)
class Orders:
    """What a campaign does. `schedules`: how many at most. `failures`: after how many different ones it ends.

    `swarm`: every other batch leaves out events and operations. `depth`: of PCT. `batch`: schedules of one.
    """

    schedules: int = 1_000_000
    seconds: float = float("inf")
    strategy: Strategy = "random"
    depth: int = 3
    seed: int = 0
    workers: int = 1
    failures: int = 1
    swarm: bool = True
    batch: int = BATCH

    def __post_init__(self) -> None:
        if self.schedules < 1 or self.workers < 1 or self.failures < 1 or self.strategy not in STRATEGIES:
            raise UserError(
                f"{self.schedules} schedules, {self.workers} workers, {self.failures} failures, {self.strategy!r}",
                "campaign",
                f"choose 1 or more of each, and one of {', '.join(STRATEGIES)}",
            )

    def strategy_of(self, batch: int) -> Strategy:
        """Who makes a batch."""
        return "random" if batch % BASELINE_EVERY == 1 else self.strategy


@dataclass(frozen=True)
class Less:
    """What a batch leaves out: (actor, position in its script) of operations, and numbers of forced outcomes."""

    operations: frozenset[tuple[int, int]] = frozenset()
    forces: frozenset[int] = frozenset()


def less_of(instance: Instance, seed: int, batch: int) -> Less:
    """What a batch leaves out: events every second time, other operations every fourth."""
    if batch % SWARM_EVERY != SWARM_EVERY - 1:
        return Less()
    word = mixed(mixed(seed & ALL_ONES) ^ batch)
    gated = {gate.actor for gate in instance.gates}

    def drawn(chances: int) -> bool:
        nonlocal word
        word = mixed(word + 1 & ALL_ONES)
        return word % chances == 0

    forces = frozenset(number for number in range(len(instance.forces)) if drawn(2))
    every = [(number, at) for number, script in enumerate(instance.scripts) for at in range(len(script))]
    operations = frozenset(item for item in every if drawn(2 if item[0] in gated else 4))
    return Less(operations if len(operations) < len(every) else frozenset(), forces)


@dataclass(frozen=True)
class Found:
    """A failure. `number`: of the schedule. `less`: what its batch left out. `stuck`: of LIVE, how it was shown."""

    number: int
    violation: Violation
    choices: tuple[Choice, ...]
    strategy: Strategy
    less: Less
    stuck: str = ""

    @property
    def told(self) -> str:
        """What it is, for a claim."""
        return f"{self.strategy} schedule number {self.number} breaks {self.violation.invariant}" + (
            self.stuck and f", as {self.stuck}"
        )

    @property
    def kind(self) -> tuple[str, str, int]:
        """What tells it from other failures."""
        last = self.choices[-1][0] if self.choices else -1
        return self.violation.invariant, self.violation.when, last


def _add(counts: dict[K, int], more: Mapping[K, int]) -> None:
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count


@dataclass
class Tally:
    """What some batches came to.

    `by_strategy`, `steps_by_strategy`: schedules and steps; `whole`: those schedules of which nothing was left out.
    `length`, `demotions`: of PCT, as in `Sampling`. `taken`: flat positions of (row, outcome), and how often each was.
    """

    schedules: int = 0
    steps: int = 0
    capped: int = 0
    judged: int = 0
    demotions: int = 0
    length: int = 0
    by_strategy: dict[str, int] = field(default_factory=dict)
    steps_by_strategy: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)
    seen: dict[str, bool] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    left_out: int = 0
    stopped: str = ""

    def add(self, run: Sampling, less: Less) -> None:
        """Count a run."""
        self.schedules += run.schedules
        self.steps += run.steps
        self.capped += run.capped
        self.judged += run.judged
        self.demotions += run.demotions
        self.length = max(self.length, run.length)
        if less == Less():
            _add(self.whole, {str(run.strategy): run.schedules})
        _add(self.by_strategy, {str(run.strategy): run.schedules})
        _add(self.steps_by_strategy, {str(run.strategy): run.steps})
        self._see(run.seen)
        flat = run.taken.reshape(-1)
        positions = np.flatnonzero(flat)
        _add(self.taken, dict(zip(positions.tolist(), flat[positions].tolist(), strict=True)))

    def _see(self, seen: dict[str, bool]) -> None:
        for name, now in seen.items():
            self.seen[name] = self.seen.get(name, False) or now

    def merge(self, other: "Tally", failures: int) -> bool:
        """Add what comes after; whether as many different failures as wanted were found."""
        for name in ("schedules", "steps", "capped", "judged", "demotions", "left_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.length = max(self.length, other.length)
        _add(self.whole, other.whole)
        _add(self.by_strategy, other.by_strategy)
        _add(self.steps_by_strategy, other.steps_by_strategy)
        _add(self.taken, other.taken)
        self._see(other.seen)
        for one in other.found:
            self.note(one, failures)
        return len(self.found) >= failures

    def note(self, one: Found, failures: int) -> None:
        """Keep a failure that is unlike those before."""
        if len(self.found) < failures and one.kind not in {other.kind for other in self.found}:
            self.found.append(one)


class Work:
    """What a worker makes batches with: a sampler of each strategy."""

    def __init__(self, instance: Instance, orders: Orders) -> None:
        self.instance, self.orders = instance, orders
        self._samplers: dict[Strategy, Sampler] = {}

    def sampler(self, strategy: Strategy) -> Sampler:
        """The sampler of a strategy."""
        if strategy not in self._samplers:
            self._samplers[strategy] = Sampler(self.instance, strategy=strategy, depth=self.orders.depth)
        return self._samplers[strategy]

    def make(self, batches: range, seconds: float, stop: Callable[[], bool] = bool) -> Tally:
        """Make batches until time is up, `stop` says so, or all failures that are wanted were found."""
        tally, began = Tally(), time.perf_counter()
        for batch in batches:
            left = seconds - (time.perf_counter() - began)
            if left <= 0 or stop():
                tally.stopped = tally.stopped or "time"
            if tally.stopped or self._batch(batch, tally, left, stop):
                break
        return tally

    def _batch(self, batch: int, tally: Tally, seconds: float, stop: Callable[[], bool]) -> bool:
        """Make one batch; whether that was enough."""
        orders, strategy = self.orders, self.orders.strategy_of(batch)
        sampler = self.sampler(strategy)
        less = less_of(self.instance, orders.seed, batch) if orders.swarm else Less()
        sampler.disable(less.operations, less.forces)
        tally.left_out += less != Less()
        first, end = batch * orders.batch, min((batch + 1) * orders.batch, orders.schedules)
        while first < end:
            run = sampler.run(end - first, seed=orders.seed, first=first, seconds=seconds, stop=stop)
            tally.add(run, less)
            tally.stopped = run.stopped
            if run.violation is not None:
                found = Found(run.failed, run.violation, run.choices, strategy, less, run.stuck)
                tally.note(found, orders.failures)
                if len(tally.found) >= orders.failures:
                    return True
            if run.stopped:
                return True
            first += run.schedules
        return False


_work: Work
_stop: Any


def _begin_worker(
    setting: bytes, sometimes: tuple[Sometimes, ...], paths: tuple[Path, ...], orders: Orders, stop: Any
) -> None:
    """Make a worker ready. The process that started it is the one that Ctrl-C ends."""
    global _work, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    instance = instance_of(msgspec.json.decode(setting, type=Setting, strict=True), paths)
    _work, _stop = Work(replace(instance, sometimes=sometimes), orders), stop


def _make(batches: range, seconds: float) -> Tally:
    return _work.make(batches, seconds, _stop.is_set)


def _tasks(orders: Orders) -> Iterator[range]:
    batches = -(-orders.schedules // orders.batch)
    for first in range(0, batches, TASK):
        yield range(first, min(first + TASK, batches))


@dataclass(frozen=True)
class Campaign:
    """What a campaign came to.

    `rows`: how many rows were taken, of how many that some outcome of a step leads to. `stopped`: why it ended before
    all schedules were made, "" if they all were. `seconds`: from its beginning to its end, compiling left out.
    """

    instance: Instance
    orders: Orders
    tally: Tally
    seconds: float
    stopped: str

    @property
    def found(self) -> tuple[Found, ...]:
        """The failures, by the number of their schedules."""
        return tuple(self.tally.found)

    @property
    def verdict(self) -> str:
        """violation, or not-found."""
        return "violation" if self.found else "not-found"

    @property
    def unseen(self) -> tuple[str, ...]:
        """States that must be seen and were not."""
        return tuple(item.name for item in self.instance.sometimes if not self.tally.seen.get(item.name, False))

    @property
    def lacking(self) -> tuple[str, ...]:
        """States for which it fails: they must be seen, nothing was found, and there were schedules enough."""
        return self.unseen if self.tally.schedules >= MUST_SEE and not self.found else ()

    @property
    def failed(self) -> bool:
        """Whether something was found, or what must be seen was not: then nothing found means nothing."""
        return bool(self.found or self.lacking)

    @cached_property
    def ran(self) -> frozenset[int]:
        """Rows that were taken."""
        outcomes = self.instance.code.targets.shape[1]
        return frozenset(at // outcomes for at in self.tally.taken)

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows were taken, and how many the scripts may take."""
        return len(self.ran), len(rows_in_reach(self.instance))

    @property
    def claim(self) -> str:
        """What exactly was shown."""
        tally, orders = self.tally, self.orders
        made = " and ".join(f"{count:,} {name}" for name, count in sorted(tally.by_strategy.items()))
        counted = f"{tally.schedules:,} schedules of seed {orders.seed} ({made or 'none'}), {tally.steps:,} steps"
        said = [
            *(f"{counted}: {f.told}" for f in self.found[:1]),
            *([] if self.found else [f"{counted}: none breaks anything judged. This is a sample: others may"]),
            *self._chances(),
            f"{tally.left_out:,} of the batches of {orders.batch:,} left out some events and operations",
            f"Rows that ran: {self.rows[0]} of {self.rows[1]}",
        ]
        if tally.capped:
            said.append(
                f"{tally.capped:,} schedules were cut off, {tally.judged:,} of them run on fairly to their end or to "
                "where nobody got on any more; of the others it is not judged whether they end"
            )
        if self.unseen and not self.found:
            said.append(f"Never seen, though they must be: {'; '.join(self.unseen)}")
        if self.stopped:
            said.append(f"Stopped after {self.stopped}")
        return ". ".join(said) + "."

    def _chances(self) -> list[str]:
        """How likely a failure would have shown in the schedules of which nothing was left out."""
        whole, depth = self.tally.whole, self.orders.depth
        said = []
        if not self.found and (random := whole.get("random", 0)):
            said.append(
                "At random each step is uniform over the moves that can be made: a failure that shows in a schedule "
                f"with a probability of {CONFIDENCE_RUNS / random:.1e} or more would have been missed with at most 5 %"
            )
        if not self.found and (pct := whole.get("pct", 0)):
            actors, length = len(self.instance.scripts), self.tally.length
            bound = 1 / (actors * length ** (depth - 1))
            missed = math.exp(pct * math.log1p(-min(bound, 1 - 1e-12)))
            said.append(
                f"PCT: a failure of depth {depth} shows in a schedule with P >= 1/(n*k^(d-1)) = {bound:.1e} (n = "
                f"{actors} actors, k = {length} steps), so {pct:,} schedules would have missed it with at most "
                f"{missed:.1e}; that holds for schedules of at most k steps in which no retry lowered a priority first "
                f"({self.tally.demotions:,} did), and where nothing but who steps is chosen"
            )
        return said

    def setting(self, found: Found, edits: Sequence[str] = (), paths: Sequence[Path] = ()) -> Setting:
        """The setting of a failure: what its batch left out is left out."""
        scripts = tuple(
            script[[(number, at) not in found.less.operations for at in range(len(script))]]
            for number, script in enumerate(self.instance.scripts)
        )
        forces = tuple(replace(f, times=0) if i in found.less.forces else f for i, f in enumerate(self.instance.forces))
        return setting_of(replace(self.instance, scripts=scripts, forces=forces), edits=edits, paths=paths)


Progress = Callable[[Tally, float], None]
"""Told after each task: all that was counted so far, and seconds since the beginning."""


def silent(tally: Tally, seconds: float) -> None:
    """Tell nothing."""


INTERRUPTED = "an interrupt"
"""Why a campaign has stopped that the user ended."""


def run_campaign(
    instance: Instance,
    orders: Orders,
    *,
    edits: Sequence[str] = (),
    paths: Sequence[Path] = (),
    progress: Progress = silent,
) -> Campaign:
    """Make schedules until time is up, all are made, enough failures were found, or the user interrupts.

    `edits`: what made the design out of the shipped one of its name. An interrupted campaign tells what it has. Raises
    KeyboardInterrupt if that is nothing.
    """
    work = Work(instance, orders)
    for batch in range(min(BASELINE_EVERY, -(-orders.schedules // orders.batch))):
        work.sampler(orders.strategy_of(batch)).run(1)  # compiles, and finds mistakes, before anybody else is started
    if orders.workers == 1:
        done = _alone(work, progress)
    else:
        setting = msgspec.json.encode(setting_of(instance, edits=edits, paths=paths))
        done = _together(instance, orders, setting, tuple(paths), progress)
    if done.stopped == INTERRUPTED and done.tally.schedules == 0:
        raise KeyboardInterrupt
    return done


def _alone(work: Work, progress: Progress) -> Campaign:
    orders, tally, started, stopped = work.orders, Tally(), time.perf_counter(), ""
    try:
        for batches in _tasks(orders):
            part = work.make(batches, orders.seconds - (time.perf_counter() - started))
            enough = tally.merge(part, orders.failures)
            progress(tally, time.perf_counter() - started)
            if enough or part.stopped:
                stopped = _why(orders, enough)
                break
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    return Campaign(work.instance, orders, tally, time.perf_counter() - started, stopped)


def _why(orders: Orders, enough: bool) -> str:
    if enough:
        return "the first failure" if orders.failures == 1 else f"{orders.failures} failures"
    return f"{orders.seconds:g} seconds"


def _together(
    instance: Instance, orders: Orders, setting: bytes, paths: tuple[Path, ...], progress: Progress
) -> Campaign:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    given = (setting, instance.sometimes, paths, orders, stop)
    tally, stopped, started = Tally(), "", time.perf_counter()
    with ProcessPoolExecutor(orders.workers, context, _begin_worker, given) as pool:
        running: deque[Future[Tally]] = deque()
        try:
            for part in _in_order(pool, orders, running, started):
                enough = tally.merge(part, orders.failures)
                progress(tally, time.perf_counter() - started)
                if enough or part.stopped:
                    stopped = _why(orders, enough)
                    break
        except KeyboardInterrupt:
            stopped = INTERRUPTED
        finally:
            stop.set()
            for future in running:
                future.cancel()
    return Campaign(instance, orders, tally, time.perf_counter() - started, stopped)


def _in_order(
    pool: ProcessPoolExecutor, orders: Orders, running: deque[Future[Tally]], started: float
) -> Iterator[Tally]:
    """What the tasks came to, in their order. As many are under way as keep all workers busy."""
    waiting = _tasks(orders)
    while True:
        while len(running) < 2 * orders.workers and (batches := next(waiting, None)) is not None:
            running.append(pool.submit(_make, batches, orders.seconds - (time.perf_counter() - started)))
        if not running:
            return
        part = running[0].result()
        running.popleft()
        yield part
