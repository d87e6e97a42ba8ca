"""`gmembench run`: count and time cells, write a result file, build a report."""

import contextlib
import datetime as dt
import fnmatch
import importlib
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gmembench
from gmembench.benchmarks.commands import options
from gmembench.core.errors import UserError

if TYPE_CHECKING:
    from gmembench.benchmarks.cells import Cell
    from gmembench.benchmarks.harness import Outcome, Run, Work
    from gmembench.benchmarks.machine import Conditions
    from gmembench.benchmarks.store import Store
    from gmembench.benchmarks.suite import About

SEED = 0
"""The same for all runs unless asked otherwise: orders then differ between the processes of a run, not between runs."""


@click.command()
@click.option(
    "--quick", "tier", flag_value="quick", help="Small sizes; every design is counted, 24 processes time at most."
)
@click.option(
    "--all",
    "tier",
    flag_value="all",
    help="Small sizes; every cell is counted, none is timed. The same as --counted alone.",
)
@click.option(
    "--standard",
    "tier",
    flag_value="standard",
    help="Medium sizes; times every scenario, 9 processes each. The default.",
)
@click.option("--full", "tier", flag_value="full", help="Full sizes; every cell is counted and timed: takes hours.")
@click.option(
    "--counted",
    is_flag=True,
    help="Count only, no timing: exact numbers, the same on every machine. Alone: the same as --all.",
)
@click.option(
    "--cells",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Count and time the cells whose name matches, and no other. Repeatable.",
)
@options.axes
@click.option(
    "--harness",
    type=click.Choice(["interleaved", "pyperf"]),
    default="interleaved",
    help="interleaved: a process times all designs of a scenario, to compare them. pyperf: as it is, cell by cell.",
)
@click.option("--rigorous", is_flag=True, help="Of --harness pyperf: more processes, as pyperf --rigorous.")
@click.option("--fast", is_flag=True, help="Of --harness pyperf: fewer processes, as pyperf --fast.")
@click.option("--seed", type=click.IntRange(0), default=SEED, help="Of the order in which is timed. Default: 0.")
@click.option(
    "--cell-limit",
    "cell_limit_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="End a cell that takes longer for one value; it has failed, the others go on.",
)
@click.option("--resume", is_flag=True, help="Go on with the interrupted run of the same -o; repeat its other options.")
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
def run(report_folder: Path | None, as_json: bool, quiet: bool, **given: Any) -> int:
    """Run cells (scenario x design x hardware x page size) and write one pyperf JSON file.

    Counted numbers (steps, flushes, bytes) are in every result. Times are measured in processes that each time all
    designs of a scenario, in random order. Exit code 1 if a cell failed: the others are kept. A run that is
    interrupted, even killed, goes on with --resume.

    \b
    Example:
      gmembench run --quick --cells 'bounce-buffer*/guest-memfd/*' -o base.json --report out/report
    """
    asked = asked_for(given)
    check_targets(asked.output, report_folder, resume=asked.resume)
    cells = select(asked)
    if report_folder is not None:
        # The report's imports take a second, which passes while children count on the other core.
        threading.Thread(target=importlib.import_module, args=("gmembench.reports.build",), daemon=True).start()
    found = execute(cells, asked, quiet)
    if not found.written:
        print("every cell failed, nothing was written", file=sys.stderr)
    elif report_folder is not None:
        from gmembench.reports.build import build_report

        if not quiet:
            print(f"making the report in {report_folder}", file=sys.stderr, flush=True)
        build_report([asked.output], report_folder)
    answer(
        cells, found, asked.output if found.written else None, report_folder if found.written else None, as_json, quiet
    )
    return 1 if found.outcome.failed else 0


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    tier: str
    counted: bool
    globs: tuple[str, ...]
    harness: str
    pyperf_options: tuple[str, ...]
    seed: int
    cell_limit_s: float | None
    resume: bool
    paths: tuple[Path, ...]
    trace: Path | None
    output: Path
    axes: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def selects(self) -> bool:
        """Whether cells were selected by name or axis."""
        return bool(self.globs or self.axes)


def asked_for(given: dict[str, Any]) -> Asked:
    """The options as one value. Raises UsageError where they contradict each other."""
    rigorous, fast, output = given.pop("rigorous"), given.pop("fast"), given.pop("output")
    words = tuple(word for word, said in (("--rigorous", rigorous), ("--fast", fast)) if said)
    if words and given["harness"] != "pyperf":
        raise click.UsageError(f"{words[0]} is an option of --harness pyperf")
    if len(words) > 1:
        raise click.UsageError("--rigorous and --fast exclude each other")
    if given["resume"] and output is None:
        raise click.UsageError("--resume needs the -o of the run that was interrupted")
    output = output or Path(f"gmembench-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.json")
    paths = tuple(path.resolve() for path in given.pop("paths"))
    trace = given.pop("trace")
    values = chosen_axes(given.pop("axes"))
    selects = bool(given["globs"] or values)
    given["tier"] = given["tier"] or ("all" if given["counted"] and not selects else "standard")
    given["counted"] = given["counted"] or given["tier"] == "all"
    if given["harness"] == "pyperf" and given["counted"]:
        raise click.UsageError("--counted and --all time nothing, so they need no --harness")
    trace = trace.resolve() if trace else None
    return Asked(**given, pyperf_options=words, output=output, paths=paths, trace=trace, axes=values)


def chosen_axes(texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Axes and values of `--axis`. Raises UserError."""
    from gmembench.benchmarks.axes import parse_option

    return tuple((axis, tuple(values)) for axis, values in parse_option(texts).items())


def check_targets(output: Path, report_folder: Path | None, *, resume: bool) -> None:
    """Raise UserError unless the result file and the report folder can be created, before any work is done."""
    from gmembench.benchmarks.output import check_new_path
    from gmembench.benchmarks.store import folder_of

    if not resume and not folder_of(output).exists():  # an interrupted run leaves a result, which the resumed replaces
        check_new_path(output, "-o")
    if report_folder is not None:
        check_new_path(report_folder, "--report")
        if report_folder.absolute() == output.absolute():
            raise UserError("this is the name of the result file too", f"--report {report_folder}", "change one")


def select(asked: Asked) -> list["Cell"]:
    """The cells that match, or without a selection those of the tier; not applicable ones included.

    Raises UserError if a glob matches nothing, or if none of the cells can run.
    """
    from gmembench.benchmarks import tiers

    tier = tiers.TIERS[asked.tier]
    if asked.selects:
        cells = matching(tiers.every_cell(tier, asked.paths, asked.trace, dict(asked.axes)), asked.globs)
    else:
        cells = tiers.cells_of(tier, asked.paths, asked.trace)
    if asked.trace is not None:
        check_trace(asked.trace, cells, asked.paths)
    if all(cell.reason is not None for cell in cells):
        reason = cells[0].reason if cells else "there are none"
        raise UserError(f"no selected cell can run ({reason})", "--cells", "gmembench list cells shows the reasons")
    return cells


def matching(cells: Sequence["Cell"], globs: Sequence[str]) -> list["Cell"]:
    """The cells that one of the globs matches, all without globs. What stands behind an @ need not be in a glob."""
    found = []
    for cell in cells:
        names = {cell.name, re.sub("@[^/]*", "", cell.name)}
        found.append((cell, {glob for glob in globs for name in names if fnmatch.fnmatchcase(name, glob)}))
    for glob in globs:
        if not any(glob in hits for _, hits in found):
            raise UserError("no cell matches", f"--cells {glob}", "gmembench list cells shows their names")
    return [cell for cell, hits in found if hits or not globs]


def check_trace(trace: Path, cells: Sequence["Cell"], paths: Sequence[Path]) -> None:
    """Raise UserError unless the trace can be read and a selected cell runs it."""
    from gmembench.benchmarks.cells import load_scenarios
    from gmembench.core.trace import read_events

    traced = {name for name, scenario in load_scenarios(paths).items() if scenario.traced}
    if not any(cell.scenario.partition(":")[0] in traced for cell in cells):
        raise UserError("no selected cell runs a trace", f"--trace {trace}", "add --cells 'trace/*'")
    read_events(trace)


@dataclass
class Found:
    """What a run came to. `suite`: of pyperf, None if nothing was measured."""

    outcome: "Outcome"
    suite: Any = None
    warning: str = ""

    @property
    def written(self) -> bool:
        """Whether there is a result file."""
        return self.suite is not None


def plan_of(asked: Asked, cells: Sequence["Cell"]) -> dict[str, Any]:
    """What must be the same when a run is resumed, by the names of which a user is told."""
    from gmembench.benchmarks import machine, sources, tiers
    from gmembench.benchmarks.counter import kernels_state
    from gmembench.core.jit import DIGEST

    return {
        "version": gmembench.__version__,
        "digest of the model's source": DIGEST,
        "digest of the scenarios and the matrix": sources.digest_of_benchmarks(),
        "digest of --path and --trace": sources.digest_of_parts(asked.paths, asked.trace),
        "machine": None if asked.counted else machine.fingerprint(machine.facts()),
        "compiling": kernels_state() != "interpreted",
        "tier": asked.tier,
        "--counted": asked.counted,
        "--cells": list(asked.globs),
        "--axis": asked.axes,
        "--harness": [asked.harness, *asked.pyperf_options],
        "--seed": asked.seed,
        "--path": [str(path) for path in asked.paths],
        "--trace": str(asked.trace) if asked.trace else None,
        "cells": [cell.name for cell in cells if cell.reason is None],
        "effort": None if asked.counted else vars(tiers.TIERS[asked.tier].effort),
    }


def work_of(asked: Asked, cells: Sequence["Cell"]) -> "Work":
    """What the harness is to do."""
    from gmembench.benchmarks import tiers
    from gmembench.benchmarks.child import Request
    from gmembench.benchmarks.harness import Work
    from gmembench.core.jit import DIGEST

    tier = tiers.TIERS[asked.tier]
    runnable = [cell for cell in cells if cell.reason is None]
    return Work(
        runnable,
        runnable if asked.selects else tiers.timed(tier, runnable),
        None if asked.counted else tier.effort,
        Request(tier.size, asked.paths, asked.trace, DIGEST),
        asked.seed,
        asked.harness,
        asked.pyperf_options,
        asked.cell_limit_s,
    )


def about_run(asked: Asked) -> "About":
    """What the result file says that was asked for."""
    from gmembench.benchmarks import tiers
    from gmembench.benchmarks.cells import load_scenarios
    from gmembench.benchmarks.suite import About
    from gmembench.core.jit import DIGEST

    harness = "counted" if asked.counted else asked.harness
    # A resumed run is the same run: its command is told without --resume.
    words = [word for word in sys.argv[1:] if word != "--resume"]
    docs = {name: scenario.doc for name, scenario in load_scenarios(asked.paths).items()}
    size = tiers.TIERS[asked.tier].size
    return About(DIGEST, size, asked.tier, harness, asked.seed, ["gmembench", *words], docs)


@dataclass
class UnderWay:
    """A run under way, and what its result file needs."""

    asked: Asked
    cells: Sequence["Cell"]
    kept: "Store"
    conditions: "Conditions | None"
    work: "Run"

    def write(self, *, complete: bool) -> Found:
        """Write the result file of what was done so far, if there is anything."""
        from gmembench.benchmarks import suite

        outcome = self.work.outcome
        shared = suite.run_metadata(self.cells, outcome, about_run(self.asked), complete=complete)
        if self.conditions is not None:
            measured, warnings = self.conditions.metadata(), self.conditions.warnings()
            shared |= suite.times_metadata(outcome, measured, warnings, self.asked.seed)
        found = Found(outcome, suite.build(self.cells, outcome, shared), str(shared.get("noise.warning", "")))
        if found.suite is not None:
            self.kept.write_result(self.asked.output, suite.as_text(found.suite), complete=complete)
        if found.suite is None and (complete or self.kept.empty):
            self.kept.discard()
        return found

    def do(self) -> None:
        """Count and time. What a mistake of the user leaves is removed."""
        try:
            self.work.do()
        except UserError:
            self.kept.discard()
            raise

    def interrupted(self) -> None:
        """Write what there is, and say how to go on."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break the file
        try:
            found = self.write(complete=False)
            if self.kept.folder.exists():
                tell_resume(self.asked, found)
        finally:
            signal.signal(signal.SIGINT, before)


def execute(cells: Sequence["Cell"], asked: Asked, quiet: bool) -> Found:
    """Run the applicable cells, and write the result file; an unfinished one if the run is interrupted."""
    from gmembench.benchmarks import harness, machine, progress, store
    from gmembench.benchmarks.compiling import COUNTING, tell_compiling

    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(store.opened(asked.output, plan_of(asked, cells), resume=asked.resume))
        conditions = None if asked.counted else machine.Conditions()
        if conditions is not None:
            stack.callback(conditions.end)
        tell_compiling(COUNTING, quiet=quiet)
        bar = stack.enter_context(progress.shown(quiet))
        run_ = UnderWay(asked, cells, kept, conditions, harness.Run(work_of(asked, cells), bar, kept))
        try:
            run_.do()
            found = run_.write(complete=True)
        except (KeyboardInterrupt, SystemExit):
            run_.interrupted()
            raise
        if found.outcome.untimed and not asked.counted:
            bar.note(f"counted, but not timed: {len(found.outcome.untimed)} of {len(run_.work.work.cells)} cells")
        if found.warning:
            bar.note(f"warning: {found.warning}")
    return found


def tell_resume(asked: Asked, found: Found) -> None:
    """Say what an interrupted run leaves, and the command that goes on with it."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    if "-o" not in words and not any(word.startswith("--output") for word in words):
        words += ["-o", str(asked.output)]
    if found.written:
        print(f"results so far: {asked.output}", file=sys.stderr)
    print(f"go on with: gmembench {shlex.join(words)} --resume", file=sys.stderr)


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
    found: Found,
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
                "cells": rows(found.suite or ()),
                "not_applicable": [{"name": c.name, "reason": c.reason} for c in cells if c.reason is not None],
                "failed": [{"name": name, "cause": cause} for name, cause in sorted(found.outcome.failed.items())],
                "untimed": found.outcome.untimed,
                "warning": found.warning,
            }
        )
    elif output and not quiet:
        from gmembench.benchmarks import run_table

        if many := len(cells) > run_table.CELLS_AT_MOST:
            run_table.print_summary(cells, rows(found.suite))
        else:
            run_table.print_table(cells, rows(found.suite))
        print(f"results: {output}")
        if many and not report_folder:
            print(f"all numbers: gmembench report {shlex.quote(str(output))} -o DIR")
        if report_folder:
            print(f"report: {report_folder / 'index.html'}")
