"""States that must be seen, as text, and as the explorer asks for them.

A state is a list of conditions that hold together. `V0 before fault.set_spte`: that actor stands before such a row.
`V0 idle`: it stands between two operations. `header.inval_count == 2`, `frames[0].attr & 1`, `V0.result == EFAULT`: a
field of the world has that value. Or it is one or more of `taken fault.recheck_stale stale`: one of these rows ended
so. Names of actors and rows are globs; alternatives are separated by `|`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gmembench.core import errno, world
from gmembench.core.drivers.instance import Sometimes
from gmembench.core.errors import UserError
from gmembench.core.outcomes import CODE
from gmembench.core.programs import Code
from gmembench.inject.rows import mask_of, matching_names, matching_rows

BEFORE = re.compile(r"(\S+) before (\S+)")
IDLE = re.compile(r"(\S+) idle")
TAKEN = re.compile(r"taken (\S+) (\S+)")
FIELD = re.compile(r"(\S+?)\s*(==|!=|<=|>=|<|>|&)\s*(-?\d+|[A-Z][A-Z0-9_]*)")
PATH = re.compile(r"([a-z]+)\[(\d+)\]((?:\.[a-z_]+(?:\[\d+\])?)+)")

FORMS = (
    "write `ACTOR before ROW`, `ACTOR idle`, `taken ROW OUTCOME`, or `PATH OP VALUE` such as "
    "`header.inval_count == 2`, `frames[0].attr & 1`, `V0.result == EFAULT`"
)


@dataclass
class Conditions:
    """Conditions as they are resolved. `absent`: what of them a design does not have, in words."""

    needs: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    fields: list[tuple[str, str, int]] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def _value(text: str, where: str) -> int:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    for module in (world, errno):
        value = getattr(module, text, None)
        if isinstance(value, int):
            return value
    raise UserError(f"no value {text!r}", where, "write a number, or a name of core/world.py or core/errno.py")


def _known(path: str, where: str) -> None:
    """Refuse a path that no world has."""
    name, _, rest = path.partition(".")
    if name == "header":
        if rest in (world.HEADER.names or ()):
            return
    elif found := PATH.fullmatch(path):
        dtype = world.ARRAYS.get(found[1])
        for part in re.findall(r"\.([a-z_]+)", found[3]):
            dtype = dtype[part].base if dtype is not None and part in (dtype.names or ()) else None
        if dtype is not None and dtype.names is None:
            return
    raise UserError(f"no field {path!r}", where, "write header.FIELD, ARRAY[INDEX].FIELD or ACTOR.FIELD")


def _actors(names: tuple[str, ...], glob: str, where: str) -> tuple[int, ...]:
    found = matching_names(names, glob)
    if not found:
        raise UserError(f"no actor {glob!r}", where, f"choose of {', '.join(names)}")
    return found


def _field(text: re.Match[str], names: tuple[str, ...], where: str) -> tuple[str, str, int]:
    path, op, value = text[1], text[2], _value(text[3], where)
    actor, _, rest = path.partition(".")
    if actor in names:
        path = f"actors[{names.index(actor)}].{rest}"
    _known(path, where)
    return path, op, value


def resolve(texts: Sequence[str], code: Code, names: tuple[str, ...], where: str) -> Conditions:
    """Conditions of a state against a design's rows. Raises UserError for text that is none."""
    found = Conditions()
    for text in texts:
        if before := BEFORE.fullmatch(text):
            rows = matching_rows(code, before[2])
            found.needs.append((mask_of(_actors(names, before[1], where)), rows))
            found.absent += [] if rows else [f"no row {before[2]}"]
        elif idle := IDLE.fullmatch(text):
            found.needs.append((mask_of(_actors(names, idle[1], where)), (-1,)))
        elif taken := TAKEN.fullmatch(text):
            _add_taken(found, taken, code, where)
        elif compared := FIELD.fullmatch(text):
            found.fields.append(_field(compared, names, where))
        else:
            raise UserError(f"{text!r} is no condition", where, FORMS)
    if any(TAKEN.fullmatch(text) for text in texts) and (found.needs or found.fields):
        raise UserError("what is taken stands beside other conditions", where, "make two states of it")
    if found.taken:
        found.absent.clear()  # alternatives: one of them is enough
    return found


def _add_taken(found: Conditions, text: re.Match[str], code: Code, where: str) -> None:
    glob, outcome = text[1], text[2]
    if outcome not in CODE:
        raise UserError(f"no outcome {outcome!r}", where, f"choose one of {', '.join(CODE)}")
    rows = [r for r in matching_rows(code, glob) if outcome == "blocked" or _can_end(code, r, outcome)]
    found.taken += [(r, CODE[outcome]) for r in rows]
    found.absent += [] if rows else [f"no row {glob} that can end in {outcome}"]


def _can_end(code: Code, row: int, outcome: str) -> bool:
    return outcome in {"next", "again", "yield", *code.info[row].step.outcomes}


def sometimes(name: str, texts: Sequence[str], code: Code, names: tuple[str, ...], where: str) -> tuple[Sometimes, str]:
    """The state as an explorer asks for it, and why the design cannot show it ("" if it can)."""
    found = resolve(texts, code, names, where)
    state = Sometimes(name, tuple(found.needs), tuple(found.fields), tuple(found.taken))
    return state, ", ".join(found.absent)
