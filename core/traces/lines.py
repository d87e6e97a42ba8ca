"""The compiled parser: lines in the form that tracers print, at the speed of the disk.

It accepts only what it is sure of and stops at the first other line; the text parser takes that one.
Everything it accepts, the text parser reads the same way. Events that are no kind of ours and the lines of
call chains are accepted too: a trace may hold more of them than of ours. Patterns are data, so little has to
be compiled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmembench.core.jit import kernel, part
from gmembench.core.traces.formats import FORMATS, LONGEST_NAME, LONGEST_WORD, SLOT_DEFAULTS, SLOTS, Field, fields

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

SPACE, NEWLINE, RETURN, TAB = 32, 10, 13, 9
ZERO, NINE, LETTER_A, LETTER_F, LETTER_X, LETTER_Z = 48, 57, 97, 102, 120, 122
CAPITAL_A, CAPITAL_Z, UNDERSCORE = 65, 90, 95
HASH, QUOTE, OPEN, DASH, SLASH, COLON = 35, 62, 91, 45, 47, 58
ROUND_OPEN, ROUND_CLOSE = 40, 41

CHAR, SLOT, BASE, LEAST, MOST = range(5)
"""Columns of a part of a pattern: a character to be found, or 0 and then the rows of Field."""

FLAGS, SPACES, WORD, DECIMAL, HEXADECIMAL = -2, -1, 0, 10, 16
"""Values of `BASE`: a word that starts with no digit, one or more spaces, a word, a number."""

GFN, END, OLD, NEW, CODE, VCPU, LEVEL, CPU, SECONDS, MICRO, NANO, HEADER, TIME, FORM = range(len(SLOTS) + 7)
"""Where the values of a line are kept: those of SLOTS, then those of the header. HEADER: the pattern that fitted
the last header. TIME and FORM of the last line that was accepted: its time stamp or -1, its format or one of these."""

VALUES = FORM + 1

FOREIGN, NOTE = -1, -2
"""FORM of an event that is no kind of ours, and of a line that is no event."""

FOREIGN_MOST = 1 << 14
"""So many names of such events are noted at most before the compiled parser returns."""

_CPU = Field(CPU, DECIMAL, 1, 4)
_FLAGS = Field(-1, FLAGS, 3, 8)
_SECONDS = Field(SECONDS, DECIMAL, 1, 9)
_FRACTIONS = (Field(MICRO, DECIMAL, 6, 6), Field(NANO, DECIMAL, 9, 9))
_WITH_FLAGS: tuple[str | Field, ...] = (_FLAGS, " ")

HEADERS: list[list[str | Field]] = [
    ["[", _CPU, "] ", *flags, _SECONDS, ".", fraction, ": "] for flags in (_WITH_FLAGS, ()) for fraction in _FRACTIONS
]
"""From the bracket of the CPU to the name of the event: with the flags of tracefs or without, microseconds or
nanoseconds. No line fits two of them."""

KINDS = tuple(dict.fromkeys(form.kind for form in FORMATS))


def _encode(patterns: Sequence[Sequence[str | Field]]) -> tuple[Numbers, Numbers]:
    """Patterns as arrays: their parts (i8 [n, 5], see CHAR), and where each pattern starts, and the end (i8)."""
    rows: list[tuple[int, int, int, int, int]] = []
    starts = [0]
    for pattern in patterns:
        for piece in pattern:
            if isinstance(piece, Field):
                rows.append((0, piece.slot, piece.base, piece.least, piece.most))
            else:
                rows += [(0, -1, SPACES, 1, LONGEST_WORD) if c == " " else (ord(c), 0, 0, 0, 0) for c in piece]
        starts.append(len(rows))
    return np.array(rows, dtype=np.int64), np.array(starts, dtype=np.int64)


PARTS, STARTS = _encode(
    [*HEADERS, *([f"{form.kind}: ", *fields(form.pattern)] for form in FORMATS), *([f"{kind}:"] for kind in KINDS)]
)
DEFAULTS = np.array(SLOT_DEFAULTS, dtype=np.int64)

Patterns = tuple[Numbers, Numbers, Numbers, int, int]
"""PARTS, STARTS, DEFAULTS; how many patterns are headers, and how many are headers or formats."""


@part
def _number(block: Bytes, start: int, at: int) -> tuple[int, int]:
    """Read at most nine digits backwards from `at`, not before `start`; (position before them, number or -1)."""
    value, weight = 0, 1
    while at > start and ZERO <= block[at] <= NINE and weight < 1_000_000_000:
        value += weight * (int(block[at]) - ZERO)
        weight *= 10
        at -= 1
    return at, value if weight > 1 else -1


@part
def _task(block: Bytes, at: int) -> tuple[int, int]:
    """Read `  comm-pid `, `  comm pid ` or `  comm pid/tid ` up to the bracket of the CPU.

    Returns (position of the bracket or -1, the number before it).
    """
    while block[at] == SPACE:
        at += 1
    start, colon = at, False
    while block[at] != OPEN:
        if block[at] == NEWLINE:
            return -1, 0
        colon = colon or block[at] == COLON
        at += 1
    digit = at - 1
    while digit > start and block[digit] == SPACE:
        digit -= 1
    spaced = digit + 1 < at
    digit, pid = _number(block, start, digit)
    group = pid
    if block[digit] == SLASH and digit > start and not colon:  # a comm with a colon could hold a time stamp
        digit, group = _number(block, start, digit - 1)
    joined = digit > start and (block[digit] == DASH or block[digit] == SPACE)
    noted = block[start] == HASH or block[start] == QUOTE
    return at if spaced and joined and pid >= 0 and group >= 0 and not noted else -1, pid


@part
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
            elif base == FLAGS and at == start and ZERO <= byte <= NINE:  # noqa: SIM114 - together too long
                break
            elif base > 0 or (base == SPACES) != (byte == SPACE) or byte < SPACE or ROUND_OPEN <= byte <= ROUND_CLOSE:
                break
            at += 1
        if at < start + parts[number, LEAST] or at > start + most:
            return -1
        if base > 0:
            values[parts[number, SLOT]] = value
    return at


@part
def _store(event: Any, origin: tuple[int, int, int], values: Numbers) -> None:
    """Write the event of a line; `origin` is (line, pid, format)."""
    event["time_ns"] = values[TIME]
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


@part
def _fields(block: Bytes, at: int, patterns: Patterns, values: Numbers) -> tuple[int, int]:
    """Read name and fields of an event; (its format, position after it) or (-1, -1)."""
    parts, starts, defaults, headers, others = patterns
    for pattern in range(headers, others):
        for slot in range(defaults.shape[0]):
            values[slot] = defaults[slot]
        after = _fit(block, at, parts, starts[pattern], starts[pattern + 1], values)
        if after >= 0:
            end = block[after]
            if end != SPACE and end != NEWLINE and end != RETURN and end != TAB:  # noqa: PLR1714 - compiled
                break
            return pattern - headers, after
    return -1, -1


@part
def _header(block: Bytes, at: int, patterns: Patterns, values: Numbers) -> int:
    """Read from the bracket of the CPU to the name of the event; its position or -1."""
    parts, starts, _defaults, headers, _others = patterns
    values[MICRO] = 0
    values[NANO] = 0
    for _ in range(headers):  # the form of the line before is tried first
        header = values[HEADER]
        name = _fit(block, at, parts, starts[header], starts[header + 1], values)
        if name >= 0:
            return name
        values[HEADER] = (header + 1) % headers
    return -1


@part
def _word(block: Bytes, at: int) -> int:
    """The position after the letters, digits and underscores from `at` on."""
    while True:
        byte = block[at]
        letter = LETTER_A <= byte <= LETTER_Z or CAPITAL_A <= byte <= CAPITAL_Z
        if not letter and not ZERO <= byte <= NINE and byte != UNDERSCORE:
            return at
        at += 1


@part
def _name(block: Bytes, at: int) -> tuple[int, int]:
    """The name of an event, after the group that perf prints if there is one; (its position or -1, its end)."""
    end = _word(block, at)
    if block[end] == COLON:
        second = _word(block, end + 1)
        if second > end + 1:
            at, end = end + 1, second
    named = at < end <= at + LONGEST_NAME and block[end] == COLON
    if named and (block[end + 1] == SPACE or block[end + 1] == NEWLINE):
        return at, end
    return -1, -1


@part
def _is_ours(block: Bytes, at: int, patterns: Patterns, values: Numbers) -> bool:
    """The event is one of KINDS."""
    parts, starts, _defaults, _headers, others = patterns
    for pattern in range(others, starts.shape[0] - 1):
        if _fit(block, at, parts, starts[pattern], starts[pattern + 1], values) >= 0:
            return True
    return False


@part
def _note(block: Bytes, at: int) -> int:
    """Read an empty line or one of a call chain, `address symbol (file)`; the position after it or -1."""
    while block[at] == SPACE or block[at] == TAB:
        at += 1
    if block[at] == NEWLINE:
        return at + 1
    start = at
    while ZERO <= block[at] <= NINE or LETTER_A <= block[at] <= LETTER_F:
        at += 1
    if at == start or at > start + 16 or block[at] != SPACE:
        return -1
    while block[at] == SPACE:
        at += 1
    symbol, last, opened = block[at], block[at], False
    while block[at] != NEWLINE:
        blank = block[at] == SPACE or block[at] == TAB
        after = block[at + 1]
        if block[at] == COLON and after in (SPACE, TAB):  # it could be a header
            return -1
        opened = opened or (blank and after == ROUND_OPEN)
        if not blank and block[at] != RETURN:
            last = block[at]
        at += 1
    return at + 1 if opened and last == ROUND_CLOSE and symbol not in (ROUND_OPEN, TAB) else -1


@kernel
def _parse(
    block: Bytes, at: int, line: int, patterns: Patterns, scratch: tuple[Numbers, Numbers], out: Any
) -> tuple[int, int, int, int]:
    """Read lines from `at` until one is refused or `out` or `names` is full; `scratch` is (values, names).

    Returns (position of the next line, lines, events in `out`, rows of `names`).
    """
    values, names = scratch
    lines, count, foreign = 0, 0, 0
    values[TIME] = -1
    while at < block.shape[0] and count < out.shape[0] and foreign < names.shape[0]:
        after = _note(block, at)
        if after >= 0:
            at, lines, values[FORM] = after, lines + 1, NOTE
            continue
        bracket, pid = _task(block, at)
        name = _header(block, bracket, patterns, values) if bracket >= 0 else -1
        if name < 0:
            break
        name, after = _name(block, name)
        if name < 0:
            break
        form, end = _fields(block, name, patterns, values)
        if form < 0 and _is_ours(block, name, patterns, values):
            break
        values[TIME] = values[SECONDS] * 1_000_000_000 + values[MICRO] * 1000 + values[NANO]
        values[FORM] = form
        if form >= 0:
            _store(out[count], (line + lines, pid, form), values)
            count, after = count + 1, end
        else:
            names[foreign, 0], names[foreign, 1] = name, after
            foreign += 1
        lines += 1
        while block[after] != NEWLINE:
            after += 1
        at = after + 1
    return at, lines, count, foreign


@dataclass(frozen=True)
class Stretch:
    """Lines that the compiled parser accepted.

    at: position of the next line. lines: how many there are. events: how many records they filled.
    names: (start, end) of the name of each event that is no kind of ours, in order.
    form: the format of the last line, FOREIGN or NOTE. time_ns: the last time stamp, or -1.
    """

    at: int
    lines: int
    events: int
    names: list[tuple[int, int]]
    form: int
    time_ns: int

    @property
    def may_wrap(self) -> bool:
        """The last line is an event that a mail could have wrapped."""
        return self.form == FOREIGN or (self.form >= 0 and FORMATS[self.form].wrapped)

    def is_full(self, room: int) -> bool:
        """The parser stopped because it ran out of `room` records or of names, not because of a line."""
        return self.events == room or len(self.names) == FOREIGN_MOST


class LineParser:
    """Hands blocks of text to the compiled parser; holds its scratch memory."""

    def __init__(self) -> None:
        self._patterns = (PARTS, STARTS, DEFAULTS, len(HEADERS), len(HEADERS) + len(FORMATS))
        self._values = np.zeros(VALUES, dtype=np.int64)
        self._names = np.zeros((FOREIGN_MOST, 2), dtype=np.int64)
        self._scratch = (self._values, self._names)

    def parse(self, block: Bytes, at: int, line: int, out: npt.NDArray[np.void]) -> Stretch:
        """Read lines of `block` (u1, ends with a newline) from byte `at`, which starts line number `line`.

        Fills `out` (EVENT, zeroed) from its start with the events that are ours, as printed: `formats.complete`
        has to follow. Stops at the end, at a line that is not in the tracers' own form, when `out` is full, or
        after FOREIGN_MOST other events.
        """
        at, lines, events, foreign = _parse(block, at, line, self._patterns, self._scratch, out)
        names = [(start, end) for start, end in self._names[:foreign].tolist()]
        return Stretch(at, lines, events, names, int(self._values[FORM]), int(self._values[TIME]))
