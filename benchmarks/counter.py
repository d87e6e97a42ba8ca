"""The counting child: runs the cells it is asked for, untimed, and answers each with one line of JSON.

It also compiles the kernels, so that the processes which time cells afterwards find them on disk.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from gmembench.benchmarks.cells import Cell, cell_named
from gmembench.benchmarks.child import Request, add_arguments, check_sources, describe, die, request_from
from gmembench.benchmarks.compiling import COUNTING, must_compile
from gmembench.benchmarks.prepared import prepare
from gmembench.core import jit
from gmembench.core.errors import UserError

LIFE_S = 1.0


def kernels_state() -> str:
    """Where kernels come from: "interpreted", "cached" (these sources were compiled before) or "cold"."""
    if jit.INTERPRETED:
        return "interpreted"
    return "cold" if must_compile(COUNTING) else "cached"


def split_rows(profile: str) -> tuple[str, str]:
    """The facts about rows that cells of one design and hardware share, and the hits of a cell, both as JSON."""
    rows = json.loads(profile)
    hits = [row.pop("hits") for row in rows]
    return json.dumps(rows, separators=(",", ":")), json.dumps(hits, separators=(",", ":"))


def answer(cell: Cell, request: Request, told: set[str]) -> dict[str, Any]:
    """The line of a cell: its counted numbers; one that raises gives a line with its error.

    `told`: tables of rows that were told before. They are large, and the same for many cells.
    """
    try:
        new = not cell.rows or cell.rows not in told
        counted = prepare(cell, request.paths, request.trace).counted(rows=new)
        line = {"cell": cell.name, "counted": counted}
        if cell.rows and new:
            told.add(cell.rows)
            line["rows"], counted["profile.hits"] = split_rows(str(counted.pop("profile.rows")))
        return line
    except UserError as error:
        return {"cell": cell.name, "mistake": [error.what, error.where, error.mend]}
    except Exception as error:  # noqa: BLE001 - one broken cell must not take the others with it
        return {"cell": cell.name, "error": describe(error)}


class Output:
    """Standard output, for lines and for signs of life: an empty line at once and every second, from a thread.

    Compiled rows hold Python's lock, so a design that runs in circles is silent. Interpreted ones are not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        while True:
            self.write("")
            time.sleep(LIFE_S)

    def write(self, text: str) -> None:
        """Write a line."""
        with self._lock:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


def main(words: Sequence[str] | None = None) -> None:
    """Count the cells that lines on standard input name."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(words)
    try:
        request = request_from(arguments)
        check_sources(request.digest)
        output = Output()
        told: set[str] = set()
        for text in sys.stdin:
            output.write(json.dumps(answer(cell_named(text.rstrip("\n"), request.size), request, told)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told the cause
        die(error)


if __name__ == "__main__":
    main()
