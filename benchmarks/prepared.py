"""A cell made ready to run: its world, its code and its operations; counting it and timing it."""

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gmembench.benchmarks import axes
from gmembench.benchmarks.cells import Cell, load_scenarios, missing_program, parameters_of
from gmembench.benchmarks.child import ChildFailed
from gmembench.benchmarks.counting import all_counts, row_profile
from gmembench.benchmarks.scenario import NONE, Scenario, Workload
from gmembench.benchmarks.scenarios.trace import SHIPPED, events_of
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.conformance.design_model import check_design
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAMS, check_operations
from gmembench.core.programs import Code, Design, Hardware, assemble
from gmembench.core.world import Geometry, World

Fixed = tuple[tuple[str, int | str], ...]
"""Parameters that can be a key."""

ORDERS = {"4K": 0, "2M": 1, "1G": 2}
"""Page size -> by how many levels of tables it is larger than 4K."""

POINTS = 240
"""Points of the curve of backing over the run."""


def pages_of(workload: Workload, design: Design) -> int:
    """Host pages of a workload that needs some to spare, else 0, which is just enough."""
    if workload.spare_gfns < 0:
        raise UserError(f"{workload.spare_gfns} spare gfns", "world geometry", "choose 0 or more")
    if workload.spare_gfns == 0:
        return 0
    copies = 2 if design.file and not design.one_backing else 1
    return copies * workload.gfns + workload.spare_gfns


def geometry_of(workload: Workload, design: Design, hardware: Hardware, page_size: str) -> Geometry:
    """The world that a workload needs under a design.

    The page size moves the shared side, and the folios of the file where they can have it.
    """
    shift = workload.region_gfns.bit_length() - 1
    order = ORDERS[page_size] * shift
    return Geometry(
        gfns=workload.gfns,
        vcpus=workload.vcpus,
        host_actors=workload.host_actors,
        slots=workload.slots,
        file=design.file,
        nodes=workload.nodes,
        policy=workload.policy,
        pages=pages_of(workload, design),
        shared_order=min(order, shift),
        region_gfns=workload.region_gfns,
        private_order=order if page_size in design.private_sizes else 0,
        separate_roots=hardware.separate_roots,
        hardware=hardware.number,
        sept=hardware.sept,
        fresh_junk=hardware.fresh_content == "junk",
        one_backing=design.one_backing,
        one_copy=design.one_copy,
        gmem_only=design.gmem_only,
        init_private=design.init_private,
        private_memory=design.private_memory,
    )


@dataclass
class Prepared:
    """A cell ready to run. `left_out`: operations that the design does not have, by program.

    `about`: where it stands on the axes. `trace`: the file whose own stage-2 changes the design is checked
    against, if there is one.
    """

    parameters: dict[str, int | str]
    code: Code
    geometry: Geometry
    work: np.ndarray
    left_out: dict[str, int]
    trace: Path | None
    about: Mapping[str, Any] = field(default_factory=dict)
    last: Sequential | None = None
    """The driver of the last timed pass."""

    @property
    def operations(self) -> int:
        """Operations in one pass."""
        return len(self.work)

    def fresh(self) -> Sequential:
        """A driver over a new world whose memory has been touched: first touches of our own memory are not timed."""
        world = World(self.geometry)
        world.buffer[::4096] |= 0
        return Sequential(self.code, world)

    def time(self, loops: int) -> float:
        """Seconds that `loops` passes take, each over a fresh world that is built outside the clock."""
        seconds = 0.0
        for _ in range(loops):
            self.last = None  # its memory serves the next world
            driver = self.fresh()
            start = time.perf_counter()
            driver.run(self.work)
            seconds += time.perf_counter() - start
            self.last = driver
        return seconds

    def timed_state(self) -> str:
        """The digest of how the last timed pass ended; its world is given up."""
        if self.last is None:
            raise ValueError("nothing was timed")
        driver, self.last = self.last, None
        return state_digest(driver, all_counts(driver, self.work))

    def counted(self, *, rows: bool = True) -> dict[str, int | str]:
        """Counted numbers of one pass, as metadata of the result file; without `rows` only the hits of rows."""
        driver = Sequential(self.code, World(self.geometry))
        curve = follow_backing(driver, self.work)
        numbers = all_counts(driver, self.work)
        numbers["check.state"] = state_digest(driver, numbers)
        if rows:
            numbers["profile.rows"] = json.dumps(row_profile(driver))
        else:
            numbers["profile.hits"] = json.dumps(driver.hits.tolist(), separators=(",", ":"))
        for program, count in self.left_out.items():
            numbers[f"count.not_applicable.{program}"] = count
            numbers[f"reason.not_applicable.{program}"] = str(missing_program(self.code.design, program))
        numbers |= {"cell.parameters": json.dumps(self.parameters), **self.about}
        numbers["profile.backing"] = json.dumps(curve)
        if self.trace is not None:
            numbers["profile.conformance"] = json.dumps(self.conformance(self.trace))
        return numbers

    def conformance(self, trace: Path) -> dict[str, object]:
        """How far the design makes the leaf changes that the trace shows."""
        found = check_design(events_of(trace).events, self.code.design, self.code.hardware)
        return {"trace": trace.name, **found.to_json()}


def state_digest(driver: Sequential, numbers: Mapping[str, int | str]) -> str:
    """A digest of all memory of the world as a pass left it, of its counted numbers, and of the hits of rows."""
    made = hashlib.sha256(driver.world.buffer.data)
    made.update(driver.hits.tobytes())
    made.update(json.dumps(numbers, sort_keys=True).encode())
    return made.hexdigest()[:16]


def check_state(prepared: Prepared, untimed: str) -> None:
    """Raise ChildFailed unless the last timed pass ended as the untimed one did."""
    ended = prepared.timed_state()
    if ended != untimed:
        raise ChildFailed(
            f"the timed pass ended in another state ({ended}) than the untimed one ({untimed}): the model is not "
            "deterministic here, or the two ran different code"
        )


def follow_backing(driver: Sequential, work: np.ndarray) -> dict[str, list[int]]:
    """Run all operations, and note the backing at up to POINTS points on the way."""
    curve: dict[str, list[int]] = {
        name: [0] for name in ("operation", "private_pages", "shared_pages", "double_backed_pages")
    }
    marks = np.unique(np.linspace(0, len(work), min(POINTS, len(work) + 1)).astype(np.int64))
    for start, stop in zip(marks[:-1].tolist(), marks[1:].tolist(), strict=True):
        driver.run(work, start, stop)
        curve["operation"].append(stop)
        for name in list(curve)[1:]:
            curve[name].append(driver.world[name])
    return curve


def split_work(work: np.ndarray, design: Design) -> tuple[np.ndarray, dict[str, int]]:
    """The operations that a design has, and how many of each program it does not have."""
    numbers = [number for number, name in enumerate(PROGRAMS) if name not in design.programs]
    lacking = np.isin(work["program"], numbers)
    if not lacking.any():
        return work, {}  # shared by all designs that lack nothing
    counts = np.bincount(work["program"][lacking], minlength=len(PROGRAMS))
    return work[~lacking], {PROGRAMS[number]: int(counts[number]) for number in numbers if counts[number]}


@lru_cache(maxsize=1)
def parts(paths: tuple[Path, ...]) -> tuple[dict[str, Scenario], dict[str, Design], dict[str, Hardware]]:
    """Scenarios, designs and hardware, loaded once for all cells of a process."""
    return load_scenarios(paths), load_designs(paths), load_hardware(paths)


@cache
def assembled(design: str, hardware: str, paths: tuple[Path, ...], injected: str) -> Code:
    """The code of a design on a hardware, with the edits of a plan; all its cells in a process share it."""
    _, designs, kinds = parts(paths)
    if injected == NONE:
        return assemble(designs[design], kinds[hardware])
    from gmembench.inject import injection

    return assemble(injection.edited(injected, designs[design], paths), kinds[hardware])


def build_workload(scenario: Scenario, parameters: Mapping[str, int | str]) -> Workload:
    """The operations of a scenario. Raises UserError if its sizes are absurd."""
    try:
        return scenario.build(parameters)
    except (MemoryError, ValueError, OverflowError) as error:
        sizes = ", ".join(f"{key}={value}" for key, value in parameters.items())
        raise UserError(
            f"cannot be built with {sizes}: {error}", f"scenario {scenario.name}", "mend its sizes"
        ) from error


def comparable(cell: Cell, design: Design) -> bool:
    """Whether a cell is held against a trace: traces show 4K entries of kernels, which a proposal need not match."""
    released = re.fullmatch(r"\d\.\d+", design.kernel) is not None
    return design.private_memory and released and cell.page_size == "4K" and cell.hardware == "none"


def check_workload(scenario: str, workload: Workload) -> None:
    """Raise UserError if a workload asks for something that its guest does not have."""
    check_operations(
        workload.operations,
        f"scenario {scenario}",
        gfns=workload.gfns,
        vcpus=workload.vcpus,
        actors=workload.vcpus + workload.host_actors,
    )


@lru_cache(maxsize=1)
def workload_of(name: str, parameters: Fixed, paths: tuple[Path, ...], settings: axes.Settings) -> Workload:
    """The workload of a scenario; the last one is kept, because the cells of many designs in a row use it."""
    return with_settings(build_workload(parts(paths)[0][name], dict(parameters)), dict(settings), paths)


@lru_cache(maxsize=1)
def checked_workload(name: str, parameters: Fixed, paths: tuple[Path, ...], settings: axes.Settings) -> Workload:
    """The same, after `check_workload`, which takes as long as making it."""
    workload = workload_of(name, parameters, paths, settings)
    check_workload(name, workload)
    return workload


def with_settings(workload: Workload, chosen: Mapping[str, str], paths: Sequence[Path]) -> Workload:
    """The workload on the NUMA nodes that the settings say, with the operations of what is injected between its own."""
    if "numa" in chosen:
        nodes, policy = axes.NUMA[chosen["numa"]]
        workload = replace(workload, nodes=nodes, policy=policy)
    if chosen.get("inject", NONE) == NONE:
        return workload
    from gmembench.inject import injection  # a tenth of a second, which few processes need

    actor = workload.vcpus + workload.host_actors
    work = injection.mixed_in(chosen["inject"], workload.operations, workload.gfns, actor, paths)
    spare = workload.spare_gfns or workload.gfns  # pages may move
    return replace(workload, operations=work, host_actors=workload.host_actors + 1, spare_gfns=spare)


def facts(cell: Cell, scenario: Scenario, parameters: Mapping[str, int | str], geometry: Geometry) -> dict[str, Any]:
    """Where a cell stands on the axes, as metadata."""
    _, variant, settings = axes.split(cell.scenario)
    chosen = dict(settings)
    own = axes.natural(scenario, variant, parameters)
    piece = int(parameters.get("conversion_gfns", 0))
    return {
        "cell.guest_gfns": geometry.gfns,
        "cell.vcpus": geometry.vcpus,
        "cell.conversion": str(piece) if piece else "as scenario",
        "cell.punch": own["punch"],
        "cell.numa": chosen.get("numa", own["numa"]),
        "cell.inject": chosen.get("inject", NONE),
        "cell.engine": "model",
    }


def prepare(cell: Cell, paths: Sequence[Path] = (), trace: Path | None = None, **changes: int) -> Prepared:
    """Make an applicable cell ready to run; `changes` replace parameters of the scenario.

    Raises UserError if its trace cannot be read, or if its workload asks for what its guest does not have.
    """
    name, variant, settings = axes.split(cell.scenario)
    scenarios, designs, kinds = parts(tuple(paths))
    scenario, design, hardware = scenarios[name], designs[cell.design], kinds[cell.hardware]
    parameters = parameters_of(scenario, cell.size, variant, settings, trace) | changes
    made_of = (scenario.name, tuple(parameters.items()), tuple(paths), settings)
    workload = workload_of(*made_of)
    try:
        geometry = geometry_of(workload, design, hardware, cell.page_size)
    except UserError as error:
        raise UserError(error.what, f"scenario {name}, {error.where}", error.mend) from error
    work, left_out = split_work(checked_workload(*made_of).operations, design)
    source = Path(str(parameters.get("trace", SHIPPED))) if scenario.traced and comparable(cell, design) else None
    code = assembled(design.name, hardware.name, tuple(paths), dict(settings).get("inject", NONE))
    about = facts(cell, scenario, parameters, geometry)
    return Prepared(parameters, code, geometry, work, left_out, source, about)
