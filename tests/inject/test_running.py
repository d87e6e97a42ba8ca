"""The stepper that shrinking drives, where edits lead a program out of the model."""

from gmembench.core.drivers.stepper import Stepper
from gmembench.inject.campaign import Orders
from gmembench.inject.chance import by_chance
from gmembench.inject.question import Question, Words, ask
from gmembench.inject.running import LIVE, OUTSIDE, Running

SELDOM = (
    "without access.drop.release_page",
    "insert pin.dma,before=access.gup.fast,name=xx",
    "redirect access.fault.recheck_stale,stale=access.xx",
)
"""A reference is never dropped; and only a fault that is told to retry leaves the model."""


def question(*edits: str) -> Question:
    """A fault and a punch of guest-memfd, with edits."""
    return ask(Words("guest-memfd", "fault-vs-punch", "none", edits=edits))


def test_a_schedule_that_leaves_the_model_breaks_no_invariant() -> None:
    """It breaks a word that is none, and nothing is judged at its end."""
    running = Running(Stepper.of(question("insert pin.dma,before=access.fault.topup_caches").instance))
    while not running.broken:
        running.take((0, 0))
    assert running.broken == OUTSIDE
    assert running.judge_end(LIVE) is None
    assert not running.is_stuck()


def test_a_violation_is_shrunk_beside_schedules_that_leave_the_model() -> None:
    """What shrinking tries may leave the model, where the schedule that was found does not."""
    found = by_chance(question(*SELDOM), Orders(300)).answer
    assert found.verdict == "violation"
    assert found.failure is not None
    assert found.failure.violation.invariant == "2X"
