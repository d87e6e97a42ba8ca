"""Where the level of a noisy series changes: E-divisive (Matteson and James 2014) with a permutation test.

A series is divided where the energy distance between the two sides is largest, if few random orders of its
points have as large a one; then each side is divided in turn. For numbers the distance is twice the area
between the squared distance of two distribution functions, here taken on at most LEVELS levels, so that
thousands of orders are tried in a second.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmembench.reports.statistics import adjusted

Floats = NDArray[np.float64]

LEVELS = 32
SEGMENT_AT_LEAST = 3
"""Points between two changes: so many runs pass before a change is seen, and one strange run is none."""

FIRST_ORDERS = 199
ORDERS_AT_MOST = 9_999
_BATCH = 25
ALPHA = 0.05


@dataclass(frozen=True)
class Split:
    """A change before position `at`; p of the permutation test that found it."""

    at: int
    p: float


def change_points(series: Sequence[Floats], least: float, alpha: float = ALPHA) -> list[list[Split]]:
    """Change points of each series, with the share of false ones over all series controlled.

    `least`: the least difference between the means of two neighbouring segments.
    """
    found = [_effective(values, divide(values, alpha), least) for values in series]
    suspects = [(number, split) for number, splits in enumerate(found) for split in splits]
    if not suspects:
        return found
    passed = _surviving(series, suspects, found, alpha)
    kept: list[list[Split]] = [[] for _ in series]
    for number, split in passed:
        kept[number].append(split)
    return [_effective(values, splits, least) for values, splits in zip(series, kept, strict=True)]


def _surviving(
    series: Sequence[Floats], suspects: list[tuple[int, Split]], found: list[list[Split]], alpha: float
) -> list[tuple[int, Split]]:
    """The suspects that remain after correction for the number of tests, from as many orders as that takes."""
    tests = len(series) + len(suspects)
    orders = max(FIRST_ORDERS, int(2 * tests / (alpha * len(suspects))))
    while True:
        p_values = [_again(series[number], split, found[number], orders) for number, split in suspects]
        q_values = adjusted(p_values + [1.0] * (tests - len(suspects)))
        undecided = any(
            q > alpha and p <= 1.5 / (orders + 1) for p, q in zip(p_values, q_values, strict=False)
        )  # no order was as good: more of them might make p small enough
        if not undecided or orders == ORDERS_AT_MOST:
            break
        orders = min(4 * orders, ORDERS_AT_MOST)
    return [
        (number, Split(split.at, p))
        for (number, split), p, q in zip(suspects, p_values, q_values, strict=False)
        if q <= alpha
    ]


def divide(values: Floats, alpha: float = ALPHA) -> list[Split]:
    """Change points of one series, each with p <= alpha."""
    found: list[Split] = []
    left = [(0, len(values))]
    while left:
        start, end = left.pop()
        part = values[start:end]
        at = best_split(part)
        if at is None or (p := permutation_p(part, FIRST_ORDERS, alpha)) > alpha:
            continue
        found.append(Split(start + at, p))
        left += [(start, start + at), (start + at, end)]
    return sorted(found, key=lambda split: split.at)


def best_split(values: Floats) -> int | None:
    """Where the two sides differ most; None if there is no room for two segments, or nothing differs."""
    if len(values) < 2 * SEGMENT_AT_LEAST:
        return None
    distances = _distances(_below(values, len(values))[None], _gaps(values, len(values)))[0]
    return int(distances.argmax()) + SEGMENT_AT_LEAST if distances.max() > 0 else None


def permutation_p(values: Floats, orders: int, alpha: float) -> float:
    """The share of random orders whose best split is as good; ends early once it is surely over alpha."""
    below, gaps = _below(values, LEVELS), _gaps(values, LEVELS)
    seen = _distances(below[None], gaps).max() * (1 - 1e-9)
    chance = np.random.default_rng(0)
    hits = tried = 0
    while tried < orders:
        count = min(_BATCH, orders - tried)
        mixed = chance.permuted(np.broadcast_to(np.arange(len(values)), (count, len(values))), axis=1)
        hits += int((_distances(below[mixed], gaps).max(axis=1) >= seen).sum())
        tried += count
        if hits > alpha * (orders + 1):
            break
    return (hits + 1) / (tried + 1)


def _levels(values: Floats, levels: int) -> Floats:
    """Levels at which distribution functions are compared: all values that occur, or that many quantiles."""
    present = np.unique(values)
    return present if len(present) <= levels else np.quantile(values, np.linspace(0, 1, levels))


def _below(values: Floats, levels: int) -> NDArray[np.float32]:
    """One row a point, one column a level but the last: 1 if the point is at most the level."""
    return (values[:, None] <= _levels(values, levels)[None, :-1]).astype(np.float32)


def _gaps(values: Floats, levels: int) -> NDArray[np.float32]:
    gaps = np.diff(_levels(values, levels))
    total = gaps.sum()
    return (gaps / total if total > 0 else gaps).astype(np.float32)


def _distances(below: NDArray[np.float32], gaps: NDArray[np.float32]) -> Floats:
    """For each order, the weighted energy distance at every allowed split. `below`: orders, points, levels."""
    points = below.shape[1]
    counts = below.cumsum(axis=1)
    left = np.arange(SEGMENT_AT_LEAST, points - SEGMENT_AT_LEAST + 1, dtype=np.float32)
    first = counts[:, SEGMENT_AT_LEAST - 1 : points - SEGMENT_AT_LEAST]
    # F - G = (c - L C / n) n / (L R), for c of C points below in the first L of n points
    apart = first - (left / points)[:, None] * counts[:, -1:]
    areas = np.square(apart) @ gaps
    return np.asarray(areas * points / (left * (points - left)), dtype=float)


def _again(values: Floats, split: Split, splits: Sequence[Split], orders: int) -> float:
    """p of a split between its neighbours, from more orders."""
    start = max((other.at for other in splits if other.at < split.at), default=0)
    end = min((other.at for other in splits if other.at > split.at), default=len(values))
    return permutation_p(values[start:end], orders, ALPHA)


def _effective(values: Floats, splits: list[Split], least: float) -> list[Split]:
    """Leave out the smallest change until all are at least `least`."""
    kept = list(splits)
    while kept:
        edges = [0, *(split.at for split in kept), len(values)]
        means = [values[a:b].mean() for a, b in itertools.pairwise(edges)]
        steps = [abs(after - before) for before, after in itertools.pairwise(means)]
        smallest = int(np.argmin(steps))
        if steps[smallest] >= least:
            break
        del kept[smallest]
    return kept
