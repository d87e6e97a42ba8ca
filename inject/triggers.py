"""When an event happens, and what drivers are told: forced outcomes, gates, scripts of more host actors.

`at` names a point as in a state: `V0 before gmem.alloc_folio` (globs; `|` separates alternatives). Without it an
outcome can be forced at every row that can end so, and an actor of the event begins whenever it likes: explored,
that is anywhere.
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

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


@dataclass(frozen=True)
class Scene:
    """What triggers are resolved against. `where`: the place that messages name. `events`: those that there are."""

    code: Code
    actors: tuple[str, ...]
    gfns: int
    where: str
    events: Mapping[str, Event]

    def refuse(self, what: str, mend: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(what, self.where, mend)

    def event(self, use: "EventUse") -> Event:
        """The event, if there is one and the design has it."""
        if use.event not in self.events:
            self.refuse(f"no event {use.event!r}", f"choose one of {', '.join(self.events)}")
        why = self.events[use.event].why_not(self.code)
        if why:
            self.refuse(f"{self.code.design.name} has no event {use.event}: {why}", "leave it out")
        return self.events[use.event]

    def point(self, use: "EventUse") -> tuple[int, tuple[int, ...]]:
        """Mask of actors and rows of a trigger; every actor and no row without one."""
        if not use.at:
            return EVERYBODY, ()
        found = POINT.fullmatch(use.at)
        if found is None:
            self.refuse(f"{use.at!r} is no point", "write `ACTOR before ROW`")
        who, rows = matching_names(self.actors, found[1]), matching_rows(self.code, found[2])
        if not who:
            self.refuse(f"no actor {found[1]!r}", f"choose of {', '.join(self.actors)}")
        if not rows:
            self.refuse(f"{self.code.design.name} has no row {found[2]!r}", "choose one of `gmembench list rows`")
        return mask_of(who), rows

    def skip(self, use: "EventUse", seed: int) -> int:
        """How many hits go by."""
        if not 0 <= use.probability <= 1:
            self.refuse(f"probability {use.probability}", "choose a number from 0 to 1")
        return use.skip + (hits_to_skip(use.probability, seed) if use.probability else 0)


def _forces(event: Event, use: "EventUse", scene: Scene, seed: int) -> list[Force]:
    mask, at = scene.point(use)
    must, skip = use.must or use.probability > 0, scene.skip(use, seed)
    made = []
    for outcome, rows in event.rows(scene.code):
        chosen = tuple(r for r in rows if not at or r in at)
        if chosen:
            made.append(Force(event.name, chosen, CODE[outcome], mask, use.gfn, skip, use.times, must))
    if not made:
        scene.refuse(f"{event.name} cannot happen at {use.at!r}", "choose a row that can end so")
    return made


def _gates(number: int, use: "EventUse", scene: Scene, seed: int) -> list[Gate]:
    """The gate of an event's own actor."""
    mask, rows = scene.point(use)
    return [Gate(number, rows, mask, use.gfn, scene.skip(use, seed))] if rows else []


def _holds(event: Event, use: "EventUse", scene: Scene) -> list[Gate]:
    """Gates of all but those who stand still: their operations begin while one of these stands there."""
    mask, rows = scene.point(use)
    if not use.at and event.holds == "*":
        scene.refuse(f"{event.name} does not say where", "add at = `ACTOR before ROW`")
    rows = rows or matching_rows(scene.code, event.holds)
    held = mask if use.at else 0
    return [Gate(n, rows, mask, use.gfn, use.skip) for n in range(len(scene.actors)) if not held >> n & 1]


def injected(uses: Sequence["EventUse"], whole: Scene, seed: int = 0, places: Sequence[str] = ()) -> Injected:
    """All events of an instance. Raises UserError for an event that is unknown, or that the design does not have.

    `places`: for each event what messages name, in place of the scene's.
    """
    forces: list[Force] = []
    gates: list[Gate] = []
    scripts: list[np.ndarray] = []
    for position, use in enumerate(uses):
        scene = replace(whole, where=places[position]) if places else whole
        event = scene.event(use)
        if event.operations:
            number = len(scene.actors) + len(scripts)
            scripts.append(_script(event, use, scene, number))
            gates += _gates(number, use, scene, seed + position)
        elif event.forced:
            forces += _forces(event, use, scene, seed + position)
        else:
            gates += _holds(event, use, scene)
    if len(forces) > MOST_FORCES:
        whole.refuse(f"{len(forces)} forced outcomes", f"use at most {MOST_FORCES}")
    return Injected(tuple(forces), tuple(gates), tuple(scripts), tuple(use.event for use in uses))


def _script(event: Event, use: "EventUse", scene: Scene, number: int) -> np.ndarray:
    gfn = use.target if use.target >= 0 else max(use.gfn, 0)
    texts = [
        text.format(gfn=gfn, count=use.count, rest=scene.gfns - gfn, slot=use.slot, node=use.node)
        for text in event.operations
    ]
    return script(texts, number, scene.where)
