"""`python -m gmembench.benchmarks.peers.spin`: the exhaustive driver measured against SPIN on the same instances.

Exit codes: 0 done; 1 the counts differ; 2 bad usage; 3 no spin or no gcc.
"""

import sys
import time
from typing import Any

import click
import numpy as np

from gmembench.benchmarks.cli import complain, usage_line
from gmembench.benchmarks.commands import options
from gmembench.benchmarks.peers import compare, pan
from gmembench.benchmarks.peers.instances import TWINS, Twin
from gmembench.core.drivers.exhaustive import Exploration, Explorer

DIFFERENT, NO_SPIN = 1, 3


def explored(twin: Twin, mutant: str = "", states: int = 0) -> tuple[Exploration, float]:
    """Search all states of an instance without reduction, depth-first as SPIN does; and the seconds of processor time.

    `states`: how many there are, if known: the table is made for them, as SPIN's is.
    """
    explorer = Explorer(twin.instance(mutant), order="depth", live=False, reductions=(), expected=states)
    before = time.process_time()
    found = explorer.run()
    return found, time.process_time() - before


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--instance", "names", metavar="NAME", multiple=True, help="Only this instance. Repeatable.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1), help="Runs of each, in turn.")
@options.as_json
def spin(names: tuple[str, ...], runs: int, as_json: bool) -> None:
    """Measure the exhaustive driver against SPIN.

    Both search all states of the same instance, without reduction, on one processor. The Promela is written by hand
    from the same rows; both must count the same states and transitions.

    \b
    Example:
      python -m gmembench.benchmarks.peers.spin --instance fault-vs-convert-huge-2 --runs 7
    """
    unknown = [name for name in names if name not in TWINS]
    if unknown:
        raise click.UsageError(f"no instance {unknown[0]!r}: choose from {', '.join(TWINS)}")
    report: dict[str, Any] = {
        "cpu": compare.cpu_name(),
        "spin": f"{pan.spin_version()}, {' '.join(pan.FLAGS)}",
        "clock": "processor time",
        "runs": runs,
    }
    with compare.one_cpu():
        report["instances"] = {name: measure(TWINS[name], runs) for name in names or TWINS}
    if as_json:
        options.print_json(report)
    else:
        print_report(report)


def measure(twin: Twin, runs: int) -> dict[str, Any]:
    """Counts and rates of an instance. Raises DifferentError if SPIN counts otherwise."""
    ours, _ = explored(twin)
    seconds = []
    with pan.built(twin.path, twin.macros) as program:
        for _ in range(runs):
            theirs = pan.run(program, ours.states)
            again, spent = explored(twin, states=ours.states)
            check_same(twin, ours, theirs)
            check_same(twin, again, theirs)
            seconds.append((spent, theirs.seconds))
    our_seconds, spin_seconds = np.array(seconds).T
    ratios = spin_seconds / our_seconds
    return {
        "states": ours.states,
        "transitions": ours.transitions,
        "our_seconds": our_seconds.tolist(),
        "spin_seconds": spin_seconds.tolist(),
        "ratio": float(np.median(ratios)),
        "ratio_quartiles": [float(q) for q in np.quantile(ratios, (0.25, 0.75))],
    }


def check_same(twin: Twin, ours: Exploration, theirs: pan.Run) -> None:
    """Raise DifferentError unless both found the same: all states, or something wrong."""
    wrong = ours.verdict != "holds", bool(theirs.failed)
    counts = (ours.states, ours.transitions), (theirs.states, theirs.transitions)
    if wrong[0] != wrong[1] or (not any(wrong) and counts[0] != counts[1]):
        found = theirs.failed or "holds"
        raise compare.DifferentError(
            f"{twin.name}: states and transitions {counts[0]}, {ours.verdict}; SPIN {counts[1]}, {found}"
        )


def print_report(report: dict[str, Any]) -> None:
    """Print the figures as text, with what they mean."""
    click.echo(f"CPU: {report['cpu']}\n{report['spin']}\n{report['runs']} runs of each, in turn\n")
    head = f"{'states':>11}{'transitions':>13}{'ours, s':>9}{'SPIN, s':>9}{'states/s':>20}{'transitions/s':>20}"
    click.echo(f"{'instance':31}{head}   ratio (quartiles)")
    for name, row in report["instances"].items():
        ours, theirs = float(np.median(row["our_seconds"])), float(np.median(row["spin_seconds"]))
        low, high = row["ratio_quartiles"]
        rates = "".join(
            f"{row[what] / ours / 1e6:10.2f}M{row[what] / theirs / 1e6:8.2f}M" for what in ("states", "transitions")
        )
        click.echo(
            f"{name:31}{row['states']:11}{row['transitions']:13}{ours:9.2f}{theirs:9.2f} {rates}"
            f"  {row['ratio']:5.2f} ({low:.2f} to {high:.2f})"
        )
    click.echo("\nRates: ours, SPIN's. Ratio: SPIN's seconds of processor time over ours, median of the pairs of runs.")


def main() -> int:
    """Run the command; return its exit code."""
    try:
        spin.main(prog_name="python -m gmembench.benchmarks.peers.spin", standalone_mode=False)
    except click.ClickException as error:
        return complain(usage_line(error))
    except click.Abort:
        return 130
    except pan.NoSpinError as error:
        click.echo(f"{error}: install spin and gcc", err=True)
        return NO_SPIN
    except compare.DifferentError as error:
        click.echo(error, err=True)
        return DIFFERENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
