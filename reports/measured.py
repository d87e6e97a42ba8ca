"""Wall-clock times of a cell, with the process as the unit.

Values of one process share its memory layout, so they are averaged first. Judged over pooled values,
two equal runs of 20 processes with 3 values each differ "significantly" in 24 % of trials.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gmembench.reports.loading import Results
from gmembench.reports.once import once


@dataclass(frozen=True)
class Distribution:
    """Nanoseconds an operation over the means of the processes; quartiles are NaN for one process.

    processes, count: how many processes, and how many values in all.
    """

    median_ns: float
    low_ns: float
    high_ns: float
    processes: int
    count: int


@once
def process_means(results: Results) -> pd.DataFrame:
    """Return one row a cell and process: cell, process, time_ns (mean of its values, nanoseconds)."""
    means = results.times.groupby(["cell", "process"], sort=False)["time_ns"].mean()
    return means.reset_index()


@once
def distributions(results: Results) -> dict[str, Distribution]:
    """Return the distribution of every measured cell."""
    counts = results.times.groupby("cell")["time_ns"].size()
    return {
        str(cell): _distribution(means.to_numpy(), int(counts[cell]))
        for cell, means in process_means(results).groupby("cell")["time_ns"]
    }


def _distribution(means: Any, count: int) -> Distribution:
    low, high = np.percentile(means, (25, 75)) if len(means) > 1 else (np.nan, np.nan)
    return Distribution(float(np.median(means)), float(low), float(high), len(means), count)
