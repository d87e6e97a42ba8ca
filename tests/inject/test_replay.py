"""Replaying: the same failure again, or the first step that differs."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from planted import PLANTED, found

from gmembench.core.errors import UserError
from gmembench.inject.failure import Choice, Failure, write_failure
from gmembench.inject.replay import replay, replay_schedule, step_line
from gmembench.inject.schedule import SOURCES_DIGITS, Schedule, marks_of, packed_line, read_line

replaced = msgspec.structs.replace


def with_choice(failure: Failure, number: int, **changes: object) -> Failure:
    """The failure with one choice changed."""
    choices = list(failure.choices)
    choices[number] = replaced(choices[number], **changes)
    return replaced(failure, choices=tuple(choices))


def mended(failure: Failure) -> Failure:
    """The same schedule for the shipped design."""
    return replaced(failure, setting=replaced(failure.setting, programs={}))


@pytest.mark.parametrize("name", PLANTED)
def test_a_failure_shows_again(name: str) -> None:
    """Every step, digest and lock is as it was, and the violation too."""
    failure = found(name)[0]
    again = replay(failure)
    assert again.difference is None
    assert again.found == failure
    assert failure.violation.invariant == PLANTED[name].invariant


@pytest.mark.parametrize("name", PLANTED)
def test_a_mended_design_does_not_fail(name: str) -> None:
    """The shipped design differs at a step, and nothing is violated."""
    gone = replay(mended(found(name)[0]))
    assert gone.found is None
    assert gone.difference is not None


def test_the_first_other_row_is_named() -> None:
    """With the check back in its place, the difference is that check."""
    gone = replay(mended(found("no-recheck")[0]))
    expected = found("no-recheck")[0].choices[gone.difference.step - 1]  # type: ignore[union-attr]
    assert expected.row == "access.fault.choose_level"
    assert "access.fault.recheck_stale" in gone.difference.got  # type: ignore[union-attr]


def test_another_state_after_the_same_step_is_named() -> None:
    """Digests are compared where names agree; the violation still shows."""
    changed = replay(with_choice(found("no-recheck")[0], 5, state="0" * 16))
    assert changed.difference.step == 6  # type: ignore[union-attr]
    assert "0" * 16 in changed.difference.expected  # type: ignore[union-attr]
    assert changed.found is not None


def test_an_impossible_choice_is_a_difference() -> None:
    """An actor that has nothing to do cannot step: it is told, and the rest goes on."""
    odd = Choice(3, "step", 1, 0, "convert.lock_slots", "next", "0" * 16)
    failure = found("no-recheck")[0]
    changed = replay(replaced(failure, choices=(odd, *failure.choices)))
    assert changed.difference.step == 1  # type: ignore[union-attr]
    assert changed.difference.got == "no such option"  # type: ignore[union-attr]
    assert changed.found.violation.invariant == "UAF-MAP"  # type: ignore[union-attr]


def test_a_violation_that_comes_earlier_is_a_difference() -> None:
    """Steps after the violation are not made."""
    failure = found("no-recheck")[0]
    longer = replaced(failure, choices=(*failure.choices, failure.choices[-1]))
    assert "UAF-MAP violated before it" in replay(longer).difference.got  # type: ignore[union-attr]


def test_other_sources_are_noticed() -> None:
    """The digest of the sources is compared."""
    assert not replay(found("no-recheck")[0]).other_sources
    assert replay(replaced(found("no-recheck")[0], sources="0" * 16)).other_sources


@pytest.mark.parametrize(
    ("field", "value"),
    [("design", "none-such"), ("hardware", "none-such"), ("invariants", ("none-such",)), ("edits", ("none such",))],
)
def test_what_these_sources_do_not_have_is_the_users_error(field: str, value: object) -> None:
    """Names that are gone are told, with no traceback."""
    failure = found("no-recheck")[0]
    with pytest.raises(UserError):
        replay(replaced(failure, setting=replaced(failure.setting, **{field: value})))


def test_a_step_in_one_line() -> None:
    """The actor, the full name of the row, its registers."""
    failure = found("no-recheck")[0]
    assert step_line(failure.choices[-1], failure.actors) == "V0: access.fault.set_spte gfn=0 pfn=12"


def test_digests_are_the_same_in_another_process(tmp_path: Path) -> None:
    """With another seed for Python's hashes."""
    write_failure(tmp_path / "a.json", found("no-recheck")[0])
    code = (
        "import sys; from pathlib import Path; from gmembench.inject.failure import read_failure;"
        "from gmembench.inject.replay import replay; print(replay(read_failure(Path(sys.argv[1]))).difference)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", code, str(tmp_path / "a.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "None\n"


def marked(name: str = "no-recheck") -> Schedule:
    """The line of a planted bug, read again."""
    failure, choices = found(name)
    return read_line(packed_line(failure.setting, choices, marks_of(failure)))


def test_a_line_tells_what_its_steps_did() -> None:
    """The same sources make the same steps: a mark each, and no difference."""
    asked = marked()
    assert len(asked.marks) == SOURCES_DIGITS + len(asked.choices)
    done = replay_schedule(asked)
    assert (done.difference, done.other_sources) == (None, False)


def test_a_line_of_a_version_that_did_something_else_names_the_step() -> None:
    """The first mark that differs is the step; the rest goes on, and the violation shows all the same."""
    asked = marked()
    at = SOURCES_DIGITS + 6
    marks = asked.marks[:at] + ("a" if asked.marks[at] != "a" else "b") + asked.marks[at + 1 :]
    done = replay_schedule(replace(asked, marks=marks))
    assert done.difference is not None
    assert done.difference.step == 7
    assert done.difference.got.startswith("V1: access.")
    assert done.found is not None
    assert done.found.replay == ""


def test_a_line_of_other_sources_says_so() -> None:
    """Also if all of its steps are as they were."""
    asked = marked()
    done = replay_schedule(replace(asked, marks="0" * SOURCES_DIGITS + asked.marks[SOURCES_DIGITS:]))
    assert (done.difference, done.other_sources) == (None, True)


def test_a_line_without_marks_says_nothing_of_its_sources() -> None:
    """It is only replayed."""
    done = replay_schedule(replace(marked(), marks=""))
    assert (done.difference, done.other_sources) == (None, False)
    assert done.found is not None


def test_another_design_under_a_line_is_noticed_at_its_first_step() -> None:
    """With the check back in its place it is the check that differs, though every choice can be made until then."""
    asked = marked()
    done = replay_schedule(replace(asked, setting=mended(found("no-recheck")[0]).setting))
    assert done.difference is not None
    assert done.difference.expected == "what the line was written for (its mark differs)"
    assert "access.fault.recheck_stale" in done.difference.got
    assert done.found is None
