"""States that must be seen, as text, and as the explorer asks for them.

A state is a list of conditions that hold together. `V0 before fault.set_spte`: that actor stands before such a row.
`V0 idle`: it stands between two operations. `V0 done`: all of its operations are done. `V0 begun 2`: so many of them
have begun. `header.inval_count == 2`, `frames[0].attr & 1`, `V0.error == EHWPOISON`: a field of the world has that
value; a register counts only while the rows before its actor may still read it, and what only counts up (a sequence, a
generation) has no value of its own. Or it is one or more of `taken fault.recheck_stale stale`: one of these rows ended
so. Names of actors and rows are globs; alternatives are separated by `|`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gmembench.core import errno, world
from gmembench.core.drivers.instance import IDLE as AT_REST
from gmembench.core.drivers.instance import Sometimes
from gmembench.core.errors import UserError
from gmembench.core.outcomes import CODE
from gmembench.core.programs import Code
from gmembench.inject.rows import mask_of, matching_names, matching_rows

BEFORE = re.compile(r"(\S+) before (\S+)")
IDLE = re.compile(r"(\S+) idle")
DONE = re.compile(r"(\S+) done")
BEGUN = re.compile(r"(\S+) begun (\d+)")
TAKEN = re.compile(r"taken (\S+) (\S+)")
FIELD = re.compile(r"(\S+?)\s*(==|!=|<=|>=|<|>|&)\s*(-?\d+|[A-Z][A-Z0-9_]*)")
PATH = re.compile(r"([a-z]+)\[(\d+)\]((?:\.[a-z_]+(?:\[\d+\])?)+)")

FORMS = (
    "write `ACTOR before ROW`, `ACTOR idle`, `ACTOR done`, `ACTOR begun N`, `taken ROW OUTCOME`, or `PATH OP VALUE` "
    "such as `header.inval_count == 2`, `frames[0].attr & 1`, `V0.error == EHWPOISON`"
)


@dataclass(frozen=True)
class Cast:
    """The actors of a scenario: names by number, and how many operations each has."""

    names: tuple[str, ...]
    lengths: tuple[int, ...]

    def matching(self, glob: str, where: str) -> tuple[int, ...]:
        """Numbers of the actors that a glob names; one at least."""
        found = matching_names(self.names, glob)
        if not found:
            raise UserError(f"no actor {glob!r}", where, f"choose of {', '.join(self.names)}")
        return found

    def mask(self, glob: str, where: str) -> int:
        """The same as bits."""
        return mask_of(self.matching(glob, where))

    def begun(self, glob: str, operations: int | None, where: str) -> list[tuple[str, str, int]]:
        """Conditions that each of these actors has begun so many operations; None: all of its own."""
        found = []
        for number in self.matching(glob, where):
            length = self.lengths[number]
            wanted = length if operations is None else operations
            if wanted > length:
                raise UserError(f"{self.names[number]} has {length} operations", where, "name one of them")
            found.append((f"actors[{number}].next", "==", sum(self.lengths[:number]) + wanted))
        return found


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


def _field(text: re.Match[str], names: tuple[str, ...], where: str) -> tuple[str, str, int]:
    path, op, value = text[1], text[2], _value(text[3], where)
    actor, _, rest = path.partition(".")
    if actor in names:
        path = f"actors[{names.index(actor)}].{rest}"
    _known(path, where)
    return path, op, value


def resolve(texts: Sequence[str], code: Code, cast: Cast, where: str) -> Conditions:
    """Conditions of a state against a design's rows. Raises UserError for text that is none."""
    found = Conditions()
    for text in texts:
        if before := BEFORE.fullmatch(text):
            rows = matching_rows(code, before[2])
            found.needs.append((cast.mask(before[1], where), rows))
            found.absent += [] if rows else [f"no row {before[2]}"]
        elif taken := TAKEN.fullmatch(text):
            _add_taken(found, taken, code, where)
        elif compared := FIELD.fullmatch(text):
            found.fields.append(_field(compared, cast.names, where))
        else:
            _add_place(found, text, cast, where)
    if any(TAKEN.fullmatch(text) for text in texts) and (found.needs or found.fields):
        raise UserError("what is taken stands beside other conditions", where, "make two states of it")
    if found.taken:
        found.absent.clear()  # alternatives: one of them is enough
    return found


def _add_place(found: Conditions, text: str, cast: Cast, where: str) -> None:
    """Conditions about where an actor is in its script."""
    idle, done, begun = IDLE.fullmatch(text), DONE.fullmatch(text), BEGUN.fullmatch(text)
    if idle or done:
        glob = text.split(maxsplit=1)[0]
        found.needs += [(1 << number, (AT_REST,)) for number in cast.matching(glob, where)]
    if done:
        found.fields += cast.begun(done[1], None, where)
    elif begun:
        found.fields += cast.begun(begun[1], int(begun[2]), where)
    elif not idle:
        raise UserError(f"{text!r} is no condition", where, FORMS)


def _add_taken(found: Conditions, text: re.Match[str], code: Code, where: str) -> None:
    glob, outcome = text[1], text[2]
    if outcome not in CODE:
        raise UserError(f"no outcome {outcome!r}", where, f"choose one of {', '.join(CODE)}")
    rows = [r for r in matching_rows(code, glob) if outcome == "blocked" or _can_end(code, r, outcome)]
    found.taken += [(r, CODE[outcome]) for r in rows]
    found.absent += [] if rows else [f"no row {glob} that can end in {outcome}"]


def _can_end(code: Code, row: int, outcome: str) -> bool:
    return outcome in {"next", "again", "yield", *code.info[row].step.outcomes}


def sometimes(name: str, texts: Sequence[str], code: Code, cast: Cast, where: str) -> tuple[Sometimes, str]:
    """The state as an explorer asks for it, and why the design cannot show it ("" if it can)."""
    found = resolve(texts, code, cast, where)
    state = Sometimes(name, tuple(found.needs), tuple(found.fields), tuple(found.taken))
    return state, ", ".join(found.absent)
