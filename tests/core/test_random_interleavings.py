"""No shipped design breaks an invariant in a random interleaving, but for the findings it ships with.

GMEMBENCH_INTERLEAVINGS=N tries N schedules of each design and hardware instead of a few.
"""

import os

import pytest
from interleavings import TWO_SLOTS, random_run

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.jit import INTERPRETED
from gmembench.core.programs import assemble

DESIGNS, HARDWARE = load_designs(), load_hardware()
CASES = [(d, h) for d in DESIGNS for h in HARDWARE if h not in DESIGNS[d].not_on]
SCHEDULES = int(os.environ.get("GMEMBENCH_INTERLEAVINGS", "1" if INTERPRETED else "24"))
"""Interpreted runs are there for indices that leave their arrays: one schedule a way. The compiled run has them all."""

FIRST = 0 if not INTERPRETED else 1
"""Interpreted, each way begins with another seed: of it follow sizes of folios, and whether there are huge pages."""


WAYS: dict[str, dict[str, object]] = {
    "mixed": {},
    "mixed, two memslots": {"slots": TWO_SLOTS},
    "one by one": {"alone": True},
}
"""How operations meet; half of the worlds have huge pages behind the VMA, folios are of each size of the design."""


ALONE = "one by one"

MEETINGS = [(d, h, way) for d, h in CASES for way in WAYS if not (INTERPRETED and way == ALONE and h != "none")]
"""Interpreted, one by one takes as long as all else, and its rows are those of the other ways: once a design."""


@pytest.mark.parametrize(("design", "hardware", "way"), MEETINGS)
def test_random_interleavings_break_no_invariant(design: str, hardware: str, way: str) -> None:
    """Two vCPUs and two host threads, any programs of the design; a found violation prints its schedule."""
    code = assemble(DESIGNS[design], HARDWARE[hardware])
    known = {finding.invariant for finding in DESIGNS[design].findings if hardware in finding.hardware}
    stepped = 0
    schedules = -(-SCHEDULES // 2) if way == ALONE else SCHEDULES
    first = FIRST * list(WAYS).index(way)
    for seed in range(first, first + schedules):
        stepper = random_run(code, seed, **WAYS[way])  # type: ignore[arg-type]  # keywords by name
        stepped += stepper.steps
        found = stepper.violation
        assert found is None or found.invariant in known, f"seed {seed}: {found}"
        assert found is not None or stepper.finished
    assert stepped > (20 if INTERPRETED else 50) * schedules


def test_the_same_seed_is_the_same_run() -> None:
    """A schedule is made by its seed alone."""
    code = assemble(DESIGNS["guest-memfd"], HARDWARE["none"])
    assert random_run(code, 7).trail == random_run(code, 7).trail


def test_interleavings_do_interleave() -> None:
    """Over a few seeds faults are retried, steps wait, and vCPUs are kicked out of the guest."""
    code = assemble(DESIGNS["guest-memfd"], HARDWARE["none"])
    runs = [random_run(code, seed) for seed in range(12)]
    outcomes = {taken.outcome for run in runs for taken in run.trail}
    assert {"stale", "kicked", "again", "fault"} <= outcomes
    assert sum(run.blocked for run in runs) > 0
