"""One cell under pyperf's own manager: this module is both the manager and, started by it, the worker that measures.

The command line starts a manager for one cell at a time, so that a worker sets up no other cell than its own. A
manager imports neither NumPy nor Numba.
"""

import argparse
from typing import Any

import pyperf

from gmembench.benchmarks.child import add_arguments, check_sources, die, request_from

MODULE = "gmembench.benchmarks.worker"
PROGRAM = ("-P", "-m", MODULE)
"""How pyperf starts a worker: as a module, and without the current folder on the path."""


def pass_on(command: list[str], arguments: argparse.Namespace) -> None:
    """Add our own arguments to the command of a worker (pyperf's hook; changes the list in place)."""
    command += [f"--cell={arguments.cell}", f"--state={arguments.state}", *request_from(arguments).arguments()]


def measure(runner: Any, arguments: argparse.Namespace) -> None:
    """In a worker: prepare the cell and let pyperf time passes over its operations."""
    from gmembench.benchmarks.cells import cell_named
    from gmembench.benchmarks.prepared import check_state, prepare

    request = request_from(arguments)
    check_sources(request.digest)
    prepared = prepare(cell_named(arguments.cell, request.size), request.paths, request.trace)
    prepared.time(1)  # loads the kernels, which must not be in a value
    runner.bench_time_func(arguments.cell, prepared.time, inner_loops=prepared.operations)
    check_state(prepared, arguments.state)


def manage(runner: Any, arguments: argparse.Namespace) -> None:
    """In a manager: let pyperf start the workers. The function that is timed is never called here."""

    def never(loops: int) -> float:
        raise AssertionError("a manager measures nothing")

    runner.bench_time_func(arguments.cell, never)


def main() -> None:
    """Parse pyperf's arguments and ours, and be manager or worker."""
    runner = pyperf.Runner(program_args=PROGRAM, add_cmdline_args=pass_on)
    add_arguments(runner.argparser)
    runner.argparser.add_argument("--cell", required=True)
    runner.argparser.add_argument("--state", required=True)
    arguments = runner.parse_args()
    try:
        (measure if arguments.worker else manage)(runner, arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told the cause
        die(error)


if __name__ == "__main__":
    main()
