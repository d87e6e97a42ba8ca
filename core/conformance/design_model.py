"""The model that a trace check asks: a design's own programs, run on a world, with its leaf changes told."""

from collections.abc import Callable, Sequence

import numpy as np

from gmembench.core.conformance.check import Conformance, check
from gmembench.core.conformance.model import LeafChange
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errors import UserError
from gmembench.core.jit import kernel
from gmembench.core.operations import OPERATION, PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.core.programs import Design, Hardware, Program, assemble
from gmembench.core.traces.events import CHANGE_SET, CHANGE_ZAP
from gmembench.core.world import SPTE_HUGE, SPTE_PRESENT, Geometry, World, head, spte

MOST_GFNS = 1 << 26
"""A check refuses to build a larger world: 64 Mi gfns are 256 GiB of guest and 4.6 GiB of state."""


EDITS: dict[str, tuple[tuple[str, Callable[[Program], Program]], ...]] = {
    "obey-filter": (
        ("convert", lambda p: p.replaced("convert.pre.zap", "zap.gfn_obeying_filter")),
        ("punch", lambda p: p.replaced("punch.start.zap", "zap.gfn_obeying_filter")),
    ),
    "conversion-does-not-zap": (("convert", lambda p: p.replaced("convert.pre.zap", "zap.nothing")),),
    "ignore-noop": (("convert", lambda p: p.without("convert.check_noop")),),
    "private-immune": (("numa_zap", lambda p: p.replaced("mn.start.zap", "zap.gfn_obeying_filter")),),
}
"""The controls: variant -> edits of programs that no kernel has."""


def variant_of(design: Design, variant: str) -> Design:
    """The design with the edits of a control. A design that lacks a program or a row of them stays as it is."""
    programs = dict(design.programs)
    for name, edit in EDITS.get(variant, ()):
        if name in programs:
            try:
                programs[name] = edit(programs[name])
            except UserError:
                return design
    return design.edited(variant, **programs)


@kernel
def leaf_changes(buffer: np.ndarray, before: np.ndarray, start: int, end: int, changes: np.ndarray) -> int:
    """Compare the present bits of [start, end) with `before` (u1 a gfn), note what changed, and remember.

    `changes`: i8 array of (gfn, level, change), at least two rows a gfn. Returns how many were noted.
    """
    w = head(buffer)
    found = 0
    for gfn in range(start, end):
        bits = (spte(w, gfn, 0)["bits"] | spte(w, gfn, 1)["bits"]) & (SPTE_PRESENT | SPTE_HUGE)
        old = before[gfn]
        if bits == old:
            continue
        before[gfn] = bits
        for now in range(2):
            value = bits if now else old
            if value & SPTE_PRESENT:
                changes[found, 0] = gfn
                changes[found, 1] = 2 if value & SPTE_HUGE else 1
                changes[found, 2] = CHANGE_SET if now else CHANGE_ZAP
                found += 1
    return found


class DesignModel:
    """One VM under a design, for `conformance.check`. Clusters become memslots that lie one after another."""

    def __init__(
        self, design: Design, hardware: Hardware, variant: str, clusters: Sequence[tuple[int, int]], vcpus: int
    ) -> None:
        gfns = sum(count for _, count in clusters)
        if gfns > MOST_GFNS:
            raise UserError(
                f"{gfns} gfns are touched, more than the {MOST_GFNS} a check can hold", "trace", "check a part of it"
            )
        edited = variant_of(design, variant)
        # The edit of private-immune is meant for unmaps of the host only, so other zaps run the design itself.
        self._code, self._unmap_code = assemble(design, hardware), assemble(edited, hardware)
        if variant != "private-immune":
            self._code = self._unmap_code
        self._geometry = Geometry(
            gfns=max(1, gfns),
            vcpus=max(1, vcpus),
            slots=((0, gfns),) if gfns else (),
            file=design.file,
            separate_roots=hardware.separate_roots,
            private_memory=design.private_memory,
        )
        self._operation = np.zeros(1, OPERATION)
        self.reset()

    def reset(self) -> None:
        """Start again with an empty world."""
        self._world = World(self._geometry)
        self._driver = Sequential(self._code, self._world)
        self._unmap_driver = Sequential(self._unmap_code, self._world)
        self._before = np.zeros(self._geometry.gfns, np.uint8)
        self._changes = np.zeros((1024, 3), np.int64)

    def apply(
        self, program: str, gfn: int, count: int, *, actor: int, write: bool, private: bool
    ) -> Sequence[LeafChange]:
        """Run a program on a range; one that the design does not have changes nothing.

        On hardware without a private bit, `private` matters for convert alone.
        """
        flags = (WRITE if write else 0) | (PRIVATE if private and program == "convert" else 0)
        return self._run(self._driver, program, gfn, count, actor, flags)

    def zap(self, gfn: int, count: int, kind: str) -> Sequence[LeafChange]:
        """Zap a range as the mmu_notifier does."""
        driver = self._unmap_driver if kind == "unmap" else self._driver
        return self._run(driver, "numa_zap", gfn, count, self._geometry.vcpus, 0)

    def _run(
        self, driver: Sequential, program: str, gfn: int, count: int, actor: int, flags: int
    ) -> Sequence[LeafChange]:
        if program in driver.code.design.not_applicable:
            return []
        self._operation[0] = (0, gfn, count, 0, PROGRAM_NUMBER[program], actor, flags, 0)
        driver.run(self._operation)
        if 2 * count > len(self._changes):
            self._changes = np.zeros((2 * count, 3), np.int64)
        found = leaf_changes(self._world.buffer, self._before, gfn, gfn + count, self._changes)
        return [(int(g), int(level), int(change)) for g, level, change in self._changes[:found].tolist()]


def check_design(events: np.ndarray, design: Design, hardware: Hardware) -> Conformance:
    """How far a design makes the leaf changes of a trace (EVENT array, in the order of the file)."""

    def make(variant: str, clusters: Sequence[tuple[int, int]], vcpus: int) -> DesignModel:
        return DesignModel(design, hardware, variant, clusters, vcpus)

    return check(events, make, design=design.name)
