"""One job in a process of its own: started, watched, ended if it is silent for too long, and its answer read."""

import contextlib
import json
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    """What a process says. Raises TimeoutError if it is silent for longer than the limit."""
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
        yield from (json.loads(line) for line in lines if line)


def do_job(job: Job, request: child.Request, limit_s: float) -> dict[str, Any]:
    """The answer of a process to a job. `limit_s`: seconds that a cell may take for its next value.

    Raises CellFailed with the cell over which it ended.
    """
    begun, kills = time.monotonic(), memory_kills()
    at, last = next(iter(job.loops)), {}
    with child.running(job_command(request), asked=True) as process:
        with contextlib.suppress(BrokenPipeError):
            process.ask(json.dumps(job.to_json()))
        try:
            for last in _lines(process, limit_s):
                at = last.get("at", at)
        except TimeoutError:
            raise CellFailed(at, f"over its time limit: no value within {limit_s:.0f} s") from None
        if "runs" not in last:
            raise CellFailed(at, cause_of(process, kills))
    last["metadata"]["process.wall_s"] = time.monotonic() - begun
    return last
