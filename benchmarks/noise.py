"""How much two measurements of the same differ in this run: halves of the processes of one cell, against each other."""

import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gmembench.reports.compare.interleaved import CELLS_AT_LEAST, beside_the_others, processes_of, usual_times

NOISY = 0.05
"""Spread (95th percentile) above which a run says that its machine is noisy: as large as the smallest regression."""

SPLITS = 20
"""Ways in which the processes of a cell are halved."""


@dataclass(frozen=True)
class Spread:
    """Relative differences between halves: median and 95th percentile over `cells` cells."""

    median: float
    high: float
    cells: int


def differences(means: Sequence[float], seed: int) -> list[float]:
    """Relative differences between random halves of the means of processes."""
    shuffle = random.Random(seed)
    found = []
    for _ in range(SPLITS):
        mixed = list(means)
        shuffle.shuffle(mixed)
        half = len(mixed) // 2
        first, second = statistics.fmean(mixed[:half]), statistics.fmean(mixed[half : 2 * half])
        found.append(abs(first / second - 1.0))
    return found


def spread(processes: Mapping[str, Sequence[float]], seed: int) -> Spread | None:
    """The spread of a run, from the mean of every process of every cell; None if no cell has two processes."""
    enough = [means for means in processes.values() if len(means) > 1]
    if not enough:
        return None
    found = sorted(each for means in enough for each in differences(means, seed))
    return Spread(statistics.median(found), found[round(0.95 * (len(found) - 1))], len(enough))


def beside(groups: Iterable[Mapping[str, Mapping[int, Sequence[float]]]]) -> dict[str, list[float]]:
    """Cell -> how many times as slow as usual each of its processes was, beside the other cells of its group.

    `groups`: cell -> number of a process -> its values (s), one a round.
    """
    found: dict[str, list[float]] = {}
    for cells in groups:
        processes = processes_of(list(cells.values())) if len(cells) >= CELLS_AT_LEAST else []
        if processes:
            usual = usual_times(processes)
            places = np.exp([beside_the_others(rounds - usual) for rounds in processes])
            found.update(zip(cells, places.T.tolist(), strict=True))
    return found


def warning(found: Spread | None, beside: Spread | None = None) -> list[str]:
    """What to say about a noisy run. `beside`: the spread beside the other cells of a group, if there are such."""
    if found is None or found.high <= NOISY:
        return []
    compared = (
        f" (beside the other designs of their rounds, as compare has it, by {beside.median:.1%} and {beside.high:.1%})"
        if beside
        else ""
    )
    said = (
        f"halves of the processes of one cell, which measured the same, differ by {found.median:.1%} at the median and "
        f"by {found.high:.1%} in one case of 20{compared}: smaller differences between times say nothing"
    )
    return [said]
