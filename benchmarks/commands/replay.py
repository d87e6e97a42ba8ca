"""`gmembench replay`: a failure again, from its file or from a line."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gmembench.benchmarks.commands import options
from gmembench.core.errors import UserError

if TYPE_CHECKING:
    from gmembench.inject.failure import Failure
    from gmembench.inject.replay import Replay
    from gmembench.inject.setting import Setting


@click.command()
@click.argument("failure", metavar="FILE|SCHEDULE")
@click.option("--svg", metavar="FILE", type=click.Path(path_type=Path), help="Draw it; the file must not exist.")
@click.option("--png", metavar="FILE", type=click.Path(path_type=Path), help="Draw it; the file must not exist.")
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write the failure as it is now to a file."
)
@options.paths
@options.as_json
@options.quiet
def replay(
    failure: str,
    svg: Path | None,
    png: Path | None,
    output: Path | None,
    paths: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Make the steps of a failure again, and show them: a column an actor, a column a lock, a row a step, and why.

    FILE is a failure file, SCHEDULE a line `v1:...` that `gmembench explore` prints. The exit code is 1 if the
    violation shows again and 0 if it does not. Where the sources have changed, the first step that differs is named.

    \b
    Example:
      gmembench replay failure.json --svg failure.svg
    """
    check_targets({"--svg": svg, "--png": png, "--output": output})
    found = replayed(failure, paths, quiet=quiet)
    if found.found is not None:
        write_pictures(found.found, svg, png, output)
    if as_json:
        options.print_json(answer(found))
    elif not quiet:
        show(found)
    return 1 if found.found is not None else 0


def check_targets(targets: dict[str, Path | None]) -> None:
    """Raise UserError unless every file that was asked for can be made."""
    from gmembench.benchmarks.output import check_new_path

    named = {option: path for option, path in targets.items() if path is not None}
    for option, path in named.items():
        check_new_path(path, option)
    if len({path.absolute() for path in named.values()}) < len(named):
        raise UserError("two options name the same file", " ".join(named), "change one")


def replayed(failure: str, paths: tuple[Path, ...], *, quiet: bool = False) -> "Replay":
    """Replay a file or a line. If the model has to be compiled for it, that is said once the failure is read."""
    from gmembench.benchmarks.compiling import STEPS, tell_compiling
    from gmembench.inject.failure import read_failure
    from gmembench.inject.question import setting_named
    from gmembench.inject.replay import replay as replay_failure
    from gmembench.inject.replay import replay_schedule
    from gmembench.inject.schedule import is_line, read_line

    def named(source: str, design: str, hardware: str, edits: Sequence[str]) -> "Setting":
        return setting_named(source, design, hardware, edits, paths)

    if not is_line(failure) or os.path.lexists(failure):
        recorded = read_failure(Path(failure))
        tell_compiling(STEPS, quiet=quiet)
        return replay_failure(recorded, paths)
    schedule = read_line(failure, named)
    tell_compiling(STEPS, quiet=quiet)
    return replay_schedule(schedule, paths, failure)


def write_pictures(failure: "Failure", svg: Path | None, png: Path | None, output: Path | None) -> None:
    """Draw a failure, and write it to a file."""
    from gmembench.inject.failure import as_bytes, write_failure

    if output is not None:
        write_failure(output, failure)
    if svg is None and png is None:
        return
    from gmembench.benchmarks.output import write_new
    from gmembench.reports import sequence
    from gmembench.reports.failure_file import parse

    drawn = parse(as_bytes(failure), "the failure")
    if svg is not None:
        write_new(svg, sequence.svg(drawn))
    if png is not None:
        write_new(png, sequence.png(drawn))


def answer(found: "Replay") -> dict[str, Any]:
    """What came of it, as data."""
    from gmembench.inject.replay import step_line

    failure, difference = found.found, found.difference
    return {
        "verdict": "violation" if failure else "gone",
        "invariant": failure.violation.invariant if failure else None,
        "sentence": failure.violation.sentence if failure else None,
        "reason": failure.violation.reason if failure else None,
        "gfn": failure.violation.gfn if failure else None,
        "steps": [step_line(choice, failure.actors) for choice in failure.choices] if failure else [],
        "switches": failure.switches if failure else None,
        "replay": failure.replay if failure else None,
        "other_sources": found.other_sources,
        "difference": (
            {"step": difference.step, "expected": difference.expected, "got": difference.got} if difference else None
        ),
    }


def show(found: "Replay") -> None:
    """Print what came of it."""
    from gmembench.inject.explain_text import as_text

    if found.found is not None:
        print(as_text(found.found), end="")
    if found.difference is not None:
        print(found.difference)
    if found.other_sources:
        print("it was recorded with other sources")
    if found.found is None:
        print("nothing is violated")
