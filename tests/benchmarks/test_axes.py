"""Axes: what settings do to operations, what they are called, and why some cannot be."""

from dataclasses import replace

import numpy as np
import pytest

from gmembench.benchmarks import axes
from gmembench.benchmarks.cells import Cell, cell_named, list_cells, load_scenarios
from gmembench.benchmarks.prepared import prepare
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAM_NUMBER

TINY = {"gfns": 32, "range_gfns": 8, "scan_gfns": 16, "turns": 16, "ranges": 4, "buffers": 4, "laps": 2, "vcpus": 2}


def cells(*texts: str) -> dict[str, Cell]:
    """All small cells with settings, by name."""
    settings = axes.combinations(axes.parse_option(texts))
    return {cell.name: cell for cell in list_cells("small", settings=settings)}


def programs(name: str, **changes: int) -> list[str]:
    """The programs of a cell's operations but accesses, in order, without the boot."""
    work = prepare(cell_named(name, "small"), **{**TINY, **changes}).work
    names = {number: program for program, number in PROGRAM_NUMBER.items()}
    found = [(names[int(op["program"])], int(op["count"])) for op in work]
    return [f"{program} {count}" for program, count in found if program in ("convert", "punch")]


@pytest.mark.parametrize(
    ("punch", "turn"),
    [
        ("none", ["convert 4", "convert 4"]),
        ("eager-before", ["punch 4", "convert 4", "punch 4", "convert 4"]),
        ("eager-after", ["convert 4", "punch 4", "convert 4", "punch 4"]),
        ("batched-before", ["punch 8", "convert 4", "convert 4"]),
        ("batched-after", ["convert 4", "convert 4", "punch 8"]),
    ],
)
def test_policies_of_punching(punch: str, turn: list[str]) -> None:
    """A range of 8 gfns is shared in two conversions of 4, and its private pages are freed as the policy says."""
    variant = {"eager-before": ":punch-first", "eager-after": ":attributes-first"}.get(punch, "")
    setting = "" if variant else f",punch={punch}"
    found = programs(f"bounce-buffer{variant}@conversion=16K{setting}/guest-memfd/none/4K")
    boot = ["convert 8"] * 4
    assert found[: len(boot) + len(turn) + 2] == [*boot, *turn, "convert 4", "convert 4"]


def test_settings_that_a_scenario_has_anyway_change_no_name() -> None:
    """The guest size, vCPUs and policy that a scenario has are its own cells, and no others."""
    found = cells("guest=32M,64M", "punch=eager-before")
    names = {name for name in found if name.startswith("bounce-buffer") and name.endswith("/guest-memfd/none/4K")}
    assert names == {
        "bounce-buffer:punch-first/guest-memfd/none/4K",
        "bounce-buffer:punch-first@guest=64M/guest-memfd/none/4K",
    }


@pytest.mark.parametrize("guest", ["16M", "64M", "256M"])
def test_a_guest_has_the_size_that_was_asked_for(guest: str) -> None:
    """In every scenario that has such an axis; its metadata say so."""
    found = {name: cell for name, cell in cells(f"guest={guest}").items() if cell.reason is None}
    scenarios = set()
    for name, scenario in load_scenarios().items():
        chosen = [c for c in found.values() if axes.split(c.scenario)[0] == name and c.page_size == "4K"]
        for cell in chosen[:1]:
            _, variant, settings = axes.split(cell.scenario)
            own = scenario.parameters("small", variant, None)
            changed = {**own, **axes.changes_of(scenario, settings, own)}
            assert scenario.guest_gfns(changed) == axes.gfns_of(guest)
            scenarios.add(name)
    assert scenarios == set(load_scenarios()) - {"trace"}


def test_vcpus_take_part() -> None:
    """Every vCPU of eight touches memory."""
    work = prepare(cell_named("boot-populate@vcpus=8/guest-memfd/none/4K", "small"), gfns=64, range_gfns=4).work
    assert set(np.unique(work["actor"][work["program"] == PROGRAM_NUMBER["access"]])) == set(range(8))


@pytest.mark.parametrize("design", ["legacy-vma", "vma-encrypted"])
@pytest.mark.parametrize(("numa", "nodes"), [("first-touch", {0, 1}), ("interleave", {0, 1}), ("bind-0", {0})])
def test_policies_of_numa(numa: str, nodes: set[int], design: str) -> None:
    """Pages lie where their mapping's policy says, an encrypted file's too: in turn, on a node, or where touched."""
    cell = f"boot-populate@numa={numa}/{design}/none/4K"
    assert cells(f"numa={numa}")[cell].reason is None
    made = prepare(cell_named(cell, "small"), gfns=32, range_gfns=4)
    made.time(1)
    assert made.last is not None
    pages = made.last.world.arrays["pages"]
    backing = pages[pages["state"] != 0]["node"]
    assert set(backing.tolist()) == nodes
    if numa == "interleave":
        assert abs(int((backing == 0).sum()) - int((backing == 1).sum())) <= 1


def test_an_event_is_injected() -> None:
    """64 scans by an actor of their own; the guest faults more often than without, and does all that it did."""
    plain, scanned = (
        prepare(cell_named(f"boot-populate{setting}/legacy-vma/none/4K", "small"), **TINY).counted()
        for setting in ("", "@inject=numa_zap")
    )
    assert scanned["count.operations.numa_zap"] == 64
    assert scanned["count.operations.access"] == plain["count.operations.access"]
    assert (scanned["cell.inject"], plain["cell.inject"]) == ("numa_zap", "none")


def test_a_plan_edits_the_design() -> None:
    """A published bug takes a row from a program, so a fault has a step less."""
    name = "A05-fault-no-recheck-under-mmu-lock"
    found = cells(f"inject={name}")
    (chosen,) = [
        c for c in found.values() if c.reason is None and c.scenario.startswith("boot") and c.page_size == "4K"
    ]
    plain = chosen.name.replace(f"@inject={name}", "")
    steps = [int(prepare(cell_named(n, "small"), **TINY).counted()["count.fault_steps"]) for n in (plain, chosen.name)]
    assert steps[0] - steps[1] == 32


@pytest.mark.parametrize(
    ("setting", "cell", "said"),
    [
        ("engine=live", "boot-populate@engine=live/guest-memfd/none/4K", "live engine"),
        ("guest=1G", "trace@guest=1G/guest-memfd/none/4K", "a trace says"),
        ("vcpus=3", "migrate:private@vcpus=3/guest-memfd/none/4K", "even number"),
        ("vcpus=64", "convert-storm@vcpus=64/guest-memfd/none/4K", "need a region each"),
        ("conversion=4K", "boot-populate@conversion=4K/legacy-vma/none/4K", "no conversion"),
        ("conversion=4M", "bounce-buffer:punch-first@conversion=4M/guest-memfd/none/4K", "is more"),
        ("conversion=2M", "fragment:private@conversion=2M/guest-memfd/none/4K", "less than 2M"),
        ("punch=none", "balloon@punch=none/guest-memfd/none/4K", None),
        ("punch=eager-after", "balloon@punch=eager-after/guest-memfd/none/4K", "what a balloon does"),
        ("punch=eager-after", "teardown@punch=eager-after/guest-memfd-inplace/none/4K", "free the page in use"),
        ("punch=batched-after", "bounce-buffer@punch=batched-after/guest-memfd/none/4K", "set conversion"),
        ("punch=batched-after", "convert-storm@punch=batched-after/guest-memfd/none/4K", "far apart"),
        ("punch=eager-before", "inplace-vs-dual:pool@punch=eager-before/guest-memfd/none/4K", "shared once"),
        ("numa=bind-0", "boot-populate@numa=bind-0/guest-memfd/none/4K", "nobody maps"),
        ("numa=one", "autonuma@numa=one/guest-memfd/none/4K", "two nodes"),
        ("inject=preempt", "boot-populate@inject=preempt/guest-memfd/none/4K", "gmembench explore does"),
        ("inject=close_fd", "boot-populate@inject=close_fd/guest-memfd/none/4K", "ends what the rest"),
    ],
)
def test_what_cannot_be_said_has_a_reason(setting: str, cell: str, said: str | None) -> None:
    """Nothing is left out silently: the cell is there, with a reason in words that names the design."""
    found = cells(setting)
    if said is None:
        assert cell not in found  # it is what the scenario does anyway
        return
    reason = found[cell].reason or ""
    assert said in reason
    if setting != "vcpus=1":
        assert found[cell].design in reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vcpus", "no axis and values"),
        ("cpus=1", "no axis 'cpus'"),
        ("vcpus=0", "no value of vcpus"),
        ("guest=3M", "power of two"),
        ("guest=4K", "at least 16M"),
        ("punch=later", "choose one of none, eager-before"),
    ],
)
def test_a_mistake_names_the_option(text: str, said: str) -> None:
    """What, where and the mend."""
    with pytest.raises(UserError, match=said) as error:
        axes.parse_option([text])
    assert error.value.where == f"--axis {text}"


@pytest.mark.parametrize(("text", "gfns"), [("4K", 1), ("64K", 16), ("2M", 512), ("1G", 1 << 18), ("6K", 0), ("x", 0)])
def test_sizes(text: str, gfns: int) -> None:
    """Sizes are powers of two of 4K at least."""
    assert axes.gfns_of(text) == gfns


def test_a_name_can_be_taken_apart() -> None:
    """Scenario, variant and settings; and put together again."""
    name, variant, settings = axes.split("bounce-buffer:punch-first@guest=64M,vcpus=8")
    assert (name, variant, settings) == ("bounce-buffer", "punch-first", (("guest", "64M"), ("vcpus", "8")))
    assert axes.text_of(settings) == "@guest=64M,vcpus=8"
    assert axes.split("trace") == ("trace", "", ())


def test_a_policy_under_a_design_without_accesses() -> None:
    """A design need not have the program access; its file is then one that nobody maps."""
    base = load_designs()["vma-encrypted"]
    design = replace(base, programs={name: rows for name, rows in base.programs.items() if name != "access"})
    scenario = load_scenarios()["boot-populate"]
    found = [
        axes.why_not_settings(scenario, (("numa", "bind-0"),), {}, one, load_hardware()["none"])
        for one in (base, design)
    ]
    assert found[0] is None
    assert "nobody maps" in str(found[1])
