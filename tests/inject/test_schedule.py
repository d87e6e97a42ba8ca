"""Schedules as a line to paste."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import PLANTED, found

from gmembench.core.errors import UserError
from gmembench.inject.recording import record
from gmembench.inject.schedule import (
    Schedule,
    choices_of,
    is_line,
    line_of,
    named_line,
    packed_line,
    read_line,
    runs_of,
)
from gmembench.inject.setting import Setting

CHOICES = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15))).map(tuple)


def setting(name: str = "no-recheck") -> Setting:
    """The setting of a planted bug, as if a scenario gave it."""
    return msgspec.structs.replace(found(name)[0].setting, scenario="bugs/A05-x", edits=("without a b,c=d:/%",))


def lookup(source: str, design: str, hardware: str, edits: object) -> Setting:
    """The setting of that name."""
    assert (source, design, hardware) == ("bugs/A05-x", "guest-memfd", "none")
    return msgspec.structs.replace(setting(), edits=tuple(edits))  # type: ignore[call-overload]


@given(CHOICES)
def test_runs_read_as_they_are_written(choices: tuple[tuple[int, int], ...]) -> None:
    """Any actors and kinds, in any order."""
    assert choices_of(runs_of(choices)) == choices


def test_runs_are_short() -> None:
    """A run of steps is one word."""
    assert runs_of([(0, 0)] * 12 + [(2, 0), (2, 1), (0, 2), (1, 4)]) == "0s12.2sy.0e.1f1"


@given(CHOICES)
def test_a_packed_line_stands_alone(choices: tuple[tuple[int, int], ...]) -> None:
    """Its setting comes back, world and edited programs and all."""
    assert read_line(packed_line(setting(), choices)) == Schedule(setting(), choices)


@given(CHOICES)
def test_a_named_line_is_looked_up(choices: tuple[tuple[int, int], ...]) -> None:
    """Source, design, hardware and edits come back, whatever characters an edit has."""
    assert read_line(named_line(setting(), choices), lookup) == Schedule(setting(), choices)


@given(st.data())
def test_a_damaged_line_is_refused(data: st.DataObject) -> None:
    """One character other, or the end lost."""
    line = packed_line(setting(), [(0, 0)] * 30)
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.sampled_from(["", "x", "0", ":", "."]))
    damaged = line[:at] + other + line[at + 1 :]
    for text in (line[:at], damaged if damaged != line else line[:-1]):
        with pytest.raises(UserError):
            read_line(text)


@given(st.text(max_size=60))
def test_no_text_gives_a_traceback(text: str) -> None:
    """Anything that is no line is the user's error."""
    with pytest.raises(UserError):
        read_line(f"v1:{text}")


def test_another_version_says_so() -> None:
    """A line of a later version is not called damaged."""
    with pytest.raises(UserError, match=r"'v2'.*reads 'v1'"):
        read_line(packed_line(setting(), []).replace("v1:", "v2:", 1))


def test_the_shortest_line_is_chosen() -> None:
    """By name where the name gives the setting, packed where it does not, none where that is too long to paste."""
    named = line_of(setting(), [(0, 0)], lookup)
    assert named.startswith("v1:bugs/A05-x:guest-memfd:none:")
    plain = msgspec.structs.replace(setting(), programs={}, scenario="")
    assert line_of(plain, [(0, 0)], lookup).startswith("v1:=")
    assert line_of(msgspec.structs.replace(setting(), scenario=""), [(0, 0)], lookup) == ""


@pytest.mark.parametrize("name", PLANTED)
def test_a_line_gives_the_failure_again(name: str) -> None:
    """Pasted, it records the same failure."""
    failure, choices = found(name)
    read = read_line(packed_line(failure.setting, choices))
    assert record(read.setting, read.choices) == failure


@pytest.mark.parametrize("name", PLANTED)
def test_a_line_survives_a_shell(name: str) -> None:
    """No character that a shell takes for its own."""
    line = packed_line(found(name)[0].setting, found(name)[1])
    assert set(named_line(setting(), found(name)[1]) + line) < set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:=.,_-%+/@"
    )


@pytest.mark.parametrize(("text", "line"), [("v1:x", True), ("v23:", True), ("v1.json", False), ("a/v1:b", False)])
def test_lines_are_told_from_files(text: str, line: bool) -> None:
    """A version and a colon."""
    assert is_line(text) is line
