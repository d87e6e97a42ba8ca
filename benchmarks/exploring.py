"""`python -m gmembench.benchmarks.exploring`: how fast the drivers are that explore, at random and exhaustively.

Exit codes: 0 done; 2 bad usage.
"""

import statistics
import time
from typing import Any

import click

from gmembench.benchmarks.commands import options
from gmembench.benchmarks.peers.compare import cpu_name, one_cpu
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.exhaustive import Explorer
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.sampling import STRATEGIES, Sampler
from gmembench.inject.question import chosen
from gmembench.inject.scenario import instance_of, load_scenarios

SEARCHES = 7
"""Searches of all states at most, of which the median is told."""

HUNDRED = 100
"""Steps of the schedule whose rate is told beside that of the scenario's own."""


def rate(sampler: Sampler, seconds: float, runs: int) -> dict[str, Any]:
    """Steps and schedules a second of CPU time, over some runs of different schedules."""
    steps_s, counted, first = [], [0, 0], 0
    sampler.run(100)  # compiles
    for _ in range(runs):
        began = time.process_time()
        run = sampler.run(1 << 40, first=first, seconds=seconds)
        steps_s.append(run.steps / (time.process_time() - began))
        counted[0] += run.schedules
        counted[1] += run.steps
        first += run.schedules
        if run.violation is not None:
            raise click.UsageError(f"schedule {run.failed} breaks {run.violation.invariant}: choose one that holds")
    length = counted[1] / counted[0]
    return {
        "steps_per_schedule": length,
        "median_steps_per_second": statistics.median(steps_s),
        "best_steps_per_second": max(steps_s),
        "median_schedules_per_second": statistics.median(steps_s) / length,
        "best_schedules_per_second": max(steps_s) / length,
        "median_schedules_of_100_steps_per_second": statistics.median(steps_s) / HUNDRED,
        "best_schedules_of_100_steps_per_second": max(steps_s) / HUNDRED,
    }


def search_rate(instance: Instance, runs: int) -> dict[str, float]:
    """States and transitions a second of CPU time: depth first, no reduction, a table that does not grow."""
    whole = Explorer(instance, live=False, reductions=()).run()
    if whole.verdict != "holds":
        raise click.UsageError(f"an exhaustive search ends with {whole.verdict}: choose a world that holds")
    seconds = []
    for _ in range(runs):
        explorer = Explorer(instance, order="depth", live=False, reductions=(), expected=whole.states)
        began = time.process_time()
        explorer.run()
        seconds.append(time.process_time() - began)
    return {
        "states": whole.states,
        "transitions": whole.transitions,
        "median_states_per_second": whole.states / statistics.median(seconds),
        "best_states_per_second": whole.states / min(seconds),
        "median_transitions_per_second": whole.transitions / statistics.median(seconds),
        "best_transitions_per_second": whole.transitions / min(seconds),
    }


def measure(instance: Instance, seconds: float, runs: int) -> dict[str, Any]:
    """The rates of each strategy, all invariants judged after each step."""
    return {name: rate(Sampler(instance, strategy=name), seconds, runs) for name in STRATEGIES}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--design", default="guest-memfd", show_default=True, metavar="NAME", help="The design.")
@click.option("--hardware", default="none", show_default=True, metavar="NAME", help="The hardware.")
@click.option("--scenario", default="fault-vs-punch", show_default=True, metavar="NAME", help="World and scripts.")
@click.option("--seconds", default=0.2, show_default=True, type=click.FloatRange(0, min_open=True), help="Of a run.")
@click.option("--runs", default=21, show_default=True, type=click.IntRange(1), help="Runs of each strategy.")
@options.as_json
def exploring(design: str, hardware: str, scenario: str, seconds: float, runs: int, as_json: bool) -> None:
    """Measure the drivers that explore: steps and schedules a second at random, states a second of a whole search.

    Times are CPU times of the process. The best run is the one that others on the machine disturbed least.

    \b
    Example:
      python -m gmembench.benchmarks.exploring --scenario fault-vs-punch --runs 51
    """
    instance = instance_of(
        chosen(load_scenarios(), scenario, "scenario"),
        chosen(load_designs(), design, "design"),
        chosen(load_hardware(), hardware, "hardware"),
    )
    with one_cpu():
        rates = measure(instance, seconds, runs)
        searched = search_rate(instance, min(runs, SEARCHES))
    report = {
        "cpu": cpu_name(),
        "clock": "CPU time of the process",
        "design": design,
        "hardware": hardware,
        "scenario": scenario,
        "actors": len(instance.scripts),
        "runs": runs,
        "strategies": rates,
        "exhaustive": searched,
    }
    if as_json:
        options.print_json(report)
        return
    click.echo(f"{design} on {hardware}, {scenario}, {len(instance.scripts)} actors; {report['cpu']}, one CPU")
    for name, r in rates.items():
        click.echo(
            f"{name}: {r['median_steps_per_second'] / 1e6:.1f} M steps/s, "
            f"best {r['best_steps_per_second'] / 1e6:.1f}; "
            f"{r['median_schedules_per_second']:,.0f} schedules/s of {r['steps_per_schedule']:.0f} steps "
            f"(best {r['best_schedules_per_second']:,.0f}); "
            f"{r['best_schedules_of_100_steps_per_second']:,.0f} schedules/s at best, if they had 100"
        )
    click.echo(
        f"exhaustive, all {searched['states']:,} states, no reduction: "
        f"{searched['median_states_per_second'] / 1e6:.1f} M states/s, "
        f"{searched['median_transitions_per_second'] / 1e6:.1f} M transitions/s "
        f"(best {searched['best_transitions_per_second'] / 1e6:.1f})"
    )


if __name__ == "__main__":
    exploring()
