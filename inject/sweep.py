"""Sweeps: an event at the first hit of its point, at the second, and so on until it is not reached any more.

Like fail-nth of the kernel's fault injection. Each shot runs the whole scenario once: the actors take turns, each goes
on until it waits or is done, and the event happens as soon as it can. So a sweep covers every point of one schedule;
all schedules are the explorer's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from gmembench.core.drivers.instance import EXIT, FORCE, STEP
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel, Violation
from gmembench.core.programs import Design, Hardware
from gmembench.inject.catalog import load_events
from gmembench.inject.scenario import EventUse, Scenario, instance_of

MOST_SKIPPED = 127
"""Hits that may go by: they are counted in one byte. A point of a small world is reached less often."""

MOST_STEPS = 20_000
"""No run of a small world is as long: who makes more retries for ever."""

TURN_STEPS = 500
"""Steps after which another actor has its turn: a retry waits for what the others do."""


@dataclass(frozen=True)
class Shot:
    """One run of a sweep. `skip`: hits that went by. `hit`: where it happened: the row before which somebody stood.

    `ended`: all scripts came to their end; `steps`: how many rows ran.
    """

    skip: int
    hit: str
    ended: bool
    steps: int
    violation: Violation | None


class Shooter:
    """A run in which an event happens as soon as it can. `own`: numbers of the event's own actors."""

    def __init__(self, stepper: Stepper, own: range) -> None:
        self.stepper, self.own = stepper, own
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
        """The event comes first, then a vCPU that leaves, then whose turn it is, then the next one."""
        number, kind = option
        if kind >= FORCE or self._begins(number, kind):
            return 0, number
        if kind == EXIT:
            return 1, number
        return 2, (number - self.turn) % len(self.stepper.world.arrays["actors"])

    def _note(self, number: int, kind: int) -> None:
        if not self.hit and (kind >= FORCE or self._begins(number, kind)):
            self.hit = self.stepper.next_row(number if kind >= FORCE else self.turn)
        self.made = self.made + 1 if number == self.turn else 1
        self.turn = number
        if self.made >= TURN_STEPS:
            self.made = 0
            self.turn = (number + 1) % len(self.stepper.world.arrays["actors"])


def sweep(
    scenario: Scenario, design: Design, hardware: Hardware, use: EventUse, panel: Panel | None = None
) -> Iterator[Shot]:
    """A shot for each hit of the event's point, as long as it is reached.

    Raises UserError for an event that restricts the schedule, and for operations without a point: they have no hits.
    """
    event = load_events(scenario.paths).get(use.event)
    if event is not None and event.kind == "schedule":
        raise UserError(f"{use.event} restricts the schedule", "sweep", "sweep an event that happens somewhere")
    if event is not None and event.operations and not use.at:
        raise UserError(f"{use.event} has no point", "sweep", "add at = `ACTOR before ROW`")
    for skip in range(use.skip, MOST_SKIPPED + 1):
        shot = msgspec.structs.replace(use, skip=skip, must=True, times=1)
        instance = instance_of(scenario, design, hardware, events=[shot], panel=panel)
        shooter = Shooter(Stepper.of(instance), range(len(scenario.actors), len(instance.scripts)))
        shooter.run()
        if not shooter.hit:
            return
        stepper = shooter.stepper
        yield Shot(skip, shooter.hit, stepper.finished, stepper.steps, stepper.violation)
