"""`python -m gmembench.benchmarks.peers`: what the sequential driver costs, measured against C.

Exit codes: 0 done; 1 the driver and its twin did not do the same, or a step has no C; 2 bad usage; 3 no gcc.
"""

import sys
from typing import Any

import click
import numpy as np

from gmembench.benchmarks.cli import complain, usage_line
from gmembench.benchmarks.commands import options
from gmembench.benchmarks.peers import compare, twin
from gmembench.benchmarks.peers.expressions import UntranslatableError

DIFFERENT, NO_COMPILER = 1, 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--design", "designs", metavar="NAME", multiple=True, help="Measure this design only. Repeatable.")
@click.option("--gfns", default=1 << 20, show_default=True, type=click.IntRange(1), help="Guest size in 4 KiB gfns.")
@click.option("--pairs", default=9, show_default=True, type=click.IntRange(1), help="Alternating pairs of each order.")
@click.option(
    "--large",
    metavar="GFNS",
    type=click.IntRange(1),
    help="Also measure the cost per fault in a guest of this size against --gfns.",
)
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1), help="Runs of the large guest.")
@options.as_json
def peers(designs: tuple[str, ...], gfns: int, pairs: int, large: int | None, runs: int, as_json: bool) -> None:
    """Measure the sequential driver against C code of the same rows.

    Both touch each gfn of a guest for the first time, 4K, on the same records with the same counters: private
    memory, or shared memory if the design has no private. The C is written from the rows of each design.
    After each pair the worlds must be byte-identical and all counters equal.

    \b
    Example:
      python -m gmembench.benchmarks.peers --design guest-memfd --pairs 9 --large 67108864
    """
    with compare.one_cpu():
        measured = {name: measure(name, gfns, pairs, large, runs) for name in options.choose_designs(designs)}
    report: dict[str, Any] = {
        "cpu": compare.cpu_name(),
        "compiler": f"{twin.compiler_version()}, {' '.join(twin.FLAGS)}",
        "clock": "CPU time of the thread",
        "gfns": gfns,
        "pairs": pairs,
        "designs": measured,
    }
    if as_json:
        options.print_json(report)
    else:
        print_report(report)


def measure(design: str, gfns: int, pairs: int, large: int | None, runs: int) -> dict[str, Any]:
    """All figures of a design."""
    found: dict[str, Any] = {
        "orders": {order: figures(compare.compare(design, gfns, order, pairs)) for order in compare.ORDERS}
    }
    if large:
        found["large"] = {"gfns": large, "runs": runs, **scale_figures(*compare.scaling(design, gfns, large, runs))}
    return found


def figures(one: compare.Comparison) -> dict[str, Any]:
    """Medians of an order, and the quartiles of its ratios."""
    low, middle, high = np.quantile(one.ratios, (0.25, 0.5, 0.75))
    return {
        "rows_per_fault": one.rows_per_fault,
        "ours_ns_per_fault": float(np.median(one.ours_ns)),
        "twin_ns_per_fault": float(np.median(one.twin_ns)),
        "ratio": float(middle),
        "ratio_quartiles": [float(low), float(high)],
        "ratios": [float(ratio) for ratio in one.ratios],
    }


def scale_figures(small_ns: np.ndarray, large_ns: np.ndarray) -> dict[str, float]:
    """Medians of the small and the large world, and of their ratio run by run."""
    return {
        "small_ns_per_fault": float(np.median(small_ns)),
        "large_ns_per_fault": float(np.median(large_ns)),
        "ratio": float(np.median(large_ns / small_ns)),
    }


def print_report(report: dict[str, Any]) -> None:
    """Print the figures as text, with what they mean."""
    click.echo(f"CPU: {report['cpu']}\nC twin: {report['compiler']}")
    click.echo(f"{report['gfns']} gfns touched once, {report['pairs']} pairs, {report['clock']}\n")
    head = f"{'rows a fault':>14}{'ours, ns':>10}{'C, ns':>8}{'ratio':>8}   quartiles of the ratio"
    click.echo(f"{'design':26}{'order':12}{head}")
    for design, found in report["designs"].items():
        for order, row in found["orders"].items():
            low, high = row["ratio_quartiles"]
            click.echo(
                f"{design:26}{order:12}{row['rows_per_fault']:14.2f}{row['ours_ns_per_fault']:10.1f}"
                f"{row['twin_ns_per_fault']:8.1f}{row['ratio']:8.2f}   {low:.2f} to {high:.2f}"
            )
    click.echo("\nns: per fault, median. ratio: ours over C, median of the pairs; both did the same, byte for byte.")
    for design, found in report["designs"].items():
        if "large" in found:
            print_scale(design, report["gfns"], found["large"])


def print_scale(design: str, small_gfns: int, large: dict[str, Any]) -> None:
    """Print how the cost of a fault grows with the guest."""
    click.echo(
        f"{design}, {large['gfns']} gfns against {small_gfns}: {large['large_ns_per_fault']:.1f} ns per fault against "
        f"{large['small_ns_per_fault']:.1f}, ratio {large['ratio']:.2f} (sequential, ours, {large['runs']} runs)"
    )


def main() -> int:
    """Run the command; return its exit code."""
    try:
        peers.main(prog_name="python -m gmembench.benchmarks.peers", standalone_mode=False)
    except click.ClickException as error:
        return complain(usage_line(error))
    except click.Abort:
        return 130
    except twin.NoCompilerError as error:
        click.echo(f"{error}: install gcc", err=True)
        return NO_COMPILER
    except (compare.DifferentError, UntranslatableError) as error:
        click.echo(error, err=True)
        return DIFFERENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
