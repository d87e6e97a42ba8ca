"""Campaigns: schedules in blocks, in one process or several, until one fails, all are made, or time is up.

A schedule is made by the seed and its number alone, and blocks are handed out in order. So which schedule fails first
does not depend on how many processes there are: the one of the lowest number is the answer.
"""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from multiprocessing import get_context

from gmembench.core.drivers.sampling import Sampler, Sampling
from gmembench.core.jit import INTERPRETED
from gmembench.inject.question import Words, ask
from gmembench.inject.sampled import Sum, Way

BLOCK = 20 if INTERPRETED else 20_000
"""Schedules of a block: a tenth of a second of work, or so."""

AHEAD = 2
"""Blocks that wait for each process."""

Told = Callable[[Sum], None]


@lru_cache(maxsize=1)
def _sampler(words: Words, way: Way) -> Sampler:
    return Sampler(ask(words).instance, strategy=way.strategy, depth=way.depth)


def block(words: Words, way: Way, first: int, schedules: int, seconds: float) -> Sampling:
    """Make the schedules of one block. The process keeps what it has prepared for the next one."""
    return _sampler(words, way).run(schedules, seed=way.seed, first=first, seconds=max(seconds, 0.0))


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _blocks(schedules: int) -> Iterator[tuple[int, int]]:
    """(first, number of schedules) of each block."""
    for first in range(0, schedules, BLOCK):
        yield first, min(BLOCK, schedules - first)


class Campaign:
    """Schedules of one question; `told` hears how far it is. `stopped`: why before all were made, "" if they were."""

    def __init__(self, words: Words, way: Way, schedules: int, told: Told | None = None) -> None:
        self.words, self.way, self.schedules = words, way, schedules
        self.told = told or (lambda _: None)
        self.sum = Sum()
        self.stopped = ""
        self._ready: dict[int, Sampling] = {}
        self._next = 0
        self._failed = schedules

    def run(self, workers: int = 1, seconds: float = float("inf")) -> Sum:
        """Make the schedules. Ctrl-C ends it with what was found by then."""
        started = time.monotonic()
        try:
            if workers == 1:
                self._alone(started + seconds)
            else:
                self._with(workers, started + seconds)
        except KeyboardInterrupt:
            self.stopped = "an interrupt"
        self.sum.seconds = time.monotonic() - started
        if not self.stopped and self.sum.failure is None and self.sum.schedules < self.schedules:
            self.stopped = f"{seconds:g} seconds"
        return self.sum

    def _add(self, made: Sampling) -> None:
        """Put blocks together in their order, up to the first that failed: the sum is that of one process."""
        self._ready[made.first] = made
        if made.violation is not None:
            self._failed = min(self._failed, made.failed)
        while self._next in self._ready and self.sum.failure is None:
            self.sum.add(self._ready.pop(self._next))
            self._next += BLOCK
        self.told(self.sum)

    def _alone(self, deadline: float) -> None:
        for first, schedules in _blocks(self.schedules):
            left = deadline - time.monotonic()
            if self.sum.failure is not None or left <= 0:
                return
            self._add(block(self.words, self.way, first, schedules, left))

    def _with(self, workers: int, deadline: float) -> None:
        context = get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts)
        try:
            self._hand_out(pool, workers * AHEAD, deadline)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _hand_out(self, pool: ProcessPoolExecutor, most: int, deadline: float) -> None:
        """Keep so many blocks under way; after a failure wait for the blocks before it, which may fail earlier."""
        under_way: dict[Future[Sampling], int] = {}
        left = _blocks(self.schedules)
        while True:
            while len(under_way) < most and self._failed == self.schedules and time.monotonic() < deadline:
                first, schedules = next(left, (-1, 0))
                if first < 0:
                    break
                seconds = deadline - time.monotonic()
                under_way[pool.submit(block, self.words, self.way, first, schedules, seconds)] = first
            wanted = [future for future, first in under_way.items() if first < self._failed]
            if not wanted:
                return
            for future in wait(wanted, return_when=FIRST_COMPLETED).done:
                del under_way[future]
                self._add(future.result())
