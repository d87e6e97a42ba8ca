"""A failure as a file: readable JSON of a known format that stands alone, written whole or not at all.

It holds the sources that wrote it, the setting, every choice with the step that it named and a digest of the state
after it, and what was violated. Its last entry has a checksum of each kilobyte before it, so that damage is found and
placed before anything in the file is believed.
"""

import os
import re
import zlib
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

import gmembench
from gmembench.core.errors import UserError
from gmembench.core.jit import DIGEST
from gmembench.inject.setting import Setting

SCHEMA = 1
"""The format that this version writes and reads."""

BLOCK_BYTES = 1024
MOST_BYTES = 64 << 20

CHECKS = b',\n"checks": '
"""What stands before the checksums: the file up to here is what they are of."""


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One choice, and the step that it made.

    `kind`: step, yield, exit, or force:N for the N-th forced event. `options`: how many there were. `picked`: which one
    it was. `row`: the step's full name. `state`: digest after it. `operands`: registers and operands of the step.
    `begins`: the operation that it is the first step of. `event`: the name of a forced event. `locks`: what was taken
    ("+") and dropped ("-"). `waits`: (actor, lock) of all who cannot go on. `changes`: fields outside the actors'
    registers that it changed.
    """

    actor: int
    kind: str
    options: int
    picked: int
    row: str
    outcome: str
    state: str
    operands: str = ""
    begins: str = ""
    event: str = ""
    locks: tuple[str, ...] = ()
    waits: tuple[tuple[int, str], ...] = ()
    changes: tuple[str, ...] = ()


class Broken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What does not hold after the last choice.

    `sentence`: what the invariant says. `gfn`: the one it is about, -1 if it is about none. `actor`: who made the last
    step, -1 for a deadlock. `reason`: why it came to that, in one sentence. `marked`: the choices it names.
    """

    invariant: str
    when: str
    sentence: str
    gfn: int = -1
    actor: int = -1
    reason: str = ""
    marked: tuple[int, ...] = ()


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A violation, and all that is needed to see it again. `replay`: the line to paste, "" if only the file can say."""

    schema: int
    gmembench: str
    sources: str
    setting: Setting
    violation: Broken
    actors: tuple[str, ...]
    replay: str
    choices: tuple[Choice, ...]

    @property
    def switches(self) -> int:
        """Context switches: maximal runs of one actor."""
        return len(list(groupby(choice.actor for choice in self.choices)))


def new_failure(setting: Setting, violation: Broken, actors: tuple[str, ...], choices: tuple[Choice, ...]) -> Failure:
    """A failure that these sources found."""
    return Failure(SCHEMA, gmembench.__version__, DIGEST, setting, violation, actors, "", choices)


def _checksums(body: bytes) -> list[str]:
    blocks = [body[i : i + BLOCK_BYTES] for i in range(0, len(body), BLOCK_BYTES)]
    return [f"{zlib.crc32(block):08x}" for block in blocks]


def as_bytes(failure: Failure) -> bytes:
    """The file of a failure: an entry a line, a choice a line."""
    parts = []
    for name in Failure.__struct_fields__:
        value = getattr(failure, name)
        if name == "choices":
            text = b"[\n " + b",\n ".join(msgspec.json.encode(item) for item in value) + b"\n]"
        else:
            text = msgspec.json.encode(value)
        parts.append(b'"' + name.encode() + b'": ' + text)
    body = b"{\n" + b",\n".join(parts)
    return body + CHECKS + msgspec.json.encode(_checksums(body)) + b"\n}\n"


def write_failure(path: Path, failure: Failure) -> None:
    """Write a failure to `path`, which must not exist: written aside, synced, renamed.

    Raises UserError if it exists, or cannot be written.
    """
    if os.path.lexists(path):
        raise UserError("this path exists already", str(path), "name a new one, nothing is overwritten")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("xb") as file:
            file.write(as_bytes(failure))
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name of a new file is data of its folder
        finally:
            os.close(folder)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write ({error.strerror})", str(path), "make room or name another path") from error


def read_failure(path: Path) -> Failure:
    """Read a failure. Raises UserError, with the byte offset, if it is damaged, or says that its format is unknown."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "give a readable file") from None
    if len(raw) > MOST_BYTES:
        raise UserError(f"over {MOST_BYTES >> 20} MiB", str(path), "give a file that gmembench explore wrote")
    return failure_of(raw, str(path))


def failure_of(raw: bytes, where: str) -> Failure:
    """A failure from the bytes of its file; `where` names it in errors."""
    _check_schema(raw, where)
    _check_blocks(raw, where)
    document = _decoded(raw, dict[str, Any], where)
    document.pop("checks", None)
    try:
        return msgspec.convert(document, Failure, strict=True)
    except UserError:
        raise
    except (msgspec.ValidationError, ValueError, TypeError, OverflowError) as error:
        offset = offset_of(raw, str(error).rpartition("`$")[2].rstrip("`") if "`$" in str(error) else "")
        raise UserError(f"byte {offset}: {error}", where, "it does not follow the format of failures") from None


def _damaged(where: str, offset: int, what: str) -> UserError:
    return UserError(f"damaged at byte {offset} ({what})", where, "take another copy, or find the failure again")


def _decoded(raw: bytes, kind: Any, where: str) -> Any:
    """Parse JSON. Raises UserError with the byte at which it cannot go on."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except UnicodeDecodeError as error:
        raise _damaged(where, error.start, "not UTF-8") from None
    except RecursionError:
        raise _damaged(where, 0, "nested too deeply") from None
    except msgspec.ValidationError:
        raise UserError("byte 0: this is JSON, but no failure", where, "give a file of gmembench explore") from None
    except msgspec.DecodeError as error:
        found = re.search(r"\(byte (\d+)\)", str(error))
        offset = int(found[1]) if found else len(raw)
        what = "the file ends too early" if found is None else str(error).partition(" (byte")[0]
        raise _damaged(where, offset, what) from None


class _Head(msgspec.Struct):
    schema: int | None = None


def _check_schema(raw: bytes, where: str) -> None:
    """Raise UserError for a file that is no JSON, or of another format than SCHEMA."""
    schema = _decoded(raw, _Head, where).schema
    if schema is None:
        raise UserError("byte 0: it names no schema", where, "give a failure that gmembench explore wrote")
    if schema != SCHEMA:
        damaged = _first_damaged(raw)
        if damaged is not None and raw.rfind(CHECKS) >= 0:
            raise _damaged(where, damaged, "the checksum of this kilobyte differs")
        raise UserError(
            f"written in format {schema}, and this version reads format {SCHEMA}",
            where,
            "replay it with the version of gmembench that wrote it",
        )


def _first_damaged(raw: bytes) -> int | None:
    """First byte of the first block whose checksum differs; None if all are right."""
    at = raw.rfind(CHECKS)
    if at < 0:
        return len(raw)
    try:
        noted = msgspec.json.decode(raw[at + len(CHECKS) :].rstrip().removesuffix(b"}"), type=list[str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return at
    known = _checksums(raw[:at])
    for number, (one, other) in enumerate(zip(known, noted, strict=False)):
        if one != other:
            return number * BLOCK_BYTES
    return None if len(known) == len(noted) else at


def _check_blocks(raw: bytes, where: str) -> None:
    damaged = _first_damaged(raw)
    if damaged is not None:
        raise _damaged(where, damaged, "from here the file is not as it was written")


SPACE = re.compile(rb"[ \t\r\n]*")
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+0-9.eE]+|true|false|null')


def _end_of_value(raw: bytes, at: int) -> int:
    """The byte after the JSON value that begins at `at`."""
    depth = 0
    while at < len(raw):
        found = TOKEN.match(raw, at)
        if found:
            at = found.end()
        else:
            depth += (raw[at] in b"[{") - (raw[at] in b"]}")
            at += 1
        if depth <= 0 and raw[at - 1] not in b" \t\r\n":
            return at
    return at


def _items(raw: bytes, at: int) -> "list[tuple[str, int]]":
    """(key or index, first byte) of everything in the object or array that begins at `at`."""
    found, is_object, index = [], raw[at : at + 1] == b"{", 0
    at = SPACE.match(raw, at + 1).end()  # type: ignore[union-attr]  # it matches anywhere
    while at < len(raw) and raw[at] not in b"]}":
        key = str(index)
        if is_object:
            end = _end_of_value(raw, at)
            key = raw[at + 1 : end - 1].decode("utf-8", "replace")
            at = SPACE.match(raw, raw.index(b":", end) + 1).end()  # type: ignore[union-attr]
        found.append((key, at))
        at = SPACE.match(raw, _end_of_value(raw, at)).end()  # type: ignore[union-attr]
        if raw[at : at + 1] == b",":
            at = SPACE.match(raw, at + 1).end()  # type: ignore[union-attr]
        index += 1
    return found


def offset_of(raw: bytes, path: str) -> int:
    """The byte at which the value of a path such as `.choices[3].kind` begins; as far along the path as there is."""
    at = SPACE.match(raw).end()  # type: ignore[union-attr]
    for name, index in re.findall(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]", path):
        places = dict(_items(raw, at)) if raw[at : at + 1] in (b"{", b"[") else {}
        if (name or index) not in places:
            break
        at = places[name or index]
    return at
