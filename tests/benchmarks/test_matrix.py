"""The file of the matrix, and the estimates of what a tier takes."""

from dataclasses import replace

import pytest

from gmembench.benchmarks import child, estimate, group, matrix, tiers
from gmembench.benchmarks.cells import Cell, load_scenarios
from gmembench.benchmarks.prepared import prepare
from gmembench.core.errors import UserError

TIER = """
[tier.mine]
size = "small"
warmups = 1
values = 3
value_steps = 10
processes = 2
count = ["*"]
time = ["!*"]
"""


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (TIER.replace("small", "tiny"), "m.toml:3: tier.mine.size", "no size 'tiny'"),
        (TIER.replace("values = 3", "values = 0"), "m.toml:5: tier.mine.values", "too few"),
        (TIER.replace("values = 3", 'values = "3"'), "m.toml:5: tier.mine.values", "Expected `int`"),
        (TIER + "colour = 1\n", "m.toml:10: tier.mine.colour", "unknown field"),
        (
            TIER + '[[tier.mine.sweep]]\ncells = ["*"]\naxes = { vcpus = ["0"] }\n',
            "m.toml:12: tier.mine.sweep[0].axes",
            "'0' is no value of vcpus",
        ),
        (TIER + '[[exclude]]\ncells = "a"\nreason = " "\n', "m.toml:12: exclude[0].reason", "has no reason"),
        (TIER + "oops\n", "m.toml:10", "no TOML"),
    ],
)
def test_a_mistake_is_told_with_line_and_key(text: str, where: str, said: str) -> None:
    """Whatever is wrong with the file, the error says where and how to mend it."""
    with pytest.raises(UserError, match=said) as error:
        matrix.parsed(text, "m.toml")
    assert error.value.where == where
    assert error.value.mend


def test_the_last_glob_decides() -> None:
    """`!` takes cells out, and a later glob may bring some of them back."""
    globs = ["*/none/4K", "!trace/*", "trace/x/*"]
    names = ["a/x/none/4K", "trace/y/none/4K", "trace/x/none/4K", "a/x/tdx/4K"]
    assert [matrix.chosen(globs, name) for name in names] == [True, False, True, False]


def test_exclusions_give_their_reason() -> None:
    """A cell that the file excludes is not applicable, with that reason; one that has a reason keeps it."""
    made = matrix.parsed(TIER + '[[exclude]]\ncells = "a/*"\nreason = "it never ends"\n', "m.toml")
    cells = [Cell(s, "d", "none", "4K", "small", reason) for s, reason in (("a", None), ("a", "own"), ("b", None))]
    assert [cell.reason for cell in matrix.excluded(cells, made)] == ["it never ends", "own", None]


def test_every_scenario_has_an_estimate() -> None:
    """Each variant that ships; and none that does not exist any more."""
    known = {f"{n}:{v}" if v else n for n, scenario in load_scenarios().items() for v in scenario.variants}
    assert set(matrix.shipped().estimate) == known


@pytest.mark.parametrize("scenario", ["boot-populate", "convert-storm"])
def test_estimates_are_of_the_right_size(scenario: str) -> None:
    """Steps of a small pass, as estimated, are within a factor of two of those that it makes; so for larger guests."""
    cell = Cell(scenario, "guest-memfd", "none", "4K", "small")
    steps = prepare(cell, gfns=1024, turns=64, vcpus=1).counted()["count.steps"]
    operations = len(prepare(cell).work) / len(prepare(cell, gfns=1024, turns=64, vcpus=1).work)
    assert 0.5 < estimate.steps_of(cell) / (int(steps) * operations) < 2
    larger = Cell(f"{scenario}@guest=64M", "guest-memfd", "none", "4K", "small")
    assert estimate.steps_of(larger) == 2 * estimate.steps_of(cell)


def test_a_tier_costs_what_its_parts_cost() -> None:
    """Timing costs more than counting alone, a larger tier more than a smaller one, and the sentence says all of it."""
    found = {}
    for name, tier in tiers.TIERS.items():
        cells = [cell for cell in tiers.cells_of(tier, (), None) if cell.reason is None]
        timed = tiers.timed(tier, cells)
        found[name] = estimate.cost(cells, timed, tier.effort)
        assert not timed or estimate.cost(cells, timed, None).seconds < found[name].seconds
    assert found["quick"].processes <= 24
    assert found["quick"].seconds < found["standard"].seconds < found["full"].seconds
    assert found["quick"].seconds < 40
    assert found["all"].seconds < 15
    assert found["all"].processes == 0
    assert found["standard"].seconds < 20 * 60
    assert "12 processes time 22 of them" in estimate.text_of("--quick", found["quick"])


@pytest.mark.parametrize("processes", [1, 3])
def test_memory_is_that_of_all_processes_that_get_ready_together(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two at once their needs add up: of the two largest groups, or of two processes of the largest."""
    cells = [cell for cell in tiers.cells_of(tiers.TIERS["quick"], (), None) if cell.reason is None]
    timed = tiers.timed(tiers.TIERS["quick"], cells)
    effort = replace(tiers.TIERS["quick"].effort, processes=processes)
    monkeypatch.setattr(child, "BYTES_A_PROCESS", 0)
    needs = sorted(estimate._job_bytes(found) for found in group.groups_of(timed))
    for at_once, most in ((1, needs[-1]), (2, sum(needs[-2:]) if processes == 1 else 2 * needs[-1])):
        monkeypatch.setattr(child, "AT_ONCE", at_once)
        assert estimate.cost(timed, timed, effort).memory_bytes == most
