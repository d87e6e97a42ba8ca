"""`gmembench explain`: what each row and phase of a design is for."""

import os
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gmembench.benchmarks.commands import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmembench.inject.necessity import Entry, Table

WIDTH = 110

TERMINAL_SECONDS, LINES_SECONDS = 0.5, 30.0
"""Between two lines of progress, on a terminal and elsewhere."""


@click.command()
@click.argument("design", metavar="DESIGN")
@click.option("--hardware", metavar="NAME", default="none", show_default=True, help="none, tdx or snp.")
@click.option("--scenario", "scenarios", metavar="NAME", multiple=True, help="Only in this world. Repeatable.")
@click.option(
    "--states", metavar="N", type=click.IntRange(200), default=100_000, show_default=True, help="Of a mutant."
)
@click.option("--distance", metavar="N", type=click.IntRange(0), help="Move at most N rows away. Default: everywhere.")
@click.option("--worlds", metavar="N", type=click.IntRange(1), help="Try each mutant in the N smallest worlds only.")
@click.option("--workers", metavar="N", type=click.IntRange(1), help="Processes. Default: as many as CPUs.")
@click.option("--time", "seconds", metavar="SECONDS", type=click.FloatRange(0, min_open=True), help="Stop after it.")
@options.paths
@click.option("-o", "--output", metavar="FILE.json", type=click.Path(path_type=Path), help="Write the table here.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write the table as a page here.")
@options.as_json
@options.quiet
def explain(
    design: str,
    hardware: str,
    scenarios: tuple[str, ...],
    states: int,
    distance: int | None,
    worlds: int | None,
    workers: int | None,
    seconds: float | None,
    paths: tuple[Path, ...],
    output: Path | None,
    html: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Say what each row and phase of DESIGN is for: leave it out, move it elsewhere, explore what breaks.

    A row is necessary (with the shortest failure), redundant up to the bound, good for progress only,
    or guards something outside the model. A run that was stopped goes on where it was. Exit code 0: the
    table is complete; 4: --time was up before.

    \b
    Example:
      gmembench explain guest-memfd --scenario fault-vs-punch --distance 3 --html necessity.html
    """
    from gmembench.benchmarks.compiling import SEARCH, tell_compiling
    from gmembench.benchmarks.necessity_run import Explaining, Study, study_of
    from gmembench.benchmarks.output import check_new_path

    for option, path in (("-o", output), ("--html", html)):
        if path is not None:
            check_new_path(path, option)
    study = study_of(design, hardware, scenarios, states, tuple(path.resolve() for path in paths))
    study = Study(study.design, study.hardware, study.sources, states, distance, worlds, study.paths)
    tell_compiling(SEARCH, quiet=quiet)
    run = Explaining(study, Told(quiet).tell)
    table = run.run(workers or os.cpu_count() or 1, float("inf") if seconds is None else seconds)
    write(table, output, html)
    if as_json:
        options.print_json(as_data(table))
    elif not quiet:
        sys.stdout.write(as_text(table))
    return 0 if table.complete else 4


class Told:
    """Progress on standard error: one line that is written over on a terminal, now and then a line elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self.quiet, self.terminal, self.last = quiet, sys.stderr.isatty(), 0.0

    def tell(self, text: str) -> None:
        """Say where it is, if it was long silent."""
        now = time.monotonic()
        if self.quiet or now - self.last < (TERMINAL_SECONDS if self.terminal else LINES_SECONDS):
            return
        self.last = now
        print(
            f"\r\x1b[K{text}" if self.terminal else text, end="" if self.terminal else "\n", file=sys.stderr, flush=True
        )


def as_data(table: "Table") -> object:
    """The table as plain data."""
    import msgspec

    return msgspec.to_builtins(table)


def write(table: "Table", output: Path | None, html: Path | None) -> None:
    """Write the files that were asked for."""
    if output is None and html is None:
        return
    import msgspec

    from gmembench.benchmarks.output import write_new
    from gmembench.reports.necessity import page

    raw = msgspec.json.format(msgspec.json.encode(table), indent=1)
    if output is not None:
        write_new(output, raw.decode())
    if html is not None:
        write_new(html, page(raw, "the table"))


def moved_in_words(entry: "Entry") -> str:
    """What moving it does, in a few words."""
    counts = [f"{what} {len(places)}" for what, places in sorted(entry.places.items())]
    breaks = ", ".join(f"{name} {count}" for name, count in entry.breaks.items())
    return ", ".join(counts) + (f" ({breaks})" if breaks else "")


def untested(entries: "Sequence[Entry]") -> list[str]:
    """Rows and phases that no world runs, in a few lines: whole programs by their names."""
    missed: dict[str, list[str]] = {}
    for entry in (e for e in entries if not e.tested):
        missed.setdefault(entry.program, []).append(entry.name)
    if not missed:
        return []
    sizes = Counter(entry.program for entry in entries)
    whole = [program for program, names in missed.items() if len(names) == sizes[program]]
    count = sum(len(names) for names in missed.values())
    lines = [f"{count} rows and phases are run by none of these worlds, so nothing is known of them:"]
    if whole:
        lines += textwrap.wrap(f"all of {', '.join(whole)}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    for program in (p for p in missed if p not in whole):
        lines += textwrap.wrap(", ".join(missed[program]), WIDTH, initial_indent="  ", subsequent_indent="    ")
    return ["", *lines]


def as_text(table: "Table") -> str:
    """The table as text: a line a row or phase, what the verdicts mean, and what the table claims."""
    from gmembench.inject.necessity import PLACES, VERDICTS

    tested = [entry for entry in table.entries if entry.tested]
    width = max((len(entry.name) for entry in tested), default=0)
    of = f"{len(tested)} of {len(table.entries)} rows and phases tested, {table.mutants:,} mutants"
    lines = [f"{table.design} on {table.hardware}: {of}", ""]
    for entry in tested:
        verdict = entry.verdict + (f": {entry.invariant}" if entry.invariant else "")
        verdict += f": {entry.guards}" if entry.guards and not entry.invariant else ""
        moved = moved_in_words(entry)
        lines.append(f"{entry.name:{width}}  {verdict}{f'; moved: {moved}' if moved else ''}")
        if entry.shown is not None:
            lines.append(f"{'':{width}}    {entry.shown.replay}")
    lines += [*untested(table.entries), ""]
    lines += [*(f"{count:5}  {verdict}: {VERDICTS[verdict]}" for verdict, count in table.counts.items()), ""]
    placed = {what for entry in table.entries for what in entry.places}
    lines += [f"moved, {what}: {said}" for what, said in PLACES.items() if what in placed]
    lines += textwrap.wrap(table.claim, WIDTH)
    if not table.complete:
        lines += ["", "Stopped before all was tried; the same command goes on from here."]
    return "\n".join(lines) + "\n"
