"""The stepper: one row of one chosen actor at a time, with all invariants judged after it.

Each actor has a script of operations. Whoever drives asks for the options, takes one, and goes on until there are none:
then all scripts are done, or nobody can step, which LIVE says. Beside the actors' own rows there are two choices that
no row makes: a zap that may yield does, and a vCPU in the guest leaves it, because it was kicked or by itself (a
timer). A vCPU leaves between two instructions: before it translates an address, when it idles in the guest, and
when its thread makes a system call, which it does outside the guest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmembench.core.drivers.sequential import begin
from gmembench.core.errors import UserError
from gmembench.core.invariant import WHENS
from gmembench.core.jit import OUTCOME_BITS, kernel, part
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
from gmembench.core.operations import OPERATION, PROGRAMS
from gmembench.core.outcomes import BLOCKED, NEXT, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.rows import BRANCH, END, LEAVE
from gmembench.core.steps.table import row_addresses, run_chain
from gmembench.core.views import Record
from gmembench.core.world import HEADER, IN_GUEST, OUTSIDE_GUEST, World, actor, head

STEP, YIELD, EXIT = 0, 1, 2
"""Kinds of options: the actor's next row; the same, and its zap yields; the vCPU leaves the guest."""

KINDS = ("step", "yield", "exit")

MAY_EXIT = 1
"""Flag of a row: a vCPU in the guest may leave it before this row."""

PLACE = np.dtype(
    [
        ("row", "i8"),  # its next row; IDLE between two operations
        ("next", "i8"),  # its next operation
        ("end", "i8"),  # end of its operations
        ("program", "i8"),  # of the operation it is inside
        ("blocked", "i8"),  # its next row waits; nothing has changed since
    ]
)
"""Where an actor is in its script."""

IDLE = -1

COUNTERS = (*(name for name in HEADER.names or () if name.endswith("_peak")), "zeroed_pages", "ipis")
"""Fields of the header that only count: no program reads them."""


@part
def judge_step(
    w: Record, a: Record, program: int, ended: bool, at_rest: bool, masks: np.ndarray, out: np.ndarray
) -> None:
    """Judge a step that was just made; write when and what into out[1] and out[2] if something does not hold."""
    out[1] = USE
    out[2] = 0
    if a["used"] != 0:
        out[2] = judge_use(masks[USE], w, a, program)
    if out[2] == 0:
        out[1] = STATE
        out[2] = judge_state(masks[STATE], w, a, program)
    if out[2] == 0 and ended:
        out[1] = AT_END
        out[2] = judge_end(masks[AT_END], w, a, program)
    if out[2] == 0 and at_rest:
        out[1] = REST
        out[2] = judge_rest(masks[REST], w, a, program)


@part
def all_idle(places: np.ndarray) -> bool:
    """Whether nobody is inside an operation."""
    for i in range(len(places)):
        if places[i]["row"] != IDLE:
            return False
    return True


@kernel
def step_actor(
    buffer: np.ndarray,
    rows: np.ndarray,
    branches: np.ndarray,
    targets: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    places: np.ndarray,
    number: int,
    yield_now: int,
    masks: np.ndarray,
    out: np.ndarray,
) -> int:
    """Run the next row of an actor. Returns row << OUTCOME_BITS | outcome; violations go to `out`."""
    w = head(buffer)
    a = actor(w, number)
    place = places[number]
    if place["row"] == IDLE:
        op = operations[place["next"]]
        place["program"] = op["program"]
        place["row"] = entries[op["program"]]
        place["next"] += 1
        begin(a, op)
        a["range_slot"] = -1
    a["used"] = 0
    a["yield_now"] = yield_now
    ended = run_chain(w, a, rows, branches, place["row"])
    a["yield_now"] = 0
    outcome = ended & ((1 << OUTCOME_BITS) - 1)
    out[1] = STATE
    out[2] = 0
    if outcome == BLOCKED:
        place["blocked"] = 1
        return ended
    place["row"] = targets[place["row"], outcome]
    for i in range(len(places)):
        places[i]["blocked"] = 0
    judge_step(w, a, place["program"], place["row"] == IDLE, all_idle(places), masks, out)
    return ended


@kernel
def leave_guest(buffer: np.ndarray, places: np.ndarray, number: int) -> None:
    """A vCPU leaves the guest, for a kick or a timer: its next exit is told as a kick, unless it idles."""
    w = head(buffer)
    a = actor(w, number)
    if a["kicked"] != 0:
        w["ipis"] += 1
    a["mode"] = OUTSIDE_GUEST
    a["kicked"] = 0 if places[number]["row"] == IDLE else 1
    for i in range(len(places)):
        places[i]["blocked"] = 0


@kernel
def list_options(
    buffer: np.ndarray, rows: np.ndarray, flags: np.ndarray, places: np.ndarray, timer: int, options: np.ndarray
) -> int:
    """Write (actor, kind) of each option into `options`; return how many there are.

    An actor whose row was found waiting is left out until somebody has changed something.
    """
    w = head(buffer)
    found = 0
    for number in range(len(places)):
        place = places[number]
        at = place["row"]
        if place["blocked"] == 0 and (at != IDLE or place["next"] < place["end"]):
            options[found, 0], options[found, 1] = number, STEP
            found += 1
            if at != IDLE and rows[at]["may_yield"] != 0:
                options[found, 0], options[found, 1] = number, YIELD
                found += 1
        if number < w["vcpus"]:
            a = actor(w, number)
            may_leave = a["mode"] == IN_GUEST and (at == IDLE or flags[at] & MAY_EXIT != 0)
            if may_leave and (a["kicked"] != 0 or timer != 0):
                options[found, 0], options[found, 1] = number, EXIT
                found += 1
    return found


def _single(code: Code) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and branches of the code that leave after every row, and targets that hold *next* too."""
    rows, targets = code.rows.copy(), code.targets.astype(np.int64)
    below = np.arange(1, len(rows) + 1)
    targets[:, NEXT] = np.where(rows["jump"] == 0, below, targets[:, NEXT])
    targets[targets == END] = IDLE
    rows["jump"] = 1
    rows["address"] = row_addresses(rows)
    branches = np.zeros((len(rows), len(OUTCOMES)), BRANCH)
    branches["way"] = LEAVE
    rows["branches"] = branches.ctypes.data + branches.strides[0] * np.arange(len(rows))
    return rows, branches, targets


@dataclass(frozen=True)
class Taken:
    """A step that was made: the actor, what it did, and how that ended."""

    actor: int
    kind: str
    row: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.actor}: {self.row} {self.outcome}" + (f" ({self.kind})" if self.kind == "yield" else "")


class Stepper:
    """A world, and actors with scripts that step when they are told to.

    `scripts`: for each actor, by number, its operations (OPERATION records). `panel`: what is judged. `timer`: vCPUs
    may leave the guest by themselves. `violation`: the first that was found; nothing steps after it. `steps`: how many
    rows ran. `blocked`: how many found that they must wait.
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
        self.code, self.world = code, world
        self.panel = Panel() if panel is None else panel
        self.timer = timer
        self.violation: Violation | None = None
        self.steps = self.blocked = 0
        self._trail: list[tuple[int, int, int]] = []
        self._rows, self._branches, self._targets = _single(code)
        leaving = [MAY_EXIT if i.program != "access" or i.step.name.endswith(".translate") else 0 for i in code.info]
        self._flags = np.array(leaving, np.int64)
        self._operations, self._places = self._scripts(scripts)
        self._options = np.zeros((3 * len(self._places), 2), np.int64)
        self._out = np.zeros(3, np.int64)

    def _scripts(self, scripts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        actors = len(self.world.arrays["actors"])
        if len(scripts) > actors:
            raise UserError(
                f"{len(scripts)} scripts for {actors} actors", "stepper", "give at most one script an actor"
            )
        places = np.zeros(actors, PLACE)
        places["row"] = IDLE
        ends = np.cumsum([len(script) for script in scripts])
        places["end"][: len(scripts)] = ends
        places["next"][: len(scripts)] = ends - [len(script) for script in scripts]
        operations = np.concatenate([*scripts, np.zeros(0, OPERATION)])
        for number in set(operations["program"].tolist()):
            if self.code.entries[number] < 0:
                raise ValueError(f"{self.code.design.name} has no program {PROGRAMS[number]!r}")
        return operations, places

    @property
    def finished(self) -> bool:
        """Whether all scripts are done."""
        return bool(((self._places["row"] == IDLE) & (self._places["next"] == self._places["end"])).all())

    @property
    def trail(self) -> tuple[Taken, ...]:
        """Every step so far that changed something."""
        return tuple(self._taken(*entry) for entry in self._trail)

    def _taken(self, number: int, kind: int, ended: int) -> Taken:
        if kind == EXIT:
            return Taken(number, "exit", "guest exit", "")
        outcome = ended & ((1 << OUTCOME_BITS) - 1)
        return Taken(number, KINDS[kind], self.code.info[ended >> OUTCOME_BITS].name, OUTCOMES[outcome])

    def unfinished(self, number: int) -> bool:
        """Whether an actor has something left to do."""
        place = self._places[number]
        return bool(place["row"] != IDLE or place["next"] < place["end"])

    def idle(self, number: int) -> bool:
        """Whether an actor is between two operations."""
        return bool(self._places[number]["row"] == IDLE)

    def state(self) -> int:
        """A digest of the world without its counters, and of where the actors are in their scripts."""
        copy = self.world.buffer.copy()
        header = copy[: HEADER.itemsize].view(HEADER)
        for name in COUNTERS:
            header[name] = 0
        places = self._places.copy()
        places["blocked"] = 0
        return hash((copy.tobytes(), places.tobytes()))

    def next_row(self, number: int) -> str:
        """The row that an actor runs next; "" between operations."""
        at = int(self._places[number]["row"])
        return "" if at == IDLE else self.code.info[at].name

    def options(self) -> np.ndarray:
        """(actor, kind) of everything that can be done now. Empty at the end; a step in it may still have to wait.

        With something left to do and no options, LIVE does not hold, and `violation` says so.
        """
        if self.violation is not None:
            return self._options[:0]
        timer = int(self.timer)
        count = list_options(self.world.buffer, self._rows, self._flags, self._places, timer, self._options)
        if count == 0 and not self.finished and self.panel.judges_stuck:
            self.fail(self.panel.stuck())
        return self._options[:count]

    def take(self, number: int, kind: int = STEP) -> int:
        """Do one thing; returns row << OUTCOME_BITS | outcome of a row."""
        if kind == EXIT:
            leave_guest(self.world.buffer, self._places, number)
            self._trail.append((number, kind, 0))
            return 0
        ended = int(
            step_actor(
                self.world.buffer,
                self._rows,
                self._branches,
                self._targets,
                self.code.entries,
                self._operations,
                self._places,
                number,
                int(kind == YIELD),
                self.panel.masks,
                self._out,
            )
        )
        if ended & ((1 << OUTCOME_BITS) - 1) == BLOCKED:
            self.blocked += 1
            return ended
        self.steps += 1
        self._trail.append((number, kind, ended))
        if self._out[2] != 0:
            self.fail(violation_of(SHIPPED, WHENS[self._out[1]], int(self._out[2])))
        elif self.panel.others:
            self._judge_others(number)
        return ended

    def step(self, number: int) -> Taken:
        """Run the next row of an actor, and say what it did."""
        return self._taken(number, STEP, self.take(number))

    def _judge_others(self, number: int) -> None:
        program = int(self._places[number]["program"])
        ended = self._places[number]["row"] == IDLE
        used = self.world.arrays["actors"][number]["used"] != 0
        rest = bool((self._places["row"] == IDLE).all())
        whens = [w for w, now in zip(WHENS, (True, used, rest, ended), strict=True) if now]
        found = self.panel.judge_others(whens, self.world.buffer, number, program)
        if found is not None:
            self.fail(found)

    def fail(self, found: Violation) -> None:
        """Note the first violation, with the trail that led to it."""
        trail = tuple(str(taken) for taken in self.trail)
        self.violation = Violation(found.invariant, found.when, found.index, found.why, trail)
