"""`python -m gmembench.benchmarks.memory`: how much memory a world takes, by design, hardware and guest size.

Exit codes: 0 done, 2 bad usage.
"""

import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import click
import numpy as np

from gmembench.benchmarks.cli import complain, usage_line
from gmembench.benchmarks.commands import options
from gmembench.benchmarks.prepared import geometry_of
from gmembench.benchmarks.scenario import Workload, operations
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.hardware import none
from gmembench.core.operations import PRIVATE, WRITE
from gmembench.core.programs import Design, Hardware, assemble
from gmembench.core.world import Geometry, World

GIB = 1 << 30
PAGE_BYTES = 4096
PIECE_GFNS = 1 << 20
"""A guest is populated in pieces: operations take 32 bytes a gfn."""

KILOBYTES = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit of `ru_maxrss`."""


def guest(design: Design, hardware: Hardware, gfns: int) -> Geometry:
    """A guest of one vCPU and one memslot, in pages of the smallest size."""
    workload = Workload(operations("access", []), gfns, ((0, gfns),), 1, 1)
    return geometry_of(workload, design, hardware, design.sizes[0])


def bytes_per_gfn(names: list[str]) -> dict[str, dict[str, float]]:
    """Design -> hardware that it runs on -> bytes of state a gfn."""
    designs = load_designs()
    return {
        name: {
            hardware.name: World(guest(designs[name], hardware, PIECE_GFNS)).bytes_per_gfn
            for hardware in load_hardware().values()
            if hardware.name not in designs[name].not_on
        }
        for name in names
    }


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILOBYTES


def populate(driver: Sequential, gfns: int) -> None:
    """The vCPU writes to every gfn once: to private memory, if the design has any."""
    if "convert" in driver.code.design.programs and not driver.code.design.init_private:
        driver.run(operations("convert", 0, actor=1, count=gfns, flags=PRIVATE))
    for first in range(0, gfns, PIECE_GFNS):
        driver.run(operations("access", np.arange(first, min(first + PIECE_GFNS, gfns)), flags=WRITE))


def convert(driver: Sequential, gfns: int) -> None:
    """The whole guest becomes shared, if it can."""
    if "convert" in driver.code.design.programs:
        driver.run(operations("convert", 0, actor=1, count=gfns))


def tear_down(driver: Sequential, _: int) -> None:
    """The VM ends."""
    driver.run(operations("teardown", 0, actor=1))


PHASES: dict[str, Callable[[Sequential, int], None]] = {
    "populate": populate,
    "convert": convert,
    "teardown": tear_down,
}
"""The life of a guest, in order."""


def run_guest(design: str, gfns: int, populate_only: bool) -> dict[str, Any]:
    """The life of a guest in this process. After each phase: its seconds, and the peak of memory so far."""
    found = load_designs()[design]
    world = World(guest(found, none.HARDWARE, gfns))
    driver = Sequential(assemble(found, none.HARDWARE), world)
    report: dict[str, Any] = {"gfns": gfns, "state_bytes": world.state_bytes, "phases": {}}
    for name, phase in PHASES.items():
        begun = time.perf_counter()
        phase(driver, gfns)
        backed = world["private_pages"] + world["shared_pages"]
        seconds = time.perf_counter() - begun
        report["phases"][name] = {"seconds": seconds, "peak_bytes": peak_bytes(), "backed_pages": backed}
        if populate_only:
            break
    return report


def in_new_process(design: str, gfns: int, populate_only: bool) -> dict[str, Any]:
    """`run_guest` in a process of its own, whose peak of memory is this guest's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run_guest, design, gfns, populate_only).result()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--design", "designs", metavar="NAME", multiple=True, help="Measure this design only. Repeatable.")
@click.option(
    "--gfns", type=click.IntRange(1), help="Also run a guest of this size, in a process of its own, on hardware `none`."
)
@click.option("--populate-only", is_flag=True, help="Only populate that guest: no conversion, no teardown.")
@options.as_json
def memory(designs: tuple[str, ...], gfns: int | None, populate_only: bool, as_json: bool) -> None:
    """Show the bytes of state that each gfn takes, and the peak of memory over the life of a large guest.

    \b
    Example:
      python -m gmembench.benchmarks.memory --design guest-memfd --gfns 67108864
    """
    names = options.choose_designs(designs)
    report: dict[str, Any] = {"bytes_per_gfn": bytes_per_gfn(names), "guests": {}}
    if gfns is not None:
        report["guests"] = {name: in_new_process(name, gfns, populate_only) for name in names}
    if as_json:
        options.print_json(report)
    else:
        print_report(report)


def print_report(report: dict[str, Any]) -> None:
    """Print the figures as text."""
    for design, sizes in report["bytes_per_gfn"].items():
        click.echo(f"{design:26}" + "".join(f"{size:8.2f} bytes a gfn on {name}" for name, size in sizes.items()))
    for design, found in report["guests"].items():
        click.echo(f"\n{design}, guest of {found['gfns'] * PAGE_BYTES / GIB:.1f} GiB:")
        for name, phase in found["phases"].items():
            click.echo(f"  {name:10}{phase['seconds']:8.1f} s, peak {phase['peak_bytes'] / GIB:6.2f} GiB so far")


def main() -> int:
    """Run the command; return its exit code."""
    try:
        memory.main(prog_name="python -m gmembench.benchmarks.memory", standalone_mode=False)
    except click.ClickException as error:
        return complain(usage_line(error))
    except click.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
