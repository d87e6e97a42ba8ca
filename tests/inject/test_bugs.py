"""Every plan of a published bug is found by visiting all states, and what it edits is what breaks."""

import pytest

from gmembench.core.drivers.exhaustive import Exploration, explore
from gmembench.core.jit import INTERPRETED
from gmembench.inject.plan import BUGS, load_plans

PLANS = load_plans()
BUG_PLANS = sorted(name for name in PLANS if name.startswith(f"{BUGS}/"))

MOST_STATES = 1_000_000
"""More than any of these worlds has: a compiled search visits as many in a few seconds."""

pytestmark = pytest.mark.skipif(INTERPRETED, reason="all states of these worlds take hours when interpreted")


def explored(name: str, *, edited: bool) -> Exploration:
    """All states of a plan's world, breadth first, up to the first violation."""
    return explore(PLANS[name].instance(edited=edited), states=MOST_STATES)


@pytest.mark.parametrize("name", BUG_PLANS)
def test_the_bug_is_found(name: str) -> None:
    """The mutant breaks the invariant that the plan expects, by a schedule of some length."""
    found = explored(name, edited=True)
    assert found.violation is not None
    assert found.violation.invariant == PLANS[name].body.expect
    assert found.choices


@pytest.mark.parametrize("name", BUG_PLANS)
def test_the_design_alone_holds(name: str) -> None:
    """Without the edits the same world and scripts break nothing but what the design ships as a finding."""
    found, plan = explored(name, edited=False), PLANS[name]
    shipped = {finding.invariant for finding in plan.design().findings if plan.body.hardware in finding.hardware}
    if found.violation is None:
        assert found.verdict == "holds"
    else:
        assert found.violation.invariant in shipped
