"""Counted numbers are exact, so every difference is real.

Some are costs, of which more is worse. Some tell what work was done: where they differ, costs cannot be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gmembench.reports.runs import Numbers

COSTS = (
    "steps", "faults", "fault_steps", "conversion_steps", "retries", "flushes", "ipis", "zeroed_pages",
    "backing_pages_peak", "double_backed_pages_peak", "state_bytes", "warns", "conversions_refused",
    "pinned_pages", "mappings_4k",
)  # fmt: skip
"""Counters of which more is worse."""

WORK = ("operations", "conversions", "converted_gfns", "gfns")
WORK_OF_PROGRAMS = ("operations.", "result.", "not_applicable.")
"""Counters that say what was done: where they differ, costs are costs of something else."""


@dataclass(frozen=True)
class Change:
    """A counter that differs; None: not recorded."""

    counter: str
    base: int | None
    new: int | None

    @property
    def share(self) -> float | None:
        """By what share of the base it grew; None from nothing."""
        return (self.new - self.base) / self.base if self.base and self.new is not None else None


@dataclass(frozen=True)
class Counted:
    """Verdict (faster, slower, same, unsure) over the counters of a cell, what differs, and why it is unsure."""

    verdict: str
    changes: tuple[Change, ...] = ()
    reason: str = ""


def compare_counted(base: Numbers, new: Numbers, may_grow: float) -> Counted:
    """Compare the counters of a cell. A cost may grow by the share `may_grow` without being a regression.

    Other work makes the verdict unsure: it is a finding, as the numbers are exact.
    """
    changes = _changes(base.counted, new.counted)
    work = [change for change in changes if change.counter in WORK or change.counter.startswith(WORK_OF_PROGRAMS)]
    if work:
        return Counted("unsure", _first(work, changes), "other work")
    costs = [change for change in changes if change.counter in COSTS]
    worse = [c for c in costs if (c.new or 0) > (c.base or 0) * (1 + may_grow)]
    if worse:
        return Counted("slower", _first(worse, changes))
    better = [c for c in costs if (c.new or 0) < (c.base or 0)]
    return Counted("faster" if better else "same", _first(better, changes))


def _changes(base: Mapping[str, int], new: Mapping[str, int]) -> tuple[Change, ...]:
    """What differs, costs first. A cost that only one side records is not compared: versions add counters."""
    names = [*COSTS, *sorted({*base, *new} - set(COSTS))]
    found = [Change(name, base.get(name), new.get(name)) for name in names if base.get(name) != new.get(name)]
    optional = (*COSTS, "state_bytes_per_gfn", "mappings_2m", "mappings_1g", "private_pages_peak", "shared_pages_peak")
    return tuple(c for c in found if c.counter not in optional or None not in {c.base, c.new})


def _first(deciding: list[Change], changes: tuple[Change, ...]) -> tuple[Change, ...]:
    return (*deciding, *(change for change in changes if change not in deciding))
