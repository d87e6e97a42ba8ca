"""Compiling on a cold cache: one process compiles, with a helper on each further CPU, and the others wait for it."""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

HELP = "import sys; sys.path[:] = {path!r}; from {module} import {name}; {name}({chunks!r})"
"""What a helper runs: it imports what its parent has imported."""


def cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock file meanwhile, where the file system has locks."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            fcntl.flock(stack.enter_context(lock.open("w")), fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _helpers(compile_chunks: Callable[[Iterable[int]], object], shares: list[list[int]]) -> Iterator[None]:
    """Have each share of the chunks compiled by a process of its own, as far as processes can be started."""
    started = []
    for chunks in shares:
        names = {"module": compile_chunks.__module__, "name": compile_chunks.__name__}
        command = [sys.executable, "-c", HELP.format(path=sys.path, chunks=chunks, **names)]
        nothing = subprocess.DEVNULL
        with contextlib.suppress(OSError):
            started.append(subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing))
    try:
        yield
    finally:
        for helper in started:
            helper.wait()


def compile_once(done: Path, chunks: int, compile_chunks: Callable[[Iterable[int]], object]) -> None:
    """Compile chunks 0 to `chunks` - 1 into the disk cache, unless the file `done` says that they are there.

    `compile_chunks` stands in a module. A chunk that no helper could compile is left to whoever needs it: `done` and
    the lock beside it only save work.
    """
    if done.exists():
        return
    with _alone(done.with_name(f"{done.name}.lock")):
        if done.exists():
            return
        workers = min(chunks, cpus())
        first, *others = ([*range(worker, chunks, workers)] for worker in range(workers))
        with _helpers(compile_chunks, others):
            compile_chunks(first)
        with contextlib.suppress(OSError):
            done.touch()
