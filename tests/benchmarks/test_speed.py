"""How fast our own kernels are, for whoever works on them: `pytest --benchmark-only --benchmark-autosave`.

The tests fail if a cell cannot be run, never because of a time.
"""

from typing import Any

import pytest

from gmembench.benchmarks.cells import Cell, list_cells
from gmembench.benchmarks.prepared import prepare


def first_of_each_scenario() -> list[Cell]:
    """One small cell of every scenario."""
    cells = {cell.scenario: cell for cell in reversed(list_cells("small", (), None)) if cell.reason is None}
    return sorted(cells.values(), key=lambda cell: cell.name)


@pytest.mark.parametrize("cell", first_of_each_scenario(), ids=lambda cell: cell.scenario)
def test_pass(benchmark: Any, cell: Cell) -> None:
    """A pass over all operations of a cell, its set-up included, takes time that the pass itself reports in part."""
    prepared = prepare(cell, (), None)
    prepared.time(1)  # compile outside the measurement: calibration would take a cold call for a slow one
    seconds = benchmark.pedantic(prepared.time, args=(1,), rounds=3, iterations=1)
    benchmark.extra_info["operations"] = prepared.operations
    assert seconds > 0
