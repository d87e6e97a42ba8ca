"""`gmembench compare`: is a run slower than earlier ones? The gate of CI."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmembench.benchmarks.commands import options

if TYPE_CHECKING:
    from gmembench.reports.compare.comparison import Comparison
    from gmembench.reports.runs import Run

SEARCHED = 5
"""Times as many runs of a history are read as are compared, where others are of another size."""


@click.command()
@click.argument(
    "base", metavar="BASE...", nargs=-1, required=True, type=click.Path(exists=True, readable=True, path_type=Path)
)
@click.argument("new", metavar="NEW.json", type=options.existing_file)
@click.option("--counted", is_flag=True, help="Compare counted numbers only: exact, on any machine.")
@click.option(
    "--threshold", metavar="SHARE", type=click.FloatRange(0), help="Least difference of a time. Default: 0.03."
)
@click.option("--rules", metavar="FILE.toml", type=options.existing_file, help="Thresholds for some cells.")
@click.option(
    "--pool",
    metavar="N",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Newest runs of a history, of the size of NEW.",
)
@click.option("--any-machine", is_flag=True, help="Compare times across machines too.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations, and the table in the step summary.",
)
@click.option("--all", "everything", is_flag=True, help="Show cells that are the same too.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there, and print nothing.")
@options.as_json
@options.quiet
def compare(
    base: tuple[Path, ...],
    new: Path,
    counted: bool,
    threshold: float | None,
    rules: Path | None,
    pool: int,
    any_machine: bool,
    form: str,
    everything: bool,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Compare NEW.json with a pool of earlier runs: result files, or folders of `gmembench history`.

    Counted numbers are compared exactly; of several base runs, with the last. Times are judged over
    worker processes of all base runs. Verdicts: faster, slower, same, unsure, new, gone. Exit code 1 on a
    regression, when a cell failed or did other work, and when nothing was compared. A history without runs passes.

    \b
    Example:
      gmembench compare base.json new.json
    """
    from gmembench.benchmarks.output import check_new_path, write_new
    from gmembench.reports.compare import comparison, texts
    from gmembench.reports.compare.rules import read_rules

    if output is not None:
        check_new_path(output, "-o")
    limits = read_rules(rules, threshold)
    newest = read(new)
    runs = base_runs(base, pool, newest)
    found = comparison.compare(runs, newest, limits, times=not counted, any_machine=any_machine)
    text = as_text(found, "json" if as_json else form, everything)
    if output is not None:
        write_new(output, text)
    elif as_json or not quiet:
        sys.stdout.write(text)
    if form == "github":
        summarise(texts.as_markdown(found, everything=everything))
    return 0 if found.passed else 1


def read(path: Path) -> "Run":
    """The run in a result file."""
    from gmembench.reports.runs import read_run

    return read_run(path)


def base_runs(paths: tuple[Path, ...], pool: int, new: "Run") -> list["Run"]:
    """The runs of files, and of a history the newest of the size of the new run, oldest first."""
    runs: list[Run] = []
    for path in paths:
        runs += newest_alike(path, pool, new) if path.is_dir() else [read(path)]
    return runs


def newest_alike(folder: Path, pool: int, new: "Run") -> list["Run"]:
    """The newest runs of a history that have the size of the new run; if there are none, the newest of any size.

    No more than SEARCHED times as many are read as are wanted.
    """
    from gmembench.reports.history.store import run_files

    found: list[Run] = []
    alike: list[Run] = []
    for path in reversed(run_files(folder)[-SEARCHED * pool :]):
        found.append(read(path))
        if found[-1].metadata.get("gmembench.size") == new.metadata.get("gmembench.size"):
            alike.append(found[-1])
        if len(alike) == pool:
            break
    return list(reversed(alike or found[:pool]))


def as_text(found: "Comparison", form: str, everything: bool) -> str:
    """The comparison in the wanted format."""
    import json

    from gmembench.reports.compare import texts

    if form == "json":
        return json.dumps(texts.as_data(found), indent=2, allow_nan=False) + "\n"
    return texts.FORMATS[form](found, everything=everything)


def summarise(text: str) -> None:
    """Add to the summary of a step, if GitHub's runner says where it is."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
