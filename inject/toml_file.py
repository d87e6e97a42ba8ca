"""Strict TOML: a file is read into one structure, and every mistake is told with its line and key.

tomllib says where a file is no TOML, and msgspec which key has a value of the wrong kind, but not on which line: the
lines of keys are found here.
"""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import msgspec
from msgspec.inspect import DictType, ListType, LiteralType, StructType, UnionType, VarTupleType, type_info

from gmembench.core.errors import UserError

Kind = TypeVar("Kind")
Key = tuple[str | int, ...]

ANY = "..."
"""Stands for a name in a path of msgspec, which does not say which."""

BARE = r"[A-Za-z0-9_-]+"
PART = rf"""(?:{BARE}|"[^"]*"|'[^']*')"""
DOTTED = rf"{PART}(?:\s*\.\s*{PART})*"
TABLE = re.compile(rf"\s*(\[\[?)\s*({DOTTED})\s*\]\]?")
ENTRY = re.compile(rf"\s*({DOTTED})\s*=(.*)")
QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|#.*""")
TRIPLE = re.compile(r'"{3}|' + "'{3}")


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(PART, dotted)]


def lines_of_keys(text: str) -> dict[Key, int]:
    """Path of every key and table -> its line, from 1. What stands inside a value of several lines is no key."""
    found: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: list[str | int] = []
    depth, quoted = 0, False
    for number, line in enumerate(text.splitlines(), 1):
        inside = depth > 0 or quoted
        header, entry = (None, None) if inside else (TABLE.match(line), ENTRY.match(line))
        if header:
            table = _open(counts, _parts(header[2]), header[1] == "[[")
            found.setdefault(tuple(table), number)
        elif inside or entry:
            if entry:
                found.setdefault((*table, *_parts(entry[1])), number)
            rest = entry[2] if entry else line
            quoted ^= len(TRIPLE.findall(rest)) % 2 == 1
            plain = "" if quoted else QUOTED.sub("", rest)
            depth += plain.count("[") + plain.count("{") - plain.count("]") - plain.count("}")
    return found


def _open(counts: dict[Key, int], parts: list[str], is_array: bool) -> list[str | int]:
    """The path of a table that begins; parts that are arrays of tables stand for their last entry."""
    path: list[str | int] = []
    for position, part in enumerate(parts):
        path.append(part)
        key = tuple(path)
        if position == len(parts) - 1 and is_array:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            path.append(counts[key])
    return path


def line_of(lines: Mapping[Key, int], key: Key) -> int:
    """The line of a key, or of the nearest thing around it that has one."""
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return 1


def shown(key: Key) -> str:
    """A path as a reader writes it: actors[0].script."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


class Source:
    """Where a structure was read from: tells the line and key of a mistake that is found later."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = lines_of_keys(text)

    def where(self, *key: str | int) -> str:
        """`file:line: key`."""
        return f"{self.name}:{line_of(self.lines, key)}: {shown(key)}"

    def refuse(self, what: str, mend: str, *key: str | int) -> NoReturn:
        """Raise UserError about a key."""
        raise UserError(what, self.where(*key), mend)


def _key_of(message: str) -> tuple[str, list[str | int]]:
    """What msgspec says, and the path at which it says it."""
    what, _, path = message.partition(" - at `$")
    found = re.findall(rf"\.({BARE})|\[(\d+)\]|\[(\.\.\.)\]", path)
    return what, [name or (int(index) if index else ANY) for name, index, _ in found]


def _fault(data: object, kind: type[Any]) -> str:
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError as fault:
        return str(fault)
    return ""


def _narrowed(data: object, path: list[str | int], name: str) -> object:
    """A copy of the data in which the table at the path holds only one name."""
    if not path:
        return {name: cast("Mapping[str, object]", data)[name]}
    first, rest = path[0], path[1:]
    if isinstance(data, list):
        return [_narrowed(item, rest, name) if at == first else item for at, item in enumerate(data)]
    table = cast("Mapping[str, object]", data)
    return {key: _narrowed(value, rest, name) if key == first else value for key, value in table.items()}


def _at(data: Any, path: list[str | int]) -> Any:
    for part in path:
        data = data[part]
    return data


def _named(data: object, kind: type[Any], key: list[str | int]) -> Key:
    """The path with names in place of ANY: those under which the fault is still there when the others are left out."""
    while ANY in key:
        position = key.index(ANY)
        before = key[:position]
        for name in _at(data, before):
            trial = _narrowed(data, before, name)
            fault = _fault(trial, kind)
            if fault:
                data, key = trial, [*before, name, *_key_of(fault)[1][position + 1 :]]
                break
        else:
            return tuple(before)
    return tuple(key)


MENDS = (
    ("Object missing required field", "add it"),
    ("Expected", "write a value of that kind"),
)


def _inner(kind: Any, part: str | int) -> Any:
    """The type (of msgspec.inspect) of a part of a structure, list or table; None for what has no parts."""
    kinds = kind.types if isinstance(kind, UnionType) else (kind,)
    for each in kinds:
        if isinstance(each, StructType):
            return next((item.type for item in each.fields if item.encode_name == part), None)
        if isinstance(each, ListType | VarTupleType):
            return each.item_type
        if isinstance(each, DictType):
            return each.value_type
    return None


def _choices(kind: type[Any], key: Key) -> list[str]:
    """What may stand at a path: the words of an enumeration, or the names of the fields of a structure."""
    found = type_info(kind)
    for part in key:
        found = _inner(found, part)
    kinds = found.types if isinstance(found, UnionType) else (found,)
    words = [str(word) for each in kinds if isinstance(each, LiteralType) for word in each.values]
    return words or [item.encode_name for each in kinds if isinstance(each, StructType) for item in each.fields]


def _mend(what: str, kind: type[Any], key: Key, field: str) -> str:
    """What to do about a fault that msgspec tells. `field`: that the structure at the path does not know."""
    choices = _choices(kind, key)
    if field:
        near = get_close_matches(field, choices, 1)
        return f"did you mean {near[0]}?" if near else f"leave it out; it may have {', '.join(choices)}"
    if what.startswith("Invalid enum value"):
        return f"choose one of {', '.join(choices)}"
    return next((mend for start, mend in MENDS if what.startswith(start)), "mend it")


def parse(text: str, name: str, kind: type[Kind]) -> tuple[Kind, Source]:
    """Read a TOML text into a structure. Raises UserError with the file, line and key of what is wrong."""
    source = Source(name, text)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        what, _, place = str(fault).rpartition(" (at ")
        line = re.search(r"line (\d+)", place)
        at = line[1] if line else str(text.count("\n") + 1)
        raise UserError(f"no TOML: {what or fault}", f"{name}:{at}", "mend the line") from fault
    fault_text = _fault(data, kind)
    if fault_text:
        what, path = _key_of(fault_text)
        key = _named(data, kind, path)
        unknown = re.findall(r"unknown field `([^`]*)`", what)
        source.refuse(what, _mend(what, kind, key, "".join(unknown)), *key, *unknown)
    return msgspec.convert(data, kind), source


def read(path: Path, kind: type[Kind]) -> tuple[Kind, Source]:
    """Read a TOML file into a structure. Raises UserError with the file, line and key of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise UserError(f"cannot be read: {fault.strerror}", str(path), "give a file that is there") from fault
    except UnicodeDecodeError as fault:
        raise UserError(
            f"byte {fault.start} is no UTF-8", str(path), "save it as UTF-8, which TOML is written in"
        ) from fault
    return parse(text, str(path), kind)
