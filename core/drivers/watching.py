"""Watching for states that must be seen: arrays that a compiled driver compares each new state with."""

import re
from collections.abc import Sequence

import numpy as np

from gmembench.core.drivers.instance import Condition, Need, Sometimes
from gmembench.core.errors import UserError
from gmembench.core.intrinsics.words import load_word
from gmembench.core.jit import inlined_part
from gmembench.core.views import Record, Word
from gmembench.core.world import SMALL, World, actor

PATH = re.compile(r"(\w+)(?:\[(\d+)\])?((?:\.\w+(?:\[\d+\])?)+)")
PART = re.compile(r"\.(\w+)(?:\[(\d+)\])?")

OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "&")
EQUAL, UNEQUAL, LESS, AT_MOST, MORE, AT_LEAST, BITS = range(len(OPERATORS))

MOST_NEEDS = 64
"""Places of actors that all watched states together ask for: bits of a mask."""

ONLY_TAKEN = 1 << MOST_NEEDS - 1
"""What a watched state wants that only a branch shows."""

OF, AT, BITS_OF, SIGN, OPERATOR, VALUE = range(6)


def field_at(path: str, world: World) -> tuple[int, np.dtype]:
    """Distance in bytes from the beginning of a world, and form, of a field such as "frames[0].spte[1].bits"."""
    found = PATH.fullmatch(path)
    if found is None or (found[1] != "header" and found[1] not in SMALL.arrays):
        raise _unknown(path)
    array, index = found[1], int(found[2] or 0)
    if array == "header":
        at, form = 0, SMALL.header
    else:
        form = SMALL.arrays[array]
        if index >= len(world.arrays[array]):
            raise _unknown(path)
        at = int(world[f"{array}_at"]) + index * form.itemsize
    for name, number in PART.findall(found[3]):
        if name not in (form.fields or {}):
            raise _unknown(path)
        form, distance = form.fields[name][:2]  # type: ignore[index]
        at += int(distance)
        if form.subdtype is not None:
            form = form.base
            at += int(number or 0) * form.itemsize
    return at, form


def _unknown(path: str) -> UserError:
    return UserError(f"no field {path!r}", "state to be seen", "write one such as header.inval_count or frames[0].attr")


class Watches:
    """The watched states of an instance. `seen`: u1, whether each was.

    `tags`: u8 (actor, row + 1), bits of the needs that an actor before a row meets. `wanted`: u8, by watched state.
    `conditions`: i8 (n, 6): watched state, distance in bytes, bits, sign, operator, value.
    """

    def __init__(self, watched: Sequence[Sometimes], world: World, rows: int) -> None:
        self.watched = watched
        self.seen = np.zeros(len(watched), np.uint8)
        self.wanted = np.zeros(len(watched), np.uint64)
        self.tags = np.zeros((len(world.arrays["actors"]), rows + 1), np.uint64)
        made: list[tuple[int, ...]] = []
        bit = 0
        for number, item in enumerate(watched):
            for need in item.needs:
                self._need(number, bit, need)
                bit += 1
            made += [self._condition(number, condition, world) for condition in item.fields]
            if not item.needs and not item.fields:
                self.wanted[number] = ONLY_TAKEN  # only a branch that was taken shows it
        self.conditions = np.array(made, np.int64).reshape(-1, 6)

    def _need(self, number: int, bit: int, need: Need) -> None:
        if bit >= MOST_NEEDS - 1:
            raise UserError(f"over {bit} places of actors", "states to be seen", "watch for fewer states at once")
        mask, rows = need
        self.wanted[number] |= np.uint64(1 << bit)
        for actor_number in range(len(self.tags)):
            if mask >> actor_number & 1:
                self.tags[actor_number, [row + 1 for row in rows]] |= np.uint64(1 << bit)

    def _condition(self, number: int, condition: Condition, world: World) -> tuple[int, ...]:
        path, operator, value = condition
        at, form = field_at(path, world)
        return number, at, 8 * form.itemsize, int(form.kind == "i"), OPERATORS.index(operator), value

    def note_taken(self, taken: np.ndarray) -> None:
        """Note the states that a branch shows which was taken. `taken`: (row, outcome), how often."""
        for number, item in enumerate(self.watched):
            if any(taken[row, outcome] for row, outcome in item.taken):
                self.seen[number] = 1

    @property
    def names_seen(self) -> dict[str, bool]:
        """Name of each watched state -> whether it was seen."""
        return {item.name: bool(seen) for item, seen in zip(self.watched, self.seen.tolist(), strict=True)}


@inlined_part
def compares(value: Word, operator: int, other: int) -> bool:
    """Whether a comparison holds; the operator is a number, as in OPERATORS."""
    if operator == EQUAL:
        return value == other
    if operator == UNEQUAL:
        return value != other
    if operator == BITS:
        return value & other != 0
    if operator == LESS or operator == AT_MOST:  # noqa: PLR1714, SIM109 - compiles as it stands
        return value < other + (1 if operator == AT_MOST else 0)
    return value > other - (1 if operator == AT_LEAST else 0)


@inlined_part
def conditions_hold(w: Record, number: int, conditions: np.ndarray) -> bool:
    """Whether all conditions of a watched state hold."""
    for i in range(len(conditions)):
        if conditions[i, OF] == number:
            bits = conditions[i, BITS_OF]
            value = np.int64(load_word(w, conditions[i, AT]) & np.uint64((1 << bits) - 1))
            if conditions[i, SIGN] != 0 and value >> bits - 1 != 0:
                value -= 1 << bits
            if not compares(value, conditions[i, OPERATOR], conditions[i, VALUE]):
                return False
    return True


@inlined_part
def some_unseen(seen: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether a watched state was not seen yet. What only a branch shows is found in `taken`."""
    for i in range(len(seen)):
        if seen[i] == 0 and wanted[i] != np.uint64(ONLY_TAKEN):
            return True
    return False


@inlined_part
def watch(w: Record, tags: np.ndarray, wanted: np.ndarray, conditions: np.ndarray, seen: np.ndarray) -> None:
    """Note in `seen` which watched states a state is."""
    met = np.uint64(0)
    for number in range(len(tags)):
        met |= tags[number, actor(w, number)["row"] + 1]
    for number in range(len(wanted)):
        if seen[number] == 0 and met & wanted[number] == wanted[number] and conditions_hold(w, number, conditions):
            seen[number] = 1
