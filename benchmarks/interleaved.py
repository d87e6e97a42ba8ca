"""The process that times all cells of a group, interleaved: asked for one job, it answers with lines of JSON.

Before every piece of work it names the cell, so that whoever waits knows whose fault an end is. When all cells are
ready it says so and waits for a line: processes may get ready beside each other, and are timed alone. The last line
has values and metadata of every cell. The process is the unit of the statistics: it does one job and ends.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyperf

from gmembench.benchmarks.cells import cell_named
from gmembench.benchmarks.child import Request, add_arguments, check_sources, die, request_from
from gmembench.benchmarks.counter import kernels_state
from gmembench.benchmarks.group import Job
from gmembench.benchmarks.prepared import Prepared, check_state, prepare


@dataclass
class Timing:
    """What one cell took: seconds of each value, of all its passes together."""

    prepared: Prepared
    seconds: list[float] = field(default_factory=list)


def say(**what: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def made_ready(job: Job, request: Request) -> dict[str, Timing]:
    """All cells made ready, and the kernels loaded: nothing of it is to stand between two values."""
    found: dict[str, Timing] = {}
    for name in job.loops:
        say(at=name)
        prepared = prepare(cell_named(name, request.size), request.paths, request.trace)
        if not found:
            prepared.fresh().run(prepared.work, 0, 0)
        found[name] = Timing(prepared)
    return found


def waited_s() -> float:
    """Say that everything is ready, and wait for the line that says to begin. Returns seconds."""
    since = time.perf_counter()
    say(ready=True)
    sys.stdin.readline()
    return time.perf_counter() - since


def time_rounds(job: Job, found: dict[str, Timing]) -> None:
    """Time all cells round by round."""
    for names in job.orders():
        for name in names:
            say(at=name)
            found[name].seconds.append(found[name].prepared.time(job.loops[name]))
            if len(found[name].seconds) < job.warmups + job.values:
                found[name].prepared.last = None
            else:
                check_state(found[name].prepared, job.states[name])


def runs(job: Job, found: dict[str, Timing]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cell and its pyperf run, as plain data."""
    for name, timing in found.items():
        operations = timing.prepared.operations
        each = [seconds / (job.loops[name] * operations) for seconds in timing.seconds]
        metadata = {"loops": job.loops[name], "inner_loops": operations}
        warm = [[job.loops[name], value] for value in each[: job.warmups]]
        yield name, {"warmups": warm, "values": each[job.warmups :], "metadata": metadata}


def about(job: Job, found: dict[str, Timing], state: str, begun: float) -> dict[str, Any]:
    """Metadata that the runs of this process share."""
    names = list(job.loops)
    metadata: dict[str, Any] = pyperf.Run([1.0], metadata={"name": "x"}).get_metadata()
    del metadata["name"]
    return {
        **metadata,
        "process.number": job.process,
        "process.group": job.group,
        "process.seed": job.seed,
        "process.designs": json.dumps([name.split("/")[-3] for name in names]),
        "process.order": json.dumps([[names.index(name) for name in order] for order in job.orders()]),
        "process.jit": state,
        "process.timed_s": sum(sum(timing.seconds) for timing in found.values()),
        "process.values_s": sum(sum(timing.seconds[job.warmups :]) for timing in found.values()),
        "process.inside_s": time.perf_counter() - begun,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Do the job that a line on standard input describes."""
    begun = time.perf_counter()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(words)
    try:
        request = request_from(arguments)
        check_sources(request.digest)
        job = Job(**json.loads(sys.stdin.readline()))
        state = kernels_state()
        found = made_ready(job, request)
        begun += waited_s()
        time_rounds(job, found)
        say(runs=dict(runs(job, found)), metadata=about(job, found, state, begun))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told the cause
        die(error)


if __name__ == "__main__":
    main()
