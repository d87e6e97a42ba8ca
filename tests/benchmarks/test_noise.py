"""How much two measurements of the same differ within a run."""

import random
import statistics

import pytest

from gmembench.benchmarks import noise


def test_equal_processes_have_no_spread() -> None:
    """Where every process measured the same, halves do not differ, and nothing is warned of."""
    found = noise.spread({"a": [2.0] * 8, "b": [3.0] * 8}, 0)
    assert found == noise.Spread(0.0, 0.0, 2)
    assert noise.warning(found) == []


def test_the_spread_is_that_of_the_processes() -> None:
    """Halves of eight processes that scatter by 10 % differ as two means of four do."""
    draw = random.Random(1)
    cells = {str(n): [draw.gauss(1.0, 0.1) for _ in range(8)] for n in range(200)}
    found = noise.spread(cells, 0)
    assert found is not None
    assert found.median == pytest.approx(0.1 * (2 / 4) ** 0.5 * 0.674, rel=0.15)
    assert found.high == pytest.approx(0.1 * (2 / 4) ** 0.5 * 1.96, rel=0.15)
    assert "say nothing" in noise.warning(found)[0]


def test_halves_are_drawn_at_random() -> None:
    """A machine that became slower in the middle: early processes are not held against late ones."""
    found = noise.differences([1.0] * 4 + [2.0] * 4, 0)
    assert min(found) < 0.2
    assert max(found) > 0.2


def test_one_process_tells_nothing() -> None:
    """Cells with one process have no halves."""
    assert noise.spread({"a": [1.0]}, 0) is None
    assert noise.warning(None) == []


def test_a_median_of_two_is_fair() -> None:
    """Cells of one process do not count among those with more."""
    found = noise.spread({"a": [1.0], "b": [1.0, 1.1]}, 0)
    assert found is not None
    assert found.cells == 1
    assert 0.09 < found.median < 0.11


def test_what_a_round_shares_is_no_noise_beside_the_others() -> None:
    """Rounds that differ by the double in the same way for all cells: no spread beside the others, and that is said."""
    draw = random.Random(2)
    paces = [[draw.uniform(1, 2) for _ in range(7)] for _ in range(6)]
    cells = {
        str(cell): {number: [(cell + 1) * pace for pace in process] for number, process in enumerate(paces)}
        for cell in range(5)
    }
    means = {name: [sum(values) / 7 for values in processes.values()] for name, processes in cells.items()}
    found, beside = noise.spread(means, 0), noise.spread(noise.beside([cells]), 0)
    assert beside is not None
    assert beside.high == pytest.approx(0, abs=1e-12)
    assert "by 0.0% and 0.0%" in noise.warning(found, beside)[0]


def test_a_cell_that_scatters_alone_is_noise_beside_the_others() -> None:
    """Processes of one cell that differ by 10 % are as far from each other beside cells that do not."""
    draw = random.Random(3)
    cells = {str(cell): {number: [1.0] * 3 for number in range(40)} for cell in range(4)}
    cells["0"] = {number: [draw.lognormvariate(0, 0.1)] * 3 for number in range(40)}
    found = noise.beside([cells])
    assert statistics.stdev(found["0"]) == pytest.approx(0.1, rel=0.3)
    assert [statistics.stdev(found[str(cell)]) for cell in (1, 2, 3)] == [0.0] * 3


def test_few_cells_have_nothing_beside_them() -> None:
    """Three cells are too few, as they are for compare."""
    assert noise.beside([{str(cell): {0: [1.0], 1: [2.0]} for cell in range(3)}]) == {}
