"""The counting child: runs cells once, untimed, and writes one line of JSON for each on standard output.

It also compiles the kernels, so that the workers which time cells afterwards find them on disk, and
measures how long one pass takes, from which the harness chooses the number of loops.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from gmembench.benchmarks.cells import Cell, list_cells
from gmembench.benchmarks.child import Request, add_arguments, check_sources, describe, die, request_from
from gmembench.benchmarks.prepared import prepare
from gmembench.core import jit
from gmembench.core.errors import UserError


def kernels_state() -> str:
    """Where kernels come from: "interpreted", "cached" (these sources were compiled before) or "cold"."""
    if jit.INTERPRETED:
        return "interpreted"
    return "cached" if any(path.is_file() for path in jit.CACHE_FOLDER.rglob("*")) else "cold"


def count(cell: Cell, request: Request, timed: bool) -> dict[str, Any]:
    """The line of one cell: its counted numbers, and with `timed` the seconds of a warm pass and of its set-up."""
    prepared = prepare(cell, request.paths, request.trace)
    line: dict[str, Any] = {"cell": cell.name, "counted": prepared.counted()}
    if timed:
        prepared.time(1)
        start = time.perf_counter()
        line["pass_s"] = prepared.time(1)
        line["wall_s"] = time.perf_counter() - start
    return line


def lines(names: Iterable[str], request: Request, timed: bool) -> Iterable[dict[str, Any]]:
    """The lines of the named cells; a cell that raises gives a line with its error."""
    state = kernels_state()
    cells = {cell.name: cell for cell in list_cells(request.size, request.paths, request.trace)}
    for name in names:
        try:
            yield {**count(cells[name], request, timed), "jit": state}
        except UserError as error:
            yield {"cell": name, "mistake": [error.what, error.where, error.mend]}
        except Exception as error:  # noqa: BLE001 - one broken cell must not take the others with it
            yield {"cell": name, "error": describe(error)}


def main(words: Sequence[str] | None = None) -> None:
    """Count the cells named by `--cell`; `--timed` measures a pass as well."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.add_argument("--cell", action="append", default=[])
    parser.add_argument("--timed", action="store_true")
    arguments = parser.parse_args(words)
    try:
        request = request_from(arguments)
        check_sources(request.digest)
        for line in lines(arguments.cell, request, arguments.timed):
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told the cause
        die(error)


if __name__ == "__main__":
    main()
