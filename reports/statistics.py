"""Statistics over worker processes: whether one sample is slower than another.

The process is the unit: values of one process share its memory layout and its luck. Pooled, two equal runs of 20
processes with 3 values differ "significantly" in 24 of 100 trials; over means of processes in 4.
"""

import functools
import math
from collections.abc import Sequence
from math import comb
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXACT_AT_MOST = 50_000
"""Up to so many ways to divide the processes, all are tried; beyond, as many as asked for are drawn."""

DRAWN_AT_LEAST = 9_999

POWER = 0.8
"""The chance to see an effect of the wanted size that `processes_needed` plans for."""

_ROUNDING = 1e-12


def permutation_p(base: Floats, new: Floats, draws: int = DRAWN_AT_LEAST) -> float:
    """Two-sided p that two samples differ in mean: how often a random division of all values differs as much.

    All divisions if there are at most EXACT_AT_MOST, else `draws` of them by a fixed seed, and the one at hand.
    """
    values = np.concatenate([base, new])
    sums = _divisions(len(base), len(new), draws) @ values
    expected = values.sum() * len(new) / len(values)
    away, seen = np.abs(sums - expected), abs(float(new.sum()) - expected)
    hits = int((away >= seen - _ROUNDING * max(1.0, float(np.abs(values).max()) * len(values))).sum())
    if comb(len(values), len(new)) <= EXACT_AT_MOST:
        return hits / len(sums)
    return (hits + 1) / (len(sums) + 1)


@functools.lru_cache(maxsize=8)
def _divisions(base: int, new: int, draws: int) -> Floats:
    """One row a division: 1 for each value that is in the new sample, else 0."""
    count = base + new
    if comb(count, new) <= EXACT_AT_MOST:
        return _all_divisions(count, new)
    chance = np.random.default_rng(0)
    picked = np.argpartition(chance.random((draws, count)), new - 1, axis=1)[:, :new]
    rows = np.zeros((draws, count))
    np.put_along_axis(rows, picked, 1.0, axis=1)
    return rows


def _all_divisions(count: int, chosen: int) -> Floats:
    """Every row of `count` zeros and ones with `chosen` ones."""
    rows = np.zeros((1, 0))
    for place in range(count):
        rows = np.vstack([np.hstack([rows, np.full((len(rows), 1), bit)]) for bit in (0.0, 1.0)])
        ones = rows.sum(axis=1)
        rows = rows[(ones <= chosen) & (ones + count - place - 1 >= chosen)]
    return rows


def smallest_p(base: int, new: int) -> float:
    """The smallest p that the permutation test can give: the division at hand and, of equal halves, its mirror."""
    return (2 if base == new else 1) / comb(base + new, new)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's q of each p: the share of false discoveries if all with at most this q are taken."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[::-1]
    ranks = np.arange(len(p), 0, -1)
    q = np.minimum.accumulate(p[order] * len(p) / ranks)
    found = np.empty(len(p))
    found[order] = np.minimum(q, 1)
    return [float(value) for value in found]


def spread(base: Floats, new: Floats) -> float:
    """Standard deviation inside the two samples, pooled; NaN if they hold fewer than three values in all."""
    free = len(base) + len(new) - 2
    if free < 1:
        return math.nan
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in (base, new))
    return math.sqrt(squares / free)


def interval(base: Floats, new: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of means, by Student's t; infinite if the spread is not known."""
    deviation = spread(base, new)
    if math.isnan(deviation):
        return -math.inf, math.inf
    difference = float(new.mean() - base.mean())
    reach = t_quantile((1 + confidence) / 2, len(base) + len(new) - 2)
    reach *= deviation * math.sqrt(1 / len(base) + 1 / len(new))
    return difference - reach, difference + reach


def t_tail(t: float, free: int) -> float:
    """P(T > t) for t >= 0 and whole degrees of freedom: the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(free))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = free % 2
    term = total = 0.0 if free == 1 else (cosine if odd else 1.0)
    for i in range(3 if odd else 2, free - 1, 2):
        term *= cosine * cosine * (i - 1) / i
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return max(0.0, (1 - inside) / 2)


def t_quantile(level: float, free: int) -> float:
    """The t that P(T <= t) = level, for a level over one half."""
    low, high = 0.0, 1.0
    while t_tail(high, free) > 1 - level:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_tail(middle, free) > 1 - level else (low, middle)
    return high


def _margin_of_drawing(processes: int) -> int:
    """Where divisions are drawn, the one at hand and its mirror are drawn a few times themselves."""
    return 1 if comb(2 * processes, processes) <= EXACT_AT_MOST else 4


def processes_needed(deviation: float, margin: float, level: float) -> int:
    """Processes a side that tell two means apart by `margin` at p <= `level`, by the normal approximation.

    At least as many as make so small a p possible; just these if the spread is not known (NaN).
    """
    fewest = next(n for n in range(2, 200) if smallest_p(n, n) * _margin_of_drawing(n) <= level)
    if math.isnan(deviation):
        return fewest
    normal = NormalDist()
    significant = normal.inv_cdf(1 - level / 2)
    reach = significant + normal.inv_cdf(POWER)
    small_sample = significant**2 / 4  # what Student's t asks for beyond the normal distribution
    return max(fewest, math.ceil(2 * (reach * deviation / margin) ** 2 + small_sample))
