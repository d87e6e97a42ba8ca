"""Failures shrink with their settings: operations, ranges, actors and gfns."""

from dataclasses import replace

import msgspec
from interleavings import operation
from planted import END, H0, H1, PLANTED, V0, V1, WRITES, Choices, found, instance_of, script, walk

from gmembench.core.operations import WRITE
from gmembench.inject.recording import record
from gmembench.inject.running import starter
from gmembench.inject.schedule import marks_of, named_line
from gmembench.inject.setting import Setting, setting_of, stepper_of
from gmembench.inject.smaller import leg_key, legs_of, smallest, smallest_failure
from gmembench.inject.smaller import walk as walk_legs


def noisy() -> tuple[Setting, Choices]:
    """A fault without its recheck: each actor has more to do than it takes, and ranges are longer."""
    bug = PLANTED["no-recheck"]
    first = script(operation("access", V0, 3, 1, WRITE), operation("access", V0, 0, 1, WRITE))
    punches = script(operation("punch", H0, 3, 1), operation("punch", H0, 0, 2))
    noisy = replace(bug, scripts=(first, WRITES[V1], punches, script(operation("convert", H1, 2, 1))))
    setting = setting_of(instance_of(noisy))
    legs = ((H1, END), (V0, ""), (H0, ""), (V0, "access.fault.lock_mmu"), (H0, END), (V0, END))
    stepper = stepper_of(setting)
    return setting, walk_with_idle(stepper, legs)


def walk_with_idle(stepper: object, legs: tuple[tuple[int, str], ...]) -> Choices:
    """Legs in which "" stops an actor between two operations."""
    made: Choices = ()
    for actor, stop in legs:
        if stop == "":
            stepper.take(actor)  # type: ignore[attr-defined]  # a Stepper
        made = walk(stepper, ((actor, stop),))  # type: ignore[arg-type]
    return made


def test_legs_give_the_schedule_again() -> None:
    """Walked in the setting that they come from, they make the same choices."""
    setting, choices = noisy()
    legs = legs_of(setting, choices)
    assert walk_legs(starter(setting)(), legs) == choices
    assert {leg_key(leg) for leg in legs} == {(V0, 0), (V0, 1), (H0, 0), (H0, 1), (H1, 0)}


def test_what_is_not_needed_goes() -> None:
    """One access, one punch of one gfn, two actors, one gfn; the failure is the same."""
    setting, choices = noisy()
    assert record(setting, choices).violation.invariant == "UAF-MAP"  # type: ignore[union-attr]
    small, made = smallest(setting, choices, "UAF-MAP", budget=1500)
    asked = [str(one) for actor in small.scripts for one in actor]
    assert asked == ["access gfn 0 write", "punch gfn 0"]
    assert (small.world.vcpus, small.world.host_actors, small.world.gfns) == (1, 1, 1)
    assert record(small, made).switches == 3  # type: ignore[union-attr]


def test_a_setting_that_needs_nothing_less_keeps_its_name() -> None:
    """Idle actors alone are no reason to change it: its line stays short."""
    failure, choices = found("attribute-before-snapshot")
    setting = msgspec.structs.replace(failure.setting, scenario="a-name")
    small = smallest_failure(setting, choices, "ALIAS", budget=500, lookup=lambda *names: setting)
    assert small is not None
    assert small.setting == setting
    assert small.replay == named_line(setting, [(c.actor, 0) for c in small.choices], marks_of(small))
