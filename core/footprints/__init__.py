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
from gmembench.core.footprints.kinds import HEADER_KIND, OPERATION_KIND, ROW_KIND, SELF
from gmembench.core.footprints.source import FootprintError
from gmembench.core.footprints.waits import waits_of
from gmembench.core.footprints.walk import TAKEN, Exit, Names, Summary, Walks
from gmembench.core.invariant import Invariant
from gmembench.core.steps.registry import Step, all_steps

__all__ = [
    "Footprint",
    "FootprintError",
    "begin_footprint",
    "counters",
    "footprint_of",
    "footprint_of_step",
    "rule_reads",
]

OF_STEP = (HEADER_KIND, SELF, ROW_KIND)
OF_RULE: Mapping[str, tuple[str | None, ...]] = {
    "state": (HEADER_KIND,),
    "use": (HEADER_KIND, SELF),
    "rest": (HEADER_KIND,),
    "end": (HEADER_KIND, SELF, None),
}
"""What a rule is given, by when it is judged."""


@dataclass(frozen=True)
class Footprint:
    """What a step may touch.

    `reads`, `writes`: fields. `kills`: registers of the own actor that it sets on every path before it reads them.
    `uses`: registers that it may read before it sets them. `kills_at`: outcome -> what it has set whenever it ends
    so. `takes_at`: outcome -> locks that it then has taken, by storing the actor's number + 1 or counting a reader.
    `waits`: fields that keep it waiting while they are not 0.
    """

    reads: Names
    writes: Names
    kills: Names
    uses: Names
    kills_at: Mapping[int, Names]
    takes_at: Mapping[int, Names]
    waits: Names

    def kills_on(self, outcome: int) -> Names:
        """Registers that are set whenever the step ends in an outcome, before they are read."""
        return self.kills_at.get(outcome, self.kills)

    @property
    def outcomes(self) -> frozenset[int] | None:
        """What the step may return, BLOCKED too; None if it returns a number that the source does not tell."""
        return frozenset(self.kills_at) or None


_walks = Walks()


def _summary(function: Any, kinds: tuple[str | None, ...]) -> Summary:
    return _walks.of(function, kinds)


@cache
def _of_steps() -> dict[str, Summary]:
    return {item.name: _summary(item.function, OF_STEP) for item in all_steps()}


@cache
def written() -> Names:
    """Fields that some step, or the beginning of an operation, writes. The others are constants of a world."""
    every = [*_of_steps().values(), _summary(begin, (SELF, OPERATION_KIND))]
    return frozenset().union(*(item.writes for item in every))


@cache
def counters() -> Names:
    """Fields of the header that only count: no step and no rule of the package decides by them.

    They are counted up in place, or read by functions that return nothing and write only counters themselves.
    """
    _of_steps()
    for invariant in load_invariants().values():
        for when in OF_RULE:
            if when in invariant.when:
                _summary(getattr(invariant, when).judge, OF_RULE[when])
    found = {name for name in written() if name.startswith(f"{HEADER_KIND}.")}
    while True:
        asked = {
            name
            for item in _walks.done.values()
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


def _at_exits(exits: tuple[Exit, ...]) -> tuple[Names, dict[int, Names]]:
    """What is certain at every exit, and by the number that is returned there, if every exit says which."""
    always = frozenset.intersection(*(names for _, names in exits))
    by_number: dict[int, Names] = {}
    for number, names in exits:
        if number is None:
            return always, {}
        by_number[number] = by_number.get(number, names) & names
    return always, by_number


def _footprint(summary: Summary, waits: Names) -> Footprint:
    always, by_number = _at_exits(summary.exits)
    others = summary.uses | {name for _, names in summary.exits for name in names if name.startswith(TAKEN)}
    return Footprint(
        reads=_kept(summary.reads),
        writes=_kept(summary.writes),
        kills=always - others,
        uses=summary.uses,
        kills_at={number: names - others for number, names in by_number.items()},
        takes_at={
            n: frozenset(x[len(TAKEN) :] for x in names if x.startswith(TAKEN)) for n, names in by_number.items()
        },
        waits=_kept(waits),
    )


@cache
def footprint_of_step(step: Step) -> Footprint:
    """What a step may touch that need not be one of the package."""
    return _footprint(_summary(step.function, OF_STEP), waits_of(step.function))


@cache
def footprint_of(step_name: str) -> Footprint:
    """What a step of the package may touch. Raises FootprintError if its source says something unknown."""
    return footprint_of_step(next(item for item in all_steps() if item.name == step_name))


@cache
def begin_footprint() -> Footprint:
    """What the beginning of an operation sets."""
    return _footprint(_summary(begin, (SELF, OPERATION_KIND)), frozenset())


@cache
def rule_reads(invariant: Invariant, when: str) -> Names:
    """Fields that one rule of an invariant may read; nothing if it is not judged then."""
    if when not in OF_RULE or when not in invariant.when:
        return frozenset()
    judge: Callable[..., int] = getattr(invariant, when).judge
    return _kept(_summary(judge, OF_RULE[when]).reads)
