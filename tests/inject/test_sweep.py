"""Sweeps: every hit of a point once, one after the other."""

import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.inject.question import Words, ask
from gmembench.inject.scenario import EventUse, load_scenarios
from gmembench.inject.sweep import Shot, sweep, swept, use_of

DESIGN, HARDWARE = load_designs()["guest-memfd"], load_hardware()["none"]
SCENARIO = load_scenarios()["fault-vs-slot-delete"]


def shots(use: EventUse) -> list[Shot]:
    """A sweep of the scenario."""
    return list(sweep(SCENARIO, DESIGN, HARDWARE, use))


def test_a_forced_outcome_is_swept_over_every_hit() -> None:
    """Each allocation of a run fails once: the hits are counted up, and each run ends without a violation."""
    made = shots(EventUse(event="alloc_fail"))
    assert [shot.skip for shot in made] == list(range(len(made)))
    assert len(made) > 1
    assert {shot.hit.partition(".")[0] for shot in made} <= {"access", "slot_create", "slot_delete"}
    assert all(shot.ended and shot.violation is None for shot in made)


def test_operations_are_swept_over_every_arrival() -> None:
    """A zap begins whenever the vCPU comes to the row, and at no other."""
    made = shots(EventUse(event="spurious_zap", at="V0 before access.fault.lock_mmu"))
    assert made
    assert {shot.hit for shot in made} == {"access.fault.lock_mmu"}
    assert all(shot.ended for shot in made)


def test_a_point_that_is_not_reached_has_no_shot() -> None:
    """Nobody punches here, and nobody fails to: a sweep without hits is empty."""
    far = EventUse(event="alloc_fail", skip=100)
    assert shots(far) == []


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (EventUse(event="preempt", at="V0 before fault.snapshot_seq"), "preempt restricts the schedule"),
        (EventUse(event="spurious_zap"), "spurious_zap has no point"),
        (EventUse(event="no-such-event"), "no event 'no-such-event'"),
    ],
)
def test_what_has_no_hits_is_refused(use: EventUse, told: str) -> None:
    """A user is told what to write instead."""
    with pytest.raises(UserError, match=told):
        shots(use)


def test_other_events_do_not_count_as_hits() -> None:
    """What a plan or scenario injects besides happens where it must, and the swept event alone is followed."""
    beside = EventUse(event="punch_hole", at="V0 before access.fault.set_spte")
    made = list(sweep(SCENARIO, DESIGN, HARDWARE, EventUse(event="alloc_fail"), events=[beside]))
    assert [shot.hit for shot in made] == [shot.hit for shot in shots(EventUse(event="alloc_fail"))]
    assert all(len(shot.instance.scripts) == len(SCENARIO.actors) + 1 for shot in made)


@pytest.mark.parametrize(
    ("text", "event", "at"),
    [
        ("alloc_fail", "alloc_fail", ""),
        ("zap@access.fault.lock_mmu", "zap", "* before access.fault.lock_mmu"),
        ("zap@V* before access.*", "zap", "V* before access.*"),
    ],
)
def test_events_and_points_as_a_line_names_them(text: str, event: str, at: str) -> None:
    """A row alone is everybody's."""
    use = use_of(text)
    assert (use.event, use.at) == (event, at)


def test_a_sweep_stops_when_time_is_up() -> None:
    """What was made by then is told, and that it is not all."""
    done = swept(ask(Words("guest-memfd", "fault-vs-slot-delete")), EventUse(event="alloc_fail"), seconds=0.0)
    assert len(done.shots) == 1
    assert (done.answer.verdict, done.answer.exit_code) == ("bound", 4)
    assert "stopped at 0 seconds" in done.answer.claim


def test_a_point_that_nobody_reaches_shows_nothing() -> None:
    """The claim says so."""
    done = swept(ask(Words("guest-memfd", "fault-vs-slot-delete")), EventUse(event="alloc_fail", skip=100))
    assert (done.shots, done.answer.verdict) == ((), "not-found")
    assert done.answer.claim.startswith("alloc_fail is never reached, so nothing was swept.")
