"""Tiers of a run: which cells are counted, which of them are timed, and how long.

- quick, small sizes: counts every design on hardware `none` with 4K pages, and 2M pages and other hardware where
  they say most; the trace, the longest of all, for the two oldest designs. Times all designs in four scenarios.
- standard, full sizes: counts every cell on hardware `none`, and 4K cells on other hardware. Times every scenario,
  one variant of each where variants do nearly the same, with 4K pages on hardware `none`.
- full, full sizes: counts and times every cell.

A selection by `--cells` replaces both lists: every cell that matches is counted and timed, as far as the
processes of the tier reach.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gmembench.benchmarks import harness
from gmembench.benchmarks.cells import Cell

TRACED = ("legacy-vma", "guest-memfd")
"""Designs for which a quick run counts the trace."""

LARGE_PAGES = ("boot-populate", "bounce-buffer:punch-first", "fragment:shared", "fragment:private")
"""Scenarios that a quick run counts with 2M pages too: what they save, and how they are lost."""

OTHER_HARDWARE = ("bounce-buffer:punch-first",)
"""Scenarios that a quick run counts on all hardware: faults, conversions and punches of both kinds."""

TIMED_IN_QUICK = ("boot-populate", "bounce-buffer:punch-first", "convert-storm", "trace")
"""Scenarios that a quick run times: a process takes longer to start than to measure."""

UNTIMED = ("double-backing:no-punch", "fragment:shared", "inplace-vs-dual:pool", "migrate:shared")
"""Variants that a standard run does not time: another variant of the scenario does nearly the same."""


@dataclass(frozen=True)
class Tier:
    """One tier: the size of its scenarios, how much is measured, and its two lists."""

    effort: harness.Effort
    counts: Callable[[Cell], bool]
    times: Callable[[Cell], bool]

    @property
    def size(self) -> str:
        """The size of its scenarios."""
        return self.effort.size


def _in_quick(cell: Cell) -> bool:
    if cell.scenario == "trace" and cell.design not in TRACED:
        return False
    if cell.hardware != "none":
        return cell.page_size == "4K" and cell.scenario in OTHER_HARDWARE
    return cell.page_size == "4K" or (cell.page_size == "2M" and cell.scenario in LARGE_PAGES)


def _timed_in_quick(cell: Cell) -> bool:
    return cell.scenario in TIMED_IN_QUICK and cell.page_size == "4K" and cell.hardware == "none"


def _timed_in_standard(cell: Cell) -> bool:
    return cell.hardware == "none" and cell.page_size == "4K" and cell.scenario not in UNTIMED


QUICK = harness.Effort("small", values=3, warmups=1, value_steps=5_000_000, processes=3, in_all=24)
STANDARD = harness.Effort("full", values=2, warmups=1, value_steps=50_000_000, processes=8)

TIERS = {
    "quick": Tier(QUICK, _in_quick, _timed_in_quick),
    "standard": Tier(STANDARD, lambda cell: cell.hardware == "none" or cell.page_size == "4K", _timed_in_standard),
    "full": Tier(STANDARD, lambda cell: True, lambda cell: True),
}
"""Tier -> what it runs."""


def counted(tier: Tier, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that a run without a selection counts, not applicable ones included."""
    return [cell for cell in cells if tier.counts(cell)]


def timed(tier: Tier, cells: Sequence[Cell]) -> list[Cell]:
    """Those of the counted cells that it times."""
    return [cell for cell in cells if tier.times(cell)]
