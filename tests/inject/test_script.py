"""Operations as text."""

import pytest

from gmembench.core.errors import UserError
from gmembench.core.operations import LONG, PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.inject.script import OF_PROGRAM, WITHOUT_RANGE, operation, script
from gmembench.inject.setting import asked_of, script_of


@pytest.mark.parametrize(
    ("text", "program", "gfn", "count", "flags", "slot"),
    [
        ("access 3", "access", 3, 1, 0, 0),
        ("access gfn 0 write", "access", 0, 1, WRITE, 0),
        ("convert 0 2 private", "convert", 0, 2, PRIVATE, 0),
        ("convert 1 1 shared", "convert", 1, 1, 0, 0),
        ("host_pin 0 1 long write", "host_pin", 0, 1, LONG | WRITE, 0),
        ("slot_delete slot 2", "slot_delete", 0, 1, 0, 2),
        ("migrate 0 1 node 1", "migrate", 0, 1, 0, 1),
        ("close", "close", 0, 1, 0, 0),
    ],
)
def test_an_operation(text: str, program: str, gfn: int, count: int, flags: int, slot: int) -> None:
    """Program, range, flags and number of an operation are those of its text."""
    one = operation(text, 2)[0]
    assert (one["program"], one["gfn"], one["count"]) == (PROGRAM_NUMBER[program], gfn, count)
    assert (one["flags"], one["slot"], one["actor"]) == (flags, slot, 2)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "'' in '' is no program"),
        ("acces 0", "'acces' in 'acces 0' is no program"),
        ("punch", "names no gfn"),
        ("punch 0 0", "has an empty range"),
        ("punch 0 1 private", "punch in 'punch 0 1 private' knows no 'private'"),
        ("slot_delete slot", "knows no 'slot'"),
    ],
)
def test_text_that_is_no_operation(text: str, what: str) -> None:
    """What is wrong with a text is told, with the place."""
    with pytest.raises(UserError, match=what) as told:
        operation(text, 0, "mine.toml:3")
    assert told.value.where == "mine.toml:3"


def test_a_script_keeps_its_order() -> None:
    """The operations of a script follow one another as they are written; an empty one has none."""
    assert script(["punch 0 1", "access 0"], 1)["program"].tolist() == [
        PROGRAM_NUMBER["punch"],
        PROGRAM_NUMBER["access"],
    ]
    assert len(script([], 1)) == 0


@pytest.mark.parametrize("program", OF_PROGRAM)
def test_failures_keep_every_word(program: str) -> None:
    """What a failure's file says of an operation is the operation again: a lost flag would be another schedule."""
    for word in OF_PROGRAM[program]:
        one = operation(f"{program} {word}" if program in WITHOUT_RANGE else f"{program} 0 {word}", 0)
        assert script_of([asked_of(one[0])], 0).tolist() == one.tolist()
