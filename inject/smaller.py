"""Shrinking a failure with its setting: operations left out, ranges of one gfn, fewer actors and gfns.

A setting that has a name gives a short line to paste, so it is changed only where that makes the schedule shorter: an
operation in the middle of a script can go in no other way. Once it is changed, what nobody uses goes too.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gmembench.core.drivers.instance import STEP
from gmembench.core.errors import UserError
from gmembench.core.world import Geometry
from gmembench.inject.failure import Failure
from gmembench.inject.recording import record
from gmembench.inject.replay import with_line
from gmembench.inject.running import LIVE, Running, starter
from gmembench.inject.schedule import Lookup
from gmembench.inject.setting import Asked, Setting
from gmembench.inject.shrink import Choices, Trials, cost, shrink

Candidate = tuple[Setting, Choices]

MOST_LEG_STEPS = 2_000
"""No operation of a small world alone has as many."""

TRIAL_STEPS = 100_000
"""Steps that one smaller setting may be tried with."""


@dataclass(frozen=True)
class Leg:
    """A part of a schedule by names: in its `operation`, an actor goes on to `stop` (a row; "" its end), or an event.

    `event`: the kind of choice that is made at once; STEP for going on.
    """

    actor: int
    operation: int
    stop: Hashable
    event: int = STEP


def legs_of(setting: Setting, choices: Choices, paths: Sequence[Path] = ()) -> list[Leg]:
    """A schedule as legs: it can be walked in another setting, where rows are passed more or less often."""
    running, begun, legs = starter(setting, paths)(), Counter[int](), list[Leg]()
    for actor, kind in choices:
        begins = kind == STEP and running.stepper.idle(actor)
        begun[actor] += begins
        running.take((actor, kind))
        leg = Leg(actor, begun[actor] - 1, running.at(actor), kind)
        goes_on = bool(legs) and legs[-1].event == kind == STEP and (legs[-1].actor, legs[-1].operation) == leg_key(leg)
        if goes_on:
            legs[-1] = leg
        else:
            legs.append(leg)
    return legs


def leg_key(leg: Leg) -> tuple[int, int]:
    """Whose operation a leg is of."""
    return leg.actor, leg.operation


def walk(running: Running, legs: Sequence[Leg]) -> Choices:
    """Walk legs; what was made until something broke or the last one could go no further."""
    begun = Counter[int]()
    for leg in legs:
        if leg.event != STEP:
            if running.broken or not running.can((leg.actor, leg.event)):
                break
            running.take((leg.actor, leg.event))
            continue
        for _ in range(MOST_LEG_STEPS):
            there = begun[leg.actor] - 1 == leg.operation and running.at(leg.actor) == leg.stop
            if running.broken or (there and leg is not legs[-1]):
                break
            begins = running.stepper.idle(leg.actor)
            if not running.can((leg.actor, STEP)) or not running.take((leg.actor, STEP)):
                break
            begun[leg.actor] += begins
    return tuple(running.made)


def _with_script(setting: Setting, actor: int, script: Sequence[Asked]) -> Setting:
    scripts = (*setting.scripts[:actor], tuple(script), *setting.scripts[actor + 1 :])
    return msgspec.structs.replace(setting, scripts=scripts)


def _narrowed(setting: Setting) -> Iterator[Setting]:
    """The setting with a range of one gfn in place of a longer one."""
    for actor, script in enumerate(setting.scripts):
        for number, asked in enumerate(script):
            for gfn in range(asked.gfn, asked.gfn + asked.count) if asked.count > 1 else ():
                one = msgspec.structs.replace(asked, gfn=gfn, count=1)
                yield _with_script(setting, actor, [*script[:number], one, *script[number + 1 :]])


def shorter(setting: Setting, legs: Sequence[Leg]) -> Iterator[tuple[Setting, list[Leg]]]:
    """The setting with one operation less, or with a range of one gfn, and the legs that remain."""
    for actor, script in enumerate(setting.scripts):
        for number in range(len(script)):
            rest = [
                replace(leg, operation=leg.operation - (leg.actor == actor and leg.operation > number))
                for leg in legs
                if leg_key(leg) != (actor, number)
            ]
            yield _with_script(setting, actor, [*script[:number], *script[number + 1 :]]), rest
    yield from ((narrow, list(legs)) for narrow in _narrowed(setting))


def _without_actor(setting: Setting, choices: Choices, actor: int) -> Candidate:
    """The setting without an actor that does nothing; those behind it move up."""
    shape = setting.world
    if actor < shape.vcpus:
        shape = replace(shape, vcpus=shape.vcpus - 1)
    else:
        shape = replace(shape, host_actors=shape.host_actors - 1)
    prepare = tuple((number - (number > actor), asked) for number, asked in setting.prepare)
    scripts = (*setting.scripts[:actor], *setting.scripts[actor + 1 :])
    moved = tuple((number - (number > actor), kind) for number, kind in choices)
    return msgspec.structs.replace(setting, world=shape, prepare=prepare, scripts=scripts), moved


def _with_gfns(shape: Geometry, gfns: int) -> Geometry:
    slots = tuple((base, min(count, gfns - base)) for base, count in shape.slots if base < gfns)
    return replace(shape, gfns=gfns, slots=slots)


def trimmed(setting: Setting, choices: Choices, paths: Sequence[Path] = ()) -> Iterator[Candidate]:
    """The setting without operations that nobody began, without idle actors, with the gfns that are used."""
    legs = legs_of(setting, choices, paths)
    begun = [max([leg.operation + 1 for leg in legs if leg.actor == a], default=0) for a in range(len(setting.scripts))]
    for actor, script in enumerate(setting.scripts):
        if len(script) > begun[actor]:
            yield _with_script(setting, actor, script[: begun[actor]]), choices
    yield from ((narrow, choices) for narrow in _narrowed(setting))
    bound = {number for number, _ in setting.prepare}
    if not setting.forces and not setting.gates:
        for actor, script in enumerate(setting.scripts):
            last = setting.world.vcpus == 1 if actor < setting.world.vcpus else False
            if not script and actor not in bound and not last:
                yield _without_actor(setting, choices, actor)
    asked = [one for script in setting.scripts for one in script] + [one for _, one in setting.prepare]
    used = max([one.gfn + one.count for one in asked], default=1)
    for gfns in range(used, setting.world.gfns):
        yield msgspec.structs.replace(setting, world=_with_gfns(setting.world, gfns)), choices


def _walked(setting: Setting, legs: Sequence[Leg], target: str, paths: Sequence[Path]) -> Choices | None:
    """The choices of legs that break the target in a smaller setting; None if they do not, or it is no setting."""
    try:
        running = starter(setting, paths)()
    except UserError:
        return None
    made = walk(running, legs)  # one that leaves the model breaks something else
    return made if running.broken == target else None


def _breaks(candidate: Candidate, target: str, paths: Sequence[Path]) -> Choices | None:
    """The choices that break the target in a smaller setting; None if they do not, or it is no setting."""
    try:
        return Trials(starter(candidate[0], paths), target, TRIAL_STEPS).run(candidate[1])
    except UserError:
        return None


def _less(best: Candidate, target: str, paths: Sequence[Path]) -> Candidate | None:
    """A setting with less to do in which the schedule is cheaper."""
    for setting, legs in shorter(best[0], legs_of(*best, paths)):
        made = _walked(setting, legs, target, paths)
        if made is not None and cost(made) < cost(best[1]):
            return setting, made
    return None


def _trimmed(best: Candidate, target: str, paths: Sequence[Path]) -> Candidate | None:
    """A setting with less that nobody uses, in which the schedule is as it was."""
    for candidate in trimmed(*best, paths):
        made = _breaks(candidate, target, paths)
        if made is not None and cost(made) <= cost(best[1]):
            return candidate[0], made
    return None


def smallest(
    setting: Setting, choices: Choices, target: str, *, budget: int = 300_000, paths: Sequence[Path] = ()
) -> Candidate:
    """The smallest failing schedule that is found, and its setting. Raises ValueError if the schedule does not fail."""
    if starter(setting, paths)().broken == target:
        return setting, ()  # what is prepared breaks it, before anybody steps
    best = setting, shrink(starter(setting, paths), choices, target, budget=budget).choices
    found = _less(best, target, paths)
    while found is not None:
        best = found[0], shrink(starter(found[0], paths), found[1], target, budget=budget // 4).choices
        found = _less(best, target, paths)
    found = best if best[0] != setting and target != LIVE else None
    while found is not None:
        best = found
        found = _trimmed(best, target, paths)
    return best


def smallest_failure(
    setting: Setting,
    choices: Choices,
    target: str,
    *,
    budget: int = 300_000,
    paths: Sequence[Path] = (),
    lookup: Lookup | None = None,
) -> Failure | None:
    """The smallest failure that is found, recorded, with the line that replays it."""
    small, made = smallest(setting, choices, target, budget=budget, paths=paths)
    failure = record(small, made, paths)
    return None if failure is None else with_line(failure, lookup)
