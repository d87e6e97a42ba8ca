"""Cells: scenario (with its settings) x design x hardware x page size, and what makes one not applicable."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from gmembench.benchmarks import axes
from gmembench.benchmarks import scenarios as scenario_folder
from gmembench.benchmarks.scenario import Parameters, Scenario
from gmembench.core.catalog import collect, load_designs, load_hardware, modules
from gmembench.core.programs import Design, Hardware

PAGE_SIZES = {"4K": 0, "2M": 9, "1G": 18}
"""Name -> order of the pages behind the VMA (2M at most) and, where the design has them, of the file's folios."""


@dataclass(frozen=True)
class Cell:
    """One cell. `size` is "small", "medium" or "full"; `reason` says why it is not applicable, None if it is."""

    scenario: str
    design: str
    hardware: str
    page_size: str
    size: str
    reason: str | None = None

    @property
    def name(self) -> str:
        """`scenario/design/hardware/page size`."""
        return f"{self.scenario}/{self.design}/{self.hardware}/{self.page_size}"

    @property
    def rows(self) -> str:
        """Name of the table of rows that it shares with all cells of its design and hardware; "" if a plan edits it."""
        shares = "inject" not in dict(axes.split(self.scenario)[2])
        return f"rows.{self.design}/{self.hardware}" if shares else ""

    @property
    def group(self) -> str:
        """What it has in common with the cells that differ from it in the design only."""
        return f"{self.scenario}/{self.hardware}/{self.page_size}"


def load_scenarios(paths: Sequence[Path] = ()) -> dict[str, Scenario]:
    """All scenarios by name. Raises UserError for a file outside the package that is no scenario."""
    folder = Path(scenario_folder.__file__).resolve().parent
    return collect(modules("gmembench.benchmarks.scenarios", folder, "scenarios", paths), "SCENARIO", Scenario)


def missing_program(design: Design, program: str) -> str | None:
    """Why a design has no such operation; None if it has."""
    if program in design.programs:
        return None
    return design.not_applicable.get(program, f"no program of {design.name} does this")


def why_not(
    scenario: Scenario, parameters: Parameters, design: Design, hardware: Hardware, page_size: str
) -> str | None:
    """Why a variant of a scenario says nothing about a design on a hardware at a page size; None if it does."""
    if hardware.name in design.not_on:
        return f"{design.name} does not run on {hardware.name}: {design.not_on[hardware.name]}"
    for program in scenario.needs:
        reason = missing_program(design, program)
        if reason is not None:
            return f"{design.name} has no {program}: {reason}"
    return scenario.unfit(design, parameters) or _wrong_size(scenario, parameters, design, page_size)


def _wrong_size(scenario: Scenario, parameters: Parameters, design: Design, page_size: str) -> str | None:
    if page_size not in design.sizes:
        return f"{design.name} maps no pages of {page_size}"
    guest_gfns = 0 if scenario.traced else scenario.guest_gfns(parameters)
    if page_size == "1G" and guest_gfns < 1 << PAGE_SIZES["1G"]:
        size = f"of {guest_gfns >> 8} MiB " if guest_gfns else ""
        return (
            f"the guest {size}of {scenario.name} need not hold a page of 1G that {design.name} could map:"
            " take a larger one by --axis guest=1G, or the sizes of --full"
        )
    shared_memory = parameters.get("shared_memory", scenario.shared_memory)
    if page_size == "4K" or not design.file or page_size in design.private_sizes or shared_memory:
        return None
    return (
        f"the page size moves the shared side of {design.name} only, its private folios are"
        f" {' or '.join(design.private_sizes)}, and {scenario.name} is about private memory here"
    )


def parameters_of(scenario: Scenario, size: str, variant: str, settings: axes.Settings, trace: Path | None) -> Any:
    """The parameters of a variant, with those that settings change."""
    parameters = scenario.parameters(size, variant, trace)
    return {**parameters, **axes.changes_of(scenario, settings, parameters)}


def list_cells(
    size: str, paths: Sequence[Path] = (), trace: Path | None = None, settings: Sequence[axes.Settings] = ((),)
) -> list[Cell]:
    """All cells of a size in a fixed order, those that are not applicable included. `trace` changes no cell's name.

    With `settings`, those of all scenarios with each of them; settings that a scenario has anyway change no name.
    """
    designs, hardware = load_designs(paths), load_hardware(paths)
    made: dict[str, Cell] = {}
    for _, scenario in sorted(load_scenarios(paths).items()):
        for variant, chosen in product(scenario.variants, settings):
            placed = axes.placed(scenario, variant, chosen, scenario.parameters(size, variant, None))
            if placed is None:
                continue
            _, at, left = axes.split(placed)
            parameters = parameters_of(scenario, size, at, left, None)
            for design in sorted(designs.values(), key=lambda d: d.name):
                for kind, page in product(sorted(hardware), PAGE_SIZES):
                    reason = why_not(scenario, parameters, design, hardware[kind], page)
                    reason = reason or axes.why_not_settings(scenario, left, parameters, design, hardware[kind])
                    cell = Cell(placed, design.name, kind, page, scenario.size_for(size), reason)
                    made.setdefault(cell.name, cell)
    return list(made.values())


def cell_named(name: str, size: str) -> Cell:
    """An applicable cell, by its name: whoever gives the name has it from `list_cells`."""
    scenario, design, hardware, page_size = name.rsplit("/", 3)
    return Cell(scenario, design, hardware, page_size, size)
