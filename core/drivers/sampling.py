"""The drivers `random` and `pct`: many schedules of an instance, each made by the seed and its own number alone.

`random` draws uniformly among the moves that can be made. `pct` (Burckhardt et al., ASPLOS 2010) gives every actor a
priority and lets the highest one run; at d - 1 drawn steps the one that runs gets a low priority. A bug of depth d
shows with a probability of at least 1 / (n * k ** (d - 1)) in a schedule of n actors and k steps.

PCT alone would spin in retry loops: an actor whose operation was led back to rows that it came through more often than
PATIENCE gets the lowest priority. One that has to wait is passed over, and keeps its priority.

LIVE is judged where nobody can step, and where a schedule was cut off: everybody goes on in turns, and if nobody gets
on any more, all states that can follow are visited.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from gmembench.core.drivers.fair import finish
from gmembench.core.drivers.first import first_violation, settle_first
from gmembench.core.drivers.instance import IDLE, MOST_ACTORS, Instance
from gmembench.core.drivers.menus import menu_changes
from gmembench.core.drivers.moves import CHOICE_SHIFT, KIND_MASK, SPARE_MOVES
from gmembench.core.drivers.prepared import NO_OPERATIONS, Prepared
from gmembench.core.drivers.schedules import (
    CAPPED,
    DONE,
    FAILED,
    GOLDEN,
    PAUSED,
    SAMPLES,
    SCHEDULE,
    sample_on,
)
from gmembench.core.drivers.search import LEFT_MODEL, STUCK_STATE
from gmembench.core.drivers.stepper import Stepper, step_outside
from gmembench.core.errors import UserError
from gmembench.core.intrinsics.words import ALL_ONES
from gmembench.core.invariant import STUCK, WHENS
from gmembench.core.jit import INTERPRETED
from gmembench.core.judges import SHIPPED, Violation, violation_of
from gmembench.core.outcomes import AGAIN, CODE, NEXT, YIELD
from gmembench.core.world import SMALL

Strategy = Literal["random", "pct"]
STRATEGIES: tuple[Strategy, ...] = ("random", "pct")

Choice = tuple[int, int]
"""Actor, and kind of the choice."""

MOST_STEPS = 4000
"""Steps after which a schedule is cut off. Those of the shipped scenarios have a few hundred."""

PAUSE_STEPS = 1 << 9 if INTERPRETED else 1 << 20
"""Steps between two looks at the clock."""

PILOTS = 32
"""Random schedules whose longest says how many steps a schedule has, where PCT asks for it."""

MOST_DEPTH = 64

PATIENCE = 4
"""How often an operation is led back before PCT lets the others go first. Many a loop gets on: it looks up once more
what it has just made, or goes to the next memslot. Whoever is lowered there cannot overtake any more."""

CAPPED_JUDGED = 4
"""So many first schedules of a run that were cut off are run on fairly, to judge LIVE, then the last of twice as many
each time. One costs seconds at worst."""

NOBODY_STEPS = "nobody can step there, and not all scripts are done"


@dataclass(frozen=True)
class Sampling:
    """What a run of schedules came to.

    `first`: number of the first schedule; `schedules`: how many were made, the failing one among them. `failed`: its
    number, -1 if none failed. `choices`: those of the failing schedule. `length`: the steps that PCT took a schedule
    to have. `capped`: schedules that were cut off; LIVE is judged of the first `judged` of them. `waits`: moves that
    were drawn and could not be made. `demotions`: retries after which PCT let the others go first. `seen`: watched
    state -> whether it was reached. `taken`: i8 (row, outcome), how often each was taken.
    """

    strategy: Strategy
    depth: int
    seed: int
    first: int
    schedules: int
    steps: int
    seconds: float
    actors: int
    violation: Violation | None = None
    failed: int = -1
    choices: tuple[Choice, ...] = ()
    length: int = 0
    longest: int = 0
    finished: int = 0
    capped: int = 0
    judged: int = 0
    stuck: str = ""
    waits: int = 0
    demotions: int = 0
    cap: int = MOST_STEPS
    stopped: str = ""
    seen: dict[str, bool] = field(default_factory=dict)
    taken: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def verdict(self) -> str:
        """violation, or not-found."""
        return "not-found" if self.violation is None else "violation"

    @property
    def claim(self) -> str:
        """What exactly was shown."""
        found = f"{self.schedules} schedules of seed {self.seed} from number {self.first} on, {self.steps} steps"
        if self.violation is not None:
            found += f": number {self.failed} breaks {self.violation.invariant}" + (self.stuck and f", as {self.stuck}")
        else:
            found += ": no invariant broken in them, and nothing shown of others"
        return f"{found}. {self._how()}{self._cut()}"

    def _how(self) -> str:
        if self.strategy == "random":
            return "Each step uniform over the moves that could be made"
        bound = f"1/({self.actors} * {self.length}^{self.depth - 1})"
        return (
            f"PCT of depth {self.depth}: a bug of that depth shows with a probability of at least {bound} a schedule, "
            f"if that has at most {self.length} steps and no retries lower a priority before ({self.demotions} did), "
            "times that of the choices other than who steps"
        )

    def _cut(self) -> str:
        if self.capped == 0:
            return ". No schedule was cut off"
        told = f". {self.capped} schedules were cut off after {self.cap} steps"
        if self.judged:
            told += f", {self.judged} of them run on fairly, until all ended or nobody got on any more"
        return told + ("" if self.judged == self.capped else "; whether the others end is not judged")


def mixed(word: int) -> int:
    """The number that splitmix64 makes of a word: as `mix` of the compiled loop."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & ALL_ONES
    word = (word ^ word >> 27) * 0x94D049BB133111EB & ALL_ONES
    return word ^ word >> 31


def back_edges(prepared: Prepared) -> np.ndarray:
    """u1 (row, outcome): whether it leads back to a row that comes before it: a retry, seen by depth-first search.

    The next gfn of a range, and a zap that goes on after it yielded, are progress.
    """
    found = np.zeros(prepared.targets.shape, np.uint8)
    info = prepared.code.info

    def following(row: int) -> list[tuple[int, int]]:
        outcomes = (NEXT, AGAIN, YIELD, *(CODE[name] for name in info[row].step.outcomes))
        return [(outcome, int(prepared.targets[row, outcome])) for outcome in outcomes]

    state = dict[int, int]()  # 1: on the way to the present row, 2: all that follows was looked at
    for entry in sorted({int(prepared.entries[number]) for number in prepared.programs}):
        stack = [(entry, iter(following(entry)))]
        state.setdefault(entry, 1)
        while stack:
            row, ways = stack[-1]
            outcome, target = next(ways, (-1, IDLE))
            if outcome < 0:
                state[row] = 2
                stack.pop()
            elif target != IDLE and state.get(target) == 1:
                found[row, outcome] = outcome not in (AGAIN, YIELD)
            elif target != IDLE and target not in state:
                state[target] = 1
                stack.append((target, iter(following(target))))
    return found


@dataclass(frozen=True)
class Stuck:
    """LIVE after a schedule that was cut off: the choices until nobody gets on any more, and how it was shown."""

    violation: Violation
    choices: tuple[Choice, ...]
    shown: str


def stuck_after(instance: Instance, choices: tuple[Choice, ...]) -> Stuck | None:
    """Whether some can never end after a schedule that was cut off.

    Everybody goes on in turns. Other violations on that way belong to other schedules.
    """
    stepper = Stepper.of(instance)
    for actor, kind in choices:
        stepper.take(actor, kind)
    visited = finish(stepper)
    found = stepper.violation
    if found is None or found.when != STUCK:
        return None
    how = f"all {visited} states that can follow were visited, and no end of all scripts is among them"
    return Stuck(replace(found, trail=()), stepper.choices, how if visited > 1 else NOBODY_STEPS)


class Sampler:
    """Makes schedules of an instance. `length`: steps that PCT takes one to have; 0: those of a few random ones.

    What it counts starts anew with every run.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        strategy: Strategy = "random",
        depth: int = 3,
        length: int = 0,
        most_steps: int = MOST_STEPS,
        patience: int = PATIENCE,
    ) -> None:
        if strategy not in STRATEGIES or not 1 <= depth <= MOST_DEPTH or most_steps < 1 or length < 0:
            raise UserError(
                f"strategy {strategy!r}, depth {depth}, at most {most_steps} steps",
                "sampling",
                f"choose one of {', '.join(STRATEGIES)}, a depth of 1 to {MOST_DEPTH}, and 1 step or more",
            )
        self.strategy, self.depth, self.patience = strategy, depth, patience
        self.prepared = p = Prepared(instance)
        settle_first(p)
        self.first_violation = first_violation(p)
        self._seen_first = p.watches.seen.copy()
        self.work = p.world.buffer.copy()
        self._whole = p.world.buffer.copy()
        self.disable()
        self.retries = back_edges(p)
        self.changes = menu_changes(p)
        self.made = np.zeros(most_steps, np.uint8)
        self.samples = np.zeros(1, SAMPLES)
        self.random = np.zeros(3, np.uint64)
        self.moves = np.zeros(p.most_moves + SPARE_MOVES, np.int64)
        self.saved = np.zeros(SMALL.arrays["actors"].itemsize // 8, np.uint64)
        self.priorities = np.zeros(MOST_ACTORS, np.int64)
        self.tries = np.zeros(MOST_ACTORS, np.int64)
        self.points = np.zeros(depth - 1, np.int64)
        self.length = length or self._pilot() if strategy == "pct" else 0

    def disable(self, operations: Collection[tuple[int, int]] = (), forces: Collection[int] = ()) -> None:
        """From now on leave out some operations, (actor, position in its script), and some forced outcomes."""
        p = self.prepared
        whole = p.instance
        scripts = tuple(
            script[[(number, at) not in operations for at in range(len(script))]]
            for number, script in enumerate(whole.scripts)
        )
        events = tuple(replace(f, times=0) if i in forces else f for i, f in enumerate(whole.forces))
        self.instance = replace(whole, scripts=scripts, forces=events)
        p.world.buffer[:] = self._whole
        lengths = [len(script) for script in scripts] + [0] * (p.actors - len(scripts))
        p.operations, p.ends = np.concatenate([*scripts, NO_OPERATIONS]), np.cumsum(lengths)
        p.world.arrays["actors"]["next"] = p.ends - lengths
        for i in forces:
            p.world.arrays["events"]["left"][i] = 0
        self.initial = p.world.buffer[SMALL.state_at :].view(np.uint64).copy()

    def _pilot(self) -> int:
        self._begin(0, 0, PILOTS, told=0)
        self._on(by_priority=False, judges=False)
        return max(int(self.samples[0]["longest"]), 1)

    def _begin(self, seed: int, first: int, schedules: int, told: int) -> None:
        self.samples[:] = 0
        s = self.samples[0]
        s["next"], s["end"], s["told"] = first, first + schedules, told
        s["pause_at"] = 1 << 62
        self.random[SCHEDULE] = mixed(seed & ALL_ONES) + first * GOLDEN & ALL_ONES
        self.prepared.taken[:] = 0
        self.prepared.watches.seen[:] = self._seen_first
        self.work[: SMALL.state_at] = self._whole[: SMALL.state_at]  # a run before may have left the model

    def _on(self, *, by_priority: bool, judges: bool = True) -> int:
        p = self.prepared
        return int(
            sample_on(
                self.work,
                self.work.view(np.uint64),
                self.initial,
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
                p.judged if judges else np.zeros_like(p.judged),
                p.masks if judges else np.zeros_like(p.masks),
                p.watches.tags,
                p.watches.wanted,
                p.watches.conditions,
                p.watches.seen,
                self.retries,
                self.changes,
                self.moves,
                self.saved,
                self.made,
                self.random,
                self.priorities,
                self.tries,
                self.points,
                SMALL.state_at,
                int(p.instance.timer),
                int(by_priority),
                self.length if by_priority else 0,
                self.patience,
                int(judges and p.instance.panel.judges_stuck),
                self.samples,
            )
        )

    def _choices(self) -> tuple[Choice, ...]:
        made = self.made[: self.samples[0]["length"]].tolist()
        return tuple((choice >> CHOICE_SHIFT, choice & KIND_MASK) for choice in made)

    def run(
        self,
        schedules: int,
        *,
        seed: int = 0,
        first: int = 0,
        seconds: float = float("inf"),
        stop: Callable[[], bool] = bool,
    ) -> Sampling:
        """Make schedules number `first` and so on until one fails, all are made, time is up, or `stop` says so."""
        started = time.perf_counter()
        judges_stuck = self.prepared.instance.panel.judges_stuck
        self._begin(seed, first, schedules, int(judges_stuck))
        s, judged, stopped, shown = self.samples[0], 0, "", ""
        violation: Violation | None = None
        choices: tuple[Choice, ...] = ()
        while True:
            s["pause_at"] = s["steps"] + PAUSE_STEPS
            if self.first_violation is not None:  # every schedule fails before its first step
                why, violation = FAILED, self.first_violation
                break
            why = self._on(by_priority=self.strategy == "pct")
            if why == FAILED:
                choices = self._choices()
                violation = self._violation(choices)
                shown = NOBODY_STEPS if s["when"] == STUCK_STATE else ""
            elif why == CAPPED:
                judged += 1
                s["told"] = s["capped"] + 1 if s["capped"] < CAPPED_JUDGED else 2 * s["capped"]
                stuck = stuck_after(self.instance, self._choices())
                if stuck is not None:
                    violation, choices, shown = stuck.violation, stuck.choices, stuck.shown
            if why == DONE or violation is not None:
                break
            if time.perf_counter() - started >= seconds:
                stopped = f"{seconds} seconds"
            elif why == PAUSED and stop():
                stopped = "interrupted"
            if stopped:
                break
        failed = violation is not None
        end = int(s["next"]) + (why == FAILED)
        p = self.prepared
        p.watches.note_taken(p.taken)
        return Sampling(
            strategy=self.strategy,
            depth=self.depth,
            seed=seed,
            first=first,
            schedules=end - first,
            steps=int(s["steps"]),
            seconds=time.perf_counter() - started,
            actors=p.actors,
            violation=violation,
            failed=end - 1 if failed else -1,
            choices=choices if failed else (),
            length=self.length,
            longest=int(s["longest"]),
            finished=int(s["finished"]),
            capped=int(s["capped"]),
            judged=judged,
            stuck=shown,
            waits=int(s["waits"]),
            demotions=int(s["demotions"]),
            cap=len(self.made),
            stopped=stopped,
            seen=p.watches.names_seen,
            taken=p.taken.copy(),
        )

    def _violation(self, choices: tuple[Choice, ...]) -> Violation:
        s = self.samples[0]
        if s["when"] == STUCK_STATE:
            return self.prepared.instance.panel.stuck()
        if s["when"] == LEFT_MODEL:
            step_outside(self.instance, choices, int(s["found"]))
        return violation_of(SHIPPED, WHENS[s["when"]], int(s["found"]))


def sample(
    instance: Instance,
    *,
    strategy: Strategy = "random",
    depth: int = 3,
    seed: int = 0,
    first: int = 0,
    schedules: int = 1000,
    seconds: float = float("inf"),
    most_steps: int = MOST_STEPS,
) -> Sampling:
    """Make schedules of an instance until one fails. Schedule `i` of a seed is the same wherever a run begins."""
    sampler = Sampler(instance, strategy=strategy, depth=depth, most_steps=most_steps)
    return sampler.run(schedules, seed=seed, first=first, seconds=seconds)
