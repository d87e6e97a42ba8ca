"""The exhaustive driver: every reachable state of an instance, or a short way to a state that must not be."""

import time
from dataclasses import dataclass, field, replace

import numpy as np

from gmembench.core.drivers.blocks import Collapsed
from gmembench.core.drivers.canonical import Canonical
from gmembench.core.drivers.collapsed import BATCH as COLLAPSED_BATCH
from gmembench.core.drivers.collapsed import insert_collapsed, search_collapsed
from gmembench.core.drivers.fingerprints import (
    BUCKET,
    aligned_words,
    empty_table,
    find_or_insert,
    fingerprint,
    hash_keys,
    move_fingerprints,
)
from gmembench.core.drivers.first import judge_first, settle_first
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.moves import CHOICE_SHIFT, KIND_MASK, SPARE_MOVES, WAY_TAKEN
from gmembench.core.drivers.partial_order import PartialOrder
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.search import (
    BATCH,
    BEYOND,
    BLOCKS_FULL,
    DONE,
    EDGES_FULL,
    EFFECTS_FULL,
    ENOUGH_STATES,
    FAILED,
    LEFT_MODEL,
    LINKS_FULL,
    MADE_ITEMS,
    PAUSED,
    SEARCH,
    STUCK_STATE,
    TABLE_FULL,
    WAITING_FULL,
    find_alone,
    mark_reaching,
    search_on,
)
from gmembench.core.drivers.sequential import OUTCOME_MASK
from gmembench.core.drivers.stepper import Stepper, step_outside
from gmembench.core.footprints import FootprintError
from gmembench.core.intrinsics.lanes import STATE_WORDS
from gmembench.core.invariant import WHENS
from gmembench.core.jit import kernel
from gmembench.core.judges import SHIPPED, Violation, violation_of
from gmembench.core.outcomes import BLOCKED
from gmembench.core.world import SMALL, small_head

GROWTH = 1.5
"""By how much the table grows. With MOST_FULL, at most 8 * 1.5 / 0.85 = 14.2 bytes a state stand in it."""

MOST_FULL = 0.85

EXPECTED_FULL = 0.51
"""How full the table is in the end if the number of states is known before: 15.7 bytes a state. Fuller ones cost time:
a line that is full sends the search for a fingerprint to another one (a tenth of the time between 0.5 and 0.8)."""


def more_buckets(buckets: int) -> int:
    """How many buckets a table has when it has grown."""
    return int(buckets * GROWTH)


FEWEST_BUCKETS = 1 << 8
"""Of a table: 32 KiB."""

LINE_BYTES = 64

PAUSE_TRANSITIONS = 1 << 20
"""Transitions between two looks at the clock."""

GIBIBYTE = 1 << 30

Choice = tuple[int, int]
"""Actor, and kind of the choice."""


@dataclass(frozen=True)
class Exploration:
    """What an exhaustive search came to.

    `verdict`: "holds", "violation", or "bound" (stopped before a verdict). `choices`: from the first state to the
    violation. `moves`: more than `transitions` where rows went on alone. `table_bytes`: of the visited set;
    `other_bytes`: all else, which is waiting states, links and edges. `peak_bytes`: most that was used at once, old
    arrays while new ones grow. `complete`: stopped with all states visited, and only LIVE not judged. `seen`: watched
    state -> whether it was reached. `taken`: i8 (row, outcome), how often each was taken. `taken_first`:
    the same, of the operations that run before. `not_made`: reduction that was asked for -> why it does not apply.
    """

    verdict: str
    violation: Violation | None
    choices: tuple[Choice, ...]
    states: int
    transitions: int
    moves: int
    seconds: float
    finished: int
    reductions: tuple[str, ...]
    stopped: str = ""
    table_bytes: int = 0
    other_bytes: int = 0
    peak_bytes: int = 0
    complete: bool = False
    seen: dict[str, bool] = field(default_factory=dict)
    taken: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    taken_first: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    not_made: dict[str, str] = field(default_factory=dict)


@kernel
def next_alone(
    buffer: np.ndarray,
    ends: np.ndarray,
    flags: np.ndarray,
    reads: np.ndarray,
    writes: np.ndarray,
    holds: np.ndarray,
    future: np.ndarray,
    rest: np.ndarray,
    alone_rows: np.ndarray,
) -> int:
    """The actor whose row goes on alone in a state of the search; -1 if there is none."""
    return find_alone(small_head(buffer), ends, flags, reads, writes, holds, future, rest, alone_rows)


@kernel
def _insert_first(buffer: np.ndarray, at: int, keys: np.ndarray, table: np.ndarray) -> int:
    return find_or_insert(table, fingerprint(small_head(buffer), at, keys))


REDUCTIONS = ("order", "vcpus", "pages")
"""Names of the reductions. "order": partial order, by what rows read and write. "vcpus": symmetry of actors that do the
same, vCPUs and host threads. "pages": symmetry of pages, which are told apart only by number."""


def _doubled(array: np.ndarray) -> np.ndarray:
    """An array twice as long, the second half zeros."""
    made = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    return made


class Explorer:
    """A search through the states of an instance, which grows its arrays as it goes."""

    def __init__(
        self,
        instance: Instance,
        *,
        order: str = "breadth",
        live: bool = True,
        stuck: bool = True,
        reductions: tuple[str, ...] = REDUCTIONS,
        memory_bytes: int = 8 * GIBIBYTE,
        seconds: float = float("inf"),
        states: int = 1 << 31,
        expected: int = 0,
        collapse: bool = True,
    ) -> None:
        """`expected`: states that the table is made for from the beginning; growing to it takes a tenth of the time.

        `collapse`: go through collapsed states where that can be done, which is faster and finds the same.
        """
        self.prepared = Prepared(instance)
        self.breadth = int(order == "breadth")
        self.live = int(live) if stuck else -1
        self.memory_bytes, self.seconds, self.most_states = memory_bytes, seconds, states
        p = self.prepared
        self.search = np.zeros(1, SEARCH)
        buffer = p.world.buffer
        settle_first(p)
        self.search[0]["when"], self.search[0]["found"] = judge_first(p)
        self.search[0]["failed_choice"] = -1
        self.canonical = Canonical(p, vcpus="vcpus" in reductions, pages="pages" in reductions)
        self.canonical.sort(buffer)
        self.reductions = reductions
        self.order = PartialOrder(p)
        self.partial = int("order" in reductions and self.order.applies)
        whole = not collapse or self.partial or self.canonical.symmetric or self.canonical.paged
        self.expected, self.peak_bytes, self.complete = expected, 0, False
        self._begin(None if whole or not Collapsed.applies(p) else Collapsed(p))

    def _begin(self, collapsed: Collapsed | None) -> None:
        """Make the arrays, and put the first state among those that wait. `collapsed`: None for whole states."""
        p, buffer, live = self.prepared, self.prepared.world.buffer, self.live > 0
        self.collapsed = collapsed
        self.words = p.words if collapsed is None else STATE_WORDS
        self.keys = hash_keys(self.words)
        self.batch = max(BATCH if collapsed is None else COLLAPSED_BATCH, p.most_moves)
        self.work = self._work(buffer, self.batch + 1 if collapsed is None else 1)
        self.table = empty_table(max(FEWEST_BUCKETS, int((self.expected + self.batch) / EXPECTED_FULL) // BUCKET + 1))
        self.ids = np.zeros(len(self.table) if live else 0, np.uint32)
        self.waiting_ids = np.zeros(1 << 11, np.uint32)
        self.waiting = aligned_words(len(self.waiting_ids) * self.words)
        self.parents = np.zeros(max(1 << 12, self.expected + 2 * self.batch), np.uint32)
        self.choices = np.zeros(max(1 << 12, self.expected + 2 * self.batch), np.uint8)
        self.edges = np.zeros((1 << 13 if live else 0, 2), np.uint32)
        self.moves = np.zeros(p.most_moves + SPARE_MOVES, np.int64)
        self.made = np.zeros(self.batch * MADE_ITEMS, np.int64)
        self.listed = np.zeros(self.batch + SPARE_MOVES, np.int64)
        self.hashes = np.zeros(self.batch, np.uint64)
        self.effect_of = np.zeros(self.batch, np.int64)
        self.taken = aligned_words(self.batch * STATE_WORDS)
        self.taken_ids = np.zeros(self.batch, np.uint32)
        self.prints = np.zeros(self.batch, np.uint64)
        self.later = np.zeros(self.batch, np.int64)
        if collapsed is None:
            self.waiting[: self.words] = buffer[SMALL.state_at :].view(np.uint64)
            _insert_first(buffer, SMALL.state_at, self.keys, self.table)
        else:
            self.waiting[: self.words] = collapsed.first(self.work)
            insert_collapsed(self.waiting, self.table)
        for name in ("first", "transitions", "moves", "edges", "finished", "pause_at"):
            self.search[0][name] = 0
        self.search[0]["last"] = self.search[0]["states"] = 1
        self.peak_bytes = max(self.peak_bytes, self.table.nbytes + self.other_bytes)

    @staticmethod
    def _work(buffer: np.ndarray, worlds: int) -> np.ndarray:
        """Room for the worlds that are worked on, u1: each begins at a cache line, an odd number of them apart.

        An even number would put the same fields of all worlds into the same few sets of the first-level cache.
        """
        lines = -(-len(buffer) // LINE_BYTES) | 1
        work = aligned_words(worlds * lines * LINE_BYTES // 8).view(np.uint8)
        work.reshape(worlds, -1)[:, : len(buffer)] = buffer
        return work

    @property
    def other_bytes(self) -> int:
        """Bytes of everything but the table."""
        arrays = (self.work, self.ids, self.waiting, self.waiting_ids, self.parents, self.choices, self.edges)
        return sum(array.nbytes for array in arrays) + (self.collapsed.nbytes if self.collapsed else 0)

    def _fits(self, more: int) -> bool:
        """Whether there is room for so many bytes beside all that there is; notes them, if so."""
        needed = self.table.nbytes + self.other_bytes + more
        fits = needed <= self.memory_bytes
        if fits:
            self.peak_bytes = max(self.peak_bytes, needed)
        return fits

    def _grow_table(self) -> bool:
        buckets = more_buckets(len(self.table) // BUCKET)
        if not self._fits(buckets * BUCKET * (8 + 4 * (self.live > 0))):
            return False
        table = empty_table(buckets)
        ids = np.zeros(len(table) if self.live > 0 else 0, np.uint32)
        move_fingerprints(self.table, self.ids, table, ids)
        self.table, self.ids = table, ids
        return True

    def _grow_waiting(self) -> bool:
        old, s, room = self.waiting, self.search[0], len(self.waiting_ids)
        # In order, and twice as many; and the positions twice, as 64-bit numbers.
        if not self._fits(3 * old.nbytes + 3 * self.waiting_ids.nbytes + 16 * room):
            return False
        order = np.arange(s["first"], s["last"]) % room
        self.waiting = aligned_words(2 * len(old))
        self.waiting[: len(order) * self.words] = old.reshape(room, -1)[order].reshape(-1)
        self.waiting_ids = np.concatenate([self.waiting_ids[order], np.zeros(2 * room - len(order), np.uint32)])
        s["last"] -= s["first"]
        s["first"] = 0
        return True

    def _grow_links(self) -> bool:
        if not self._fits(2 * (self.parents.nbytes + self.choices.nbytes)):  # the old ones stay meanwhile
            return False
        self.parents, self.choices = _doubled(self.parents), _doubled(self.choices)
        return True

    def _grow_edges(self) -> bool:
        if not self._fits(2 * self.edges.nbytes):  # the old ones stay meanwhile
            return False
        self.edges = _doubled(self.edges)
        return True

    def _grow_blocks(self) -> bool:
        if self.collapsed is None or self.collapsed.has_all_blocks:
            return self._begin_whole()
        if not self._fits(2 * self.collapsed.block_bytes):  # the old ones stay meanwhile
            return False
        self.collapsed.grow_blocks()
        return True

    def _grow_effects(self) -> bool:
        if self.collapsed is None or self.collapsed.has_all_effects:
            return self._begin_whole()
        if not self._fits(2 * self.collapsed.effect_bytes):  # the old ones stay meanwhile
            return False
        self.collapsed.grow_effects()
        return True

    def _begin_whole(self) -> bool:
        """Search once more from the beginning, with whole states: a rare world has more blocks than numbers."""
        self._begin(None)
        self.prepared.ways[:, :, WAY_TAKEN] = 0
        return self._fits(0)

    def _on(self) -> int:
        """Search on until the loop returns; says why."""
        return self._loop()

    def _loop(self) -> int:
        return self._loop_whole() if self.collapsed is None else self._loop_collapsed(self.collapsed)

    def _loop_collapsed(self, c: Collapsed) -> int:
        p = self.prepared
        return int(
            search_collapsed(
                self.work,
                self.work.view(np.uint64),
                self.waiting,
                self.waiting.view(np.uint16),
                self.waiting_ids,
                self.table,
                self.ids,
                self.parents,
                self.choices,
                self.edges,
                self.keys,
                self.taken,
                self.taken.view(np.uint16),
                self.taken_ids,
                len(c.lanes.block_of),
                c.lanes.whole,
                c.lanes.first_actor,
                c.lanes.first_public,
                c.lanes.block_of,
                c.lanes.parts.reshape(-1),
                c.blocks,
                c.blocks.view(np.uint8),
                c.lane_of,
                c.numbers,
                c.told,
                c.leaves,
                c.block_keys,
                c.block_prints,
                c.counts,
                c.sights.sees,
                c.index,
                c.effects,
                c.effects.view(np.uint16),
                self.listed,
                self.hashes,
                self.effect_of,
                c.uncounted,
                p.rows,
                p.ways,
                p.entries,
                p.operations,
                p.ends,
                p.flags,
                p.forces,
                p.force_rows,
                p.gates,
                p.gate_rows,
                p.keep,
                p.neutral,
                p.judged,
                c.sights.near,
                p.masks,
                p.watches.tags,
                p.watches.wanted,
                p.watches.conditions,
                p.watches.seen,
                self.made,
                self.prints,
                self.later,
                SMALL.state_at,
                int(p.instance.timer),
                c.check,
                p.most_moves,
                self.breadth,
                self.live,
                int(len(self.table) * MOST_FULL),
                self.most_states,
                self.search,
            )
        )

    def _loop_whole(self) -> int:
        p = self.prepared
        return int(
            search_on(
                self.work,
                self.work.view(np.uint64),
                self.waiting,
                self.waiting_ids,
                self.table,
                self.ids,
                self.parents,
                self.choices,
                self.edges,
                self.keys,
                p.rows,
                p.ways,
                p.entries,
                p.operations,
                p.ends,
                p.flags,
                p.forces,
                p.force_rows,
                p.gate_of,
                p.gates,
                p.gate_rows,
                p.keep,
                p.neutral,
                p.judged,
                p.masks,
                p.watches.tags,
                p.watches.wanted,
                p.watches.conditions,
                p.watches.seen,
                self.moves,
                self.made,
                self.prints,
                self.later,
                self.order.reads,
                self.order.writes,
                self.order.holds,
                self.order.future,
                self.order.rest,
                self.order.alone_rows,
                self.canonical.twins,
                self.canonical.symmetry.begins,
                self.canonical.symmetry.compared,
                self.canonical.symmetry.was,
                int(self.canonical.paged),
                self.canonical.pages.apart,
                self.canonical.pages.fields,
                self.canonical.pages.blocks,
                self.canonical.pages.naming,
                self.canonical.pages.touched,
                self.canonical.pages.spare,
                SMALL.state_at,
                int(p.instance.timer),
                self.partial,
                self.breadth,
                self.live,
                int(len(self.table) * MOST_FULL),
                self.most_states,
                self.search,
            )
        )

    def _compile(self) -> None:
        """Have the loops compiled before the clock starts: the search pauses before its first state."""
        self.search[0]["pause_at"] = 0
        self._loop()
        mark_reaching(self.edges, 0, np.zeros(1, np.uint8))

    def run(self, *, interruptible: bool = False) -> Exploration:
        """Search to the end, to the first violation, or to a bound. `interruptible`: an interrupt is a bound too.

        Raises OutsideError if a row uses what is not there.
        """
        started = time.perf_counter()
        try:
            self._compile()
            started = time.perf_counter()
            why, stopped = self._search(started)
        except KeyboardInterrupt:
            if not interruptible:
                raise
            s = self.search[0]  # it may have come while the loop was about to tell what it found
            failed = s["found"] != 0 or s["when"] == STUCK_STATE
            why, stopped = (FAILED, "") if failed else (PAUSED, "an interrupt")
        verdict = "bound" if stopped else "holds" if why == DONE else "violation"
        return self._result(verdict, time.perf_counter() - started, stopped)

    def _search(self, started: float) -> tuple[int, str]:
        """Search on and grow what is full. Returns DONE or FAILED; or where it stopped, and the bound in words."""
        grow = {
            TABLE_FULL: self._grow_table,
            WAITING_FULL: self._grow_waiting,
            LINKS_FULL: self._grow_links,
            EDGES_FULL: self._grow_edges,
            BLOCKS_FULL: self._grow_blocks,
            EFFECTS_FULL: self._grow_effects,
        }
        no_memory = f"{self.memory_bytes:,} bytes of memory"
        self.search[0]["pause_at"] = PAUSE_TRANSITIONS
        why = PAUSED if self.search[0]["found"] == 0 else FAILED
        if not self._fits(0):
            return why, no_memory
        while why not in (DONE, FAILED):
            why = self._on()
            if why == BEYOND:
                name = self.prepared.code.info[int(self.search[0]["failed_choice"])].name
                raise FootprintError(f"{name} touches what its footprint does not name")
            if why == PAUSED:
                self.search[0]["pause_at"] = self.search[0]["transitions"] + PAUSE_TRANSITIONS
            elif why == ENOUGH_STATES:
                return why, f"{self.most_states:,} states"
            elif why in grow and not grow[why]():
                return why, no_memory
            if why not in (DONE, FAILED) and time.perf_counter() - started > self.seconds:
                return why, f"{self.seconds} seconds"
        if why == DONE and self.live > 0:
            if not self._fits(int(self.search[0]["states"])):  # a byte a state: whether it reaches an end
                self.complete = True
                return why, no_memory
            why = self._judge_progress()
        return why, ""

    def _judge_progress(self) -> int:
        """Look for a state from which no end of all scripts can be reached; the first that was found, if there is."""
        s = self.search[0]
        reaches = np.ones(int(s["states"]), np.uint8)
        mark_reaching(self.edges, int(s["edges"]), reaches)
        doomed = int(reaches.argmin())
        if reaches[doomed] != 0:
            return DONE
        s["when"], s["found"], s["failed_state"], s["failed_choice"] = STUCK_STATE, 1, doomed, -1
        return FAILED

    def _path(self) -> tuple[Choice, ...]:
        """The choices that lead to what was found, with the rows that went on alone after each."""
        s = self.search[0]
        path = [int(s["failed_choice"])] if s["failed_choice"] >= 0 else []
        state = int(s["failed_state"])
        while state != 0:
            path.append(int(self.choices[state]))
            state = int(self.parents[state])
        path.reverse()
        if self.partial or self.canonical.symmetric:
            path = self._in_full(path)
        return tuple((c >> CHOICE_SHIFT, c & KIND_MASK) for c in path)

    def _in_full(self, path: list[int]) -> list[int]:
        """A path of the search as one of the instance: with the rows that went on alone, and actors by their own names.

        The search's own states are made once more. `names`: by number there, which actor it is in the instance.
        """
        stepper, found = Stepper.of(self.prepared.instance), list[int]()
        names = self.canonical.sort(stepper.world.buffer)
        for choice in path:
            stepper.take(choice >> CHOICE_SHIFT, choice & KIND_MASK)
            found.append(int(names[choice >> CHOICE_SHIFT]) << CHOICE_SHIFT | choice & KIND_MASK)
            while self.partial and stepper.violation is None and (number := self._next_alone(stepper)) >= 0:
                stepper.take(number)
                found.append(int(names[number]) << CHOICE_SHIFT)
            if self.canonical.symmetric:
                names = names[self.canonical.sort(stepper.world.buffer)]
        return found

    def _next_alone(self, stepper: Stepper) -> int:
        """The actor whose row goes on alone where a stepper stands; -1 if there is none."""
        p, o = stepper.prepared, self.order
        return int(
            next_alone(
                stepper.world.buffer, p.ends, p.flags, o.reads, o.writes, o.holds, o.future, o.rest, o.alone_rows
            )
        )

    def _violation(self, choices: tuple[Choice, ...]) -> Violation:
        """What does not hold. Told by a stepper where the search has other names for actors and pages."""
        s = self.search[0]
        if s["when"] == STUCK_STATE:
            return self.prepared.instance.panel.stuck()
        found = violation_of(SHIPPED, WHENS[s["when"]], int(s["found"]))
        if self.canonical.symmetric or self.canonical.paged:
            stepper = Stepper.of(self.prepared.instance)
            for choice in choices:
                stepper.take(*choice)
            if stepper.violation is not None and stepper.violation.invariant == found.invariant:
                found = replace(stepper.violation, trail=())
        return found

    def _step_again(self, choices: tuple[Choice, ...]) -> None:
        """Step what was found by looking moves up. Raises FootprintError if it does not show when the rows run."""
        stepper = Stepper.of(self.prepared.instance)
        made = all(self._can(stepper, choice) and stepper.take(*choice) & OUTCOME_MASK != BLOCKED for choice in choices)
        s = self.search[0]
        if s["when"] == STUCK_STATE:
            shows = s["found"] != 0 or not self._gets_on(stepper)
        else:
            shows = stepper.violation is not None
        if not made or not shows:
            raise FootprintError("what was found does not show when it is stepped: a row sees more than its footprint")

    @staticmethod
    def _can(stepper: Stepper, choice: Choice) -> bool:
        """Whether a choice is one of those that a stepper has."""
        return bool((stepper.options() == choice).all(1).any())

    @staticmethod
    def _gets_on(stepper: Stepper) -> bool:
        """Whether somebody can do something."""
        while len(options := stepper.options()):
            if stepper.take(*options[0].tolist()) & OUTCOME_MASK != BLOCKED:
                return True
        return False

    def _result(self, verdict: str, seconds: float, stopped: str = "") -> Exploration:
        s, failed, p = self.search[0], verdict == "violation", self.prepared
        used = (self.partial, self.canonical.symmetric, self.canonical.paged)
        why = (self.order.why_not, self.canonical.symmetry.why_not, self.canonical.pages.why_not)
        choices = self._path() if failed else ()
        p.watches.note_taken(p.taken)
        if failed and s["when"] == LEFT_MODEL:
            step_outside(self.prepared.instance, choices, int(s["found"]))
        if failed and self.collapsed is not None:
            self._step_again(choices)
        return Exploration(
            verdict,
            self._violation(choices) if failed else None,
            choices,
            int(s["states"]),
            int(s["transitions"]),
            int(s["moves"]),
            seconds,
            int(s["finished"]),
            tuple(name for name, applies in zip(REDUCTIONS, used, strict=True) if applies),
            stopped,
            self.table.nbytes,
            self.other_bytes,
            self.peak_bytes,
            self.complete,
            p.watches.names_seen,
            p.taken,
            p.taken_first,
            {name: told for name, told in zip(REDUCTIONS, why, strict=True) if told and name in self.reductions},
        )


def explore(instance: Instance, **how: object) -> Exploration:
    """Explore all reachable states of an instance. Keywords as of Explorer."""
    return Explorer(instance, **how).run()  # type: ignore[arg-type]  # keywords by name
