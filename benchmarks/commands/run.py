"""`gmembench run`: count and time cells, write a result file, build a report."""

import datetime as dt
import fnmatch
import importlib
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gmembench.benchmarks.commands import options
from gmembench.core.errors import UserError

if TYPE_CHECKING:
    from gmembench.benchmarks.cells import Cell
    from gmembench.benchmarks.harness import Outcome


@click.command()
@click.option("--quick", is_flag=True, help="Small sizes, at most 24 worker processes in all: less than a minute.")
@click.option("--counted", is_flag=True, help="Count only, no timing: exact numbers, the same on every machine.")
@click.option("--cells", "globs", metavar="GLOB", multiple=True, help="Only cells whose name matches. Repeatable.")
@options.paths
@click.option("--trace", metavar="FILE", type=options.existing_file, help="Also run the operations of this KVM trace.")
@click.option(
    "-o",
    "--output",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="The result file; must not exist. Default: gmembench-<UTC time>.json",
)
@click.option(
    "--report",
    "report_folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Also build the report in this folder; must not exist.",
)
@options.as_json
@options.quiet
def run(
    quick: bool,
    counted: bool,
    globs: tuple[str, ...],
    paths: tuple[Path, ...],
    trace: Path | None,
    output: Path | None,
    report_folder: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run cells (scenario x design x hardware x page size) and write one pyperf JSON file.

    Counted numbers (steps, flushes, bytes) are in every result. Times are measured in worker
    processes of pyperf, all cells interleaved. Exit code 1 if a cell failed: the others are kept.

    \b
    Example:
      gmembench run --quick --cells 'bounce-buffer*/guest-memfd/*' -o base.json --report out/report
    """
    output = output or Path(f"gmembench-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.json")
    check_targets(output, report_folder)
    paths = tuple(path.resolve() for path in paths)
    trace = trace.resolve() if trace else None
    size = "small" if quick else "full"
    cells = select(size, paths, trace, globs)
    if report_folder is not None:
        # The report's imports take a second, which passes while children count on the other core.
        threading.Thread(target=importlib.import_module, args=("gmembench.reports.build",), daemon=True).start()
    outcome, suite = execute(cells, size, paths, trace, counted, quiet)
    if suite is None:
        print("every cell failed, nothing was written", file=sys.stderr)
        output = report_folder = None
    else:
        write(suite, output, report_folder)
    answer(outcome, suite or (), output, report_folder, as_json, quiet)
    return 1 if outcome.failed else 0


def check_targets(output: Path, report_folder: Path | None) -> None:
    """Raise UserError unless the result file and the report folder can be created, before any work is done."""
    from gmembench.benchmarks.output import check_new_path

    check_new_path(output, "-o")
    if report_folder is not None:
        check_new_path(report_folder, "--report")
        if report_folder.absolute() == output.absolute():
            raise UserError("this is the name of the result file too", f"--report {report_folder}", "change one")


def select(size: str, paths: Sequence[Path], trace: Path | None, globs: Sequence[str]) -> list["Cell"]:
    """The cells that match, not applicable ones included.

    Raises UserError if a glob matches nothing, or if none of the cells can run.
    """
    from gmembench.benchmarks.cells import list_cells

    cells = list_cells(size, paths, trace)
    for glob in globs:
        if not any(fnmatch.fnmatchcase(cell.name, glob) for cell in cells):
            raise UserError("no cell matches", f"--cells {glob}", "gmembench list cells shows their names")
    if globs:
        cells = [cell for cell in cells if any(fnmatch.fnmatchcase(cell.name, glob) for glob in globs)]
    if trace is not None:
        check_trace(trace, cells, paths)
    if all(cell.reason is not None for cell in cells):
        reason = cells[0].reason if cells else "there are none"
        raise UserError(f"no selected cell can run ({reason})", "--cells", "gmembench list cells shows the reasons")
    return cells


def check_trace(trace: Path, cells: Sequence["Cell"], paths: Sequence[Path]) -> None:
    """Raise UserError unless the trace can be read and a selected cell runs it."""
    from gmembench.benchmarks.cells import load_scenarios
    from gmembench.core.trace import read_events

    traced = {name for name, scenario in load_scenarios(paths).items() if scenario.traced}
    if not any(cell.scenario.partition(":")[0] in traced for cell in cells):
        raise UserError("no selected cell runs a trace", f"--trace {trace}", "add --cells 'trace/*'")
    read_events(trace)


def execute(
    cells: Sequence["Cell"], size: str, paths: tuple[Path, ...], trace: Path | None, counted: bool, quiet: bool
) -> tuple["Outcome", Any]:
    """Run the applicable cells. Returns the outcome and the pyperf suite (None if every cell failed)."""
    from gmembench.benchmarks import harness, progress, suite
    from gmembench.benchmarks.child import Request
    from gmembench.core.jit import DIGEST

    request = Request(size, paths, trace, DIGEST)
    effort = None if counted else {"small": harness.QUICK, "full": harness.FULL}[size]
    with progress.shown(quiet) as bar:
        outcome = harness.run_cells([cell for cell in cells if cell.reason is None], effort, request, bar)
        if outcome.untimed:
            names = ", ".join(outcome.untimed)
            bar.note(f"--quick starts at most 24 workers: counted, but not timed: {names}")
    shared = suite.run_metadata(cells, outcome, DIGEST, size, ["gmembench", *sys.argv[1:]])
    return outcome, suite.build(cells, outcome, shared)


def write(suite: Any, output: Path, report_folder: Path | None) -> None:
    """Write the result file, and build the report from it."""
    from gmembench.benchmarks.output import write_new
    from gmembench.benchmarks.suite import as_text

    write_new(output, as_text(suite))
    if report_folder is not None:
        from gmembench.reports.build import build_report

        build_report([output], report_folder)


def rows(suite: Iterable[Any]) -> list[dict[str, Any]]:
    """One object for each benchmark of a suite: its name, kind and value."""
    found = []
    for benchmark in suite:
        metadata = benchmark.get_metadata()
        row = {"name": benchmark.get_name(), "kind": metadata["gmembench.kind"], "steps": metadata["count.steps"]}
        if row["kind"] == "measured":
            row |= {"seconds_per_operation": benchmark.mean(), "processes": benchmark.get_nrun()}
        found.append(row)
    return found


def answer(
    outcome: "Outcome",
    suite: Iterable[Any],
    output: Path | None,
    report_folder: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print what was found and where it is: as JSON, or as a table."""
    if as_json:
        options.print_json(
            {
                "output": str(output) if output else None,
                "report": str(report_folder) if report_folder else None,
                "cells": rows(suite),
                "failed": [{"name": name, "cause": cause} for name, cause in sorted(outcome.failed.items())],
                "untimed": outcome.untimed,
            }
        )
    elif output and not quiet:
        print_table(rows(suite))
        print(f"results: {output}")
        if report_folder:
            print(f"report: {report_folder / 'index.html'}")


def print_table(found: Sequence[dict[str, Any]]) -> None:
    """Print the cells with what was counted and what was measured, in columns that say which."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("cell", box=None, pad_edge=False)
    table.add_column("steps (counted)", justify="right")
    table.add_column("ns per operation (measured)", justify="right")
    for row in found:
        seconds = row.get("seconds_per_operation")
        table.add_row(Text(row["name"], overflow="fold"), str(row["steps"]), f"{seconds * 1e9:.1f}" if seconds else "-")
    width = None if sys.stdout.isatty() else 200  # without a terminal there is no width to fit
    Console(width=width).print(table)
