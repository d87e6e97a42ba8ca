"""Scenarios, cells and the numbers counted over them."""

import json
from pathlib import Path

import numpy as np
import pytest

from gmembench.benchmarks.cells import Cell, list_cells, load_scenarios
from gmembench.benchmarks.prepared import Prepared, prepare
from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAM_NUMBER

SMALL = list_cells("small")
APPLICABLE = [cell for cell in SMALL if cell.reason is None]


def cell_named(name: str) -> Cell:
    """The small cell of that name."""
    return next(cell for cell in SMALL if cell.name == name)


@pytest.fixture(scope="module")
def counted() -> dict[str, dict[str, int | str]]:
    """The counted numbers of every small cell that is no trace; the trace's are in the conformance tests."""
    return {cell.name: prepare(cell).counted() for cell in APPLICABLE if cell.scenario != "trace"}


def test_every_cell_is_applicable_or_says_why() -> None:
    """A cell that is not applicable has a reason that names the design."""
    assert len(SMALL) == 16
    assert len({cell.name for cell in SMALL}) == 16
    for cell in SMALL:
        assert cell.reason is None or cell.design in cell.reason


def test_what_is_not_applicable() -> None:
    """legacy-vma cannot convert, and huge pages mean nothing where guest-memfd has private memory only."""
    assert sorted(cell.name for cell in SMALL if cell.reason) == [
        "boot-populate/guest-memfd/none/2M",
        "bounce-buffer:attributes-first/legacy-vma/none/2M",
        "bounce-buffer:attributes-first/legacy-vma/none/4K",
        "bounce-buffer:punch-first/legacy-vma/none/2M",
        "bounce-buffer:punch-first/legacy-vma/none/4K",
    ]


@pytest.mark.parametrize("name", sorted(load_scenarios()))
@pytest.mark.parametrize("size", ["small", "full"])
def test_a_scenario_stays_inside_its_guest(name: str, size: str) -> None:
    """Operations name actors and gfns that the world has, in both sizes."""
    scenario = load_scenarios()[name]
    for variant in scenario.variants:
        work = scenario.build(scenario.parameters(size, variant, None))
        assert (work.operations["count"] >= 1).all()
        assert work.operations["gfn"].min() >= 0
        assert (work.operations["gfn"] + work.operations["count"]).max() <= work.gfns
        assert work.operations["actor"].max() < work.vcpus + work.host_actors


def test_the_sizes_differ() -> None:
    """The full size has more operations, or at least as many where a trace is short."""
    for scenario in load_scenarios().values():
        variant = next(iter(scenario.variants))
        small, full = (len(scenario.build(scenario.parameters(s, variant, None)).operations) for s in ("small", "full"))
        assert small < full or (scenario.traced and small == full)


def test_the_punch_order_is_the_only_difference_of_bounce_buffer_variants() -> None:
    """Both variants hold the same operations; only punch and conversion to shared change places."""
    scenario = load_scenarios()["bounce-buffer"]
    first, second = (scenario.build(scenario.parameters("small", v, None)).operations for v in scenario.variants)
    assert sorted(first.tolist()) == sorted(second.tolist())
    differing = np.flatnonzero(first != second)
    assert set(first["program"][differing]) == {PROGRAM_NUMBER["punch"], PROGRAM_NUMBER["convert"]}


def test_boot_touches_every_page_once(counted: dict[str, dict[str, int | str]]) -> None:
    """Each of the 65,536 gfns faults once, and all of the guest is backed by private pages."""
    numbers = counted["boot-populate/guest-memfd/none/4K"]
    assert numbers["count.faults"] == numbers["count.operations.access"] == 65_536
    assert numbers["count.private_pages_peak"] == numbers["count.zeroed_pages"] == 65_536
    assert numbers["count.shared_pages_peak"] == numbers["count.retries"] == 0


def test_huge_pages_save_faults(counted: dict[str, dict[str, int | str]]) -> None:
    """With 2M pages a region of 512 gfns faults once."""
    assert counted["boot-populate/legacy-vma/none/2M"]["count.faults"] == 65_536 // 512


def test_a_ring_that_keeps_its_shared_pages_is_backed_twice(counted: dict[str, dict[str, int | str]]) -> None:
    """After a lap every range has been shared and is private again: all of the guest is held twice."""
    for name, numbers in counted.items():
        if name.startswith("bounce-buffer"):
            assert numbers["count.double_backed_pages_peak"] == numbers["count.gfns"]


def test_operations_that_a_design_lacks_are_counted_with_the_reason(counted: dict[str, dict[str, int | str]]) -> None:
    """legacy-vma leaves out the conversion of the boot, says so, and counts no conversion."""
    numbers = counted["boot-populate/legacy-vma/none/4K"]
    assert numbers["count.not_applicable.convert"] == 1
    assert "shared" in str(numbers["reason.not_applicable.convert"])
    assert "count.operations.convert" not in numbers


def test_counters_add_up(counted: dict[str, dict[str, int | str]]) -> None:
    """Steps of the programs, and hits of the rows, sum to all steps; results sum to all operations."""
    for numbers in counted.values():
        rows = json.loads(str(numbers["profile.rows"]))
        by_program = sum(int(v) for k, v in numbers.items() if k.startswith("count.steps."))
        results = sum(int(v) for k, v in numbers.items() if k.startswith("count.result."))
        assert numbers["count.steps"] == by_program == sum(row["hits"] for row in rows)
        assert numbers["count.operations"] == results


def test_the_curve_of_backing_ends_at_the_last_operation(counted: dict[str, dict[str, int | str]]) -> None:
    """The curve has at most 241 points, begins at nothing, and never exceeds the peaks."""
    for numbers in counted.values():
        curve = json.loads(str(numbers["profile.backing"]))
        assert len(curve["operation"]) <= 241
        assert curve["operation"][-1] == numbers["count.operations"]
        for name in ("private_pages", "shared_pages", "double_backed_pages"):
            assert curve[name][0] == 0
            assert max(curve[name]) <= int(numbers[f"count.{name}_peak"])


def test_a_timed_pass_runs_the_counted_steps() -> None:
    """The run that is timed does the same work as the run that is counted."""
    prepared: Prepared = prepare(cell_named("bounce-buffer:punch-first/guest-memfd/none/4K"))
    driver = prepared.fresh()
    driver.run(prepared.work)
    assert int(driver.hits.sum()) == prepared.counted()["count.steps"]
    assert prepared.time(1) > 0


def write_design(folder: Path, name: str, text: str) -> None:
    """A design file in a folder of parts."""
    (folder / "designs").mkdir(exist_ok=True)
    (folder / "designs" / name).write_text(text)


IMPORT = "from gmembench.core.designs.guest_memfd import ACCESS, DESIGN as BASE\n"

EDITED = f"{IMPORT}DESIGN = BASE.edited('one-precheck', access=ACCESS.without('fault.precheck_stale_2'))\n"


def test_a_design_from_outside_is_one_file(tmp_path: Path) -> None:
    """It is found by its folder, gets cells like any other, and takes one step a fault less."""
    write_design(tmp_path, "one_precheck.py", EDITED)
    found = {cell.name: cell for cell in list_cells("small", [tmp_path])}
    assert len(found) == 24
    cells = [found[f"boot-populate/{design}/none/4K"] for design in ("guest-memfd", "one-precheck")]
    full, less = (int(prepare(cell, [tmp_path]).counted()["count.fault_steps"]) for cell in cells)
    assert full - less == 65_536


SCENARIO = """
from gmembench.benchmarks.scenario import Scenario, Workload, operations
def build(parameters):
    return Workload(operations("access", range(8)), 8, ((0, 8),), 1, 1)
SCENARIO = Scenario("eight-pages", "Eight pages.", {"small": {}, "full": {}}, build)
"""


def test_a_scenario_from_outside_is_one_file(tmp_path: Path) -> None:
    """It is found by its folder and runs for every design."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "eight_pages.py").write_text(SCENARIO)
    cells = [cell for cell in list_cells("small", [tmp_path]) if cell.scenario == "eight-pages"]
    assert len(cells) == 4
    assert prepare(cells[0], [tmp_path]).counted()["count.operations"] == 8


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken.py", "import nowhere_at_all", "does not import: ModuleNotFoundError"),
        ("empty.py", "", "defines no DESIGN"),
        ("other_name.py", EDITED, "DESIGN is called 'one-precheck'"),
        (
            "bad_row.py",
            f"{IMPORT}DESIGN = BASE.edited('bad-row', access=ACCESS.redirected('fault.check_slot', 'mmio', 'L_no'))",
            "L_no",
        ),
        (
            "bad_edit.py",
            f"{IMPORT}DESIGN = BASE.edited('bad-edit', access=ACCESS.without('fault.no_such_row'))",
            "no row or phase 'fault.no_such_row'",
        ),
    ],
)
def test_a_file_that_is_no_design_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    """The error says which file, what is wrong, and how to mend it."""
    write_design(tmp_path, name, text)
    with pytest.raises(UserError) as error:
        list_cells("small", [tmp_path])
    assert said in str(error.value)


def test_a_folder_without_parts_is_refused(tmp_path: Path) -> None:
    """--path of a folder that holds nothing is a mistake, not an empty answer."""
    with pytest.raises(UserError, match="holds no parts"):
        list_cells("small", [tmp_path])


@pytest.mark.parametrize(
    ("program", "gfn", "actor", "said"),
    [
        ("access", 8, 0, "leaves the guest's 8 gfns"),
        ("access", -1, 0, "leaves the guest's 8 gfns"),
        ("access", 0, 9, "an actor that is none of 2"),
        ("access", 0, 1, "a host actor in a vCPU's program"),
        ("host_access", 0, 0, "a vCPU in a host actor's program"),
    ],
)
def test_operations_that_would_leave_the_world_are_refused(
    tmp_path: Path, program: str, gfn: int, actor: int, said: str
) -> None:
    """Compiled steps check no bounds, so a scenario's operations are checked before they run."""
    (tmp_path / "scenarios").mkdir()
    made = f'operations("{program}", {gfn}, actor={actor})'
    text = SCENARIO.replace('operations("access", range(8))', made)
    (tmp_path / "scenarios" / "eight_pages.py").write_text(text)
    cell = next(c for c in list_cells("small", [tmp_path]) if c.scenario == "eight-pages" and c.reason is None)
    with pytest.raises(UserError, match=said):
        prepare(cell, [tmp_path])
