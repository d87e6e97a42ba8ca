"""The instances of which there is Promela too, each with its mutants: a design on a hardware, a small world, scripts.

A mutant is made twice: by edits of the rows, and by a macro that the Promela file knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.instance import Instance
from gmembench.core.programs import assemble
from gmembench.inject.mutants import mutated
from gmembench.inject.script import script
from gmembench.inject.small_world import small_geometry

FOLDER = Path(__file__).parent / "promela"
DESIGN, HARDWARE = "guest-memfd", "none"

VCPUS = 2
"""Actors 0 and 1; the only host thread is actor 2."""


@dataclass(frozen=True)
class Twin:
    """An instance and its Promela file, by the same name.

    `macros` choose this instance in the file. `world`: fields of its geometry. `scripts`: by actor. `prepare`:
    operations of the host thread that run before. `mutants`: macro of the file -> edits of the rows.
    """

    name: str
    file: str
    macros: tuple[str, ...]
    world: Mapping[str, Any]
    scripts: tuple[tuple[str, ...], ...]
    prepare: tuple[str, ...] = ()
    timer: bool = False
    mutants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The Promela file."""
        return FOLDER / f"{self.file}.pml"

    def instance(self, mutant: str = "") -> Instance:
        """The instance for our driver, with the edits of a mutant."""
        design, hardware = load_designs()[DESIGN], load_hardware()[HARDWARE]
        edited = mutated(design, hardware, self.mutants[mutant] if mutant else ())
        return Instance(
            assemble(edited, hardware),
            small_geometry(design, hardware, vcpus=VCPUS, host_actors=1, consumers=0, **self.world),
            tuple(script(texts, actor) for actor, texts in enumerate(self.scripts)),
            prepare=tuple(script([text], VCPUS) for text in self.prepare),
            timer=self.timer,
        )


NO_RECHECK = {"NO_RECHECK": ("without access.fault.recheck_stale",)}


def _punch(writes: int, reads: int, timer: bool = False) -> Twin:
    return Twin(
        f"fault-vs-punch-{writes}-{reads}" + ("-timer" if timer else ""),
        "fault-vs-punch",
        (f"WRITES={writes}", f"READS={reads}", *(["TIMER"] if timer else [])),
        {"pages": 2},
        (("access 0 write",) * writes, ("access 0 read",) * reads, ("punch 0 1",)),
        prepare=("convert 0 1 private",),
        timer=timer,
        mutants={**NO_RECHECK, "TRUNCATE_LATE": ("move punch.end,before=punch.lock_folio",)},
    )


def _huge(conversions: int, timer: bool = False) -> Twin:
    both = ("convert 0 1 private", "convert 0 1 shared")
    return Twin(
        f"fault-vs-convert-huge-{conversions}" + ("-timer" if timer else ""),
        "fault-vs-convert-huge",
        (f"CONVERSIONS={conversions}", *(["TIMER"] if timer else [])),
        {"gfns": 2, "region_gfns": 2, "shared_order": 1, "pages": 5},
        (("access 1 write",), ("access 0 write",), tuple(both[i % 2] for i in range(conversions))),
        timer=timer,
        mutants={**NO_RECHECK, "NO_RANGE_OF_HUGE": ("without convert.pre.range_add_huge",)},
    )


TWINS = {
    twin.name: twin
    for twin in (
        _punch(1, 1),
        _punch(1, 1, timer=True),
        _punch(2, 2, timer=True),
        _huge(1),
        _huge(2),
        _huge(1, timer=True),
    )
}
"""By name. Numbers in a name: writes and reads of the vCPUs, or conversions."""
