"""A stepper as the shrinker drives it, and letting everybody go on until nobody can."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from gmembench.core.drivers.fair import finish
from gmembench.core.drivers.instance import EXIT, STEP
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errors import OutsideError
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.outcomes import BLOCKED
from gmembench.inject.setting import Setting, stepper_factory
from gmembench.inject.shrink import Choice, Choices

MASK = (1 << OUTCOME_BITS) - 1

MOST_STEPS = 100_000
"""No script of a small world needs as many."""

LIVE = "LIVE"
"""The invariant that says that everybody can get on: judged by letting everybody go on after the last choice."""


OUTSIDE = "outside the model"
"""In place of an invariant: a row has used what is not there, so that the schedule shows nothing."""


class Running:
    """A stepper with its choices; what has to wait is no choice. A schedule that leaves the model breaks OUTSIDE."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.made: list[Choice] = []
        self.left = False

    @property
    def broken(self) -> str:
        """The invariant that does not hold; "" if all do."""
        if self.left:
            return OUTSIDE
        return "" if self.stepper.violation is None else self.stepper.violation.invariant

    def can(self, choice: Choice) -> bool:
        """Whether it is an option."""
        return list(choice) in self.stepper.options().tolist()

    def take(self, choice: Choice) -> bool:
        """Do it; whether it changed anything."""
        try:
            ended = self.stepper.take(*choice)
        except OutsideError:
            self.left = True
        else:
            if choice[1] != EXIT and ended & MASK == BLOCKED:
                return False
        self.made.append(choice)
        return True

    def state(self) -> Hashable:
        """The world and the places of all actors."""
        return self.stepper.state()

    def at(self, actor: int) -> Hashable:
        """The row that an actor stands before."""
        return self.stepper.next_row(actor)

    def unfinished(self, actor: int) -> bool:
        """Whether an actor has something left to do."""
        return actor < len(self.stepper.world.arrays["actors"]) and self.stepper.unfinished(actor)

    def judge_end(self, target: str) -> Choices | None:
        """If ending here breaks the target: the choices after which nobody can go on. Else None."""
        if target != LIVE:
            return None
        before = len(self.made)
        self.run_on()
        return tuple(self.made[before:]) if self.is_stuck() else None

    def is_stuck(self) -> bool:
        """Whether somebody can never finish."""
        try:
            if not self.broken:
                finish(self.stepper)
        except OutsideError:
            self.left = True
        return self.broken == LIVE

    def run_on(self) -> None:
        """Let everybody go on in turns, each alone, until a whole turn changes nothing."""
        before: Hashable = None
        while not self.broken and not self.stepper.finished and self.state() != before:
            before = self.state()
            for number in range(len(self.stepper.world.arrays["actors"])):
                self._kicked_leave()
                self._run_alone(number)

    def _kicked_leave(self) -> None:
        for number, kind in self.stepper.options().tolist():
            if kind == EXIT and self.stepper.world.arrays["actors"]["kicked"][number] != 0:
                self.take((number, EXIT))

    def _run_alone(self, number: int) -> None:
        """Let one actor run until it waits or is done. A lap that comes back to where it began is left out."""
        seen = {self.state(): len(self.made)}
        while not self.broken and self.unfinished(number) and len(seen) < MOST_STEPS:
            if not self.can((number, STEP)) or not self.take((number, STEP)):
                return
            now = self.state()
            if now in seen:
                del self.made[seen[now] :]
                return
            seen[now] = len(self.made)


def starter(setting: Setting, paths: Sequence[Path] = ()) -> Callable[[], Running]:
    """A function that makes machines at the beginning of a setting, quicker than from its names each time."""
    make = stepper_factory(setting, paths)
    return lambda: Running(make())
