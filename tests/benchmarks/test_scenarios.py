"""Scenarios, cells and the numbers counted over them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gmembench.benchmarks.cells import Cell, list_cells, load_scenarios, missing_program, why_not
from gmembench.benchmarks.matrix import SIZES
from gmembench.benchmarks.prepared import Prepared, prepare
from gmembench.benchmarks.scenario import Workload
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAM_NUMBER

SMALL = list_cells("small")
APPLICABLE = [cell for cell in SMALL if cell.reason is None]


def cell_named(name: str) -> Cell:
    """The small cell of that name."""
    return next(cell for cell in SMALL if cell.name == name)


TINY = {"gfns": 32, "range_gfns": 8, "scan_gfns": 16, "turns": 16, "ranges": 4, "buffers": 4, "laps": 2, "vcpus": 2}
"""Parameters of a guest so small that every cell can run in a test, also interpreted."""


@pytest.fixture(scope="module")
def counted() -> dict[str, dict[str, int | str]]:
    """The counted numbers of the small cells of two scenarios under the two oldest designs."""
    return {
        cell.name: prepare(cell).counted()
        for cell in APPLICABLE
        if cell.scenario.startswith(("boot", "bounce"))
        and cell.design in ("legacy-vma", "guest-memfd")
        and cell.hardware == "none"
    }


def tiny(scenario: str, design: str = "guest-memfd", hardware: str = "none") -> dict[str, int | str]:
    """The counted numbers of a cell over a guest of 32 gfns."""
    return prepare(cell_named(f"{scenario}/{design}/{hardware}/4K"), **TINY).counted()


def test_every_cell_is_applicable_or_says_why() -> None:
    """A cell has a name of its own, and one that is not applicable has a reason that names the design."""
    assert len({cell.name for cell in SMALL}) == len(SMALL)
    for cell in SMALL:
        assert cell.reason is None or cell.design in cell.reason


def test_what_is_not_applicable() -> None:
    """legacy-vma cannot convert, and huge pages mean nothing where guest-memfd has private memory only."""
    lacking = {c.name for c in SMALL if c.reason and c.hardware == "none" and c.page_size != "1G"}
    assert {name for name in lacking if name.startswith(("boot", "bounce")) and "guest-memfd/" in name} == {
        "boot-populate/guest-memfd/none/2M"
    }
    legacy = {name for name in lacking if "/legacy-vma/" in name}
    assert {f"bounce-buffer:{order}-first/legacy-vma/none/4K" for order in ("punch", "attributes")} <= legacy
    assert not any(name.startswith(("boot", "trace", "balloon", "autonuma", "teardown")) for name in legacy)


def test_scenarios_that_are_shipped() -> None:
    """Every scenario has a docstring that says what it models and why."""
    assert set(load_scenarios()) >= {
        "autonuma", "balloon", "boot-populate", "bounce-buffer", "convert-storm", "double-backing", "fragment",
        "inplace-vs-dual", "migrate", "teardown", "trace",
    }  # fmt: skip
    assert all(s.traced or "Why" in s.doc for s in load_scenarios().values())


RUNNABLE = [c for c in APPLICABLE if c.page_size == "4K" and c.scenario != "trace"]


@pytest.mark.parametrize("cell", RUNNABLE, ids=lambda cell: cell.name)
def test_every_design_runs_every_scenario_that_it_has_the_programs_for(cell: Cell) -> None:
    """A tiny guest runs to the end under every design and hardware, and whatever was left out has a reason."""
    numbers = prepare(cell, **TINY).counted()
    assert int(numbers["count.steps"]) > 0
    left_out = [key.rpartition(".")[2] for key in numbers if key.startswith("count.not_applicable.")]
    assert all(str(numbers[f"reason.not_applicable.{program}"]) for program in left_out)
    assert not any(f"count.operations.{program}" in numbers for program in left_out)


def test_a_design_without_a_needed_program_gets_no_cell() -> None:
    """Each scenario names what it cannot do without: such a cell is not applicable, with the design's own reason."""
    for cell in SMALL:
        scenario = load_scenarios()[cell.scenario.partition(":")[0]]
        design = load_designs()[cell.design]
        missing = [program for program in scenario.needs if program not in design.programs]
        if missing and cell.hardware not in design.not_on:
            assert cell.reason == f"{design.name} has no {missing[0]}: {missing_program(design, missing[0])}"


def test_hardware_that_a_design_cannot_run_on() -> None:
    """The design's own words say why, for every page size."""
    scenario, none = load_scenarios()["boot-populate"], load_hardware()["none"]
    design = replace(load_designs()["legacy-vma"], not_on={"none": "it needs more"})
    reason = why_not(scenario, {"gfns": 1 << 20}, design, none, "4K")
    assert reason == "legacy-vma does not run on none: it needs more"


@pytest.mark.parametrize(
    ("page_size", "gfns", "said"),
    [
        ("4K", 1 << 20, None),
        ("2M", 1 << 20, None),
        ("1G", 1 << 20, None),
        ("1G", 1 << 17, "the guest of 512 MiB"),
        ("1G", 0, "the guest of boot-populate"),
    ],
)
def test_page_sizes_of_a_file_with_large_folios(page_size: str, gfns: int, said: str | None) -> None:
    """Private folios of the page size make it matter also without shared memory, if the guest can hold one."""
    scenario, none = load_scenarios()["boot-populate"], load_hardware()["none"]
    sizes = ("4K", "2M", "1G")
    design = replace(load_designs()["guest-memfd"], sizes=sizes, private_sizes=sizes)
    reason = why_not(scenario, {"gfns": gfns} if gfns else {}, design, none, page_size)
    assert (reason is None) if said is None else (said in str(reason))


def test_page_sizes_that_move_nothing() -> None:
    """With 4K folios and no shared memory the page size changes nothing; a size that is not mapped is refused."""
    scenario, none = load_scenarios()["boot-populate"], load_hardware()["none"]
    design = load_designs()["guest-memfd"]
    assert "its private folios are 4K" in str(why_not(scenario, {"gfns": 1 << 20}, design, none, "2M"))
    assert why_not(scenario, {"gfns": 1 << 20}, design, none, "1G") == "guest-memfd maps no pages of 1G"


def test_punching_decides_the_peak() -> None:
    """Two copies of what is shared where nothing is punched, none held twice where it is."""
    left, punched = (tiny(f"double-backing:{variant}") for variant in ("no-punch", "punch"))
    assert (left["count.double_backed_pages_peak"], left["count.backing_pages_peak"]) == (8, 40)
    assert (punched["count.double_backed_pages_peak"], punched["count.backing_pages_peak"]) == (0, 32)


def test_a_punch_means_nothing_where_there_is_one_page() -> None:
    """A design that converts in place has no second copy to free, and is the only one that needs no copying."""
    dual = load_designs()["guest-memfd"]
    one = replace(dual, one_copy=True, one_backing=True)
    none = load_hardware()["none"]
    for name, variant, fits in (("double-backing", "punch", dual), ("inplace-vs-dual", "in-place", one)):
        scenario = load_scenarios()[name]
        parameters = scenario.parameters("small", variant, None)
        found = {design.one_copy: why_not(scenario, parameters, design, none, "4K") for design in (dual, one)}
        assert found[fits.one_copy] is None
        assert found[not fits.one_copy] is not None


def test_copying_costs_accesses() -> None:
    """Each page that is lent costs four accesses by the guest if it is copied, and one if it is converted."""
    scenario = load_scenarios()["inplace-vs-dual"]
    found = {}
    for variant in scenario.variants:
        work = scenario.build({**scenario.parameters("small", variant, None), **TINY}).operations
        first_touch = 32  # of 4 buffers
        found[variant] = (
            int((work["program"] == PROGRAM_NUMBER["access"]).sum()) - first_touch,
            int((work["program"] == PROGRAM_NUMBER["host_access"]).sum()),
            int((work["program"] == PROGRAM_NUMBER["convert"]).sum()),
        )
    lent = 4 * 2 * 8
    assert found == {
        "copy": (4 * lent, 2 * lent, 17),
        "pool": (4 * lent, 2 * lent, 2),
        "in-place": (lent, 2 * lent, 17),
    }


def test_a_balloon_returns_its_memory() -> None:
    """The curve of backing falls to half of the guest and rises again, lap by lap."""
    curve = json.loads(str(tiny("balloon")["profile.backing"]))
    pages = curve["private_pages"]
    full = [i for i, n in enumerate(pages) if n == 32]
    assert min(pages[full[0] :]) == 16
    assert pages[-1] == 32


def test_a_scan_costs_a_fault_for_each_page() -> None:
    """Each of two laps scans and touches all 32 gfns again."""
    numbers = tiny("autonuma")
    assert numbers["count.operations.numa_zap"] == 4
    assert numbers["count.faults"] == 32 * 3


def test_what_is_left_behind_is_counted() -> None:
    """In the end every page of the tiny guest is mapped by an entry of its own; after a teardown none is."""
    kept, gone = (tiny(name) for name in ("boot-populate", "teardown"))
    assert [kept[f"count.mappings_{size}"] for size in ("4k", "2m", "1g")] == [32, 0, 0]
    assert [gone[f"count.mappings_{size}"] for size in ("4k", "2m", "1g")] == [0, 0, 0]
    for name in ("warns", "pinned_pages", "conversions_refused"):
        assert kept[f"count.{name}"] == 0


def test_a_fragmented_region_becomes_huge_again() -> None:
    """After the page has come back, the shared side of both regions is mapped as a whole."""
    cell = cell_named("fragment:shared/guest-memfd/none/2M")
    numbers = prepare(cell, gfns=1024, vcpus=2).counted()
    assert numbers["count.mappings_2m"] == 2


def test_a_storm_converts_ranges_of_four_sizes() -> None:
    """Ranges of 1, 1, 1 and 8 gfns (of a region of 8) go to shared and back; nothing leaves its vCPU's part."""
    scenario = load_scenarios()["convert-storm"]
    work = scenario.build({**scenario.parameters("small", "", None), **TINY}).operations
    storm = work[work["program"] == PROGRAM_NUMBER["convert"]][1:]
    assert sorted(storm["count"].tolist()) == [1] * 24 + [8] * 8
    assert (storm["gfn"] // 16 == storm["actor"] - 2).all()


def test_migration_goes_to_the_other_node() -> None:
    """In the first lap each range goes to the node that did not touch it, in the second it goes back."""
    scenario = load_scenarios()["migrate"]
    work = scenario.build({**scenario.parameters("small", "private", None), **TINY})
    moves = work.operations[work.operations["program"] == PROGRAM_NUMBER["migrate"]]
    assert work.nodes == 2
    assert moves["slot"].tolist() == [1, 0, 1, 0, 0, 1, 0, 1]


VARIANTS = [(scenario, variant) for scenario in load_scenarios().values() for variant in scenario.variants]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda param: f"{param[0].name}:{param[1]}")
def sizes(request: pytest.FixtureRequest) -> tuple[bool, list[Workload]]:
    """Whether it runs a trace, and the operations of a variant in its sizes, the smallest first."""
    scenario, variant = request.param
    return scenario.traced, [scenario.build(scenario.parameters(size, variant, None)) for size in SIZES]


def test_a_scenario_stays_inside_its_guest(sizes: tuple[bool, list[Workload]]) -> None:
    """Operations name actors and gfns that the world has, in each size."""
    for work in sizes[1]:
        assert (work.operations["count"] >= 1).all()
        assert work.operations["gfn"].min() >= 0
        assert (work.operations["gfn"] + work.operations["count"]).max() <= work.gfns
        assert work.operations["actor"].max() < work.vcpus + work.host_actors


def test_a_larger_size_has_more_operations(sizes: tuple[bool, list[Workload]]) -> None:
    """More than a smaller one; a trace that is shorter than all sizes has as many."""
    traced, works = sizes
    counts = [len(work.operations) for work in works]
    assert counts == sorted(counts)
    assert traced or len(set(counts)) == len(counts)


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
    assert "boot-populate/one-precheck/none/4K" in found
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
    assert {cell.design for cell in cells} == set(load_designs())
    assert prepare(next(cell for cell in cells if cell.reason is None), [tmp_path]).counted()["count.operations"] == 8


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
