"""The statistics of comparisons, against SciPy's results and against what random samples must do."""

import math

import numpy as np
import pytest

from gmembench.reports import statistics


@pytest.mark.parametrize(
    ("t", "free", "tail"),
    [(0.0, 1, 0.5), (1.0, 1, 0.25), (12.706204736, 1, 0.025), (4.302652730, 2, 0.025), (2.228138852, 10, 0.025),
     (2.200985160, 11, 0.025), (2.711557602, 38, 0.005), (9.0, 5, 0.00014133998712194854)],
)  # fmt: skip
def test_student_has_the_values_of_tables(t: float, free: int, tail: float) -> None:
    """Tail and quantile of Student's t for odd and even degrees of freedom."""
    assert statistics.t_tail(t, free) == pytest.approx(tail, rel=1e-5)
    if t:
        assert statistics.t_quantile(1 - tail, free) == pytest.approx(t, rel=1e-5)


def test_all_divisions_of_few_processes_are_tried() -> None:
    """Three against three: of 20 divisions two are as extreme as samples that do not overlap."""
    base, new = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    assert statistics.permutation_p(base, new) == 2 / 20 == statistics.smallest_p(3, 3)
    assert statistics.permutation_p(base, base) == 1
    assert statistics.permutation_p(base[:2], new) == 1 / 10 == statistics.smallest_p(2, 3)


def test_drawn_divisions_agree_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A p from drawn divisions is close to the exact one, and never nought."""
    chance = np.random.default_rng(5)
    base, new = chance.normal(0, 1, 8), chance.normal(0.8, 1, 8)
    exact = statistics.permutation_p(base, new)
    monkeypatch.setattr(statistics, "EXACT_AT_MOST", 10)
    statistics._divisions.cache_clear()
    assert statistics.permutation_p(base, new, 50_000) == pytest.approx(exact, abs=0.005)
    assert statistics.permutation_p(base, base + 100, 999) == pytest.approx(1 / 1000, abs=0.002)
    statistics._divisions.cache_clear()


def test_equal_processes_differ_by_chance_as_often_as_p_says() -> None:
    """Of 400 pairs of samples from one distribution, about one in twenty has p <= 0.05."""
    chance = np.random.default_rng(11)
    p_values = [statistics.permutation_p(*chance.normal(0, 1, (2, 6))) for _ in range(400)]
    assert 0.02 < np.mean(np.array(p_values) <= 0.05) < 0.08


def test_false_discoveries_are_corrected_as_published() -> None:
    """The example of Benjamini and Hochberg (1995): 15 p, of which the first four remain at 5 %."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1,
    ]
    q = statistics.adjusted(p)
    assert [value <= 0.05 for value in q] == [True] * 4 + [False] * 11
    assert q[3] == pytest.approx(0.0095 * 15 / 4)
    assert statistics.adjusted([0.04, 0.01]) == [0.04, 0.02]


def test_an_interval_covers_the_difference() -> None:
    """Of 400 intervals about 95 % hold the true difference; one value a side has no interval."""
    chance = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        low, high = statistics.interval(chance.normal(0, 1, 5), chance.normal(0.5, 1, 7))
        held += low < 0.5 < high
    assert 0.92 < held / 400 < 0.98
    assert statistics.interval(np.array([1.0]), np.array([2.0])) == (-math.inf, math.inf)


def test_the_processes_that_are_said_to_be_needed_suffice() -> None:
    """With as many processes as planned, four of five samples show the difference; with a third, few do."""
    needed = statistics.processes_needed(0.02, 0.05, 0.005)
    chance = np.random.default_rng(9)

    def found(count: int) -> float:
        pairs = [(chance.normal(0, 0.02, count), chance.normal(0.05, 0.02, count)) for _ in range(100)]
        return float(np.mean([statistics.permutation_p(*pair) <= 0.005 for pair in pairs]))

    assert found(needed) > 0.7
    assert found(max(3, needed // 3)) < 0.3
    assert statistics.processes_needed(math.nan, 0.05, 0.05) == 4  # 2 / (8 over 4) is the first below 5 %
