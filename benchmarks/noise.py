"""How much two measurements of the same differ in this run: halves of the processes of one cell, against each other."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def warning(found: Spread | None) -> list[str]:
    """What to say about a noisy run."""
    if found is None or found.high <= NOISY:
        return []
    said = (
        "two halves of the processes of one cell, which measured the same, differed by "
        f"{found.median:.1%} at the median and by {found.high:.1%} or more in one case of 20: "
        "smaller differences between times say nothing"
    )
    return [said]
