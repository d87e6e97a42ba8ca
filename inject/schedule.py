"""A schedule as one line to paste: `v1:SOURCE:DESIGN:HARDWARE:EDITS:RUNS:MARKS:CHECK`, or with the setting packed in.

RUNS are the runs of one actor after the other, separated by dots: the actor's number, then what it does: `s12` are
twelve steps, `y` a zap that yields, `e` a vCPU that leaves the guest, `f2` the second forced event (from 0: the third).
So `0s40.2s9.0s3` has three context switches. SOURCE is a scenario or plan, EDITS are parted by slashes; what a shell or
the line would take for its own is percent-encoded. In `v1:=PACKED:RUNS:MARKS:CHECK` the setting is zlib-compressed JSON
in base64, for worlds that have no name. MARKS are eight digits that stand for the sources, and a character a step, six
bits of a digest of its row, its outcome and the state after it: so other sources can tell which step differs first. A
line may lack them. CHECK is the CRC-32 of all before it: a line that lost its end is refused.
"""

import base64
import binascii
import re
import string
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import msgspec

from gmembench.core.drivers.instance import EXIT, FORCE, STEP, YIELD
from gmembench.core.errors import UserError
from gmembench.core.judges import SHIPPED
from gmembench.core.world import Geometry
from gmembench.inject.failure import Choice, Failure
from gmembench.inject.setting import Setting

PREFIX = "v1"
SAFE = ".,=_-@"
MOST_CHARACTERS = 1500
"""A longer line is not for pasting: the file says it all."""

MOST_STEPS = 1_000_000
MOST_UNPACKED_BYTES = 1 << 20

SOURCES_DIGITS = 8
ALPHABET = string.ascii_letters + string.digits + "-_"
MARKS = re.compile(rf"[0-9a-f]{{{SOURCES_DIGITS}}}[\w-]*", re.ASCII)

RUNS = re.compile(r"\d{1,3}(?:s\d*|y|e|f\d{1,2})+")
PART = re.compile(r"([syef])(\d*)")

Choices = Sequence[tuple[int, int]]
Lookup = Callable[[str, str, str, Sequence[str]], Setting]
"""(source, design, hardware, edits) -> the setting of that name. Raises UserError if there is none."""


@dataclass(frozen=True)
class Schedule:
    """A setting, and the (actor, kind) choices to make in it. `marks`: what they did when the line was written."""

    setting: Setting
    choices: tuple[tuple[int, int], ...]
    marks: str = ""

    @property
    def sources(self) -> str:
        """Beginning of the digest of the sources that wrote it; "" if the line does not say."""
        return self.marks[:SOURCES_DIGITS]

    def differs(self, number: int, made: Choice) -> bool:
        """Whether step `number`, from 0, is known to have done something else than this."""
        at = SOURCES_DIGITS + number
        return at < len(self.marks) and self.marks[at] != mark_of(made)


def mark_of(made: Choice) -> str:
    """The character that stands for what a step did."""
    text = f"{made.row} {made.outcome} {made.state}"
    return ALPHABET[zlib.crc32(text.encode()) % len(ALPHABET)]


def marks_of(failure: Failure) -> str:
    """What the steps of a failure did, and with which sources."""
    return failure.sources[:SOURCES_DIGITS] + "".join(map(mark_of, failure.choices))


def _run(kinds: Iterable[int]) -> str:
    """The kinds of one actor's run."""
    words = []
    for kind, same in groupby(kinds):
        count = len(list(same))
        if kind == STEP:
            words.append(f"s{count}" if count > 1 else "s")
        else:
            words.append({YIELD: "y", EXIT: "e"}.get(kind, f"f{kind - FORCE}") * count)
    return "".join(words)


def runs_of(choices: Choices) -> str:
    """(actor, kind) choices as text."""
    return ".".join(f"{actor}{_run(kind for _, kind in run)}" for actor, run in groupby(choices, key=lambda c: c[0]))


def choices_of(runs: str, where: str = "the schedule") -> tuple[tuple[int, int], ...]:
    """The choices that a text of runs names. Raises UserError with the character at which it is wrong."""
    found: list[tuple[int, int]] = []
    at = 0
    for run in runs.split(".") if runs else ():
        if not RUNS.fullmatch(run):
            raise UserError(f"character {at + 1} of the runs: {run!r} is no run", where, "write runs such as 0s12.2s3y")
        actor = int(re.match(r"\d+", run)[0])  # type: ignore[index]  # a run begins with digits
        for letter, number in PART.findall(run):
            count = int(number or 1) if letter == "s" else 1
            if len(found) + count > MOST_STEPS:
                raise UserError(f"over {MOST_STEPS} steps", where, "shorten the schedule")
            kind = {"s": STEP, "y": YIELD, "e": EXIT}.get(letter, FORCE + int(number or 0))
            found += [(actor, kind)] * count
        at += len(run) + 1
    return tuple(found)


def _with_check(text: str) -> str:
    return f"{text}:{zlib.crc32(text.encode()):08x}"


def _ended(words: Sequence[str], choices: Choices, marks: str) -> str:
    """A line with its runs, its marks if it has any, and its check."""
    return _with_check(":".join([PREFIX, *words, runs_of(choices), *([marks] if marks else [])]))


def named_line(setting: Setting, choices: Choices, marks: str = "") -> str:
    """The line of a setting that its source, design, hardware and edits name."""
    edits = "/".join(quote_plus(edit, safe=SAFE) for edit in setting.edits)
    words = [quote_plus(setting.scenario, safe=SAFE + "/"), setting.design, setting.hardware, edits]
    return _ended(words, choices, marks)


def _dropped(document: dict[str, Any]) -> dict[str, Any]:
    """A setting as plain data without what is as usual."""
    usual = {f.name: f.default for f in fields(Geometry)}
    world = {name: value for name, value in document["world"].items() if value != usual.get(name)}
    judged = [] if set(document["invariants"]) == set(SHIPPED) else document["invariants"]
    return {**document, "world": world, "invariants": judged}


def packed_line(setting: Setting, choices: Choices, marks: str = "") -> str:
    """The line of any setting; it stands alone."""
    document = _dropped(msgspec.to_builtins(setting))
    packed = zlib.compress(msgspec.json.encode(document), 9)
    text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return _ended([f"={text}"], choices, marks)


def line_of(setting: Setting, choices: Choices, lookup: Lookup | None = None, marks: str = "") -> str:
    """The shortest line that stands for a schedule; "" if none is short enough to paste."""
    if setting.scenario and lookup is not None:
        try:
            named = lookup(setting.scenario, setting.design, setting.hardware, setting.edits)
        except UserError:
            named = None
        if named == setting:
            return named_line(setting, choices, marks)
    line = packed_line(setting, choices, marks)
    return line if len(line) <= MOST_CHARACTERS else ""


def is_line(text: str) -> bool:
    """Whether a word of a command line is a schedule, and no file name."""
    return re.match(r"v\d+:", text) is not None


def read_line(text: str, lookup: Lookup | None = None) -> Schedule:
    """The schedule that a line names. Raises UserError that says what is wrong with it."""
    where = f"schedule {text[:24]}..." if len(text) > 24 else f"schedule {text}"
    version = text.partition(":")[0]
    if version != PREFIX:
        raise UserError(f"written in format {version!r}, and this version reads {PREFIX!r}", where, "find it again")
    body, _, check = text.rpartition(":")
    if check != f"{zlib.crc32(body.encode('utf-8', 'replace')):08x}":
        raise UserError(
            f"damaged within its {len(text)} characters (the checksum differs)", where, "paste the whole line again"
        )
    words, marks = body.split(":")[1:], ""
    if len(words) in (3, 6):
        marks = words.pop()
        if not MARKS.fullmatch(marks):
            raise UserError(f"{marks[:24]!r} are no marks", where, "paste the whole line again")
    if len(words) == 2 and words[0].startswith("="):
        return Schedule(_unpacked(words[0][1:], where), choices_of(words[1], where), marks)
    if len(words) != 5:
        raise UserError(f"{len(words)} parts", where, "a line is v1:SOURCE:DESIGN:HARDWARE:EDITS:RUNS:MARKS:CHECK")
    source, design, hardware, edits, runs = words
    if lookup is None:
        raise UserError(f"no scenario or plan {source!r}", where, "replay the file of the failure")
    named = [unquote_plus(edit) for edit in edits.split("/") if edit]
    setting = lookup(unquote_plus(source), design, hardware, named)
    return Schedule(setting, choices_of(runs, where), marks)


def _unpacked(text: str, where: str) -> Setting:
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), MOST_UNPACKED_BYTES)
        document = msgspec.json.decode(raw, type=dict[str, Any])
        document["invariants"] = document.get("invariants") or list(SHIPPED)
        return msgspec.convert(document, Setting, strict=True)
    except UserError:
        raise
    except (binascii.Error, zlib.error, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"its setting cannot be read ({error})", where, "paste the whole line again") from None
