"""When an event happens, and what drivers are told: forced outcomes, gates, scripts of more host actors.

`at` names a point as in a state: `V0 before gmem.alloc_folio` (globs; `|` separates alternatives). Without it an
outcome can be forced at every row that can end so, and an actor of the event begins whenever it likes: explored,
that is anywhere.
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmembench.core.drivers.instance import EVERYBODY, MOST_FORCES, Force, Gate
from gmembench.core.errors import UserError
from gmembench.core.outcomes import CODE
from gmembench.core.programs import Code
from gmembench.inject.event import Event
from gmembench.inject.rows import mask_of, matching_names, matching_rows
from gmembench.inject.script import script

if TYPE_CHECKING:
    from gmembench.inject.scenario import EventUse

POINT = re.compile(r"(\S+) before (\S+)")


@dataclass(frozen=True)
class Injected:
    """What events add to an instance. `scripts`: of one more host actor each."""

    forces: tuple[Force, ...] = ()
    gates: tuple[Gate, ...] = ()
    scripts: tuple[np.ndarray, ...] = ()
    names: tuple[str, ...] = ()


def hits_to_skip(probability: float, seed: int) -> int:
    """How many hits go by before one is chosen, if each is chosen with that probability: a number of the seed."""
    drawn = random.Random(seed).random()
    return int(math.log1p(-drawn) / math.log1p(-probability)) if probability < 1 else 0


def _point(use: "EventUse", code: Code, actors: tuple[str, ...], where: str) -> tuple[int, tuple[int, ...]]:
    """Mask of actors and rows of a trigger; every actor and no row without one."""
    if not use.at:
        return EVERYBODY, ()
    found = POINT.fullmatch(use.at)
    if found is None:
        raise UserError(f"{use.at!r} is no point", where, "write `ACTOR before ROW`")
    who, rows = matching_names(actors, found[1]), matching_rows(code, found[2])
    if not who:
        raise UserError(f"no actor {found[1]!r}", where, f"choose of {', '.join(actors)}")
    if not rows:
        raise UserError(f"{code.design.name} has no row {found[2]!r}", where, "choose one of `gmembench list rows`")
    return mask_of(who), rows


def _skip(use: "EventUse", seed: int, where: str) -> int:
    if not 0 <= use.probability <= 1:
        raise UserError(f"probability {use.probability}", where, "choose a number from 0 to 1")
    return use.skip + (hits_to_skip(use.probability, seed) if use.probability else 0)


def _forces(event: Event, use: "EventUse", code: Code, actors: tuple[str, ...], where: str, seed: int) -> list[Force]:
    mask, at = _point(use, code, actors, where)
    must = use.must or use.probability > 0
    made = []
    for outcome, rows in event.rows(code):
        chosen = tuple(r for r in rows if not at or r in at)
        if chosen:
            made.append(
                Force(event.name, chosen, CODE[outcome], mask, use.gfn, _skip(use, seed, where), use.times, must)
            )
    if not made:
        raise UserError(f"{event.name} cannot happen at {use.at!r}", where, "choose a row that can end so")
    return made


def _gates(number: int, use: "EventUse", code: Code, actors: tuple[str, ...], where: str, seed: int) -> list[Gate]:
    """The gate of an event's own actor."""
    mask, rows = _point(use, code, actors, where)
    return [Gate(number, rows, mask, use.gfn, _skip(use, seed, where))] if rows else []


def _holds(event: Event, use: "EventUse", code: Code, actors: tuple[str, ...], where: str) -> list[Gate]:
    """Gates of all but those who stand still: their operations begin while one of these stands there."""
    mask, rows = _point(use, code, actors, where)
    rows = rows or matching_rows(code, event.holds)
    if not use.at and event.holds == "*":
        raise UserError(f"{event.name} does not say where", where, "add at = `ACTOR before ROW`")
    if not rows:
        raise UserError(f"{code.design.name} has no row {event.holds!r}", where, "choose another event")
    held = mask if use.at else 0
    return [Gate(n, rows, mask, use.gfn, use.skip) for n in range(len(actors)) if not held >> n & 1]


def injected(
    uses: Sequence["EventUse"], code: Code, actors: tuple[str, ...], gfns: int, where: str, seed: int
) -> Injected:
    """All events of an instance. Raises UserError for an event that is unknown, or that the design does not have."""
    from gmembench.inject.catalog import load_events

    known = load_events()
    forces: list[Force] = []
    gates: list[Gate] = []
    scripts: list[np.ndarray] = []
    for position, use in enumerate(uses):
        event = _event(known, use, code, where)
        if event.operations:
            number = len(actors) + len(scripts)
            scripts.append(_script(event, use, gfns, number, where))
            gates += _gates(number, use, code, actors, where, seed + position)
        elif event.forced:
            forces += _forces(event, use, code, actors, where, seed + position)
        else:
            gates += _holds(event, use, code, actors, where)
    if len(forces) > MOST_FORCES:
        raise UserError(f"{len(forces)} forced outcomes", where, f"use at most {MOST_FORCES}")
    return Injected(tuple(forces), tuple(gates), tuple(scripts), tuple(use.event for use in uses))


def _event(known: Mapping[str, Event], use: "EventUse", code: Code, where: str) -> Event:
    if use.event not in known:
        raise UserError(f"no event {use.event!r}", where, f"choose one of {', '.join(known)}")
    why = known[use.event].why_not(code)
    if why:
        raise UserError(f"{code.design.name} has no event {use.event}: {why}", where, "leave it out")
    return known[use.event]


def _script(event: Event, use: "EventUse", gfns: int, number: int, where: str) -> np.ndarray:
    gfn = use.target if use.target >= 0 else max(use.gfn, 0)
    texts = [
        text.format(gfn=gfn, count=use.count, rest=gfns - gfn, slot=use.slot, node=use.node)
        for text in event.operations
    ]
    return script(texts, number, where)
