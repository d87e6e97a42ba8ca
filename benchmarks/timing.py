"""A process that does one job: started, watched, ended if it is silent for too long, and its answer read."""

import contextlib
import json
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from gmembench.benchmarks import child
from gmembench.benchmarks.group import Job

VMSTAT = Path("/proc/vmstat")


class CellFailed(child.ChildFailed):
    """A process ended, or was ended, over a cell. The text is the cause."""

    def __init__(self, cell: str, cause: str) -> None:
        super().__init__(cause)
        self.cell = cell


def job_command(request: child.Request) -> list[str]:
    """The command of a process that does one job."""
    return child.module_command("gmembench.benchmarks.interleaved") + request.arguments()


def memory_kills() -> int:
    """How often the kernel has killed a process for memory since it booted; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in VMSTAT.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def cause_of(process: child.Child, kills_before: int) -> str:
    """Why a process ended."""
    cause = process.cause_of_end()
    if cause.endswith("SIGKILL") and memory_kills() > kills_before:
        return f"out of memory: {cause} when the kernel had none left"
    return cause


def _lines(process: child.Child, limit_s: float) -> Iterator[dict[str, Any]]:
    """What a process says. Raises TimeoutError if it is silent for longer than the limit, ChildFailed if it prints."""
    unread = b""
    deadline = time.monotonic() + limit_s
    while True:
        if not select.select([process.output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        found = os.read(process.output.fileno(), 1 << 20)
        if not found:
            return
        deadline = time.monotonic() + limit_s
        *lines, unread = (unread + found).split(b"\n")
        yield from (child.answer_of(line) for line in lines if line)


class Timer:
    """A process at its job: it makes its cells ready at once, and times them when `answer` is called.

    `limit_s`: seconds that a cell may take for its next value.
    """

    def __init__(self, job: Job, request: child.Request, limit_s: float) -> None:
        self.job = job
        self._limit_s, self._kills = limit_s, memory_kills()
        self._at = next(iter(job.loops))
        self._failed: CellFailed | None = None
        self._ready_s: float | None = None
        self._process = contextlib.ExitStack()
        self._child = self._process.enter_context(child.running(job_command(request), asked=True))
        self._said = _lines(self._child, limit_s)
        self._begun_s = time.monotonic()
        self._tell(json.dumps(job.to_json()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.close()

    def make_ready(self) -> float:
        """Wait until its cells are ready, or it has ended, which `answer` tells. Returns seconds since its start."""
        if self._ready_s is None:
            try:
                self._hear("ready")
            except CellFailed as error:
                self._failed = error
            self._ready_s = time.monotonic() - self._begun_s
        return self._ready_s

    def answer(self) -> dict[str, Any]:
        """Let it time its cells, and return what it found. Raises CellFailed with the cell over which it ended."""
        ready_s = self.make_ready()
        if self._failed:
            raise self._failed
        begun_s = time.monotonic()
        self._tell("begin")
        found = self._hear("runs")
        self._process.close()
        found["metadata"]["process.wall_s"] = ready_s + time.monotonic() - begun_s
        return found

    def _tell(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._child.ask(text)

    def _hear(self, key: str) -> dict[str, Any]:
        """The next line with this key."""
        try:
            for line in self._said:
                self._at = line.get("at", self._at)
                if key in line:
                    return line
        except TimeoutError:
            cause = f"over its time limit: no value within {self._limit_s:.0f} s"
            raise CellFailed(self._at, cause) from None
        except child.ChildFailed as error:
            raise CellFailed(self._at, str(error)) from None
        raise CellFailed(self._at, cause_of(self._child, self._kills))
