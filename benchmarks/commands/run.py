"""`gmembench run`: count and time cells, write a result file, build a report."""

import datetime as dt
import fnmatch
import importlib
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gmembench.benchmarks.commands import options
from gmembench.core.errors import UserError

if TYPE_CHECKING:
    from gmembench.benchmarks.cells import Cell
    from gmembench.benchmarks.harness import Outcome


@click.command()
@click.option(
    "--quick", "tier", flag_value="quick", help="Small sizes; every design is counted, 24 worker processes at most."
)
@click.option(
    "--standard",
    "tier",
    flag_value="standard",
    default="standard",
    help="Full sizes; times what --quick times, 10 processes a cell. The default.",
)
@click.option("--full", "tier", flag_value="full", help="Full sizes; every cell is counted and timed: takes hours.")
@click.option("--counted", is_flag=True, help="Count only, no timing: exact numbers, the same on every machine.")
@click.option(
    "--cells",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Count and time the cells whose name matches, and no other. Repeatable.",
)
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
    tier: str,
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
    cells = select(tier, paths, trace, globs)
    if report_folder is not None:
        # The report's imports take a second, which passes while children count on the other core.
        threading.Thread(target=importlib.import_module, args=("gmembench.reports.build",), daemon=True).start()
    outcome, suite = execute(cells, Plan(tier, counted, bool(globs)), paths, trace, quiet)
    if suite is None:
        print("every cell failed, nothing was written", file=sys.stderr)
        output = report_folder = None
    else:
        write(suite, output, report_folder)
    answer(cells, outcome, suite or (), output, report_folder, as_json, quiet)
    return 1 if outcome.failed else 0


def check_targets(output: Path, report_folder: Path | None) -> None:
    """Raise UserError unless the result file and the report folder can be created, before any work is done."""
    from gmembench.benchmarks.output import check_new_path

    check_new_path(output, "-o")
    if report_folder is not None:
        check_new_path(report_folder, "--report")
        if report_folder.absolute() == output.absolute():
            raise UserError("this is the name of the result file too", f"--report {report_folder}", "change one")


def select(tier: str, paths: Sequence[Path], trace: Path | None, globs: Sequence[str]) -> list["Cell"]:
    """The cells that match, or without globs those of the tier; not applicable ones included.

    Raises UserError if a glob matches nothing, or if none of the cells can run.
    """
    from gmembench.benchmarks import tiers
    from gmembench.benchmarks.cells import list_cells

    cells = list_cells(tiers.TIERS[tier].size, paths, trace)
    for glob in globs:
        if not any(fnmatch.fnmatchcase(cell.name, glob) for cell in cells):
            raise UserError("no cell matches", f"--cells {glob}", "gmembench list cells shows their names")
    matching = [cell for cell in cells if any(fnmatch.fnmatchcase(cell.name, glob) for glob in globs)]
    cells = matching if globs else tiers.counted(tiers.TIERS[tier], cells)
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


@dataclass(frozen=True)
class Plan:
    """What a run does: its tier, whether it only counts, and whether cells were selected by name."""

    tier: str
    counted: bool
    selected: bool


def execute(
    cells: Sequence["Cell"], plan: Plan, paths: tuple[Path, ...], trace: Path | None, quiet: bool
) -> tuple["Outcome", Any]:
    """Run the applicable cells. Returns the outcome and the pyperf suite (None if every cell failed)."""
    from gmembench.benchmarks import harness, progress, suite, tiers
    from gmembench.benchmarks.child import Request
    from gmembench.core.jit import DIGEST

    tier = tiers.TIERS[plan.tier]
    request = Request(tier.size, paths, trace, DIGEST)
    runnable = [cell for cell in cells if cell.reason is None]
    timed = runnable if plan.selected else tiers.timed(tier, runnable)
    with progress.shown(quiet) as bar:
        outcome = harness.run_cells(runnable, None if plan.counted else tier.effort, request, bar, timed)
        if outcome.untimed:
            bar.note(f"counted, but not timed: {len(outcome.untimed)} of {len(runnable)} cells")
    shared = suite.run_metadata(cells, outcome, DIGEST, tier.size, ["gmembench", *sys.argv[1:]])
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
    """One object for each benchmark of a suite: its name, kind and value, and what its design does not have."""
    found = []
    for benchmark in suite:
        metadata = benchmark.get_metadata()
        row = {"name": benchmark.get_name(), "kind": metadata["gmembench.kind"], "steps": metadata["count.steps"]}
        if row["kind"] == "measured":
            row |= {"seconds_per_operation": benchmark.mean(), "processes": benchmark.get_nrun()}
        prefix = "reason.not_applicable."
        row["not_applicable"] = {k.removeprefix(prefix): v for k, v in metadata.items() if k.startswith(prefix)}
        found.append(row)
    return found


def answer(
    cells: Sequence["Cell"],
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
                "not_applicable": [{"name": c.name, "reason": c.reason} for c in cells if c.reason is not None],
                "failed": [{"name": name, "cause": cause} for name, cause in sorted(outcome.failed.items())],
                "untimed": outcome.untimed,
            }
        )
    elif output and not quiet:
        from gmembench.benchmarks.run_table import print_table

        print_table(cells, rows(suite))
        print(f"results: {output}")
        if report_folder:
            print(f"report: {report_folder / 'index.html'}")
