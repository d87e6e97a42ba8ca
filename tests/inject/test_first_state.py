"""The state that what is prepared leads to is judged and watched before anybody steps."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_world import scenario_text

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.sampling import sample
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel
from gmembench.inject.answer import Answer, Limits, exhaustively
from gmembench.inject.campaign import Orders
from gmembench.inject.chance import by_chance
from gmembench.inject.explain_text import as_text
from gmembench.inject.mutants import mutated
from gmembench.inject.question import Question, Words, ask
from gmembench.inject.replay import replay_schedule
from gmembench.inject.schedule import read_line

BROKEN = "without punch.start.zap"
"""What a vCPU has mapped stays mapped when the page goes."""

SCENARIO = scenario_text(
    "A page is punched before anybody else begins.",
    ["access 0 read"],
    ("H0", []),
    ("a page is in use from the beginning", ["V0 begun 0", "H0 idle", "pages[1].refs > 0"]),
    prepare=["V0: convert 0 private", "V0: access 0 write", "H0: punch 0"],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a scenario in which a page is written and punched beforehand."""
    (tmp_path / "exploration").mkdir()
    (tmp_path / "exploration" / "punched.toml").write_text(SCENARIO)
    return tmp_path


def question(folder: Path, *edits: str) -> Question:
    """The scenario of a design, mutated or not."""
    return ask(Words("guest-memfd", "punched", edits=edits, paths=(folder,)))


def test_a_first_state_that_is_wrong_is_a_violation(folder: Path) -> None:
    """The search ends before it has begun: no step leads there."""
    answer = exhaustively(question(folder, BROKEN), Limits())
    assert (answer.verdict, answer.states, answer.transitions, answer.steps) == ("violation", 1, 0, [])
    assert answer.violation is not None
    assert answer.violation.invariant == "ALIAS"
    assert answer.failure is not None
    told = (
        "before anybody steps, after what is prepared (V0 convert gfn 0 private, V0 access gfn 0 write, H0 punch gfn 0)"
    )
    assert told in " ".join(as_text(answer.failure).split())


def test_a_design_as_it_is_prepares_nothing_wrong(folder: Path) -> None:
    """Unedited it holds."""
    assert exhaustively(question(folder), Limits()).verdict == "holds"


HANGS = "without punch.unlock_inval"
"""Who punches again waits for the lock for ever."""


def punched_twice(folder: Path) -> None:
    """Let the scenario prepare a second punch."""
    path = folder / "exploration" / "punched.toml"
    path.write_text(path.read_text().replace('"H0: punch 0"', '"H0: punch 0", "H0: punch 0"'))


def test_what_is_prepared_and_never_ends_is_a_violation_of_a_mutant(folder: Path) -> None:
    """LIVE does not hold, and it is told which operation waits where; the line shows it again."""
    punched_twice(folder)
    asked = question(folder, HANGS)
    for answer in (exhaustively(asked, Limits()), by_chance(asked, Orders(10)).answer):
        assert (answer.verdict, answer.exit_code, answer.steps) == ("violation", 1, [])
        assert answer.failure is not None
        assert answer.failure.violation.invariant == "LIVE"
        told = "H0's punch is prepared, runs alone and never ends: punch.lock_inval waits"
        assert answer.failure.violation.reason == told
        found = replay_schedule(read_line(answer.failure.replay, asked.lookup), (folder,)).found
        assert found is not None
        assert found.violation == answer.failure.violation


def test_what_never_ends_without_an_edit_is_a_mistake_of_the_scenario(folder: Path) -> None:
    """It is told in one line; and where LIVE is not judged there is nothing to answer."""
    punched_twice(folder)
    with pytest.raises(UserError, match=r"punch never ends: punch\.lock_inval waits"):
        exhaustively(replace(question(folder, HANGS), panel=Panel({"ALIAS": load_invariants()["ALIAS"]})), Limits())
    mutant = mutated(load_designs()["guest-memfd"], load_hardware()["none"], (HANGS,))
    with pytest.raises(UserError, match=r"punch never ends: punch\.lock_inval waits"):
        exhaustively(replace(question(folder, "without punch.start.zap"), design=mutant), Limits())


def test_every_driver_judges_it(folder: Path) -> None:
    """Single steps and drawn schedules find it too, the latter in their first schedule."""
    asked = question(folder, BROKEN)
    stepper, sampled = Stepper.of(asked.instance), sample(asked.instance, schedules=5)
    assert stepper.violation is not None
    assert len(stepper.options()) == 0
    assert sampled.violation is not None
    assert (sampled.schedules, sampled.steps, sampled.choices) == (1, 0, ())
    assert stepper.violation.why == sampled.violation.why
    chance: Answer = by_chance(asked, Orders(10)).answer
    assert (chance.verdict, chance.steps) == ("violation", [])


def test_its_line_replays(folder: Path) -> None:
    """A schedule of no choices is a line too."""
    asked = question(folder, BROKEN)
    failure = exhaustively(asked, Limits()).failure
    assert failure is not None

    found = replay_schedule(read_line(failure.replay, asked.lookup), (folder,)).found
    assert found is not None
    assert found.violation == failure.violation


def test_a_state_to_be_seen_may_be_the_first(folder: Path) -> None:
    """What holds before anybody steps, and never again, was seen, by whoever explores."""
    text = (folder / "exploration" / "punched.toml").read_text().replace('"H0: punch 0"', '"V0: access 0 write"')
    (folder / "exploration" / "punched.toml").write_text(text)
    asked = question(folder)
    name = "a page is in use from the beginning"
    whole = exhaustively(asked, Limits())
    assert whole.seen is not None
    assert whole.seen[name]
    assert sample(asked.instance, schedules=1).seen[name]
