"""Shrinking, on a small twin with planted failures, and on the model."""

import random
from collections.abc import Callable, Hashable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import PLANTED, found

from gmembench.inject.recording import record
from gmembench.inject.running import starter
from gmembench.inject.shrink import (
    EXIT,
    STEP,
    Choice,
    Choices,
    Trials,
    cost,
    neighbours,
    runs_of,
    shrink,
    switches,
    without_laps,
)

LENGTH = 5
"""Steps of each actor of the twin."""


class Twin:
    """Actors that count their steps. It breaks when the places that the rule names were passed in that order.

    `rule`: (actor, step) one after the other: each actor's step must come after the one before it in the rule, and
    before the next. Actor 0 can also leave (EXIT), which resets nothing and is noted.
    """

    def __init__(self, actors: int, rule: tuple[tuple[int, int], ...], lock: bool = False) -> None:
        self.done = [0] * actors
        self.rule, self.lock = rule, lock
        self.met = 0
        self.left = False
        self.broken = ""

    def can(self, choice: Choice) -> bool:
        """Whether the actor has steps left; only actor 0 can leave, once."""
        actor, kind = choice
        if kind == EXIT:
            return actor == 0 and not self.left
        return kind == STEP and actor < len(self.done) and self.done[actor] < LENGTH

    def waits(self, actor: int) -> bool:
        """With a lock: steps 3 and 4 of an actor exclude those of the others."""
        inside = [a for a, n in enumerate(self.done) if 3 <= n < 5]
        return self.lock and self.done[actor] == 2 and bool(inside)

    def take(self, choice: Choice) -> bool:
        """Count a step."""
        actor, kind = choice
        if kind == EXIT:
            self.left = True
            return True
        if self.waits(actor):
            return False
        self.done[actor] += 1
        wanted = self.rule[self.met] if 0 <= self.met < len(self.rule) else None
        if wanted == (actor, self.done[actor]):
            self.met += 1
        elif (actor, self.done[actor]) in self.rule:
            self.met = -1000  # passed too early: this schedule can no longer break it
        if self.met == len(self.rule):
            self.broken = "RULE"
        return True

    def state(self) -> Hashable:
        """All of it."""
        return tuple(self.done), self.met, self.left

    def at(self, actor: int) -> Hashable:
        """How many steps it made."""
        return self.done[actor]

    def unfinished(self, actor: int) -> bool:
        """Whether it has steps left."""
        return actor < len(self.done) and self.done[actor] < LENGTH

    def judge_end(self, target: str) -> Choices | None:
        """Nothing breaks at the end."""
        return None


def start_of(rule: tuple[tuple[int, int], ...], actors: int = 3, lock: bool = False) -> Callable[[], Twin]:
    """A function that makes twins."""
    return lambda: Twin(actors, rule, lock)


def failing(rule: tuple[tuple[int, int], ...], rng: random.Random, actors: int = 3, lock: bool = False) -> Choices:
    """A random schedule that breaks the rule: as many are tried as it takes."""
    while True:
        machine, made = Twin(actors, rule, lock), []
        for _ in range(4 * LENGTH * actors):
            choice = (rng.randrange(actors), STEP) if rng.random() < 0.9 else (0, EXIT)
            if machine.can(choice) and machine.take(choice):
                made.append(choice)
            if machine.broken:
                return tuple(made)


RULES = {
    "one actor": (((1, 4),), 1),
    "between": (((0, 2), (2, 3), (0, 4)), 3),
    "one after the other": (((2, 5), (1, 2)), 2),
    "to and fro": (((0, 1), (1, 2), (0, 3), (1, 4)), 4),
    "three actors": (((0, 2), (1, 3), (2, 2), (0, 5)), 4),
}
"""Rules, and the fewest context switches that break them."""


@pytest.mark.parametrize("lock", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_the_fewest_switches_are_found(name: str, lock: bool) -> None:
    """Whatever the random schedule was, the shrunk one has as few switches as any, and no event."""
    rule, fewest = RULES[name]
    for seed in range(2):
        choices = failing(rule, random.Random(seed), lock=lock)
        shrunk = shrink(start_of(rule, lock=lock), choices, "RULE")
        assert switches(shrunk.choices) == fewest
        assert all(kind == STEP for _, kind in shrunk.choices)


@given(st.integers(0, 10_000), st.sampled_from(sorted(RULES)), st.booleans())
@settings(max_examples=10)
def test_no_neighbour_is_cheaper(seed: int, name: str, lock: bool) -> None:
    """1-minimal: what is one change away costs as much at least, or does not fail."""
    rule, _ = RULES[name]
    start = start_of(rule, lock=lock)
    shrunk = shrink(start, failing(rule, random.Random(seed), lock=lock), "RULE")
    for other in neighbours(shrunk.choices):
        made = Trials(start, "RULE", 10**6).run(other)
        assert made is None or cost(made) >= cost(shrunk.choices)


def test_the_same_schedule_shrinks_the_same() -> None:
    """Nothing depends on sets or hashes."""
    rule = RULES["three actors"][0]
    choices = failing(rule, random.Random(5))
    assert shrink(start_of(rule), choices, "RULE") == shrink(start_of(rule), choices, "RULE")


@pytest.mark.parametrize("budget", [200, 1000, 3000])
def test_a_budget_is_kept(budget: int) -> None:
    """Steps are counted; what was found until then is a failing schedule."""
    rule = RULES["to and fro"][0]
    choices = failing(rule, random.Random(1))
    shrunk = shrink(start_of(rule), choices, "RULE", budget=budget)
    assert shrunk.steps <= budget
    assert Trials(start_of(rule), "RULE", 10**6).run(shrunk.choices) == shrunk.choices


def test_states_seen_before_are_not_stepped_again() -> None:
    """Different schedules that lead to one state with the same rest are answered from memory, and rightly."""
    rule = RULES["between"][0]
    trials = Trials(start_of(rule), "RULE", 10**6)
    rng = random.Random(2)
    for _ in range(200):
        choices = tuple((rng.randrange(3), STEP) for _ in range(rng.randrange(20)))
        assert trials.run(choices) == Trials(start_of(rule), "RULE", 10**6).run(choices)
    assert trials.known > 50


class Clock(Twin):
    """Actor 1 turns a hand that comes round; the rule does not look at it."""

    hand = 0

    def can(self, choice: Choice) -> bool:
        """The hand can always be turned."""
        return choice == (1, STEP) or super().can(choice)

    def take(self, choice: Choice) -> bool:
        """Turn the hand, or count a step."""
        self.hand = (self.hand + (choice[0] == 1)) % 4
        return choice[0] == 1 or super().take(choice)

    def state(self) -> Hashable:
        """The hand too."""
        return self.hand, super().state()


def test_laps_are_cut_out() -> None:
    """A thousand turns of the hand between two steps have no effect, and cost no more steps than the rest."""
    rule = ((0, 1), (2, 1), (0, 2))

    def start() -> Clock:
        return Clock(3, rule)

    choices = [(0, STEP), *[(1, STEP)] * 1001, (2, STEP), (1, STEP), (0, STEP)]
    assert without_laps(start, choices) == ((0, STEP), (1, STEP), (2, STEP), (1, STEP), (0, STEP))
    shrunk = shrink(start, choices, "RULE", budget=1)
    assert len(shrunk.choices) <= 5
    assert shrunk.steps <= 2 * len(choices)


def test_a_schedule_that_does_not_fail_is_refused() -> None:
    """There is nothing to shrink."""
    with pytest.raises(ValueError, match="does not break RULE"):
        shrink(start_of(RULES["between"][0]), [(0, STEP)], "RULE")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2))))
def test_runs_are_maximal(choices: list[Choice]) -> None:
    """They give the schedule together, and neighbours are of different actors."""
    runs = runs_of(choices)
    assert [choice for run in runs for choice in run] == choices
    assert all(a[0][0] != b[0][0] for a, b in pairwise(runs))


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_shrink_to_their_published_length(name: str) -> None:
    """A schedule in which a bystander steps between shrinks to as many runs as the interleaving has items at most."""
    failure, choices = found(name)
    shrunk = shrink(starter(failure.setting), choices, failure.violation.invariant, budget=2500)
    again = record(failure.setting, shrunk.choices)
    assert again is not None
    assert again.violation.invariant == failure.violation.invariant
    assert again.switches <= PLANTED[name].items
