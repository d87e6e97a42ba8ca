"""Which cells are timed together, how often, and in which order."""

from collections import Counter

import pytest

from gmembench.benchmarks import group
from gmembench.benchmarks.cells import Cell


def groups(*scenarios: str, page_sizes: tuple[str, ...] = ("4K",)) -> list[group.Group]:
    """Groups of two designs."""
    cells = [
        Cell(scenario, design, "none", size, "small")
        for scenario in scenarios
        for design in ("x", "y")
        for size in page_sizes
    ]
    return group.groups_of(cells)


def job(seed: int = 1) -> group.Job:
    """A job of eight cells."""
    loops = dict.fromkeys("abcdefgh", 2)
    return group.Job("g", 0, seed, 1, 3, loops, dict.fromkeys(loops, "s"))


def test_a_group_differs_in_the_design_only() -> None:
    """Cells of two scenarios and two page sizes are four groups, each with both designs."""
    found = groups("a", "b", page_sizes=("4K", "2M"))
    assert [g.name for g in found] == ["a/none/4K", "a/none/2M", "b/none/4K", "b/none/2M"]
    assert all([cell.design for cell in g.cells] == ["x", "y"] for g in found)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 24, 25, 100])
def test_a_bound_on_processes_is_kept(count: int) -> None:
    """However many groups there are, no more processes than allowed; all groups that get any get as many."""
    shares = group.share(groups(*(f"s{n}" for n in range(count))), 3, 24)
    assert 1 <= sum(shares.values()) <= 24
    assert len(set(shares.values())) == 1
    assert len(shares) == min(count, 24)


def test_every_scenario_has_its_turn() -> None:
    """With more groups than processes, a scenario that comes late is timed as well."""
    found = [*groups("a", page_sizes=tuple(f"{n}K" for n in range(40))), *groups("b", "c")]
    assert {"b/none/4K", "c/none/4K"} < set(group.share(found, 3, 24))


def test_rounds_interleave() -> None:
    """Each round has every group once, the order differs between rounds, and the seed decides it."""
    wanted = dict.fromkeys("abcdefgh", 3)
    order = list(group.rounds(wanted, 5))
    parts = [[name for name, number in order if number == n] for n in range(3)]
    assert [number for _, number in order] == sorted(number for _, number in order)
    assert all(sorted(part) == list("abcdefgh") for part in parts)
    assert parts[0] != parts[1]
    assert order == list(group.rounds(wanted, 5)) != list(group.rounds(wanted, 6))


def test_orders_in_a_process_are_shuffled_by_its_seed() -> None:
    """Every round has all cells; rounds differ; the same seed gives the same orders, another one others."""
    orders = job().orders()
    assert len(orders) == 4
    assert all(sorted(order) == list("abcdefgh") for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders == job().orders() != job(seed=2).orders()


def test_no_place_in_the_order_is_a_designs_own() -> None:
    """Over many processes each design is at each place about equally often."""
    places: Counter[tuple[str, int]] = Counter()
    for process in range(200):
        for order in job(seed=group.seed_of(0, "g", process)).orders():
            places.update((name, place) for place, name in enumerate(order))
    assert all(60 < count < 140 for count in places.values())  # 800 orders, 100 expected


@pytest.mark.parametrize(("steps", "wanted", "loops"), [(70, 700, 10), (700, 70, 1), (0, 70, 70), (1, 1 << 30, 4096)])
def test_loops_follow_from_steps(steps: int, wanted: int, loops: int) -> None:
    """Passes fill a value by counted steps: at least one, and not without end."""
    assert group.loops_for(steps, wanted) == loops
