"""The stepper: one move of one chosen actor at a time, with all invariants judged after it.

Each actor has a script of operations. Whoever drives asks for the options, takes one, and goes on until there are none:
then all scripts are done, or nobody can step, which LIVE says. Beside the actors' own rows there are choices that no
row makes: a zap that may yield does; a vCPU in the guest leaves it, because it was kicked or by itself (a timer); an
event makes a row end otherwise. A vCPU leaves between two instructions: before it translates an address, when it idles
in the guest, and when its thread makes a system call, which it does outside the guest.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from gmembench.core.drivers.fingerprints import fingerprint, hash_keys
from gmembench.core.drivers.first import first_violation
from gmembench.core.drivers.instance import EXIT, FORCE, IDLE, STEP, YIELD, Instance
from gmembench.core.drivers.moves import (
    CHOICE_SHIFT,
    KIND_MASK,
    LEFT,
    SPARE_MOVES,
    WAITED,
    all_done,
    at_rest,
    is_done,
    list_moves,
    make_move,
    settle,
)
from gmembench.core.drivers.prepared import Prepared, told_outside
from gmembench.core.drivers.sequential import OUTCOME_MASK
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.invariant import WHENS
from gmembench.core.jit import kernel
from gmembench.core.judges import (
    AT_END,
    REST,
    SHIPPED,
    STATE,
    USE,
    Panel,
    Violation,
    judge_end,
    judge_rest,
    judge_state,
    judge_use,
    violation_of,
)
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.world import SMALL, World, actor, small_head

KINDS = ("step", "yield", "exit", "event")
"""Names of the kinds of options: all that are FORCE or more are events."""

__all__ = ["EXIT", "FORCE", "KINDS", "STEP", "YIELD", "Stepper", "Taken"]


@kernel
def _do_move(
    buffer: np.ndarray,
    choice: int,
    rows: np.ndarray,
    ways: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    masks: np.ndarray,
    out: np.ndarray,
) -> int:
    """Make a move, and judge a use and an end. `out`: when and what does not hold."""
    w = small_head(buffer)
    at = actor(w, choice >> CHOICE_SHIFT)["row"]
    went = make_move(w, choice, at, rows, ways, entries, operations, forces, force_rows, gates, gate_rows)
    out[0] = USE
    out[1] = 0
    if went < 0:
        return went
    a = actor(w, choice >> CHOICE_SHIFT)
    if a["used"] != 0:
        out[1] = judge_use(masks[USE], w, a, a["program"])
    if out[1] == 0 and a["row"] == IDLE:
        out[0] = AT_END
        out[1] = judge_end(masks[AT_END], w, a, a["program"])
    return went


@kernel
def _settle(
    buffer: np.ndarray,
    number: int,
    judges: int,
    keep: np.ndarray,
    neutral: np.ndarray,
    masks: np.ndarray,
    out: np.ndarray,
) -> None:
    """Settle the state after a move, and judge it unless `judges` is 0."""
    w = small_head(buffer)
    settle(w, number, keep, neutral)
    a = actor(w, number)
    if judges != 0:
        out[0] = STATE
        out[1] = judge_state(masks[STATE], w, a, 0)
        if out[1] == 0 and at_rest(w):
            out[0] = REST
            out[1] = judge_rest(masks[REST], w, a, 0)


@kernel
def _list_moves(
    buffer: np.ndarray,
    flags: np.ndarray,
    ends: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
) -> int:
    w = small_head(buffer)
    return list_moves(w, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves)


@kernel
def _unfinished(buffer: np.ndarray, number: int, ends: np.ndarray, gate_of: np.ndarray) -> bool:
    w = small_head(buffer)
    if number < 0:
        return not all_done(w, ends, gate_of)
    return not is_done(actor(w, number), number, ends, gate_of)


@kernel
def _fingerprint(buffer: np.ndarray, at: int, keys: np.ndarray) -> int:
    return fingerprint(small_head(buffer), at, keys)


@dataclass(frozen=True)
class Taken:
    """A step that was made: the actor, what it did, and how that ended."""

    actor: int
    kind: str
    row: str
    outcome: str

    def __str__(self) -> str:
        told = f" ({self.kind})" if self.kind in {"yield", "event"} else ""
        return f"{self.actor}: {self.row} {self.outcome}{told}"


def _twin(world: World) -> World:
    """A world of the same bytes."""
    made, first = copy(world), world.buffer.ctypes.data
    made.buffer = world.buffer.copy()

    def same(part: np.ndarray) -> np.ndarray:
        at = part.ctypes.data - first
        return made.buffer[at : at + part.nbytes].view(part.dtype)

    made.header, made.arrays = same(world.header), {name: same(part) for name, part in world.arrays.items()}
    return made


class Stepper:
    """A small world, and actors with scripts that step when they are told to.

    `world`: a small copy of the one given. `scripts`: for each actor, by number, its operations (OPERATION records).
    `panel`: what is judged. `timer`: vCPUs may leave the guest by themselves. `violation`: the first that was found;
    nothing steps after it. `steps`: how many rows ran. `blocked`: how many found that they must wait.
    """

    def __init__(
        self,
        code: Code,
        world: World,
        scripts: Sequence[np.ndarray],
        panel: Panel | None = None,
        *,
        timer: bool = False,
    ) -> None:
        asked = Panel() if panel is None else panel
        instance = Instance(code, world.geometry, tuple(scripts), panel=asked, timer=timer)
        self._begin(Prepared(instance, world, forget=False))

    @classmethod
    def of(cls, instance: Instance) -> "Stepper":
        """A stepper at the beginning of an instance. Its states are those of the exhaustive driver, bit by bit.

        The first one is judged too: it has a violation if what is prepared leads to one.
        """
        made = cls.__new__(cls)
        made._begin(Prepared(instance))  # noqa: SLF001 - its own
        made.violation = first_violation(made.prepared)
        if made.violation is None and made.panel.others:
            made.violation = made.panel.judge_others(("state", "rest"), made.world.buffer, 0, 0)
        return made

    def anew(self) -> "Stepper":
        """A stepper in a world of its own, where this one stands now, with nothing behind it. Quicker than `of`."""
        made, prepared = self.__class__.__new__(self.__class__), copy(self.prepared)
        prepared.world = _twin(self.world)
        made._begin(prepared)  # noqa: SLF001 - its own
        made.violation = self.violation
        return made

    def _begin(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.code, self.world, self.panel = prepared.code, prepared.world, prepared.instance.panel
        self.timer = prepared.instance.timer
        self.violation: Violation | None = None
        self.steps = self.blocked = 0
        self._trail: list[tuple[int, int, int]] = []
        self._waiting: set[int] = set()
        self._moves = np.zeros(prepared.most_moves + SPARE_MOVES, np.int64)
        self._out = np.zeros(2, np.int64)
        self._keys = hash_keys(prepared.words)
        for number in range(prepared.actors):
            self._settle(number, judges=0)

    @property
    def finished(self) -> bool:
        """Whether all scripts are done."""
        return not self.unfinished(-1)

    @property
    def trail(self) -> tuple[Taken, ...]:
        """Every step so far that changed something."""
        return tuple(self._taken(*entry) for entry in self._trail)

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """(actor, kind) of every move so far that changed something."""
        return tuple((number, kind) for number, kind, _ in self._trail)

    def _taken(self, number: int, kind: int, ended: int) -> Taken:
        if kind == EXIT:
            return Taken(number, "exit", "guest exit", "")
        outcome = ended & OUTCOME_MASK
        return Taken(number, KINDS[min(kind, FORCE)], self.code.info[ended >> OUTCOME_BITS].name, OUTCOMES[outcome])

    def unfinished(self, number: int) -> bool:
        """Whether an actor has something left to do."""
        return bool(_unfinished(self.world.buffer, number, self.prepared.ends, self.prepared.gate_of))

    def idle(self, number: int) -> bool:
        """Whether an actor is between two operations."""
        return bool(self.world.arrays["actors"]["row"][number] == IDLE)

    def state(self) -> int:
        """The fingerprint of the world without its counters, and of where the actors are in their scripts."""
        return int(_fingerprint(self.world.buffer, SMALL.state_at, self._keys))

    def next_row(self, number: int) -> str:
        """The row that an actor runs next; "" between operations."""
        at = int(self.world.arrays["actors"]["row"][number])
        return "" if at == IDLE else self.code.info[at].name

    def options(self) -> np.ndarray:
        """(actor, kind) of everything that can be done now. Empty at the end; a step in it may still have to wait.

        With something left to do and no options, LIVE does not hold, and `violation` says so. An actor whose row was
        found waiting is left out until somebody has changed something.
        """
        if self.violation is not None:
            return np.zeros((0, 2), np.int64)
        found = [(choice >> CHOICE_SHIFT, choice & KIND_MASK) for choice in self._list()]
        made = [option for option in found if option[0] not in self._waiting or option[1] not in {STEP, YIELD}]
        if not made and not self.finished and self.panel.judges_stuck:
            self.fail(self.panel.stuck())
        return np.array(made, np.int64).reshape(-1, 2)

    def _list(self) -> list[int]:
        """All moves; some may turn out to have to wait."""
        p = self.prepared
        count = _list_moves(
            self.world.buffer,
            p.flags,
            p.ends,
            int(self.timer),
            p.forces,
            p.force_rows,
            p.gate_of,
            p.gates,
            p.gate_rows,
            self._moves,
        )
        found: list[int] = self._moves[:count].tolist()
        return found

    def _move(self, choice: int) -> int:
        """Make a move; what `_do_move` says."""
        p = self.prepared
        return int(
            _do_move(
                self.world.buffer,
                choice,
                p.rows,
                p.ways,
                p.entries,
                p.operations,
                p.forces,
                p.force_rows,
                p.gates,
                p.gate_rows,
                self.panel.masks,
                self._out,
            )
        )

    def take(self, number: int, kind: int = STEP) -> int:
        """Do one thing; returns row << OUTCOME_BITS | outcome of a row, 0 if a vCPU left the guest.

        Raises OutsideError if the row, or a rule after it, uses what is not there.
        """
        before = self.world.buffer.copy()
        went = self._move(number << CHOICE_SHIFT | kind)
        if went == WAITED:
            at = int(self.world.arrays["actors"]["row"][number])
            self.prepared.stay_inside(self.code.info[at].name)
            self.world.buffer[:] = before
            self._waiting.add(number)
            self.blocked += 1
            return at << OUTCOME_BITS | BLOCKED
        self._waiting.clear()
        ended = 0 if went == LEFT else went
        self._trail.append((number, kind, ended))
        if went != LEFT:
            self.steps += 1
            self._judge(number)
        else:
            self._settle(number, judges=0)
        self.prepared.stay_inside(self._taken(number, kind, ended).row)
        return ended

    def followers(self, state: np.ndarray) -> Iterator[np.ndarray]:
        """The settled states that one move leads to from a state; nothing is judged.

        While it goes on the world is the one just made, and at the end it is `state`. Raises OutsideError.
        """
        buffer = self.world.buffer
        buffer[:] = state
        for choice in self._list():
            went = self._move(choice)
            self.prepared.stay_inside("a row")
            if went != WAITED:
                self._settle(choice >> CHOICE_SHIFT, judges=0)
                yield buffer.copy()
            buffer[:] = state

    def _judge(self, number: int) -> None:
        found = int(self._out[1])
        if found == 0 and self.panel.others:
            self._judge_others(number)
        if found == 0:
            self._settle(number, judges=1)
            found = int(self._out[1])
        if found != 0 and self.violation is None:
            self.fail(violation_of(SHIPPED, WHENS[self._out[0]], found))

    def _settle(self, number: int, judges: int) -> None:
        p = self.prepared
        _settle(self.world.buffer, number, judges, p.keep, p.neutral, self.panel.masks, self._out)

    def step(self, number: int) -> Taken:
        """Run the next row of an actor, and say what it did."""
        return self._taken(number, STEP, self.take(number))

    def _judge_others(self, number: int) -> None:
        a = self.world.arrays["actors"][number]
        rest = bool((self.world.arrays["actors"]["row"] == IDLE).all())
        whens = [w for w, now in zip(WHENS, (True, a["used"] != 0, rest, a["row"] == IDLE), strict=True) if now]
        found = self.panel.judge_others(whens, self.world.buffer, number, int(a["program"]))
        if found is not None:
            self.fail(found)

    def fail(self, found: Violation) -> None:
        """Note the first violation, with the trail that led to it."""
        trail = tuple(str(taken) for taken in self.trail)
        self.violation = Violation(found.invariant, found.when, found.index, found.why, trail)


def step_outside(instance: Instance, choices: Iterable[tuple[int, int]], told: int) -> NoReturn:
    """Raise OutsideError for what a loop found at the end of some choices. `told`: by the header of its world."""
    stepper = Stepper.of(instance)
    for choice in choices:
        stepper.take(*choice)
    raise told_outside(stepper.world, told, "a row or a rule")
