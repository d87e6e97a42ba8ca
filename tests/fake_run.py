"""Cells, counted lines and processes that only pretend to measure, for tests of what happens around measuring."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.child import Request
from gmembench.benchmarks.harness import Effort, Work

REQUEST = Request("small", (), None, "0" * 16)
EFFORT = Effort("small", values=2, warmups=1, value_steps=70, processes=3)

TIMER = """
import json, os, sys, time
job = json.loads(sys.stdin.readline())
def say(**what):
    print(json.dumps(what), flush=True)
for name in job["loops"]:
    say(at=name)
    if "/dies/" in name:
        os.kill(os.getpid(), 9)
    if "/silent/" in name:
        time.sleep(3600)
    if "/memory/" in name:
        print("cause: MemoryError: no 3 TiB", file=sys.stderr)
        sys.exit(1)
say(ready=True)
sys.stdin.readline()
value = 1e-6 + 1e-9 * (job["seed"] % 7)
run = {"warmups": [[1, value]] * job["warmups"], "values": [value] * job["values"],
       "metadata": {"loops": 1, "inner_loops": 10}}
about = {"process.number": job["process"], "process.group": job["group"], "process.seed": job["seed"],
         "process.timed_s": 0.3, "process.values_s": 0.2}
say(runs={name: run for name in job["loops"]}, metadata=about)
"""
"""A process that does a job: it dies over a design `dies`, says nothing over `silent`, has no memory for `memory`."""

TIMER_COMMAND = [sys.executable, "-S", "-c", TIMER]


def cell(name: str) -> Cell:
    """A cell by `scenario/design`."""
    scenario, design = name.split("/")
    return Cell(scenario, design, "none", "4K", "small")


def counted(name: str) -> dict[str, Any]:
    """The counted part of a line, as far as a result needs it."""
    return {"count.steps": 70, "count.flushes": 0, "check.state": f"state of {name}", "profile.hits": "[]"}


def counted_lines(names: Sequence[str], request: Request) -> Iterator[dict[str, Any]]:
    """Lines as counting children write them; a cell of scenario `bad` fails."""
    for name in names:
        line = {"cell": name, "jit": "cached"}
        yield (
            {**line, "error": "no memory"}
            if name.startswith("bad/")
            else {**line, "counted": counted(name), "rows": "[]"}
        )


def work_of(*names: str, effort: Effort | None = EFFORT, **more: Any) -> Work:
    """Work on some cells, all of them timed."""
    cells = [cell(name) for name in names]
    return Work(cells, cells, effort, REQUEST, **more)


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import fake_run as fakes
from gmembench.benchmarks import harness, machine, timing
from gmembench.benchmarks.commands import run
from gmembench.benchmarks import cells
harness.counted_lines = fakes.counted_lines
timing.job_command = lambda request: fakes.TIMER_COMMAND
run.select = lambda asked: [fakes.cell(name) for name in {names!r}]
done = 0
answer = timing.Timer.answer
def answered(timer):
    global done
    done += 1
    if done > {stop}:
        os.kill(os.getpid(), {signal})
        signal.pause()
    print(timer.job.name, flush=True)
    return answer(timer)
timing.Timer.answer = answered
signal.signal(signal.SIGINT, signal.default_int_handler)
from gmembench.__main__ import main
main()
"""


def command(names: Sequence[str], stop: int, signal: int, *words: str) -> list[str]:
    """`gmembench run` whose cells only pretend. It prints its jobs, and sends itself a signal after `stop` of them."""
    tests = str(Path(__file__).resolve().parent)
    script = SCRIPT.format(tests=tests, names=list(names), stop=stop, signal=signal)
    return [sys.executable, "-P", "-c", script, "run", "--quick", "--quiet", "--cells=*", *words]
