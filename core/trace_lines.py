"""The compiled parser: lines in the form that tracers print, at the speed of the disk.

It accepts only what it is sure of and stops at the first other line; the text parser takes that one.
Everything it accepts, the text parser reads the same way. Patterns are data, so little has to be compiled.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gmembench.core.jit import kernel
from gmembench.core.trace_formats import FORMATS, SLOT_DEFAULTS, SLOTS, Field, fields

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

SPACE, NEWLINE, RETURN, TAB = 32, 10, 13, 9
ZERO, NINE, LETTER_A, LETTER_F, LETTER_X = 48, 57, 97, 102, 120
HASH, QUOTE, OPEN, DASH = 35, 62, 91, 45
ROUND_OPEN, ROUND_CLOSE = 40, 41
FIRST_LITERAL = 32

GFN, END, OLD, NEW, CODE, VCPU, LEVEL, CPU, SECONDS, MICRO, NANO = range(len(SLOTS) + 4)
"""Where the values of a line are kept: those of SLOTS, then those of the header."""

VALUES = NANO + 1

_CPU = Field(CPU, 10, 1, 4)
_FLAGS = Field(-1, 0, 3, 8)
_SECONDS = Field(SECONDS, 10, 1, 9)
_FRACTIONS = (Field(MICRO, 10, 6, 6), Field(NANO, 10, 9, 9))

HEADERS: list[list[str | Field]] = [
    ["[", _CPU, "] ", *flags, _SECONDS, ".", fraction, ": ", group]
    for group in ("", "kvm:", "kvmmmu:")
    for flags in ([_FLAGS, " "], [])
    for fraction in _FRACTIONS
]
"""From the bracket of the CPU to the name of the event: with the flags of tracefs or without, microseconds or
nanoseconds, and before the name nothing or the group that perf prints."""


def _encode(patterns: Sequence[Sequence[str | Field]]) -> tuple[Bytes, Numbers, Numbers]:
    """Patterns as arrays.

    (text u1: a field is its number + 1, all below 32; starts i8: where each pattern starts, and the end;
    fields i8 [n, 4]: the rows of Field)
    """
    known: list[Field] = []
    text, starts = bytearray(), [0]
    for pattern in patterns:
        for part in pattern:
            if isinstance(part, str):
                text += part.encode()
                continue
            if part not in known:
                known.append(part)
            text.append(known.index(part) + 1)
        starts.append(len(text))
    rows = np.array([(f.slot, f.base, f.least, f.most) for f in known], dtype=np.int64)
    return np.array(list(text), dtype=np.uint8), np.array(starts, dtype=np.int64), rows


TEXT, STARTS, FIELDS = _encode([*HEADERS, *([f"{form.kind}: ", *fields(form.pattern)] for form in FORMATS)])
DEFAULTS = np.array(SLOT_DEFAULTS, dtype=np.int64)


@kernel
def _task(block: Bytes, at: int) -> tuple[int, int]:
    """Read `  comm-pid ` or `  comm pid ` up to the bracket of the CPU; (position of it or -1, pid)."""
    while block[at] == SPACE:
        at += 1
    start = at
    if block[at] == HASH or block[at] == QUOTE:
        return -1, 0
    while block[at] != OPEN:
        if block[at] == NEWLINE:
            return -1, 0
        at += 1
    digit = at - 1
    while digit > start and block[digit] == SPACE:
        digit -= 1
    if digit == at - 1:
        return -1, 0
    pid, weight = np.int64(0), np.int64(1)
    while digit > start and ZERO <= block[digit] <= NINE and weight < 1_000_000_000:
        pid += weight * (np.int64(block[digit]) - ZERO)
        weight *= 10
        digit -= 1
    if digit <= start or weight == 1 or (block[digit] != DASH and block[digit] != SPACE):
        return -1, 0
    return at, pid


@kernel
def _match(
    block: Bytes, begin: int, first: int, last: int, text: Bytes, starts: Numbers, rows: Numbers, values: Numbers
) -> tuple[int, int]:
    """Read by the first of the patterns [first, last) that fits; (its number, position after it) or (-1, -1)."""
    for pattern in range(first, last):
        at = begin
        for part in range(starts[pattern], starts[pattern + 1]):
            code = np.int64(text[part])
            if code > FIRST_LITERAL:
                if block[at] != code:
                    at = -1
                    break
                at += 1
                continue
            start, value, base, least, most = at, np.int64(0), np.int64(-1), np.int64(1), np.int64(1 << 20)
            if code < FIRST_LITERAL:
                base, least, most = rows[code - 1, 1], rows[code - 1, 2], rows[code - 1, 3]
            if base == 16 and block[at] == ZERO and block[at + 1] == LETTER_X:
                at += 2
                start = at
            while at - start <= most:
                byte = np.int64(block[at])
                if base < 0:
                    if byte != SPACE:
                        break
                elif base == 0:
                    if byte <= SPACE or byte == ROUND_OPEN or byte == ROUND_CLOSE:
                        break
                elif ZERO <= byte <= NINE:
                    value = value * base + byte - ZERO
                elif base == 16 and LETTER_A <= byte <= LETTER_F:
                    value = value * 16 + byte - LETTER_A + 10
                else:
                    break
                at += 1
            if at - start < least or at - start > most:
                at = -1
                break
            if base > 0:
                values[rows[code - 1, 0]] = value
        if at >= 0:
            return pattern, at
    return -1, -1


@kernel
def _parse(
    block: Bytes,
    at: int,
    line: int,
    headers: int,
    text: Bytes,
    starts: Numbers,
    rows: Numbers,
    defaults: Numbers,
    values: Numbers,
    out: Any,
) -> tuple[int, int]:
    """Read lines from `at` into `out` until one is refused or `out` is full; (position of the next line, lines)."""
    count, header = 0, 0  # `header`: the form of the line before, tried first
    while at < block.shape[0] and count < out.shape[0]:
        bracket, pid = _task(block, at)
        if bracket < 0:
            break
        values[MICRO] = 0
        values[NANO] = 0
        found, name = _match(block, bracket, header, headers, text, starts, rows, values)
        if found < 0 and header == 0:
            break
        header = max(found, 0)
        if found < 0:
            continue
        for slot in range(defaults.shape[0]):
            values[slot] = defaults[slot]
        form, after = _match(block, name, headers, starts.shape[0] - 1, text, starts, rows, values)
        if form < 0:
            break
        if block[after] != SPACE and block[after] != NEWLINE and block[after] != RETURN and block[after] != TAB:
            break
        event = out[count]
        event["time_ns"] = values[SECONDS] * 1_000_000_000 + values[MICRO] * 1000 + values[NANO]
        event["gfn"] = values[GFN]
        event["end"] = values[END]
        event["old"] = values[OLD]
        event["new"] = values[NEW]
        event["code"] = values[CODE]
        event["line"] = line + count
        event["task"] = pid
        event["cpu"] = values[CPU]
        event["vcpu"] = values[VCPU]
        event["level"] = values[LEVEL]
        event["pad"] = form - headers
        count += 1
        while block[after] != NEWLINE:
            after += 1
        at = after + 1
    return at, count


class LineParser:
    """Hands blocks of text to the compiled parser; holds its scratch memory."""

    def __init__(self) -> None:
        self._values = np.zeros(VALUES, dtype=np.int64)

    def parse(self, block: Bytes, at: int, line: int, out: npt.NDArray[np.void]) -> tuple[int, int]:
        """Read lines of `block` (u1, ends with a newline) from byte `at`, which starts line number `line`.

        Fills `out` (EVENT, zeroed) from its start with one event a line, as printed: `trace_formats.complete`
        has to follow. Stops at the end, at a line that is not in the tracers' own form, or when `out` is full.
        Returns (position of the next line, lines read).
        """
        return _parse(block, at, line, len(HEADERS), TEXT, STARTS, FIELDS, DEFAULTS, self._values, out)
