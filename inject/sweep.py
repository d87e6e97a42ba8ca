"""Sweeps: an event at the first hit of its point, at the second, and so on until it is not reached any more.

Like fail-nth of the kernel's fault injection. Each shot runs the whole scenario once: the actors take turns, each goes
on until it waits or is done, and the event happens as soon as it can. So a sweep covers every point of one schedule;
all schedules are the explorer's business.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from gmembench.core.drivers.instance import EXIT, FORCE, STEP, Instance
from gmembench.core.drivers.sampling import stuck_after
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel, Violation
from gmembench.core.programs import Design, Hardware
from gmembench.inject.answer import (
    BOUND,
    MEMORY_MODEL,
    NOT_FOUND,
    VIOLATION,
    Answer,
    judged_in_words,
    shrunk,
    world_in_words,
)
from gmembench.inject.catalog import load_events
from gmembench.inject.failure import Failure
from gmembench.inject.mutants import mutated
from gmembench.inject.question import Question
from gmembench.inject.scenario import EventUse, Scenario, instance_of
from gmembench.inject.setting import setting_of

OPTION = "--sweep"
"""Where the event and its point are said."""

MOST_SKIPPED = 127
"""Hits that may go by: they are counted in one byte. A point of a small world is reached less often."""

MOST_STEPS = 20_000
"""No run of a small world is as long: who makes more retries for ever."""

TURN_STEPS = 500
"""Steps after which another actor has its turn: a retry waits for what the others do."""


@dataclass(frozen=True)
class Shot:
    """One run of a sweep. `skip`: hits that went by. `hit`: where it happened: the row before which somebody stood.

    `ended`: all scripts came to their end; `steps`: how many rows ran. `instance`, `choices`: what ran, and how.
    """

    skip: int
    hit: str
    ended: bool
    steps: int
    violation: Violation | None
    instance: Instance
    choices: tuple[tuple[int, int], ...]


class Shooter:
    """A run in which an event happens as soon as it can.

    `own`: numbers of the event's own actors. `forced`: kinds of choices from this one on are the event's.
    """

    def __init__(self, stepper: Stepper, own: range, forced: int) -> None:
        self.stepper, self.own, self.forced = stepper, own, forced
        self.turn = self.made = 0
        self.hit = ""

    def run(self) -> None:
        """Run all scripts to their end, to a violation, or until MOST_STEPS."""
        while self.stepper.steps < MOST_STEPS:
            options = self._options()
            if not options:
                return
            number, kind = min(options, key=self._rank)
            self._note(number, kind)
            self.stepper.take(number, kind)

    def _options(self) -> list[tuple[int, int]]:
        """What may happen: no zap yields, and a vCPU leaves the guest only where it was kicked."""
        kicked = self.stepper.world.arrays["actors"]["kicked"]
        found = [(int(number), int(kind)) for number, kind in self.stepper.options()]
        return [(n, k) for n, k in found if k == STEP or k >= FORCE or (k == EXIT and kicked[n] != 0)]

    def _begins(self, number: int, kind: int) -> bool:
        """Whether this is the beginning of the event's own operations."""
        return kind == STEP and number in self.own and self.stepper.idle(number)

    def _rank(self, option: tuple[int, int]) -> tuple[int, int]:
        """The event comes first, then a vCPU that leaves, whose turn it is, and the next one; other events last."""
        number, kind = option
        if kind >= self.forced or self._begins(number, kind):
            return 0, number
        if kind == EXIT:
            return 1, number
        if kind >= FORCE:
            return 3, number
        return 2, (number - self.turn) % len(self.stepper.world.arrays["actors"])

    def _note(self, number: int, kind: int) -> None:
        if not self.hit and (kind >= self.forced or self._begins(number, kind)):
            self.hit = self.stepper.next_row(number if kind >= self.forced else self.turn)
        self.made = self.made + 1 if number == self.turn else 1
        self.turn = number
        if self.made >= TURN_STEPS:
            self.made = 0
            self.turn = (number + 1) % len(self.stepper.world.arrays["actors"])


def sweep(
    scenario: Scenario,
    design: Design,
    hardware: Hardware,
    use: EventUse,
    panel: Panel | None = None,
    events: Sequence[EventUse] = (),
) -> Iterator[Shot]:
    """A shot for each hit of the event's point, as long as it is reached. `events`: those that happen besides.

    Raises UserError for an event that restricts the schedule, and for operations without a point: they have no hits.
    """
    event = load_events(scenario.paths).get(use.event)
    if event is not None and event.kind == "schedule":
        raise UserError(f"{use.event} restricts the schedule", OPTION, "sweep an event that happens somewhere")
    if event is not None and event.operations and not use.at:
        raise UserError(f"{use.event} has no point", OPTION, f"say where: {use.event}@ROW, or `ACTOR before ROW`")
    without = instance_of(scenario, design, hardware, events=events, panel=panel)
    for skip in range(use.skip, MOST_SKIPPED + 1):
        shot = msgspec.structs.replace(use, skip=skip, must=True, times=1)
        try:
            instance = instance_of(scenario, design, hardware, events=[*events, shot], panel=panel)
        except UserError as fault:  # without the event it could be made
            raise UserError(fault.what, OPTION, fault.mend) from fault
        own = range(len(without.scripts), len(instance.scripts))
        shooter = Shooter(Stepper.of(instance), own, FORCE + len(without.forces))
        shooter.run()
        if not shooter.hit:
            return
        yield _shot(skip, shooter, instance)


def _shot(skip: int, shooter: Shooter, instance: Instance) -> Shot:
    """What a run came to. If it did not end: whether it ever can."""
    stepper = shooter.stepper
    choices, violation = stepper.choices, stepper.violation
    if violation is None and not stepper.finished and instance.panel.judges_stuck:
        stuck = stuck_after(instance, choices)
        if stuck is not None:
            violation, choices = stuck.violation, stuck.choices
    return Shot(skip, shooter.hit, stepper.finished, stepper.steps, violation, instance, choices)


# --- what a command asks and is told ---


def use_of(text: str) -> EventUse:
    """An event and its point, as a command line names them: EVENT, EVENT@ROW or EVENT@ACTOR before ROW."""
    event, _, point = (part.strip() for part in text.partition("@"))
    return EventUse(event=event, at=f"* before {point}" if point and " " not in point else point)


@dataclass(frozen=True)
class Swept:
    """The shots of a sweep, and the answer to the question whether one breaks something."""

    shots: tuple[Shot, ...]
    answer: Answer


def swept(question: Question, use: EventUse, seconds: float = float("inf")) -> Swept:
    """Sweep an event, and shrink the first failure."""
    mutant = mutated(question.design, question.hardware, question.edits)
    asked = (question.scenario, mutant, question.hardware, use, question.panel, question.events)
    started, shots, stopped = time.perf_counter(), list[Shot](), ""
    for shot in sweep(*asked):
        shots.append(shot)
        if time.perf_counter() - started >= seconds:
            stopped = f"{seconds:g} seconds"
            break
    if len(shots) > MOST_SKIPPED - use.skip:
        stopped = f"{len(shots)} hits"
    first = next((shot for shot in shots if shot.violation is not None), None)
    verdict = VIOLATION if first is not None else BOUND if stopped else NOT_FOUND
    answer = Answer(
        question,
        f"sweep of {use.event}",
        verdict,
        f"{_claim(use, shots, stopped)} Bound: {world_in_words(question)}; and the event. "
        f"{judged_in_words(question)} {MEMORY_MODEL}",
        time.perf_counter() - started,
        transitions=sum(shot.steps for shot in shots),
        schedules=len(shots),
        violation=None if first is None else first.violation,
        failure=None if first is None or first.violation is None else _failure(question, first, first.violation),
    )
    return Swept(tuple(shots), answer)


def _failure(question: Question, shot: Shot, found: Violation) -> Failure:
    setting = setting_of(shot.instance, scenario=question.source, edits=question.edits, paths=question.paths)
    return shrunk(question, shot.choices, found.invariant, setting=setting)


def _claim(use: EventUse, shots: Sequence[Shot], stopped: str) -> str:
    """What exactly was shown."""
    where = f" at `{use.at}`" if use.at else ""
    if not shots:
        return f"{use.event}{where} is never reached, so nothing was swept."
    number, broken = len(shots), sum(shot.violation is not None for shot in shots)
    told = f"{use.event}{where} happened at each of {number} hits, one a run; "
    told += f"stopped at {stopped}. " if stopped else "the next hit is not reached. "
    told += f"{broken or 'None'} of the runs break{'s' if broken < 2 else ''} something judged. "
    stuck = sum(not shot.ended and shot.violation is None for shot in shots)
    told += f"{stuck} did not end within {MOST_STEPS:,} steps. " if stuck else ""
    return f"{told}In each the actors take turns: of other schedules nothing is shown."
