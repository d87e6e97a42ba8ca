"""Operations as text: `access 0 write`, `convert 0 2 private`, `slot_delete slot 0`, `migrate 0 1 node 1`."""

import re
from collections.abc import Sequence

import numpy as np

from gmembench.core.errors import UserError
from gmembench.core.operations import (
    AS_PRIVATE,
    AS_SHARED,
    LONG,
    NOT_NOW,
    OPERATION,
    PRIVATE,
    PROGRAM_NUMBER,
    PROGRAMS,
    WRITE,
)

WORDS = {
    "read": 0,
    "write": WRITE,
    "shared": 0,
    "private": PRIVATE,
    "long": LONG,
    "short": 0,
    "as-shared": AS_SHARED,
    "as-private": AS_PRIVATE,
    "not-now": NOT_NOW,
}
"""Words after the range, and their flags."""

OF_PROGRAM = {
    "access": ("read", "write", "as-shared", "as-private"),
    "prefault": ("read", "write"),
    "host_access": ("read", "write"),
    "kernel_access": ("read", "write"),
    "host_pin": ("read", "write", "long", "short"),
    "convert": ("private", "shared"),
    "oom_reap": ("not-now",),
    "poison": ("private", "shared"),
}
"""The words that a program knows."""

NUMBERED = {"slot": ("slot_create", "slot_delete", "slot_flags", "slot_move"), "node": ("migrate",)}
"""Words that a number follows, and the programs that know them."""

WITHOUT_RANGE = ("close", "teardown", "reuse", "slot_delete", "slot_flags", "vm_create")
"""Programs that look at no range."""

GRAMMAR = "PROGRAM GFN [COUNT] [read|write|private|shared|long|...] [slot N] [node N]"


def _refuse(what: str, where: str, mend: str = f"write {GRAMMAR}") -> None:
    raise UserError(what, where, mend)


def _range(program: str, words: list[str], text: str, where: str) -> tuple[int, int]:
    """Take the gfn and the count from the front of the words."""
    if words[:1] == ["gfn"]:
        words.pop(0)
    numbers: list[int] = []
    while words and re.fullmatch(r"\d+", words[0]) and len(numbers) < 2:
        numbers.append(int(words.pop(0)))
    if not numbers and program not in WITHOUT_RANGE:
        _refuse(f"{text!r} names no gfn", where)
    gfn, count = [*numbers, *(0, 1)[len(numbers) :]]
    if count < 1:
        _refuse(f"{text!r} has an empty range", where)
    return gfn, count


def _flags(program: str, words: list[str], text: str, where: str) -> tuple[int, int]:
    """The flags, and the number of the memslot or node."""
    flags = number = 0
    while words:
        word = words.pop(0)
        if word in NUMBERED and program in NUMBERED[word] and words and re.fullmatch(r"\d+", words[0]):
            number = int(words.pop(0))
        elif word in OF_PROGRAM.get(program, ()):
            flags |= WORDS[word]
        else:
            known = [*OF_PROGRAM.get(program, ()), *(f"{w} N" for w, users in NUMBERED.items() if program in users)]
            _refuse(f"{program} in {text!r} knows no {word!r}", where, f"it knows {', '.join(known) or 'no words'}")
    return flags, number


def operation(text: str, actor: int, where: str = "script") -> np.ndarray:
    """One operation of an actor, as an array of one OPERATION. Raises UserError for text that is none."""
    program, *words = text.split() or [""]
    if program not in PROGRAM_NUMBER:
        _refuse(f"{program!r} in {text!r} is no program", where, f"choose one of {', '.join(PROGRAMS)}")
    gfn, count = _range(program, words, text, where)
    flags, number = _flags(program, words, text, where)
    return np.array([(0, gfn, count, 0, PROGRAM_NUMBER[program], actor, flags, number)], OPERATION)


def script(texts: Sequence[str], actor: int, where: str = "script") -> np.ndarray:
    """The operations of an actor, in order."""
    made = [operation(text, actor, where) for text in texts]
    return np.concatenate([*made, np.zeros(0, OPERATION)])


def program_of(text: str) -> str:
    """The program that an operation starts."""
    return (text.split() or [""])[0]
