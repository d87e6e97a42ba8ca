"""Schedules at random as an answer: blocks of them put together, and what exactly they show."""

from dataclasses import dataclass, field, replace

import numpy as np

from gmembench.core.drivers.sampling import Sampling, Strategy
from gmembench.core.operations import PROGRAMS
from gmembench.inject.answer import (
    MEMORY_MODEL,
    NOT_FOUND,
    VIOLATION,
    Answer,
    judged_in_words,
    shrunk,
    world_in_words,
)
from gmembench.inject.question import Question

CONFIDENCE_RUNS = 3.0
"""A failure that shows with probability p or more is missed by 3/p runs with a probability of 5 % at most."""


@dataclass(frozen=True)
class Way:
    """How schedules are made. `depth`: of PCT."""

    strategy: Strategy = "random"
    depth: int = 3
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.strategy} of depth {self.depth}" if self.strategy == "pct" else self.strategy


@dataclass
class Sum:
    """Blocks of schedules put together. `first_failure`: the one of the lowest number."""

    blocks: int = 0
    schedules: int = 0
    steps: int = 0
    capped: int = 0
    demotions: int = 0
    longest: int = 0
    length: int = 0
    actors: int = 0
    cap: int = 0
    seconds: float = 0.0
    seen: dict[str, bool] = field(default_factory=dict)
    failure: Sampling | None = None
    _ran: np.ndarray | None = None

    def add(self, block: Sampling) -> None:
        """Put a block to the others."""
        self.blocks += 1
        self.schedules += block.schedules
        self.steps += block.steps
        self.capped += block.capped
        self.demotions += block.demotions
        self.longest = max(self.longest, block.longest)
        self.length, self.actors, self.cap = block.length, block.actors, block.cap
        self.seen = {name: seen or self.seen.get(name, False) for name, seen in block.seen.items()}
        ran = block.taken.sum(axis=1) > 0
        self._ran = ran if self._ran is None else self._ran | ran
        if block.violation is not None and (self.failure is None or block.failed < self.failure.failed):
            self.failure = block

    @property
    def rows_run(self) -> int:
        """How many rows ran in some schedule."""
        return 0 if self._ran is None else int(self._ran.sum())


def rows_of(question: Question) -> int:
    """How many rows the programs of the scripts have."""
    instance = question.instance
    asked = {PROGRAMS[int(operation["program"])] for script in instance.scripts for operation in script}
    return sum(item.program in asked for item in instance.code.info)


def claim_of(question: Question, way: Way, made: Sum, stopped: str) -> str:
    """What the schedules have shown."""
    found = made.failure
    counted = f"{made.schedules:,} schedules of seed {way.seed}, {made.steps:,} steps"
    if found is not None and found.violation is not None:
        what = f"{counted}: schedule number {found.failed} breaks {found.violation.invariant}."
    else:
        what = f"{counted}: none breaks anything judged. This is a sample: others may."
    cut = (
        f" {made.capped:,} schedules were cut off after {made.cap:,} steps; of them it is not judged whether they end."
    )
    parts = [
        what,
        _chance(way, made),
        f"Stopped after {stopped}." if stopped else "",
        cut.strip() if made.capped else "",
        f"Rows that ran: {made.rows_run} of {rows_of(question)}.",
        f"Bound: {world_in_words(question)}.",
        judged_in_words(question),
        MEMORY_MODEL,
    ]
    return " ".join(part for part in parts if part)


def _chance(way: Way, made: Sum) -> str:
    """How likely a failure would have shown."""
    if made.failure is not None:
        return ""
    if way.strategy == "random":
        least = CONFIDENCE_RUNS / max(made.schedules, 1)
        return (
            "Each step is uniform over the moves that can be made. A failure that shows in a schedule with a "
            f"probability of {least:.1e} or more would have been missed with at most 5 %."
        )
    bound = 1 / (max(made.actors, 1) * max(made.length, 1) ** (way.depth - 1))
    missed = float(np.exp(made.schedules * np.log1p(-min(bound, 1 - 1e-12))))
    return (
        f"PCT: a failure of depth {way.depth} shows in a schedule with P >= 1/(n*k^(d-1)) = {bound:.1e} (n = "
        f"{made.actors} actors, k = {made.length} steps), so {made.schedules:,} schedules would have missed it with at "
        f"most {missed:.1e}; that holds for schedules of at most k steps in which no retry lowered a priority first "
        f"({made.demotions:,} did)."
    )


def answer_of(question: Question, way: Way, made: Sum, stopped: str = "") -> Answer:
    """The answer that blocks of schedules give; a failure is shrunk."""
    found = made.failure
    answer = Answer(
        question,
        f"{way}, seed {way.seed}",
        NOT_FOUND,
        claim_of(question, way, made, stopped),
        made.seconds,
        transitions=made.steps,
        schedules=made.schedules,
        seen=dict(made.seen),
    )
    if found is None or found.violation is None:
        return answer
    failure = shrunk(question, found.choices, found.violation.invariant)
    return replace(answer, verdict=VIOLATION, violation=found.violation, failure=failure)
