"""The compiled parser: lines in the form that tracers print, at the speed of the disk.

It accepts only what it is sure of and stops at the first other line; the text parser takes that one.
Everything it accepts, the text parser reads the same way. Patterns are data, so little has to be compiled.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gmembench.core.jit import kernel
from gmembench.core.traces.formats import FORMATS, LONGEST_WORD, SLOT_DEFAULTS, SLOTS, Field, fields

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

SPACE, NEWLINE, RETURN, TAB = 32, 10, 13, 9
ZERO, NINE, LETTER_A, LETTER_F, LETTER_X = 48, 57, 97, 102, 120
HASH, QUOTE, OPEN, DASH = 35, 62, 91, 45
ROUND_OPEN, ROUND_CLOSE = 40, 41

CHAR, SLOT, BASE, LEAST, MOST = range(5)
"""Columns of a part of a pattern: a character to be found, or 0 and then the rows of Field."""

SPACES, WORD, DECIMAL, HEXADECIMAL = -1, 0, 10, 16
"""Values of `BASE`: one or more spaces, a word, a number."""

GFN, END, OLD, NEW, CODE, VCPU, LEVEL, CPU, SECONDS, MICRO, NANO = range(len(SLOTS) + 4)
"""Where the values of a line are kept: those of SLOTS, then those of the header."""

VALUES = NANO + 1

_CPU = Field(CPU, DECIMAL, 1, 4)
_FLAGS = Field(-1, WORD, 3, 8)
_SECONDS = Field(SECONDS, DECIMAL, 1, 9)
_FRACTIONS = (Field(MICRO, DECIMAL, 6, 6), Field(NANO, DECIMAL, 9, 9))
_WITH_FLAGS: tuple[str | Field, ...] = (_FLAGS, " ")

HEADERS: list[list[str | Field]] = [
    ["[", _CPU, "] ", *flags, _SECONDS, ".", fraction, ": ", group]
    for group in ("", "kvm:", "kvmmmu:")
    for flags in (_WITH_FLAGS, ())
    for fraction in _FRACTIONS
]
"""From the bracket of the CPU to the name of the event: with the flags of tracefs or without, microseconds or
nanoseconds, and before the name nothing or the group that perf prints."""


def _encode(patterns: Sequence[Sequence[str | Field]]) -> tuple[Numbers, Numbers]:
    """Patterns as arrays: their parts (i8 [n, 5], see CHAR), and where each pattern starts, and the end (i8)."""
    rows: list[tuple[int, int, int, int, int]] = []
    starts = [0]
    for pattern in patterns:
        for part in pattern:
            if isinstance(part, Field):
                rows.append((0, part.slot, part.base, part.least, part.most))
            else:
                rows += [(0, -1, SPACES, 1, LONGEST_WORD) if c == " " else (ord(c), 0, 0, 0, 0) for c in part]
        starts.append(len(rows))
    return np.array(rows, dtype=np.int64), np.array(starts, dtype=np.int64)


PARTS, STARTS = _encode([*HEADERS, *([f"{form.kind}: ", *fields(form.pattern)] for form in FORMATS)])
DEFAULTS = np.array(SLOT_DEFAULTS, dtype=np.int64)


@kernel
def _task(block: Bytes, at: int) -> tuple[int, int]:
    """Read `  comm-pid ` or `  comm pid ` up to the bracket of the CPU; (position of it or -1, pid)."""
    while block[at] == SPACE:
        at += 1
    start = at
    while block[at] != OPEN:
        if block[at] == NEWLINE:
            return -1, 0
        at += 1
    digit = at - 1
    while digit > start and block[digit] == SPACE:
        digit -= 1
    pid, weight, after = 0, 1, digit + 1
    while digit > start and ZERO <= block[digit] <= NINE and weight < 1_000_000_000:
        pid += weight * (int(block[digit]) - ZERO)
        weight *= 10
        digit -= 1
    spaced = after < at and weight > 1 and digit > start
    joined = block[digit] == DASH or block[digit] == SPACE
    noted = block[start] == HASH or block[start] == QUOTE
    return at if spaced and joined and not noted else -1, pid


@kernel
def _fit(block: Bytes, at: int, parts: Numbers, first: int, stop: int, values: Numbers) -> int:  # noqa: C901 - one loop
    """Read by parts[first:stop]; the position after it or -1. It is one function because calls with arrays cost."""
    for number in range(first, stop):
        char = parts[number, CHAR]
        if char != 0:
            if block[at] != char:
                return -1
            at += 1
            continue
        base, most = parts[number, BASE], parts[number, MOST]
        if base == HEXADECIMAL and block[at] == ZERO and block[at + 1] == LETTER_X:
            at += 2
        start, value = at, 0
        while at <= start + most:
            byte = int(block[at])
            if ZERO <= byte <= NINE and base > 0:
                value = value * base + byte - ZERO
            elif base == HEXADECIMAL and LETTER_A <= byte <= LETTER_F:
                value = value * base + byte - LETTER_A + 10
            elif base > 0 or (base == SPACES) != (byte == SPACE) or byte < SPACE or ROUND_OPEN <= byte <= ROUND_CLOSE:
                break
            at += 1
        if at < start + parts[number, LEAST] or at > start + most:
            return -1
        if base > 0:
            values[parts[number, SLOT]] = value
    return at


@kernel
def _store(event: Any, origin: tuple[int, int, int], values: Numbers) -> None:
    """Write the event of a line; `origin` is (line, pid, format)."""
    event["time_ns"] = values[SECONDS] * 1_000_000_000 + values[MICRO] * 1000 + values[NANO]
    event["gfn"] = values[GFN]
    event["end"] = values[END]
    event["old"] = values[OLD]
    event["new"] = values[NEW]
    event["code"] = values[CODE]
    event["line"] = origin[0]
    event["task"] = origin[1]
    event["cpu"] = values[CPU]
    event["vcpu"] = values[VCPU]
    event["level"] = values[LEVEL]
    event["pad"] = origin[2]


@kernel
def _fields(block: Bytes, at: int, patterns: tuple[Numbers, Numbers, Numbers, int], values: Numbers) -> tuple[int, int]:
    """Read name and fields of an event; (its format, position after it) or (-1, -1)."""
    parts, starts, defaults, headers = patterns
    for pattern in range(headers, starts.shape[0] - 1):
        for slot in range(defaults.shape[0]):
            values[slot] = defaults[slot]
        after = _fit(block, at, parts, starts[pattern], starts[pattern + 1], values)
        if after >= 0:
            end = block[after]
            if end != SPACE and end != NEWLINE and end != RETURN and end != TAB:  # noqa: PLR1714 - compiled
                break
            return pattern - headers, after
    return -1, -1


@kernel
def _parse(
    block: Bytes, at: int, line: int, patterns: tuple[Numbers, Numbers, Numbers, int], values: Numbers, out: Any
) -> tuple[int, int]:
    """Read lines from `at` into `out` until one is refused or `out` is full; (position of the next line, lines)."""
    parts, starts, _, headers = patterns
    count, header = 0, 0
    while at < block.shape[0] and count < out.shape[0]:
        bracket, pid = _task(block, at)
        if bracket < 0:
            break
        values[MICRO] = 0
        values[NANO] = 0
        name, tried = -1, 0
        while name < 0 and tried < headers:  # the form of the line before is tried first
            name = _fit(block, bracket, parts, starts[header], starts[header + 1], values)
            if name < 0:
                header = (header + 1) % headers
            tried += 1
        if name < 0:
            break
        form, after = _fields(block, name, patterns, values)
        if form < 0:
            break
        _store(out[count], (line + count, pid, form), values)
        count += 1
        while block[after] != NEWLINE:
            after += 1
        at = after + 1
    return at, count


class LineParser:
    """Hands blocks of text to the compiled parser; holds its scratch memory."""

    def __init__(self) -> None:
        self._patterns = (PARTS, STARTS, DEFAULTS, len(HEADERS))
        self._values = np.zeros(VALUES, dtype=np.int64)

    def parse(self, block: Bytes, at: int, line: int, out: npt.NDArray[np.void]) -> tuple[int, int]:
        """Read lines of `block` (u1, ends with a newline) from byte `at`, which starts line number `line`.

        Fills `out` (EVENT, zeroed) from its start with one event a line, as printed: `formats.complete`
        has to follow. Stops at the end, at a line that is not in the tracers' own form, or when `out` is full.
        Returns (position of the next line, lines read).
        """
        return _parse(block, at, line, self._patterns, self._values, out)
