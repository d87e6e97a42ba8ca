"""Small worlds that tests run operations on."""

import random
from functools import cache
from typing import Any

import numpy as np

from gmembench.core.catalog import load_designs
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD
from gmembench.core.designs.guest_memfd_inplace import INIT_SHARED
from gmembench.core.designs.legacy_vma import DESIGN as LEGACY_VMA
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errno import RESULT_NAMES
from gmembench.core.hardware.none import HARDWARE
from gmembench.core.operations import LONG, OF_VCPUS, OPERATION, PRIVATE, PROGRAM_NUMBER, PROGRAMS, WRITE
from gmembench.core.programs import Code, Design, Hardware, Program, assemble
from gmembench.core.world import Geometry, World

DESIGNS = {design.name: design for design in (LEGACY_VMA, GUEST_MEMFD)}
"""The two designs that most tests of shared programs use."""

ALL_DESIGNS = load_designs()
VARIANTS = {INIT_SHARED.name: INIT_SHARED}
"""Variants of shipped designs that small worlds can be made of too."""

EVERY_DESIGN_AND_SIZE = [(name, size) for name, design in ALL_DESIGNS.items() for size in design.sizes]
NOT_KEPT = {
    "vma-gup": frozenset({"mixed"}),
    "vma-encrypted": frozenset({"mixed"}),
    "fd-restricted": frozenset({"broken"}),
}
"""Rules of `consistency.faults` that a design does not keep.

Designs of 4K pages have no record of regions with mixed attributes; restrictedmem leaves a broken page mapped.
"""

V0, V1, H0, H1 = range(4)
"""Actors of a small world: two vCPUs, two host threads."""


def design_of(name: str) -> Design:
    """A shipped design, or a variant of one."""
    return VARIANTS[name] if name in VARIANTS else ALL_DESIGNS[name]


@cache
def code_of(design: str) -> Code:
    """The rows of a shipped design on hardware without encryption."""
    return assemble(design_of(design), HARDWARE)


def code_of_programs(*programs: Program, hardware: Hardware = HARDWARE) -> Code:
    """The rows of hand-made programs; each has the name of the operation that starts it."""
    return assemble(
        Design("hand-made", "7.3", "", {p.name: p for p in programs}, file=True, private_memory=True), hardware
    )


def geometry(design: str, size: str = "4K", **changes: Any) -> Geometry:
    """Two vCPUs, two host threads, 16 gfns in regions of 4, one memslot; `changes` replace parts of it."""
    d = design_of(design)
    parts: dict[str, Any] = {
        "gfns": 16,
        "vcpus": 2,
        "host_actors": 2,
        "slots": ((0, 16),),
        "region_gfns": 4,
        "file": d.file,
        "private_memory": d.private_memory,
        "one_backing": d.one_backing,
        "one_copy": d.one_copy,
        "gmem_only": d.gmem_only,
        "init_private": d.init_private,
    }
    parts |= changes
    order = ("4K", "2M", "1G").index(size) * (parts["region_gfns"].bit_length() - 1)
    if order:
        parts["shared_order"] = parts["region_gfns"].bit_length() - 1
        parts["private_order"] = order if size in d.private_sizes else 0
    return Geometry(**parts)


def operation(
    program: str,
    actor: int = H0,
    gfn: int = 0,
    count: int = 1,
    *,
    write: bool = False,
    private: bool = False,
    long: bool = False,
    slot: int = 0,
) -> np.ndarray:
    """One operation, as an array of one OPERATION."""
    flags = WRITE * write | PRIVATE * private | LONG * long
    return np.array([(0, gfn, count, 0, PROGRAM_NUMBER[program], actor, flags, slot)], OPERATION)


ENDING = ("oom_reap", "vm_create")
"""Programs after which many operations end at once, so that random operations have them late only."""


def random_operations(design: str, seed: int, length: int, gfns: int) -> np.ndarray:
    """A fixed sequence of any operations that a design has, the random ones from a seed, and a teardown at the end."""
    source, asked = random.Random(seed), []
    programs = [p for p in PROGRAMS if p in ALL_DESIGNS[design].programs and p != "teardown"]
    for done in range(length):
        program = source.choice([p for p in programs if p not in ENDING or done > length * 3 // 4] + ["access"] * 2)
        actor = source.choice([V0, V1] if program in OF_VCPUS else [H0, H1])
        gfn = source.randrange(gfns)
        count = source.randint(1, min(8, gfns - gfn))
        write, private, slot = source.random() < 0.5, source.random() < 0.5, source.randrange(4)
        asked.append(operation(program, actor, gfn, count, write=write, private=private, slot=slot))
    return np.concatenate([*asked, operation("teardown")])


def result_name(number: int) -> str:
    """OK, MMIO, SIGBUS, or the name of an errno."""
    return RESULT_NAMES[number]


class Machine:
    """A world and the sequential driver on it."""

    def __init__(self, code: Code, shape: Geometry) -> None:
        self.code, self.world = code, World(shape)
        self.driver = Sequential(code, self.world)

    def do(
        self,
        program: str,
        actor: int = H0,
        gfn: int = 0,
        count: int = 1,
        *,
        write: bool = False,
        private: bool = False,
        long: bool = False,
        slot: int = 0,
    ) -> str:
        """Run one operation and name its result."""
        one = operation(program, actor, gfn, count, write=write, private=private, long=long, slot=slot)
        self.driver.run(one)
        return result_name(int(self.actor(actor)["result"]))

    def actor(self, number: int) -> np.void:
        """The record of an actor, shared with the world."""
        return self.world.arrays["actors"][number]  # type: ignore[no-any-return]  # indexing a record array

    def hits(self, *names: str) -> int:
        """How often the rows of these full names ran."""
        known = {item.name for item in self.code.info}
        assert known.issuperset(names), f"no row {set(names) - known}"
        return self.driver.steps(names)

    def rows_run(self) -> dict[str, int]:
        """How often each row ran; rows that never ran are left out."""
        return {item.name: int(n) for item, n in zip(self.code.info, self.driver.hits, strict=True) if n}

    def mapped(self, gfn: int) -> int:
        """The page that the small stage-2 entry of a gfn maps below root 0; 0 if there is none."""
        return int(self.world.arrays["frames"]["spte"]["pfn"][gfn, 0])


def machine(design: str, size: str = "4K", **changes: Any) -> Machine:
    """A shipped design on a small world."""
    return Machine(code_of(design), geometry(design, size, **changes))
