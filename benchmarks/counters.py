"""Counting in children: two at once, each asked for a cell or two at a time, ended if it shows no sign of life.

Nothing is timed while they run, so they may use two CPUs. Where nothing is compiled yet the first cell is
counted alone: a second child would compile the same.
"""

import contextlib
import os
import select
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from gmembench.benchmarks import child
from gmembench.benchmarks.counter import kernels_state

START_AT_MOST_S = 120.0
"""So long a child may be silent before its first sign of life: it imports, on a machine that may be busy."""

AHEAD = 2
"""Cells that a child is asked for at once: it has the next one while its answer is kept on disk. Before its first sign
of life it gets one only: the longest cells come first, and each is to be a child's first."""

SILENCE_AT_MOST_S = 120.0
"""A child gives a sign of life every second, but not while compiled rows run: 240 calls and a pass make a cell."""


CELL_AT_MOST_S = 900.0
"""For one cell, compiling included, whatever signs of life there are: operations of a scenario may come without end."""


def count_command(request: child.Request) -> list[str]:
    """The command of a child that counts the cells it is asked for."""
    return child.module_command("gmembench.benchmarks.counter") + request.arguments()


class Counter:
    """A counting child, and the cells that it was asked for and has not answered."""

    def __init__(self, request: child.Request) -> None:
        self._running = contextlib.ExitStack()
        self._child = self._running.enter_context(child.running(count_command(request), asked=True))
        self._unread = b""
        self._alive = False
        self._heard_s = self._begun_s = time.monotonic()
        self.asked: deque[str] = deque()

    def fileno(self) -> int:
        """Where its answers can be waited for."""
        return self._child.output.fileno()

    def ask(self, left: deque[str]) -> None:
        """Ask for as many cells as it may have before it. A child that has ended shows it in `lines`."""
        while left and len(self.asked) < (AHEAD if self._alive else 1):
            if not self.asked:
                self._begun_s = time.monotonic()
            self.asked.append(left.popleft())
            self._heard_s = time.monotonic()
            with contextlib.suppress(BrokenPipeError):
                self._child.ask(self.asked[-1])

    def patience_s(self) -> float:
        """Seconds for which it may still be silent, or take for its cell."""
        longest = SILENCE_AT_MOST_S if self._alive else START_AT_MOST_S
        end_s = min(self._heard_s + longest, self._begun_s + CELL_AT_MOST_S)
        return max(0.0, end_s - time.monotonic())

    def _why_ended(self) -> str:
        if not self._alive:
            return f"did not start within {START_AT_MOST_S:.0f} s: the machine is too busy, try again"
        if time.monotonic() >= self._begun_s + CELL_AT_MOST_S:
            return f"was counted for {CELL_AT_MOST_S:.0f} s without an end: look at what makes its operations"
        return (
            f"ended after {SILENCE_AT_MOST_S:.0f} s in which the rows of the design did not come to an end: look "
            "for rows that lead back to themselves (gmembench list rows)"
        )

    def lines(self) -> list[dict[str, Any]]:
        """What it has answered meanwhile. Raises ChildFailed if it ended over its first cell, or has had its time."""
        if not select.select([self], [], [], 0)[0]:
            if self.patience_s() > 0:
                return []
            raise child.ChildFailed(self._why_ended())
        found = os.read(self.fileno(), 1 << 20)
        if not found:
            raise child.ChildFailed(self._child.cause_of_end())
        self._heard_s, self._alive = time.monotonic(), True
        *lines, self._unread = (self._unread + found).split(b"\n")
        answers: list[dict[str, Any]] = [child.answer_of(text) for text in lines if text]
        for _ in answers:
            self.asked.popleft()
            self._begun_s = time.monotonic()
        if self.asked and self.patience_s() == 0:
            raise child.ChildFailed(self._why_ended())
        return answers

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
    at_once = 1 if state == "cold" else child.AT_ONCE
    try:
        while left or counters:
            while left and len(counters) < at_once:
                counters.append(Counter(request))
                counters[-1].ask(left)
            select.select(counters, [], [], min(counter.patience_s() for counter in counters))
            for counter in tuple(counters):
                lines = _answers(counter, left)
                if any("error" not in line for line in lines):
                    at_once = child.AT_ONCE
                ended = bool(lines) and "ended" in lines[-1]
                if lines and not ended:
                    counter.ask(left)  # before its lines are taken: keeping them may wait for the disk
                if ended or not counter.asked:
                    counters.remove(counter)
                    counter.close()
                yield from ({**line, "jit": state} for line in lines)
    finally:
        for counter in counters:
            counter.close()


def _answers(counter: Counter, left: deque[str]) -> list[dict[str, Any]]:
    """What a child says; a child that is no more has `ended` over a cell, and others are asked for the rest."""
    try:
        return counter.lines()
    except child.ChildFailed as error:
        name, *rest = counter.asked
        counter.asked.clear()
        left.extendleft(reversed(rest))
        return [{"cell": name, "error": str(error), "ended": True}]
