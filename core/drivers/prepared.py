"""An instance prepared for compiled drivers: arrays of rows, of who may do what, and the world that it begins with."""

import numpy as np

from gmembench.core.drivers.instance import IDLE, MOST_ACTORS, MOST_FORCES, Gate, Instance
from gmembench.core.drivers.moves import MAY_EXIT, MAY_YIELD
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errors import UserError
from gmembench.core.operations import OPERATION, PROGRAMS
from gmembench.core.outcomes import NEXT, OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.rows import END
from gmembench.core.steps.table import small_addresses
from gmembench.core.world import SMALL, WIDE, World

NO_OPERATIONS = np.zeros(0, OPERATION)


def next_rows(code: Code) -> np.ndarray:
    """i8 array (row, outcome) -> row that follows, or IDLE: targets that hold *next* too."""
    targets = code.targets.astype(np.int64)
    below = np.arange(1, len(code.rows) + 1)
    targets[:, NEXT] = np.where(code.rows["jump"] == 0, below, targets[:, NEXT])
    targets[targets == END] = IDLE
    return targets


def small_copy(wide: World, events: int = 0) -> World:
    """The same state with one-byte fields, all actors idle at the beginning of their scripts.

    Raises OverflowError where a value does not fit into a byte.
    """
    made = World(wide.geometry, SMALL, events=events)
    for name in WIDE.header.names or ():
        if not name.endswith(("_at", "_n")):
            made.header[name] = wide.header[name]
    for name, array in wide.arrays.items():
        _copy_records(array, made.arrays[name])
    made.arrays["actors"]["row"] = IDLE
    return made


def _copy_records(source: np.ndarray, target: np.ndarray) -> None:
    for name in source.dtype.names or ():
        if source.dtype[name].base.names is not None:
            _copy_records(source[name], target[name])
            continue
        target[name] = source[name]
        if not np.array_equal(target[name], source[name]):
            raise OverflowError(f"{name}: {source[name].tolist()} does not fit into a small world")


class Prepared:
    """The arrays of an instance, as compiled drivers take them.

    `world`: the small world it begins with. `rows`: ROW array. `taken`: i8 (row, outcome), how often each was taken.
    `targets`: (row, outcome) -> row or IDLE. `operations`, `ends`: all scripts behind one another, and where that of
    each actor ends. `flags`: by row, MAY_*. `forces`, `force_rows`, `gates`, `gate_rows`, `gate_of`: events, as
    moves.py reads them; gate_rows and what is indexed by the row that follows have IDLE at 0. `keep`, `neutral`: u8
    (row + 1, word of ACTOR), what `settle` leaves of an actor's registers. `seq_live`: by row + 1, whether the
    snapshot of the sequence is read again. `judged`: by row, mask of the rules about states that the row may break.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance, self.code = instance, instance.code
        self.world = self._world()
        self.rows = self._rows()
        self.taken = np.zeros((len(self.rows), len(OUTCOMES)), np.int64)
        self.targets = next_rows(self.code)
        self.entries = self.code.entries.astype(np.int64)
        self.operations, self.ends = self._scripts()
        self.flags = np.array([self._flags(position) for position in range(len(self.rows))], np.int64)
        self._fill_events()
        self._fill_registers()
        self.masks = instance.panel.masks
        self.judged = np.full(len(self.rows), self.masks[0], np.int64)

    @property
    def actors(self) -> int:
        """How many actors there are."""
        return len(self.world.arrays["actors"])

    @property
    def words(self) -> int:
        """Words (8 bytes) of a state."""
        return (len(self.world.buffer) - SMALL.state_at) // 8

    def _world(self) -> World:
        instance = self.instance
        wide = World(instance.geometry)
        if instance.prepare:
            self._check(np.concatenate(instance.prepare))
            Sequential(self.code, wide).run(np.concatenate(instance.prepare))
            _forget_registers(wide)
        made = small_copy(wide, len(instance.forces) + len(instance.gates))
        if len(made.arrays["actors"]) > MOST_ACTORS or len(instance.forces) > MOST_FORCES:
            raise UserError(
                f"{len(made.arrays['actors'])} actors and {len(instance.forces)} forced outcomes",
                "instance",
                f"choose at most {MOST_ACTORS} actors and {MOST_FORCES} forced outcomes",
            )
        return made

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

    def _flags(self, position: int) -> int:
        info = self.code.info[position]
        leaves = info.program != "access" or info.step.name.endswith(".translate")
        return MAY_EXIT * leaves | MAY_YIELD * bool(self.rows[position]["may_yield"])

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

    def _fill_registers(self) -> None:
        words = SMALL.arrays["actors"].itemsize // 8
        self.keep = np.full((len(self.rows) + 1, words), 0xFFFFFFFFFFFFFFFF, np.uint64)
        self.neutral = np.zeros((len(self.rows) + 1, words), np.uint64)
        self.seq_live = np.ones(len(self.rows) + 1, np.uint8)


def _forget_registers(world: World) -> None:
    """Give registers that the preparation left behind their first values, where nobody holds on to them."""
    fresh = World(world.geometry).arrays["actors"]
    actors = world.arrays["actors"]
    kept = {"mode", "requests", "kicked", "root", "node", "number", "tlb_generation", "entered_epoch", "same_faults"}
    for name in actors.dtype.names or ():
        if name not in kept:
            actors[name] = fresh[name]
