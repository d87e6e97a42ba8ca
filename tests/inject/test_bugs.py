"""Every plan of a published bug is found by visiting all states and by chance, and what it edits is what breaks."""

from functools import cache

import pytest

from gmembench.core.drivers.exhaustive import Exploration, explore
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.sampling import sample
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.jit import INTERPRETED
from gmembench.inject.plan import BUGS, load_plans
from gmembench.inject.running import Running
from gmembench.inject.shrink import Choices, shrink, switches

PLANS = load_plans()
BUG_PLANS = sorted(name for name in PLANS if name.startswith(f"{BUGS}/"))

MOST_STATES = 1_000_000
"""More than any of these worlds has: a compiled search visits as many in a few seconds."""

MOST_SCHEDULES = 1_000_000
"""Within so many schedules a bug must show. PCT of depth 3 takes at most about a thousand for each of these."""

SHRINK_STEPS = 10_000
"""Fewer than `gmembench explore` makes; what is shrunk further only gets shorter."""

CUT_OFF_STEPS, CUT_OFF = 50, 16
"""Schedules that are cut off in the midst of things, so that it is judged often whether all can end."""

pytestmark = pytest.mark.skipif(INTERPRETED, reason="all states of these worlds take hours when interpreted")


@cache
def instance(name: str, *, edited: bool) -> Instance:
    """What is explored: a plan's world and scripts, with its edits or without."""
    return PLANS[name].instance(edited=edited)


def explored(name: str, *, edited: bool) -> Exploration:
    """All states of a plan's world, breadth first, up to the first violation."""
    return explore(instance(name, edited=edited), states=MOST_STATES)


def shrunk(name: str, choices: Choices) -> Choices:
    """The shortest schedule that is found with little work."""
    first, expected = Stepper.of(instance(name, edited=True)), PLANS[name].body.expect
    return shrink(lambda: Running(first.anew()), choices, expected, budget=SHRINK_STEPS).choices


@pytest.mark.parametrize("name", BUG_PLANS)
def test_the_bug_is_found(name: str) -> None:
    """The mutant breaks what the plan expects. Shrunk, it has at most twice the switches that were published."""
    found, plan = explored(name, edited=True), PLANS[name].body
    assert found.violation is not None
    assert found.violation.invariant == plan.expect
    assert 0 < switches(shrunk(name, found.choices)) <= 2 * plan.items


@pytest.mark.parametrize("name", BUG_PLANS)
def test_the_bug_is_found_by_chance(name: str) -> None:
    """PCT of depth 3 comes to it. Shrunk, that schedule too has at most twice the switches that were published."""
    plan = PLANS[name].body
    found = sample(instance(name, edited=True), strategy="pct", depth=3, schedules=MOST_SCHEDULES)
    assert found.violation is not None
    assert found.violation.invariant == plan.expect
    assert 0 < switches(shrunk(name, found.choices)) <= 2 * plan.items


@pytest.mark.parametrize("name", BUG_PLANS)
def test_the_design_alone_holds(name: str) -> None:
    """Without the edits the same world and scripts break nothing but what the design ships as a finding."""
    found, plan = explored(name, edited=False), PLANS[name]
    shipped = {finding.invariant for finding in plan.design().findings if plan.body.hardware in finding.hardware}
    if found.violation is None:
        assert found.verdict == "holds"
    else:
        assert found.violation.invariant in shipped
    cut = sample(instance(name, edited=False), schedules=CUT_OFF, most_steps=CUT_OFF_STEPS)
    assert cut.violation is None or cut.violation.invariant in shipped
