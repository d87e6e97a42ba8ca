"""Counting in children: two at once, each asked for one cell at a time, ended if it shows no sign of life.

Nothing is timed while they run, so they may use two CPUs. Where nothing is compiled yet the first cell is
counted alone: a second child would compile the same.
"""

import contextlib
import json
import os
import select
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from gmembench.benchmarks import child
from gmembench.benchmarks.counter import kernels_state

CHILDREN = min(2, os.cpu_count() or 1)

SILENCE_AT_MOST_S = 120.0
"""A child gives a sign of life every second, but not while compiled rows run: 240 calls and a pass make a cell."""


def count_command(request: child.Request) -> list[str]:
    """The command of a child that counts the cells it is asked for."""
    return child.module_command("gmembench.benchmarks.counter") + request.arguments()


class Counter:
    """A counting child, and the cell that it was asked for."""

    def __init__(self, request: child.Request) -> None:
        self._running = contextlib.ExitStack()
        self._child = self._running.enter_context(child.running(count_command(request), asked=True))
        self._unread = b""
        self._heard_s = time.monotonic()
        self.cell = ""

    def fileno(self) -> int:
        """Where its answers can be waited for."""
        return self._child.output.fileno()

    def ask(self, name: str) -> None:
        """Ask for the line of a cell. A child that has ended shows it in `line`."""
        self.cell, self._heard_s = name, time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self._child.ask(name)

    def patience_s(self) -> float:
        """Seconds for which it may still be silent."""
        return max(0.0, self._heard_s + SILENCE_AT_MOST_S - time.monotonic())

    def line(self) -> dict[str, Any] | None:
        """The line of its cell, None if it is not there yet. Raises ChildFailed if the child ended, or is silent."""
        if not select.select([self], [], [], 0)[0]:
            if self.patience_s() > 0:
                return None
            raise child.ChildFailed(
                f"ended after {SILENCE_AT_MOST_S:.0f} s in which the rows of the design did not come to an end: look "
                "for rows that lead back to themselves (gmembench list rows)"
            )
        found = os.read(self.fileno(), 1 << 20)
        if not found:
            raise child.ChildFailed(self._child.cause_of_end())
        self._heard_s = time.monotonic()
        *lines, self._unread = (self._unread + found).split(b"\n")
        answers: list[dict[str, Any]] = [json.loads(text) for text in lines if text]
        return answers[0] if answers else None

    def close(self) -> None:
        """End the child."""
        self._running.close()


def counted_lines(names: Sequence[str], request: child.Request) -> Generator[dict[str, Any], None, None]:
    """The line of every cell, as they come.

    A child that ends over a cell, or has to be ended, gives an error line, and another child goes on.
    """
    left = deque(names)
    counters: list[Counter] = []
    state = kernels_state()
    at_once = 1 if state == "cold" else CHILDREN
    try:
        while left or counters:
            while left and len(counters) < at_once:
                counters.append(Counter(request))
                counters[-1].ask(left.popleft())
            select.select(counters, [], [], min(counter.patience_s() for counter in counters))
            for counter in tuple(counters):
                line = _answer(counter)
                if line is None:
                    continue
                if "error" not in line:
                    at_once = CHILDREN
                if left and not line.get("ended"):
                    counter.ask(left.popleft())  # asked before the line is taken: keeping it may wait for the disk
                else:
                    counters.remove(counter)
                    counter.close()
                yield {**line, "jit": state}
    finally:
        for counter in counters:
            counter.close()


def _answer(counter: Counter) -> dict[str, Any] | None:
    """What a child says, None for nothing yet; a child that is no more has `ended` over its cell."""
    try:
        return counter.line()
    except child.ChildFailed as error:
        return {"cell": counter.cell, "error": str(error), "ended": True}
