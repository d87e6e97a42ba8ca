"""Tiers of a run: which cells are counted, which of them are timed, and how much. `matrix.toml` says it.

A selection by `--cells` or `--axis` replaces both lists: every cell that matches is counted and timed, as far as the
processes of the tier reach.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gmembench.benchmarks import axes, harness, matrix
from gmembench.benchmarks.cells import Cell, list_cells


@dataclass(frozen=True)
class Tier:
    """One tier: its name, how much is measured, and what the matrix says of it."""

    name: str
    effort: harness.Effort
    says: matrix.Tier

    @property
    def size(self) -> str:
        """The size of its scenarios."""
        return self.effort.size


def _tier(name: str, says: matrix.Tier) -> Tier:
    effort = harness.Effort(says.size, says.values, says.warmups, says.value_steps, says.processes, says.in_all or None)
    return Tier(name, effort, says)


TIERS = {name: _tier(name, says) for name, says in matrix.shipped().tier.items()}
"""Tier -> what it runs."""


def counted(tier: Tier, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that a run without a selection counts, not applicable ones included, axes left aside."""
    return [cell for cell in cells if matrix.chosen(tier.says.count, cell.name)]


def timed(tier: Tier, cells: Sequence[Cell]) -> list[Cell]:
    """Those of the counted cells that it times; of axes, what a tier that times everything times."""
    return [cell for cell in cells if matrix.chosen(tier.says.time, cell.name) and _may_be_timed(tier, cell)]


def _may_be_timed(tier: Tier, cell: Cell) -> bool:
    return "@" not in cell.scenario or "*" in tier.says.time


def every_cell(
    tier: Tier, paths: Sequence[Path], trace: Path | None, values: Mapping[str, Sequence[str]] | None = None
) -> list[Cell]:
    """All cells of a tier's size, with the matrix's exclusions; with `values` of axes all their combinations."""
    settings = axes.combinations(values) if values else [()]
    return matrix.excluded(list_cells(tier.size, paths, trace, settings), matrix.shipped())


def cells_of(tier: Tier, paths: Sequence[Path], trace: Path | None) -> list[Cell]:
    """What a run of a tier without a selection runs: its list, and its sweeps."""
    found = {cell.name: cell for cell in counted(tier, every_cell(tier, paths, trace))}
    for sweep in tier.says.sweep:
        swept = every_cell(tier, paths, trace, sweep.axes)
        for cell in swept:
            bare = cell.name.replace(axes.text_of(axes.split(cell.scenario)[2]), "", 1)
            if _swept(sweep, bare):
                found.setdefault(cell.name, cell)
    return list(found.values())


def _swept(sweep: matrix.Sweep, name: str) -> bool:
    """Whether a sweep names a cell; a policy of punching may have taken the variant from its name."""
    scenario, _, rest = name.partition("/")
    return any(matrix.chosen(sweep.cells, each) for each in (name, f"{scenario}:/{rest}"))
