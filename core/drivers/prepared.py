"""An instance prepared for compiled drivers: arrays of rows, of who may do what, and the world that it begins with."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from gmembench.core.drivers.instance import IDLE, MOST_ACTORS, MOST_FORCES, Force, Gate, Instance
from gmembench.core.drivers.moves import DEAD, MAY_COUNT, MAY_EXIT, MAY_YIELD, WAY_TAKEN, WAY_TARGET
from gmembench.core.drivers.sequential import acknowledge_kicks, begin
from gmembench.core.drivers.watching import Watches
from gmembench.core.errors import OutsideError, UserError
from gmembench.core.footprints import footprints_in
from gmembench.core.footprints.rows import targets_of
from gmembench.core.jit import kernel
from gmembench.core.layouts import NESTED, OUTSIDE
from gmembench.core.liveness import REGISTERS, first_values, live_registers
from gmembench.core.locations import Masks, masks_of
from gmembench.core.operations import OPERATION, PROGRAMS
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.steps.table import run_small, small_addresses
from gmembench.core.views import outside
from gmembench.core.world import SMALL, WIDE, World, actor, small_head

T = TypeVar("T")

NO_OPERATIONS = np.zeros(0, OPERATION)

COUNTED = ("inval_seq", "tdx_epoch", "tlb_generation")
"""Fields that only count up, by whose differences a settled state is told."""

MOST_STEPS = 1_000_000
"""No operation of a small world alone has as many."""


class NeverEnds(UserError):
    """An operation that runs alone, before the others, never ends: number of its actor, program, row, mode."""

    def __init__(self, actor: int, program: str, row: str, *, waits: bool) -> None:
        self.actor, self.program, self.row, self.waits = actor, program, row, waits
        super().__init__(
            f"{program} never ends: {self.how}", "operations that run before", "choose others, or another order"
        )

    @property
    def how(self) -> str:
        """What it does instead."""
        return f"{self.row} waits" if self.waits else f"it comes back to {self.row}"


def small_copy(world: World, events: int = 0) -> World:
    """The same state with one-byte fields, all actors idle at the beginning of their scripts.

    Raises OverflowError where a value does not fit into a byte.
    """
    made = World(world.geometry, SMALL, events=events)
    for name in WIDE.header.names or ():
        if not name.endswith(("_at", "_n")):
            made.header[name] = world.header[name]
    for name in WIDE.arrays:
        _copy_records(world.arrays[name], made.arrays[name])
    made.arrays["actors"]["row"] = IDLE
    return made


def _copy_records(source: np.ndarray, target: np.ndarray) -> None:
    for name in (field for field in source.dtype.names or () if field in (target.dtype.names or ())):
        if source.dtype[name].base.names is not None:
            _copy_records(source[name], target[name])
            continue
        target[name] = source[name]
        if not np.array_equal(target[name], source[name]):
            raise OverflowError(f"{name}: {source[name].tolist()} does not fit into a small world")


def told_outside(world: World, told: int, row: str) -> OutsideError:
    """What a row has used that is not there in a world, as its header tells it."""
    number = told & 0xFF
    if number == NESTED:
        return outside("frames[...].spte", told >> 8, 2, row)
    array = list(SMALL.arrays)[number - 1]
    return outside(array, told >> 8, world[f"{array}_n"], row)


class Prepared:
    """The arrays of an instance, as compiled drivers take them.

    `world`: the small world it begins with. `rows`: ROW array. `taken`: i8 (row, outcome), how often each was taken.
    `targets`: (row, outcome) -> row or IDLE. `ways`: both, as moves.py reads them. `operations`, `ends`: all scripts
    behind one another, and where that of each actor ends. `flags`: by row + 1, MAY_*. `forces`, `force_rows`, `gates`,
    `gate_rows`, `gate_of`: events, as moves.py reads them; gate_rows and what is indexed by the row that follows have
    IDLE at 0. `keep`: u8 (row + 1, 64 bytes of ACTOR), bits of the bytes that `settle` leaves of an actor. `neutral`:
    u1, what it sets the others to. `judged`: by row, mask of the rules about states that the row may break.
    `taken_first`: i8 (row, outcome), the same as `taken`, of the operations that run before.
    """

    def __init__(self, instance: Instance, world: World | None = None, *, forget: bool = True) -> None:
        """`world`: to begin with, a new one by default. `forget`: registers that nobody reads again are cleared."""
        self.instance, self.code = instance, instance.code
        self.world = self._world(World(instance.geometry) if world is None else world)
        self.rows = self._rows()
        self.ways = np.zeros((len(self.rows), len(OUTCOMES), 2), np.int64)
        self.targets, self.taken = self.ways[:, :, WAY_TARGET], self.ways[:, :, WAY_TAKEN]
        self.targets[:] = targets_of(self.code)
        self.entries = self.code.entries.astype(np.int64)
        self.taken_first = self._run_first()
        self.operations, self.ends = self._scripts()
        rows = range(len(self.rows))
        self.flags = np.array([MAY_EXIT, *(self._flags(row, forget=forget) for row in rows)], np.int64)
        self._fill_events()
        self.masks = instance.panel.masks
        self._fill_registers(forget)
        self.watches = Watches(instance.sometimes, self.world, len(self.rows))

    @property
    def actors(self) -> int:
        """How many actors there are."""
        return len(self.world.arrays["actors"])

    @property
    def most_moves(self) -> int:
        """Moves that a state can have at most: a step, a yield and an exit of each actor, and its events."""
        everybody = (1 << self.actors) - 1
        return 3 * self.actors + sum((force.actors & everybody).bit_count() for force in self.instance.forces)

    @property
    def words(self) -> int:
        """Words (8 bytes) of a state."""
        return (len(self.world.buffer) - SMALL.state_at) // 8

    def _world(self, world: World) -> World:
        instance = self.instance
        try:
            made = small_copy(world, len(instance.forces) + len(instance.gates))
        except OverflowError as fault:
            what = f"a world of {instance.geometry.gfns} gfns is too large to explore, which keeps numbers in bytes"
            raise UserError(what, "instance", f"choose fewer gfns and pages ({fault})") from fault
        if len(made.arrays["actors"]) > MOST_ACTORS or len(instance.forces) > MOST_FORCES:
            raise UserError(
                f"{len(made.arrays['actors'])} actors and {len(instance.forces)} forced outcomes",
                "instance",
                f"choose at most {MOST_ACTORS} actors and {MOST_FORCES} forced outcomes",
            )
        return made

    def _run_first(self) -> np.ndarray:
        """Run the operations that come before, one after the other. Returns what was taken, by row and outcome."""
        operations = np.concatenate([*self.instance.prepare, NO_OPERATIONS])
        self._check(operations)
        for op in operations:
            where = run_alone(self.world.buffer, self.rows, self.ways, self.entries, op.reshape(1), MOST_STEPS)
            self.stay_inside(f"a row of {PROGRAMS[op['program']]}, which runs before,")
            if where >= 0:
                row = self.code.info[where % len(self.rows)].name
                waits = where < len(self.rows)
                raise NeverEnds(int(op["actor"]), PROGRAMS[op["program"]], row, waits=waits)
        taken = np.array(self.taken)
        self.taken[:] = 0
        return taken

    def stay_inside(self, row: str) -> None:
        """Raise OutsideError if a row has used what is not there in the world."""
        told = self.world[OUTSIDE]
        if told != 0:
            raise told_outside(self.world, told, row)

    def _rows(self) -> np.ndarray:
        rows = self.code.rows.copy()
        rows["address"] = small_addresses(rows)
        return rows

    def _check(self, operations: np.ndarray) -> None:
        for number in set(operations["program"].tolist()):
            if self.code.entries[number] < 0:
                raise UserError(
                    f"{self.code.design.name} has no program {PROGRAMS[number]!r}",
                    "instance",
                    "choose a design that has it, or another script",
                )

    def _scripts(self) -> tuple[np.ndarray, np.ndarray]:
        scripts = self.instance.scripts
        if len(scripts) > self.actors:
            raise UserError(
                f"{len(scripts)} scripts for {self.actors} actors", "instance", "give at most one script an actor"
            )
        scripts = (*scripts, *([NO_OPERATIONS] * (self.actors - len(scripts))))
        ends = np.cumsum([len(script) for script in scripts])
        self.world.arrays["actors"]["next"] = ends - [len(script) for script in scripts]
        operations = np.concatenate([*scripts, NO_OPERATIONS])
        self._check(operations)
        return operations, ends.astype(np.int64)

    def _flags(self, position: int, *, forget: bool) -> int:
        info = self.code.info[position]
        leaves = info.program != "access" or info.step.name.endswith(".translate")
        written = footprints_in().of(info.step).writes if forget else frozenset()
        counts = not forget or any(name.rpartition(".")[2] in COUNTED for name in written)
        return MAY_EXIT * leaves | MAY_YIELD * bool(self.rows[position]["may_yield"]) | MAY_COUNT * counts

    def _fill_events(self) -> None:
        instance, rows = self.instance, len(self.rows)
        self.forces = np.array([(f.outcome, f.actors, f.gfn, f.must) for f in instance.forces], np.int64).reshape(-1, 4)
        self.force_rows = np.zeros((len(instance.forces), rows), np.uint8)
        self.gates = np.array([(g.actors, g.gfn) for g in instance.gates], np.int64).reshape(-1, 2)
        self.gate_rows = np.zeros((len(instance.gates), rows + 1), np.uint8)
        self.gate_of = np.full(self.actors, -1, np.int64)
        events = self.world.arrays["events"]
        for i, force in enumerate(instance.forces):
            self.force_rows[i, list(force.rows)] = 1
            events[i] = (force.skip, force.times)
        for i, gate in enumerate(instance.gates):
            self._fill_gate(i, gate)

    def _fill_gate(self, i: int, gate: Gate) -> None:
        self.gate_rows[i, [row + 1 for row in gate.rows]] = 1
        self.gate_of[gate.actor] = i
        self.world.arrays["events"][len(self.instance.forces) + i] = (gate.skip, 0)

    def _fill_registers(self, forget: bool) -> None:
        """Which registers are kept after a step, by the row that follows; the others get one value each."""
        actors = self.world.arrays["actors"]
        if forget:
            live, self.judged = _analysis(self.instance, self.programs, frozenset(self._observed()))
            self.judged = self.judged & int(self.masks[0])
        else:
            live = np.ones((len(self.rows) + 1, len(REGISTERS)), bool)
            self.judged = np.full(len(self.rows), self.masks[0], np.int64)
        kept = np.full((len(live), actors.dtype.itemsize), 0xFF, np.uint8)
        for register, name in enumerate(REGISTERS):
            kept[:, _offset(actors.dtype, name)] = np.where(live[:, register], 0xFF, 0)
        kept[IDLE + 1, _offset(actors.dtype, "program")] = 0
        kept[:, _offset(actors.dtype, "used")] = 0
        first, fresh = np.zeros(1, actors.dtype), first_values(self.instance.geometry)
        for name in REGISTERS:
            first[name] = fresh[name][0]
        first["seq"] = DEAD
        self.keep = np.packbits(kept != 0, axis=1, bitorder="little").view(np.uint64)
        self.neutral = first.view(np.uint8)

    def _observed(self) -> set[str]:
        """Registers that events and states to be seen look at."""
        events: tuple[Force | Gate, ...] = (*self.instance.forces, *self.instance.gates)
        watched = {path.rpartition(".")[2] for item in self.instance.sometimes for path, _, _ in item.fields}
        return (watched & set(REGISTERS)) | ({"gfn"} if any(event.gfn >= 0 for event in events) else set())

    @property
    def programs(self) -> tuple[int, ...]:
        """Numbers of the programs that the scripts begin."""
        return tuple(sorted(set(self.operations["program"].tolist())))


ANALYSES_KEPT = 64

_lives: dict[tuple[Any, ...], tuple[Code, np.ndarray]] = {}
_masks: dict[tuple[Any, ...], tuple[Code, Masks]] = {}


def _forced(instance: Instance) -> tuple[tuple[int, int], ...]:
    return tuple((row, force.outcome) for force in instance.forces for row in force.rows)


def _kept(known: dict[tuple[Any, ...], tuple[Code, T]], key: tuple[Any, ...], code: Code, make: Callable[[], T]) -> T:
    """What is known of a code, made if need be. Kept, for whoever tries many scripts, or asks again."""
    key = (id(code), *key)
    if key not in known:
        if len(known) >= ANALYSES_KEPT:
            del known[next(iter(known))]
        known[key] = (code, make())  # the code too, so that nothing else gets its id
    return known[key][1]


def masks_in(instance: Instance, programs: tuple[int, ...]) -> Masks:
    """The masks of an instance's code, if these programs may be begun."""
    code, geometry, invariants = instance.code, instance.geometry, instance.panel.invariants
    key = (geometry, programs, _forced(instance), tuple(invariants))
    asked = {"programs": programs, "forced": _forced(instance), "invariants": invariants}
    return _kept(_masks, key, code, lambda: masks_of(code, geometry, **asked))  # type: ignore[arg-type]  # by name


def _analysis(instance: Instance, programs: tuple[int, ...], observed: frozenset[str]) -> tuple[np.ndarray, np.ndarray]:
    """Live registers by row + 1, and rules about states that a row may break."""
    code, geometry, invariants = instance.code, instance.geometry, instance.panel.invariants
    key = (geometry, programs, observed, _forced(instance), tuple(invariants))
    asked = {"programs": programs, "observed": observed, "forced": _forced(instance), "invariants": invariants}
    live = _kept(_lives, key, code, lambda: live_registers(code, geometry, **asked))  # type: ignore[arg-type]
    return np.concatenate([live[-1:], live[:-1]]), masks_in(instance, programs).visible.astype(np.int64)


def _offset(dtype: np.dtype, name: str) -> int:
    """Where a field of a record begins."""
    return int(dtype.fields[name][1])  # type: ignore[index]


@kernel
def run_alone(
    buffer: np.ndarray, rows: np.ndarray, ways: np.ndarray, entries: np.ndarray, operations: np.ndarray, limit: int
) -> int:
    """Run one operation to its end; kicked vCPUs leave the guest at once.

    Returns -1; or the row that waits for ever; or rows + row, of one to which it came when the limit was reached.
    """
    w = small_head(buffer)
    op = operations[0]
    a = actor(w, op["actor"])
    begin(a, op)
    a["range_slot"] = -1
    at = entries[op["program"]]
    for _ in range(limit):
        outcome = run_small(w, a, rows, at)
        if outcome == BLOCKED:
            if acknowledge_kicks(w) == 0:
                return at
        else:
            ways[at, outcome, WAY_TAKEN] += 1
            at = ways[at, outcome, WAY_TARGET]
            if at == IDLE:
                return -1
    return len(rows) + at
