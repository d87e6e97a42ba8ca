"""`python -m gmembench.benchmarks.peers.side_by_side`: operations a second of our driver and others, at the same work.

Exit codes: 0 done (a peer that is missing is said in the table); 1 a peer did other work; 2 bad usage.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from gmembench.benchmarks.cli import complain, usage_line
from gmembench.benchmarks.commands import options
from gmembench.benchmarks.peers.compare import cpu_name, one_cpu
from gmembench.benchmarks.peers.dictionary import DictionaryPeer
from gmembench.benchmarks.peers.host import HostPeer
from gmembench.benchmarks.peers.modelled import DESIGN, DriverPeer, TwinPeer
from gmembench.benchmarks.peers.simulated import SimPyPeer
from gmembench.benchmarks.peers.twin import NoCompilerError
from gmembench.benchmarks.peers.work import PHASES, Counts, MissingPeerError, OtherWorkError, Peer, check_counts

OTHER_WORK = 1
KINDS: dict[str, Callable[[], Peer]] = {
    kind.name: kind for kind in (DriverPeer, TwinPeer, DictionaryPeer, SimPyPeer, HostPeer)
}
"""Name -> what makes a peer. The first is what the others are compared with."""

OURS = DriverPeer.name
Spent = dict[str, dict[str, list[float]]]
"""Peer -> phase -> nanoseconds per operation, round by round."""


def gather() -> tuple[list[Peer], dict[str, str]]:
    """The peers that can run here, and why the others cannot."""
    found: list[Peer] = []
    missing = {}
    for name, make in KINDS.items():
        try:
            found.append(make())
        except (MissingPeerError, NoCompilerError) as error:
            missing[name] = str(error)
    return found, missing


def one_round(peer: Peer, gfns: int, expected: Sequence[Counts] = ()) -> tuple[dict[str, float], list[Counts]]:
    """Do all phases once: nanoseconds per operation of each, and the counts after each. Raises OtherWorkError."""
    spent, counted = {}, []
    peer.begin(gfns)
    try:
        for number, phase in enumerate(PHASES):
            if phase not in peer.lacks:
                before = time.thread_time_ns()
                peer.run(phase)
                spent[phase] = (time.thread_time_ns() - before) / gfns
            counted.append(peer.counts())
            if expected:
                check_counts(peer.name, phase, counted[-1], expected[number])
    finally:
        peer.end()
    return spent, counted


def measure(peers: Sequence[Peer], gfns: int, rounds: int, seed: int) -> tuple[Spent, list[Counts], dict[str, str]]:
    """Rounds of all peers, in an order drawn for each round: times, our counts, and who could not go on.

    The first round warms up; in it ours is the first, and says what the others must count.
    """
    chooser, spent, failed = random.Random(seed), dict[str, dict[str, list[float]]](), dict[str, str]()
    order, expected = list(peers), list[Counts]()
    for number in range(-1, rounds):
        if number >= 0:
            chooser.shuffle(order)
        for peer in [peer for peer in order if peer.name not in failed]:
            try:
                times, counted = one_round(peer, gfns, expected)
            except (MissingPeerError, OSError, MemoryError) as error:
                failed[peer.name] = str(error) or type(error).__name__
                continue
            expected = expected or counted
            for phase, ns in times.items() if number >= 0 else ():
                spent.setdefault(peer.name, {}).setdefault(phase, []).append(ns)
    return spent, expected, failed


def figures(mine: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """What a peer does in a phase: medians, quartiles, and how many times as fast as ours it is."""
    ratios = [our / my for my, our in zip(mine, ours, strict=True)]
    return {
        "ns_per_operation": statistics.median(mine),
        "operations_per_second": 1e9 / statistics.median(mine),
        "quartiles_ns": spread(mine),
        "speed_against_ours": statistics.median(ratios),
        "quartiles_of_speed": spread(ratios),
        "all_ns": list(mine),
    }


def spread(values: Sequence[float]) -> list[float]:
    """First and third quartile."""
    if len(values) == 1:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def report(peers: Sequence[Peer], missing: Mapping[str, str], gfns: int, rounds: int, seed: int) -> dict[str, Any]:
    """Everything that the command tells. Raises OtherWorkError."""
    with one_cpu():
        spent, counted, failed = measure(peers, gfns, rounds, seed)
    cannot = {**missing, **failed}
    found = {
        peer.name: {
            "same_work": peer.same,
            "phases": {phase: figures(ns, spent[OURS][phase]) for phase, ns in spent[peer.name].items()},
            "lacks": dict(peer.lacks),
        }
        for peer in peers
        if peer.name not in cannot
    }
    return {
        "cpu": cpu_name(),
        "clock": "CPU time of the thread",
        "design": DESIGN,
        "gfns": gfns,
        "rounds": rounds,
        "seed": seed,
        "counts": {phase: vars(counts) for phase, counts in zip(PHASES, counted, strict=True)},
        "peers": found,
        "missing": cannot,
    }


def print_report(made: Mapping[str, Any]) -> None:
    """The table, what the same work is for each peer, and who is missing."""
    click.echo(f"CPU: {made['cpu']}, {made['clock']}, one CPU\n{made['gfns']} gfns of 4K, {made['rounds']} rounds\n")
    click.echo(f"{'phase':15}{'peer':14}{'operations/s':>14}{'ns each':>11}   {'quartiles':19}{'speed':>8}   quartiles")
    for phase in PHASES:
        for name, peer in made["peers"].items():
            click.echo(f"{phase:15}{name:14}{_row(peer, phase)}")
        for name in made["missing"]:
            click.echo(f"{phase:15}{name:14}{'missing':>14}")
    last = made["counts"][PHASES[-1]]
    click.echo(
        "\nspeed: as a multiple of our driver's, median of the rounds; all are interleaved in random order."
        f"\nThe same in all that have it: {last['faults']} faults, {last['conversions']} conversions, "
        f"{last['zeroed_bytes']} bytes zeroed, "
        f"{last['shared_pages']} shared and {last['private_pages']} private pages left. The same work means:"
    )
    for name, peer in made["peers"].items():
        click.echo(f"  {name}: {peer['same_work']}")
    for name, why in made["missing"].items():
        click.echo(f"  {name}: missing: {why}")


def _row(peer: Mapping[str, Any], phase: str) -> str:
    if phase not in peer["phases"]:
        return f"{'-':>14}   {peer['lacks'][phase]}"
    row = peer["phases"][phase]
    times, ratios = (f"{low:,.3g} to {high:,.3g}" for low, high in (row["quartiles_ns"], row["quartiles_of_speed"]))
    return (
        f"{row['operations_per_second']:14,.0f}{row['ns_per_operation']:11,.1f}   {times:19}"
        f"{row['speed_against_ours']:8.3g}   {ratios}"
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--gfns", default=1 << 14, show_default=True, type=click.IntRange(1), help="Guest size in 4 KiB gfns.")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1), help="Rounds of all peers.")
@click.option("--seed", default=1, show_default=True, type=int, help="Of the order in each round.")
@options.as_json
def side_by_side(gfns: int, rounds: int, seed: int, as_json: bool) -> None:
    """Measure our driver beside C, dictionaries, SimPy and the memfd of this host's kernel.

    Each touches, converts and punches every gfn of a guest, one by one. After each phase the faults, conversions,
    bytes zeroed and pages must be equal.

    \b
    Example:
      python -m gmembench.benchmarks.peers.side_by_side --rounds 21
    """
    peers, missing = gather()
    made = report(peers, missing, gfns, rounds, seed)
    if as_json:
        options.print_json(made)
    else:
        print_report(made)


def main() -> int:
    """Run the command; return its exit code."""
    try:
        side_by_side.main(prog_name="python -m gmembench.benchmarks.peers.side_by_side", standalone_mode=False)
    except click.ClickException as error:
        return complain(usage_line(error))
    except click.Abort:
        return 130
    except OtherWorkError as error:
        click.echo(error, err=True)
        return OTHER_WORK
    return 0


if __name__ == "__main__":
    sys.exit(main())
