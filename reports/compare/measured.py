"""Times are samples: one number a process, compared by permutation, over the whole matrix at once.

The number is the mean of its values; or of cells that were timed interleaved, the median of rounds beside the others.

A cell is slower only if the test says so after the correction for the number of cells, if the difference
is at least the threshold, and if the new run is slower than every run of the pool: processes
of one run share the mood of the machine, which no test over processes can see.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmembench.reports import statistics
from gmembench.reports.compare.rules import Rules
from gmembench.reports.statistics import Floats

NEEDED_AT_MOST = 1_000
"""Beyond so many processes a side, no number is told: the difference is where the threshold is."""


@dataclass(frozen=True)
class Measured:
    """Verdict (faster, slower, same, unsure) over the times of a cell.

    change, low, high: share by which the mean differs, with its interval of 95 %; p: of the permutation test;
    q: corrected for all cells; processes: of base and new; needed: how many a side would decide (None: decided, or
    more than NEEDED_AT_MOST), at least so many if `at_least`; reason: why it is unsure; beside: as in Sample.
    """

    verdict: str
    change: float
    low: float
    high: float
    p: float
    q: float
    processes: tuple[int, int]
    needed: int | None = None
    at_least: bool = False
    reason: str = ""
    beside: int = 0


@dataclass(frozen=True)
class Sample:
    """Logarithms of times, one for each process: of each base run, and of the new run.

    beside: how many cells were timed in its processes, if they are times beside the others of a round; else 0.
    """

    runs: tuple[Floats, ...]
    new: Floats
    beside: int = 0

    @classmethod
    def of(cls, runs: Sequence[Sequence[float]], new: Sequence[float]) -> "Sample":
        """From seconds an operation."""
        return cls(tuple(np.log(run) for run in runs), np.log(new))

    @property
    def base(self) -> Floats:
        """The processes of all base runs."""
        return np.concatenate(self.runs)


def compare_measured(families: Sequence[Mapping[str, Sample]], rules: Rules) -> dict[str, Measured]:
    """Judge the times of all rows.

    The share of false discoveries is split evenly between families, and controlled in each by itself: a few rows over
    many cells need not pay for the many.
    """
    found = {}
    families = [family for family in families if family]
    for family in families:
        found.update(_compare_family(family, rules, len(families)))
    return found


def _compare_family(samples: Mapping[str, Sample], rules: Rules, families: int) -> dict[str, Measured]:
    draws = max(statistics.DRAWN_AT_LEAST, math.ceil(4 * len(samples) * families / rules.alpha))
    p_values = [statistics.permutation_p(sample.base, sample.new, draws) for sample in samples.values()]
    q_values = [min(1.0, families * q) for q in statistics.adjusted(p_values)]
    level = rules.alpha / families / len(samples)
    return {
        name: replace(
            _judge(sample, p, q, (rules.alpha, level, math.log1p(rules.threshold_of(name)))), beside=sample.beside
        )
        for (name, sample), p, q in zip(samples.items(), p_values, q_values, strict=True)
    }


def _judge(sample: Sample, p: float, q: float, limits: tuple[float, float, float]) -> Measured:
    """`limits`: share of false discoveries, p that surely passes the correction, logarithm of the least effect."""
    alpha, level, least = limits
    base = sample.base
    difference = float(sample.new.mean() - base.mean())
    low, high = statistics.interval(base, sample.new)
    numbers = (math.expm1(difference), math.expm1(low), _expm1(high), p, q, (len(base), len(sample.new)))
    if q <= alpha and abs(difference) >= least:
        if _inside(sample):
            return Measured("unsure", *numbers, reason="one of the base runs differs from the others as much")
        return Measured("slower" if difference > 0 else "faster", *numbers)
    if -least < low and high < least:
        return Measured("same", *numbers)
    needed, at_least = _needed(sample, difference, level, least)
    return Measured("unsure", *numbers, needed, at_least, _why(needed, at_least, numbers[5]))


def _expm1(value: float) -> float:
    return math.inf if value > 700 else math.expm1(value)


def _inside(sample: Sample) -> bool:
    """True if there is a base run at least as slow (or fast) as the new run."""
    means = [run.mean() for run in sample.runs]
    return bool(min(means) <= sample.new.mean() <= max(means))


def _needed(sample: Sample, difference: float, level: float, least: float) -> tuple[int | None, bool]:
    """Processes a side that would decide, and whether that is a lower bound only."""
    deviation = statistics.spread(sample.base, sample.new)
    # A difference beyond the threshold must be told from none; one below it, from the threshold.
    margin = abs(difference) if abs(difference) >= least else max(least - abs(difference), least / 20)
    needed = statistics.processes_needed(deviation, max(margin, 1e-9), level)
    needed = max(needed, min(len(sample.base), len(sample.new)) + 1)
    return (needed if needed <= NEEDED_AT_MOST else None), math.isnan(deviation)


def _why(needed: int | None, at_least: bool, processes: tuple[int, int]) -> str:
    has = f"has {processes[0]} and {processes[1]}"
    if needed is None:
        return f"more than {NEEDED_AT_MOST:,} processes a side would be needed ({has})"
    return f"needs {'at least' if at_least else 'about'} {needed} processes a side ({has})"
