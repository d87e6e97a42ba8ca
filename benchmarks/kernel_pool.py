"""Times of our own kernels against a pool of earlier runs, as pytest-benchmark stores them.

A run is one observation: rounds within a process share its luck. The median of a kernel in this run is judged by a
prediction interval of those in the pool, on a logarithmic scale, corrected for the number of kernels.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_RUNS = 5
"""Fewer runs say too little about how runs differ."""

LEVEL, LEAST_SLOWDOWN = 0.05, 1.05
"""A kernel is slower if its corrected p is below the level, and it takes so many times the pool's time."""

Medians = dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """A kernel against the pool. `ratio`: its time over the pool's. `p`: corrected, that it is no slower."""

    name: str
    runs: int
    ratio: float
    p: float

    @property
    def slower(self) -> bool:
        """Whether it is a regression."""
        return self.p < LEVEL and self.ratio >= LEAST_SLOWDOWN


def machine_of(machine_info: Mapping[str, Any]) -> tuple[str, str]:
    """Processor and Python: runs are comparable if both are equal."""
    cpu = machine_info.get("cpu") or {}
    return str(cpu.get("brand_raw", machine_info.get("machine"))), str(machine_info.get("python_version"))


def pooled(files: Iterable[Mapping[str, Any]], machine_info: Mapping[str, Any]) -> tuple[list[dict[str, float]], int]:
    """Medians of each stored run of this machine, and how many runs are of others."""
    here, runs, others = machine_of(machine_info), list[dict[str, float]](), 0
    for stored in files:
        if machine_of(stored["machine_info"]) == here:
            runs.append({found["fullname"]: found["stats"]["median"] for found in stored["benchmarks"]})
        else:
            others += 1
    return runs, others


def verdicts(pool: Sequence[Medians], now: Medians) -> list[Verdict]:
    """All kernels of which the pool has enough runs."""
    from gmembench.reports.statistics import adjusted, t_tail

    found = []
    for name, median in now.items():
        before = [math.log(run[name]) for run in pool if name in run]
        if len(before) < LEAST_RUNS:
            continue
        center, deviation = statistics.mean(before), statistics.stdev(before)
        above = math.log(median) - center
        width = deviation * math.sqrt(1 + 1 / len(before))
        t = above / width if width else math.copysign(math.inf, above) if above else 0.0
        tail = t_tail(abs(t), len(before) - 1)
        found.append((name, len(before), math.exp(above), tail if t >= 0 else 1 - tail))
    corrected = adjusted([p for *_, p in found])
    return [Verdict(name, runs, ratio, p) for (name, runs, ratio, _), p in zip(found, corrected, strict=True)]


def lines(judged: Sequence[Verdict], runs: int, others: int) -> list[str]:
    """What the comparison came to, in words."""
    ignored = f"; {others} of another processor or Python are left out" if others else ""
    if not judged:
        told = (
            f"times: the pool has {runs} runs of this machine{ignored}; nothing is judged with less than {LEAST_RUNS}"
        )
        return [f"{told}: it passes. Add runs with --benchmark-autosave"]
    slower = [verdict for verdict in judged if verdict.slower]
    told = f"times: {len(slower)} of {len(judged)} kernels are slower than in {runs} runs of the pool{ignored}"
    return [told, *(f"  {one.name}: {one.ratio:.2f} times the pool's time, p {one.p:.2g}" for one in slower)]
