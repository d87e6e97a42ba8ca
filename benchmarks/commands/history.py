"""`gmembench history`: a folder of runs over time, and where their numbers changed."""

import datetime as dt
import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gmembench.benchmarks.commands import options
from gmembench.core.errors import UserError

if TYPE_CHECKING:
    from gmembench.reports.history.check import Checked, Told

folder_argument = click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, readable=True, path_type=Path)
)
rules_option = click.option(
    "--rules", metavar="FILE.toml", type=options.existing_file, help="Thresholds for some cells."
)
threshold_option = click.option(
    "--threshold", metavar="SHARE", type=click.FloatRange(0), help="Least change of a time. Default: 0.03."
)
COMMIT_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA")

CHANGES_AT_MOST = 40


@click.group(no_args_is_help=False)
def history() -> None:
    """Keep result files over time, and find the runs at which numbers changed.

    \b
    Example:
      gmembench history add results/ new.json
    """


@history.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.argument("results", metavar="RESULT.json...", nargs=-1, required=True, type=options.existing_file)
@click.option("--commit", metavar="HASH", help="What was measured. Default: $GITHUB_SHA, $CI_COMMIT_SHA, or the run's.")
@click.option("--time", "when", metavar="ISO", help="When, as 2026-01-02T03:04:05Z. Default: as the file says, or now.")
@options.as_json
@options.quiet
def add(
    folder: Path, results: tuple[Path, ...], commit: str | None, when: str | None, as_json: bool, quiet: bool
) -> int:
    """Add result files to the history in DIR, which is made if need be. A file that is there already is left alone.

    \b
    Example:
      gmembench history add results/ new.json --commit $(git rev-parse HEAD)
    """
    from gmembench.benchmarks.output import write_new
    from gmembench.reports.history import store

    commit = commit or next((os.environ[name] for name in COMMIT_VARIABLES if os.environ.get(name)), None)
    time = moment(when) if when else None
    found: list[dict[str, Any]] = []
    for path in results:
        entry, content = store.packed(path, folder, commit, time)
        if content is not None:
            make_folder(folder / store.RUNS)
            target = folder / store.RUNS / entry.file
            write_new(target, content)
            target.chmod(0o444)
        found.append({"file": str(path), "run": entry.file, "added": content is not None})
    if as_json:
        options.print_json({"runs": found})
    elif not quiet:
        for line in found:
            print(f"{line['file']}: {'added as' if line['added'] else 'is there already:'} {line['run']}")
    return 0


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises UserError if that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made ({error.strerror})", str(folder), "name another") from error


def moment(text: str) -> dt.datetime:
    """A time from ISO 8601, in UTC if it says nothing else."""
    try:
        found = dt.datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{text[:40]!r} is not a time", "--time", "write 2026-01-02T03:04:05Z") from None


@history.command()
@folder_argument
@threshold_option
@rules_option
@click.option("--all", "everything", is_flag=True, help="Search all runs, not only the newest 200: takes longer.")
@options.as_json
@options.quiet
def check(
    folder: Path, threshold: float | None, rules: Path | None, everything: bool, as_json: bool, quiet: bool
) -> int:
    """Find the runs at which counted numbers or times changed. Exit code 1 if a regression is open.

    Open: it is in the newest 200 runs, the newest are not as good again, and nobody blessed it. Changes in older
    runs stay as they were found. A time needs three runs on the new level; a counted number needs one.

    \b
    Example:
      gmembench history check results/
    """
    found = checked(folder, threshold, rules, everything, quiet)
    if as_json:
        options.print_json(as_data(found))
    elif not quiet:
        sys.stdout.write(as_text(found, folder))
    return 1 if found.open else 0


def checked(folder: Path, threshold: float | None, rules: Path | None, everything: bool, quiet: bool) -> "Checked":
    """The changes of a history; what is found is kept for the next time."""
    from gmembench.benchmarks.output import replace_file
    from gmembench.reports.compare.rules import read_rules
    from gmembench.reports.history import blessing, index
    from gmembench.reports.history import check as checking

    limits = read_rules(rules, threshold)
    tell = tell_nothing if quiet else tell_aside
    with index.opened(folder, tell) as connection:
        window = None if everything else checking.WINDOW
        blessings = blessing.read_blessings(folder)
        found = checking.check(connection, checking.read_frozen(folder), blessings, limits, window)
    try:
        replace_file(folder / checking.FILE, checking.frozen_text(found))
    except OSError as error:
        tell(f"what was found is not kept ({error.strerror})")
    return found


def tell_aside(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr)


def tell_nothing(text: str) -> None:
    """No line."""


def as_data(found: "Checked") -> dict[str, Any]:
    """What was found as plain data."""
    import msgspec

    changes = [
        {**msgspec.structs.asdict(one.change), "note": one.note, "recovered": one.recovered, "open": one.open}
        for one in found.changes
    ]
    searched = {"runs": found.runs, "searched": found.runs - found.start, "cells": found.cells}
    return {"schema": 1, **searched, "open": len(found.open), "changes": changes}


def as_text(found: "Checked", folder: Path) -> str:
    """What was found in lines, newest first."""
    lines = [f"searched {found.runs - found.start:,} of {found.runs:,} runs, {found.cells} cells"]
    lines += [line_of(one) for one in found.changes[:CHANGES_AT_MOST]]
    if len(found.changes) > CHANGES_AT_MOST:
        lines.append(f"and {len(found.changes) - CHANGES_AT_MOST} older changes; --json has all")
    if found.open:
        one = found.open[0].change
        lines.append(f"failed: {len(found.open)} regressions are open; if they are meant, say so:")
        words = ["--run", short(one.run), "--cell", one.cell]
        lines.append(f"  gmembench history bless {shlex.join([str(folder), *words])} --note WHY")
    else:
        lines.append("passed: no regression is open")
    return "\n".join(lines) + "\n"


def line_of(one: "Told") -> str:
    """One change in a line."""
    change = one.change
    state = "open" if one.open else f"blessed: {one.note}" if one.note else "recovered" if one.recovered else ""
    state = state or ("frozen" if change.frozen else "better")
    p = f", p {change.p:.2g}" if change.p else ""
    return f"{short(change.run)}  {change.cell}  {change.what}{p}  [{state}]"


def short(file: str) -> str:
    """The beginning of the name of a run's file: its time, and ten characters of its commit."""
    return re.sub(r"^([^-]+-[^-]{1,10}).*", r"\1", file)


@history.command()
@folder_argument
@click.option("--run", "run", metavar="RUN", required=True, help="The run with the change: the beginning of its name.")
@click.option("--cell", metavar="GLOB", default="*", show_default=True, help="The cells in which it is meant.")
@click.option("--kind", type=click.Choice(["any", "counted", "time"]), default="any", show_default=True)
@click.option("--note", metavar="TEXT", required=True, help="Why the change is meant.")
@options.as_json
@options.quiet
def bless(folder: Path, run: str, cell: str, kind: Any, note: str, as_json: bool, quiet: bool) -> int:
    """Say that a change is meant, with a note. `check` does not fail because of it any more, and shows the note.

    \b
    Example:
      gmembench history bless results/ --run 20260102T030405Z --cell 'fragment/*' --note "zeroes twice since v2"
    """
    from gmembench.benchmarks.output import replace_file
    from gmembench.reports.history.blessing import Blessing, new_blessing

    path, content = new_blessing(folder, Blessing(cell, run, note, kind))
    make_folder(path.parent)
    try:
        replace_file(path, content)
    except OSError as error:
        raise UserError(f"cannot write ({error.strerror})", str(path), "make room, or the folder writable") from error
    if as_json:
        options.print_json({"blessing": str(path)})
    elif not quiet:
        print(f"blessed: {path}")
    return 0


@history.command()
@folder_argument
@click.option(
    "-o", "--output", metavar="FILE.html", type=click.Path(path_type=Path), help="Write a page; must not exist."
)
@click.option("--cells", "glob", metavar="GLOB", default="*", show_default=True, help="Only these cells.")
@threshold_option
@rules_option
@options.as_json
@options.quiet
def show(
    folder: Path,
    output: Path | None,
    glob: str,
    threshold: float | None,
    rules: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Draw the trend of every cell, with change points, commits and changes of machine: in the terminal, or as a page.

    \b
    Example:
      gmembench history show results/ -o trends.html
    """
    from gmembench.benchmarks.output import check_new_path, write_new
    from gmembench.reports.history import index, page
    from gmembench.reports.history.trends import trends

    if output is not None:
        check_new_path(output, "-o")
    found = checked(folder, threshold, rules, False, quiet)
    with index.opened(folder) as connection:
        drawn = trends(connection, found, glob)
    if not drawn.cells:
        raise UserError("no cell matches", f"--cells {glob}", "gmembench history show DIR shows them all")
    if output is not None:
        write_new(output, page.render(drawn, str(folder)))
    if as_json:
        options.print_json({**as_data(found), "page": str(output) if output else None, **drawn.as_data()})
    elif not quiet:
        print(f"page: {output}" if output else drawn.as_text(), end="\n" if output else "")
    return 0


@history.command()
@folder_argument
@click.option("--format", "form", type=click.Choice(["asv", "otava"]), required=True, help="Whose files to write.")
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Must not exist.")
@options.as_json
@options.quiet
def export(folder: Path, form: str, output: Path, as_json: bool, quiet: bool) -> int:
    """Write the history as result files of asv, or as CSV and configuration for Apache Otava.

    \b
    Example:
      gmembench history export results/ --format otava -o otava/
    """
    from gmembench.benchmarks.output import check_new_path, write_new
    from gmembench.reports.history import export as exporting
    from gmembench.reports.history import index

    check_new_path(output, "-o")
    with index.opened(folder, tell_nothing if quiet else tell_aside) as connection:
        files = exporting.FORMATS[form](connection)
    for name, text in files.items():
        make_folder((output / name).parent)
        write_new(output / name, text)
    if as_json:
        options.print_json({"output": str(output), "files": sorted(files)})
    elif not quiet:
        print(f"{len(files)} files: {output}")
    return 0
