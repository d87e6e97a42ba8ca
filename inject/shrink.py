"""Shrinking a failing schedule: fewest context switches first, then fewest actors, then fewest steps.

Works on any machine that says what can be done, does it, and tells its state and what broke; so it can be tried with
a small twin. A schedule is a list of choices. One that is no option, or has to wait, is left out, so that every list
is a schedule. Everything is deterministic: the same machine and schedule give the same result.

Laps that lead back to a state that it was in are cut out first. Then three ways are gone in turns until none helps:
dropping (delta debugging over runs of one actor, then over choices), merging (moving runs of one actor together), and a
directed search that lets the same actor run on, over schedules with at most k switches, k rising (iterative context
bounding), which switch where the failing schedule does.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import Protocol

Choice = tuple[int, int]
"""(actor, kind)."""

Choices = tuple[Choice, ...]

STEP, EXIT = 0, 2
"""Kinds of choices: the actor's next row, which is no event; a vCPU leaves the guest."""

Places = frozenset[tuple[int, Hashable]]
"""(actor, where it stands)."""

MOST_ACTORS = 16


class Machine(Protocol):
    """What is stepped."""

    @property
    def broken(self) -> str:
        """The name of what broke, "" until then; nothing is taken after it."""
        ...

    def can(self, choice: Choice) -> bool:
        """Whether it is an option."""
        ...

    def take(self, choice: Choice) -> bool:
        """Do it; whether it changed anything: False means that the actor has to wait."""
        ...

    def state(self) -> Hashable:
        """What the rest depends on."""
        ...

    def at(self, actor: int) -> Hashable:
        """Where an actor stands, as far as it can be told in another schedule too."""
        ...

    def unfinished(self, actor: int) -> bool:
        """Whether an actor has something left to do."""
        ...

    def judge_end(self, target: str) -> "Choices | None":
        """If the target breaks once everybody goes on from here: the choices until then. Else None. Used once."""
        ...


def runs_of(choices: Sequence[Choice]) -> list[Choices]:
    """The maximal runs of one actor."""
    return [tuple(run) for _, run in groupby(choices, key=lambda choice: choice[0])]


def switches(choices: Sequence[Choice]) -> int:
    """Context switches: maximal runs of one actor."""
    return len(runs_of(choices))


def cost(choices: Sequence[Choice]) -> tuple[int, int, int, int]:
    """What is to become small: switches, actors, events, choices."""
    events = sum(kind != STEP for _, kind in choices)
    return switches(choices), len({actor for actor, _ in choices}), events, len(choices)


@dataclass(frozen=True)
class Shrunk:
    """What came of it. `tried`: schedules that were run; `known`: those that a state seen before answered."""

    choices: Choices
    tried: int
    known: int
    steps: int


class OutOfBudget(Exception):
    """As many steps were made as were allowed."""


@dataclass
class Trials:
    """Runs schedules and remembers them: what follows a state and a rest of choices is known when both were seen.

    `start`: a machine at its beginning. `target`: what must break. `budget`: steps that may be made in all.
    """

    start: Callable[[], Machine]
    target: str
    budget: int
    tried: int = 0
    known: int = 0
    steps: int = 0
    _rests: dict[tuple[Choice, int], int] = field(default_factory=dict)
    _seen: dict[tuple[Hashable, int], Choices | None] = field(default_factory=dict)

    def _numbers(self, choices: Sequence[Choice]) -> list[int]:
        """A number for each rest of the schedule: equal rests have equal numbers, the empty one 0."""
        numbers = [0]
        for choice in reversed(choices):
            numbers.append(self._rests.setdefault((choice, numbers[-1]), len(self._rests) + 1))
        return numbers[::-1]

    def spend(self) -> None:
        """Count a step. Raises OutOfBudget."""
        if self.steps >= self.budget:
            raise OutOfBudget
        self.steps += 1

    def run(self, choices: Sequence[Choice]) -> Choices | None:
        """The choices that were made until the target broke; None if it did not."""
        self.tried += 1
        machine = self.start()
        made: list[Choice] = []
        keys: list[tuple[tuple[Hashable, int], int]] = []
        result: Choices | None = None
        for number, choice in zip(self._numbers(choices), [*choices, None], strict=True):
            key = machine.state(), number
            if key in self._seen:
                self.known += 1
                rest = self._seen[key]
                result = None if rest is None else (*made, *rest)
                break
            keys.append((key, len(made)))
            if choice is None:
                more = machine.judge_end(self.target)
                result = None if more is None else (*made, *more)
                break
            if machine.can(choice):
                self.spend()
                if machine.take(choice):
                    made.append(choice)
            if machine.broken:
                result = tuple(made) if machine.broken == self.target else None
                break
        for key, done in keys:
            self._seen[key] = None if result is None else result[done:]
        return result


def without_laps(start: Callable[[], Machine], choices: Sequence[Choice]) -> Choices:
    """The choices that were made, but for those after which everything was as before: they had no effect."""
    machine = start()
    made: list[Choice] = []
    states = [machine.state()]
    known = {states[0]: 0}
    for choice in choices:
        if machine.broken or not machine.can(choice) or not machine.take(choice):
            continue
        now = machine.state()
        if now in known and not machine.broken:
            for gone in states[known[now] + 1 :]:
                del known[gone]
            del states[known[now] + 1 :], made[known[now] :]
        else:
            known[now] = len(states)
            states.append(now)
            made.append(choice)
    return tuple(made)


def _joined(runs: Sequence[Sequence[Choice]]) -> Choices:
    return tuple(choice for run in runs for choice in run)


def _without_events(choices: Choices) -> Iterator[Choices]:
    """The schedule with one event less: left out, or an ordinary step in its place."""
    for i, (actor, kind) in enumerate(choices):
        if kind != STEP:
            yield (*choices[:i], *choices[i + 1 :])
            yield (*choices[:i], (actor, STEP), *choices[i + 1 :])


def _merged(choices: Choices) -> Iterator[Choices]:
    """The schedule with runs of one actor moved together: a later one up, an earlier one down, or all of them."""
    runs = runs_of(choices)
    for i, run in enumerate(runs):
        later = [j for j in range(i + 1, len(runs)) if runs[j][0][0] == run[0][0]]
        if not later:
            continue
        j = later[0]
        yield _joined([*runs[: i + 1], runs[j], *runs[i + 1 : j], *runs[j + 1 :]])
        yield _joined([*runs[:i], *runs[i + 1 : j], run, *runs[j:]])
        rest = [other for k, other in enumerate(runs) if k > i and k not in later]
        yield _joined([*runs[: i + 1], *(runs[k] for k in later), *rest])
        own = [k for k in range(later[-1]) if runs[k][0][0] == run[0][0]]
        before = [other for k, other in enumerate(runs[: later[-1]]) if k not in own]
        yield _joined([*before, *(runs[k] for k in own), *runs[later[-1] :]])


def _exchanged(choices: Choices) -> Iterator[Choices]:
    """The schedule with two neighbouring runs exchanged."""
    runs = runs_of(choices)
    for i in range(len(runs) - 1):
        yield _joined([*runs[:i], runs[i + 1], runs[i], *runs[i + 2 :]])


def _fewer_actors(choices: Choices) -> Iterator[Choices]:
    for actor in sorted({actor for actor, _ in choices}):
        yield tuple(choice for choice in choices if choice[0] != actor)


def _without_one(choices: Choices) -> Iterator[Choices]:
    """The schedule without one run, then without one choice."""
    runs = runs_of(choices)
    for i in range(len(runs)):
        yield _joined([*runs[:i], *runs[i + 1 :]])
    for i in range(len(choices)):
        yield (*choices[:i], *choices[i + 1 :])


def neighbours(choices: Choices) -> Iterator[Choices]:
    """All schedules that are one change away: less of something, or runs moved."""
    for way in (_fewer_actors, _merged, _exchanged, _without_events, _without_one):
        yield from way(choices)


def _ddmin(parts: list[Choices], fails: Callable[[Choices], bool]) -> list[Choices]:
    """Delta debugging: parts of which none can be left out alone, if no list that it tried was misleading."""
    pieces = 2
    while len(parts) >= 2:
        size = -(-len(parts) // pieces)
        for start in range(0, len(parts), size):
            rest = parts[:start] + parts[start + size :]
            if rest and fails(_joined(rest)):
                parts, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if pieces >= len(parts):
                break
            pieces = min(2 * pieces, len(parts))
    return parts


@dataclass
class _Shrinker:
    trials: Trials
    best: Choices

    def better(self, choices: Sequence[Choice]) -> bool:
        """Run a schedule; keep what it made if that breaks the target at less cost."""
        made = self.trials.run(choices)
        if made is None or cost(made) >= cost(self.best):
            return False
        self.best = made
        return True

    def drop(self) -> None:
        """Delta debugging over runs, then over choices."""
        _ddmin(runs_of(self.best), self.better)
        singles: list[Choices] = [(choice,) for choice in self.best]
        _ddmin(singles, self.better)

    def improve(self) -> bool:
        """Go to the first better neighbour, as often as there is one; whether there was any."""
        found = False
        while any(self.better(other) for other in neighbours(self.best)):
            found = True
        return found

    def direct(self, habits: "Habits", most: int) -> bool:
        """Search schedules with fewer switches than the best has; whether one was found.

        `most`: how often at most an actor may take over from another one.
        """
        for k in range(min(switches(self.best) - 1, most + 1)):
            found = _Bounded(self.trials, habits).search(k)
            if found is not None and self.better(found):
                return True
        return False


@dataclass(frozen=True)
class Habits:
    """Where a search leaves an actor that could go on (None: anywhere), and where it makes events happen."""

    leaves: Places | None
    events: frozenset[tuple[int, Hashable, int]]

    def anywhere(self) -> "Habits":
        """The same events, and an actor may be left anywhere."""
        return Habits(None, self.events)


def habits_of(start: Callable[[], Machine], *schedules: Choices) -> Habits:
    """Where some schedules leave an actor for another one, and where which event happens."""
    leaves, events = set(), set()
    for choices in schedules:
        machine = start()
        for choice, then in zip_longest(choices, choices[1:], fillvalue=(-1, STEP)):
            if choice[1] != STEP:
                events.add((choice[0], machine.at(choice[0]), choice[1]))
            machine.take(choice)
            if then[0] != choice[0]:
                leaves.add((choice[0], machine.at(choice[0])))
    return Habits(frozenset(leaves), frozenset(events))


@dataclass(frozen=True)
class _Begun:
    """A schedule to go on with: who goes on, and how often another one may take over yet."""

    made: Choices
    actor: int
    left: int


@dataclass
class _Bounded:
    """Search of schedules in which another actor takes over at most k times, and else the same one runs on."""

    trials: Trials
    habits: Habits
    _seen: set[tuple[Hashable, int, int]] = field(default_factory=set)

    def search(self, k: int) -> Choices | None:
        """A failing schedule of at most k + 1 runs; None if there is none among those that it may try."""
        machine = self.trials.start()
        stack = [_Begun((), actor, k) for actor in range(MOST_ACTORS) if machine.unfinished(actor)][::-1]
        while stack:
            found, more = self._extend(stack.pop())
            if found is not None:
                return found
            stack += reversed(more)
        return None

    def _replayed(self, made: Choices) -> Machine:
        machine = self.trials.start()
        for choice in made:
            self.trials.spend()
            machine.take(choice)
        return machine

    def _extend(self, begun: _Begun) -> tuple[Choices | None, list[_Begun]]:
        """Let an actor run on: the failing schedule, if it is one, and what others can go on with."""
        machine, made, actor = self._replayed(begun.made), list(begun.made), begun.actor
        more: list[_Begun] = []
        if machine.broken:
            return (tuple(made) if machine.broken == self.trials.target else None), []
        while machine.unfinished(actor):
            key = machine.state(), actor, begun.left
            if key in self._seen:
                return None, more
            self._seen.add(key)
            place, own = machine.at(actor), bool(made) and made[-1][0] == actor
            more += [
                _Begun((*made, (actor, kind)), actor, begun.left)
                for who, where, kind in sorted(self.habits.events, key=repr)
                if (who, where) == (actor, place) and machine.can((actor, kind))
            ]
            if own and (self.habits.leaves is None or (actor, place) in self.habits.leaves):
                more += self._others(machine, tuple(made), begun)
            if not machine.can((actor, STEP)):
                break
            self.trials.spend()
            if not machine.take((actor, STEP)):
                break
            made.append((actor, STEP))
            if machine.broken:
                return (tuple(made) if machine.broken == self.trials.target else None), more
        if made and made[-1][0] == actor:
            more += self._others(machine, tuple(made), begun)
        rest = machine.judge_end(self.trials.target)
        return (None if rest is None else (*made, *rest)), more

    @staticmethod
    def _others(machine: Machine, made: Choices, begun: _Begun) -> list[_Begun]:
        """Another actor goes on, or leaves the guest and goes on, if it may take over."""
        if not begun.left:
            return []
        others = [actor for actor in range(MOST_ACTORS) if actor != begun.actor]
        gone = [_Begun((*made, (actor, EXIT)), actor, begun.left - 1) for actor in others if machine.can((actor, EXIT))]
        return [_Begun(made, actor, begun.left - 1) for actor in others if machine.unfinished(actor)] + gone


def shrink(
    start: Callable[[], Machine],
    choices: Sequence[Choice],
    target: str,
    *,
    budget: int = 2_000_000,
    most: int = 2,
) -> Shrunk:
    """The smallest failing schedule that it finds. Raises ValueError if the schedule does not break the target.

    `budget`: steps that may be made, but always as many as the schedule has; when they are used up, the best so far is
    the answer. `most`: how often an actor may take over where all places are tried for it, not only the schedule's.
    """
    short = without_laps(start, choices)
    trials = Trials(start, target, max(budget, len(short) + len(choices)))
    made = trials.run(short)
    if made is None:
        made = trials.run(choices)
    if made is None:
        raise ValueError(f"the schedule does not break {target}")
    shrinker = _Shrinker(trials, made)
    habits = habits_of(start, made)
    try:
        shrinker.drop()
        shrinker.improve()
        while shrinker.direct(habits, 1 << 30) or shrinker.direct(habits_of(start, made, shrinker.best), 1 << 30):
            shrinker.improve()
        while shrinker.direct(habits.anywhere(), most):
            shrinker.improve()
    except OutOfBudget:
        pass
    return Shrunk(shrinker.best, trials.tried, trials.known, trials.steps)
