"""Tiers: what a run counts and times without a selection."""

from itertools import product

import pytest

from gmembench.benchmarks import group
from gmembench.benchmarks.cells import PAGE_SIZES, Cell, list_cells, load_scenarios
from gmembench.benchmarks.tiers import TIERS, cells_of, counted, timed

SCENARIOS = (
    "boot-populate",
    "bounce-buffer:punch-first",
    "bounce-buffer:attributes-first",
    "trace",
    "teardown",
    "mine",
)
DESIGNS = ("guest-memfd", "legacy-vma", "fd-private", "my-own")
HARDWARE = ("none", "snp", "tdx")
MATRIX = [
    Cell(scenario, design, hardware, page_size, "small")
    for scenario, design, hardware, page_size in product(SCENARIOS, DESIGNS, HARDWARE, PAGE_SIZES)
]


def test_a_quick_run_shows_every_scenario_design_and_hardware() -> None:
    """Each is counted somewhere; hardware is all with 4K pages, and nothing runs with 1G pages in a small guest."""
    cells = counted(TIERS["quick"], MATRIX)
    assert {cell.scenario for cell in cells} == set(SCENARIOS)
    assert {(cell.design, cell.hardware) for cell in cells} == set(product(DESIGNS, HARDWARE))
    assert {cell.page_size for cell in cells if cell.hardware != "none"} == {"4K"}
    assert {cell.page_size for cell in cells} == {"4K", "2M"}
    assert len(cells) < len(MATRIX) / 3


@pytest.mark.parametrize("tier", ["quick", "standard"])
def test_what_is_timed_is_counted(tier: str) -> None:
    """Times are of counted cells on hardware none with 4K pages."""
    cells = counted(TIERS[tier], MATRIX)
    found = timed(TIERS[tier], cells)
    assert {(cell.hardware, cell.page_size) for cell in found} == {("none", "4K")}
    assert {cell.design for cell in found} == set(DESIGNS)


def test_standard_times_every_scenario() -> None:
    """Each scenario has a variant that is timed."""
    cells = timed(TIERS["standard"], [cell for cell in list_cells("medium") if cell.reason is None])
    assert {cell.scenario.partition(":")[0] for cell in cells} == set(load_scenarios())


def test_standard_counts_every_scenario_on_every_hardware() -> None:
    """Whatever scenario a design can run on a hardware with 4K pages is counted there, in one variant at least."""

    def places(cells: list[Cell]) -> set[tuple[str, str, str]]:
        found = (cell for cell in cells if cell.reason is None and cell.page_size == "4K")
        return {(cell.scenario.partition(":")[0], cell.design, cell.hardware) for cell in found}

    cells = list_cells("medium")
    assert places(counted(TIERS["standard"], cells)) == places(cells)


def test_standard_counts_pages_of_each_size() -> None:
    """Pages of 1G too, in a guest that can hold one."""
    cells = [cell for cell in cells_of(TIERS["standard"], (), None) if cell.reason is None]
    assert {cell.page_size for cell in cells} == {"4K", "2M", "1G"}


def test_a_full_run_leaves_nothing_out() -> None:
    """Every cell is counted and timed."""
    assert counted(TIERS["full"], MATRIX) == timed(TIERS["full"], MATRIX) == MATRIX


def test_a_quick_run_times_what_it_can_afford() -> None:
    """The groups that are timed get their full number of processes, 24 at most in all."""
    cells = [cell for cell in list_cells("small") if cell.reason is None]
    effort = TIERS["quick"].effort
    found = group.share(group.groups_of(timed(TIERS["quick"], counted(TIERS["quick"], cells))), effort.processes, 24)
    assert effort.in_all == 24
    assert sum(found.values()) <= 24
    assert set(found.values()) == {effort.processes}


def test_sizes() -> None:
    """The quick tier and the counting of all cells run small scenarios; standard runs long passes, full longer ones."""
    sizes = {"quick": "small", "all": "small", "standard": "medium", "full": "full"}
    assert {name: tier.size for name, tier in TIERS.items()} == sizes


def test_counting_alone_leaves_no_cell_out() -> None:
    """Every cell that can run in its small size, and the sweeps of the standard run but for larger guests; no times."""
    cells = cells_of(TIERS["all"], (), None)
    names = {cell.name for cell in cells}
    assert {cell.name for cell in list_cells("small")} < names
    swept = {cell.name for cell in cells_of(TIERS["standard"], (), None) if "@" in cell.scenario}
    swept = {name for name in swept if "@guest=" not in name}
    assert swept == {name for name in names if "@" in name}
    assert timed(TIERS["all"], cells) == []
