"""Footprints: which fields each step, and each rule of an invariant, may read and write.

They are derived from the source, never written by hand: docs/decisions/footprints.md. Fields are named as kinds.py
says. Left out are constants of the world, which no step writes, and counters, by which nothing is decided.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gmembench.core.catalog import load_invariants
from gmembench.core.drivers.sequential import begin
from gmembench.core.footprints.kinds import HEADER_KIND, OPERATION_KIND, ROW_KIND, SELF, Kind, RowOf
from gmembench.core.footprints.source import FootprintError
from gmembench.core.footprints.waits import waits_of
from gmembench.core.footprints.walk import TAKEN, Exit, Names, Summary, Walks
from gmembench.core.invariant import Invariant
from gmembench.core.steps.registry import Step, all_steps
from gmembench.core.world import CONSTANTS, Geometry, World

__all__ = ["Footprint", "FootprintError", "Footprints", "Way", "counters", "footprint_of", "left_out", "rule_reads"]

OF_RULE: Mapping[str, tuple[Kind, ...]] = {
    "state": (HEADER_KIND,),
    "use": (HEADER_KIND, SELF),
    "rest": (HEADER_KIND,),
    "end": (HEADER_KIND, SELF, None),
}
"""What a rule is given, by when it is judged."""

USED = f"{SELF}.used"


@dataclass(frozen=True)
class Way:
    """One way out of a step. `outcome`: None if the source does not tell.

    `kills`: registers that it surely has set. `takes`: locks that it surely has taken, by storing the actor's number
    + 1 or counting a reader. `writes`: fields that it may have written.
    """

    outcome: int | None
    kills: Names
    takes: Names
    writes: Names

    @property
    def used(self) -> bool:
        """Whether it may have used a page, so that the rules of "use" are asked."""
        return USED in self.writes


@dataclass(frozen=True)
class Footprint:
    """What a step may touch.

    `reads`, `writes`: fields. `uses`: registers of the own actor that it may read before it has set them. `ways`: out
    of it. `waits`: fields that keep it waiting while they are not 0.
    """

    reads: Names
    writes: Names
    uses: Names
    ways: tuple[Way, ...]
    waits: Names

    @property
    def kills(self) -> Names:
        """Registers that are set on every path before they are read."""
        return frozenset.intersection(*(way.kills for way in self.ways)) - self.uses

    @property
    def outcomes(self) -> frozenset[int] | None:
        """What the step may return, BLOCKED too; None if it returns a number that the source does not tell."""
        found = frozenset(way.outcome for way in self.ways if way.outcome is not None)
        return None if any(way.outcome is None for way in self.ways) else found

    @property
    def takes(self) -> Names:
        """Locks that it may take."""
        return frozenset().union(*(way.takes for way in self.ways))


def _way(exit_: Exit) -> Way:
    surely = exit_.done.surely
    taken = frozenset(name for name in surely if name.startswith(TAKEN))
    named = frozenset(name.removeprefix(TAKEN) for name in taken)
    return Way(exit_.number, surely - taken, named, exit_.done.perhaps)


def _footprint(summary: Summary, waits: Names) -> Footprint:
    ways = tuple(dict.fromkeys(_way(item) for item in summary.exits))
    return Footprint(_kept(summary.reads), _kept(summary.writes), summary.uses, ways, _kept(waits))


class Footprints:
    """Footprints where constants of the world are known: ways that they close are left out.

    `known`: fields of the header, as in `header.largest_order`, and their values.
    """

    def __init__(self, known: Mapping[str, int]) -> None:
        self._walks = Walks(known)
        self._found: dict[tuple[Step, Kind], Footprint] = {}

    def of(self, step: Step, operands: tuple[int, ...] | None = None) -> Footprint:
        """What a step may touch; `operands`: of its row, in the order of OPERANDS, if they are known.

        Raises FootprintError if its source says something unknown.
        """
        row = ROW_KIND if operands is None else RowOf(operands)
        if (step, row) not in self._found:
            summary = self._walks.of(step.function, (HEADER_KIND, SELF, row))
            self._found[step, row] = _footprint(summary, waits_of(step.function))
        return self._found[step, row]

    def of_begin(self) -> Footprint:
        """What the beginning of an operation sets."""
        return _footprint(self._walks.of(begin, (SELF, OPERATION_KIND)), frozenset())

    def of_rule(self, invariant: Invariant, when: str) -> Names:
        """Fields that one rule of an invariant may read; nothing if it is not judged then."""
        if when not in OF_RULE or when not in invariant.when:
            return frozenset()
        judge: Callable[..., int] = getattr(invariant, when).judge
        return _kept(self._walks.of(judge, OF_RULE[when]).reads)

    def of_rules(self, invariants: Mapping[str, Invariant], *whens: str) -> Names:
        """Fields that the rules of some kinds may read."""
        return frozenset().union(*(self.of_rule(item, when) for item in invariants.values() for when in whens))


@cache
def _anywhere() -> Footprints:
    return Footprints({})


@cache
def footprints_in(geometry: Geometry | None = None) -> Footprints:
    """Footprints in worlds of a geometry, or in all."""
    if geometry is None:
        return _anywhere()
    world = World(geometry)
    return _knowing(tuple((f"{HEADER_KIND}.{name}", world[name]) for name in CONSTANTS if not name.endswith("_at")))


@cache
def _knowing(known: tuple[tuple[str, int], ...]) -> Footprints:
    """Many geometries have the same constants."""
    return Footprints(dict(known))


@cache
def _everything() -> tuple[Names, dict[Any, Summary]]:
    """What some step, or the beginning of an operation, writes; and all that is walked for it and for the rules."""
    walks = Walks({})
    found = [walks.of(item.function, (HEADER_KIND, SELF, ROW_KIND)) for item in all_steps()]
    found.append(walks.of(begin, (SELF, OPERATION_KIND)))
    for invariant in load_invariants().values():
        for when in set(OF_RULE) & set(invariant.when):
            walks.of(getattr(invariant, when).judge, OF_RULE[when])
    return frozenset().union(*(item.writes for item in found)), walks.done


def written() -> Names:
    """Fields that some step, or the beginning of an operation, writes. The others are constants of a world."""
    return _everything()[0]


@cache
def counters() -> Names:
    """Fields of the header that only count: no step and no rule of the package decides by them.

    They are counted up in place, or read by functions that return nothing and write only counters themselves.
    """
    found = {name for name in written() if name.startswith(f"{HEADER_KIND}.")}
    while True:
        asked = {
            name
            for item in _everything()[1].values()
            if item.tells or not item.writes <= found
            for name in item.asks & found
        }
        if not asked:
            return frozenset(found)
        found -= asked


def left_out(name: str) -> bool:
    """Whether a field is in no footprint: a constant of the world, or a counter."""
    return name.startswith(f"{HEADER_KIND}.") and (name not in written() or name in counters())


def _kept(names: Iterable[str]) -> Names:
    return frozenset(name for name in names if not left_out(name))


@cache
def footprint_of(step_name: str) -> Footprint:
    """What a step of the package may touch, in any world and any row."""
    return _anywhere().of(next(item for item in all_steps() if item.name == step_name))


def rule_reads(invariant: Invariant, when: str) -> Names:
    """Fields that one rule of an invariant may read; nothing if it is not judged then."""
    return _anywhere().of_rule(invariant, when)
