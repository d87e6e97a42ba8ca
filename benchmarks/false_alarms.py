"""How often runs of the same code are told apart, and whether a planted slowdown is found: from real result files.

python -m gmembench.benchmarks.false_alarms RUN.json... [--plant DESIGN=1.05] [--threshold SHARE]

All pairs of the runs are compared, and each run with the pool of all others. With --plant, the times of one
design are multiplied in the newer run of each comparison, which must then be told for that design and for no other.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gmembench.core.errors import UserError
from gmembench.reports.compare.comparison import Comparison, compare
from gmembench.reports.compare.rules import Rules, read_rules
from gmembench.reports.runs import Run, read_run


@dataclass(frozen=True)
class Judged:
    """One comparison: which runs, how many cells were timed, and in which of them time was slower."""

    runs: tuple[int, ...]
    timed: int
    slower: tuple[str, ...]
    undecided: int


def judged(found: Comparison, runs: tuple[int, ...]) -> Judged:
    """What a comparison said about times."""
    measured = {cell.cell: cell.measured for cell in (*found.groups, *found.cells) if cell.measured}
    slower = tuple(name for name, one in measured.items() if one.verdict == "slower")
    return Judged(runs, len(measured), slower, sum(one.verdict == "unsure" for one in measured.values()))


def planted(run: Run, design: str, factor: float) -> Run:
    """The run with the times of one design multiplied."""
    cells = {
        name: replace(
            cell,
            means_s=tuple(factor * mean for mean in cell.means_s),
            rounds_s=tuple([factor * value for value in values] for values in cell.rounds_s),
        )
        if cell.facts["design"] == design
        else cell
        for name, cell in run.cells.items()
    }
    return replace(run, cells=cells)


def pairs(runs: Sequence[Run], rules: Rules, plant: tuple[str, float] | None) -> list[Judged]:
    """Every pair, the later file as the new run."""
    return [
        judged(compare([runs[a]], planted(runs[b], *plant) if plant else runs[b], rules), (a, b))
        for a, b in itertools.combinations(range(len(runs)), 2)
    ]


def against_pool(runs: Sequence[Run], rules: Rules, plant: tuple[str, float] | None) -> list[Judged]:
    """Every run as the new one, the others as its pool."""
    found = []
    for number, run in enumerate(runs):
        pool = [other for other in runs if other is not run]
        found.append(judged(compare(pool, planted(run, *plant) if plant else run, rules), (number,)))
    return found


def guilty(alarms: Iterable[Judged]) -> list[int]:
    """Few runs that are in all of the alarms: the one with most alarms first, until none is left."""
    left = [alarm.runs for alarm in alarms]
    found = []
    while left:
        counts = {number: sum(number in runs for runs in left) for runs in left for number in runs}
        worst = max(sorted(counts), key=counts.__getitem__)
        found.append(worst)
        left = [runs for runs in left if worst not in runs]
    return found


def told(name: str, found: Sequence[Judged], plant: tuple[str, float] | None) -> list[str]:
    """Lines about a set of comparisons."""
    cells, undecided = sum(one.timed for one in found), sum(one.undecided for one in found)
    lines = [
        f"{name}: {len(found)} comparisons of {cells:,} cells; undecided {undecided / max(1, cells):.1%} of the cells"
    ]
    alarms = [one for one in found if any(not _is_planted(cell, plant) for cell in one.slower)]
    false = sum(not _is_planted(cell, plant) for one in found for cell in one.slower)
    lines.append(
        f"  false regressions: in {len(alarms)} comparisons ({len(alarms) / max(1, len(found)):.1%}), "
        f"{false} cells ({false / max(1, cells):.2%})"
    )
    if alarms:
        lines.append(f"  removing {len(guilty(alarms))} of the runs would leave none")
    if plant:
        hits = [one for one in found if any(_is_planted(cell, plant) for cell in one.slower)]
        lines.append(f"  planted slowdown of {plant[0]} found in {len(hits)} ({len(hits) / max(1, len(found)):.1%})")
    return lines


def _is_planted(cell: str, plant: tuple[str, float] | None) -> bool:
    return plant is not None and f"/{plant[0]}/" in cell  # the row over its cells is */DESIGN/*


def report(runs: Sequence[Run], rules: Rules, plant: tuple[str, float] | None) -> str:
    """What the script prints."""
    lines = [
        f"{len(runs)} runs, least difference {rules.threshold:.1%}, false discoveries at most {rules.alpha:.0%}",
        *told("pairs", pairs(runs, rules, plant), plant),
        "  The pairs are not independent: each run is in all pairs with the others, so one odd run makes many alarms.",
        *told("each against the pool of the others", against_pool(runs, rules, plant), plant),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, metavar="RUN.json")
    parser.add_argument("--plant", metavar="DESIGN=FACTOR")
    parser.add_argument("--threshold", type=float)
    options = parser.parse_args(arguments)
    try:
        runs = [read_run(path) for path in options.results]
        rules = read_rules(None, options.threshold)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        plant = planted_by(options.plant, runs) if options.plant else None
    except ValueError as error:
        print(f"--plant {options.plant}: {error}; write DESIGN=1.05", file=sys.stderr)
        return 2
    sys.stdout.write(report(runs, rules, plant))
    return 0


def planted_by(text: str, runs: Sequence[Run]) -> tuple[str, float]:
    """Design and factor. Raises ValueError if there is no such design, or no number."""
    design, _, factor = text.partition("=")
    if all(cell.facts["design"] != design for run in runs for cell in run.cells.values()):
        raise ValueError(f"no run has a design {design}")
    return design, float(factor)


if __name__ == "__main__":
    sys.exit(main())
