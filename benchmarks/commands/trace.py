"""`gmembench trace`: what a recorded KVM trace holds, and whether a design would have done the same."""

from pathlib import Path

import click

from gmembench.benchmarks.commands import options
from gmembench.core.errors import UserError

EXIT_CODES = {"agrees": 0, "disagrees": 1, "cannot judge": 4}
"""Verdict of a check -> exit code."""


@click.group(no_args_is_help=False)
def trace() -> None:
    """Work with recorded KVM traces.

    \b
    Example:
      gmembench trace show kvm.trace.xz
    """


@trace.command()
@click.argument("file", type=options.existing_file)
@click.option("--check", "design", metavar="DESIGN", help="Compare with what this design would have mapped and zapped.")
@options.paths
@options.as_json
@options.quiet
def show(file: Path, design: str | None, paths: tuple[Path, ...], as_json: bool, quiet: bool) -> int:
    """Show the events, conversions and memory of a trace: text of tracefs, trace-cmd or perf, also compressed.

    With --check the exit code is 0 if the design agrees, 1 if it does not, 4 if the trace cannot judge.

    \b
    Example:
      gmembench trace show kvm.trace.xz --check guest-memfd
    """
    if design is not None:
        return show_check(file, design, paths, as_json, quiet)
    from rich.console import Console

    from gmembench.benchmarks import trace_show

    trace_show.show(file, Console(), as_json, quiet)
    return 0


def show_check(file: Path, name: str, paths: tuple[Path, ...], as_json: bool, quiet: bool) -> int:
    """Compare a design with a trace and print the verdict. Raises UserError for an unknown design."""
    from gmembench.core.catalog import load_designs, load_hardware

    designs = load_designs(paths)
    if name not in designs:
        raise UserError("no such design", f"--check {name}", f"choose one of {', '.join(designs)}")
    from rich.console import Console
    from rich.text import Text

    from gmembench.benchmarks.compiling import COUNTING, tell_compiling
    from gmembench.benchmarks.conformance_show import conformance_view
    from gmembench.benchmarks.trace_show import read
    from gmembench.core.conformance.design_model import check_design

    events = read(file, quiet or as_json)
    tell_compiling(COUNTING, quiet=quiet)
    found = check_design(events.events, designs[name], load_hardware()["none"])
    if as_json:
        options.print_json(found.to_json())
    elif quiet:
        Console().print(Text(found.headline), soft_wrap=True)
    else:
        Console().print(conformance_view(found, file.name))
    return EXIT_CODES[found.verdict]
