"""Partial order: the same verdicts as without it, from fewer states."""

from dataclasses import replace

import pytest

from gmembench.benchmarks.peers.instances import TWINS, Twin
from gmembench.core.drivers.exhaustive import explore
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.jit import INTERPRETED
from gmembench.core.judges import Violation

SHORT = replace(TWINS["fault-vs-punch-1-1"], scripts=(("access 0 write",), (), ("punch 0 1",)))
"""Few states, for interpreted runs too."""

CASES = [(SHORT, "NO_RECHECK")]
if not INTERPRETED:
    twins = (SHORT, TWINS["fault-vs-punch-1-1-timer"], TWINS["fault-vs-convert-huge-1"])
    CASES = [(twin, mutant) for twin in twins for mutant in ("", *twin.mutants)]


def named(violation: Violation | None) -> str:
    """The invariant that broke; "" if none did."""
    return violation.invariant if violation else ""


@pytest.mark.parametrize(("twin", "mutant"), CASES, ids=[f"{twin.name} {mutant}" for twin, mutant in CASES])
def test_fewer_states_give_the_same_verdict(twin: Twin, mutant: str) -> None:
    """With and without: the same invariant breaks or none, and what is found happens when it is stepped."""
    instance = twin.instance(mutant)
    with_order, without = explore(instance, reductions=("order",)), explore(instance, reductions=())
    assert with_order.reductions == ("order",)
    assert without.reductions == ()
    assert with_order.states < without.states
    assert with_order.verdict == without.verdict
    assert named(with_order.violation) == named(without.violation)
    stepper = Stepper.of(instance)
    for choice in with_order.choices:
        stepper.take(*choice)
    assert named(stepper.violation) == named(with_order.violation)
