"""What a process does that tries mutants: bases of cases, trials of edits, and showing a failure step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from gmembench.core.errors import OutsideError, UserError
from gmembench.core.programs import Code
from gmembench.inject.failure import Failure
from gmembench.inject.necessity import Shown, Tried
from gmembench.inject.recording import record
from gmembench.inject.replay import step_line
from gmembench.inject.running import starter
from gmembench.inject.schedule import line_of
from gmembench.inject.series import Order, Series
from gmembench.inject.setting import Setting, setting_of
from gmembench.inject.shrink import shrink
from gmembench.inject.trial import UNSAFE, Base, Case, Trial, attempt, attempt_alone, base_of, case_of, meaning

SHRINK_STEPS = 50_000
"""Steps that shrinking one failure may make: there are hundreds of them."""


class Source(msgspec.Struct, frozen=True):
    """Where a case comes from: a scenario, or the world of a plan."""

    name: str
    planned: bool = False


class Orders(msgspec.Struct, frozen=True):
    """Edits of one program that are much alike: moves of one row or phase."""

    program: str
    orders: tuple[Order, ...]


class Told(msgspec.Struct, frozen=True):
    """A failure as it is shown, or what is ill-formed about it."""

    shown: Shown | None = None
    ill: str = ""


@dataclass
class Laboratory:
    """Tries mutants of one design on one hardware. Mutants that are the same after assembly are tried once."""

    design: str
    hardware: str
    most_states: int
    paths: tuple[Path, ...] = ()
    _cases: dict[str, Case] = field(default_factory=dict)
    _known: dict[tuple[str, str], Trial] = field(default_factory=dict)
    _bases: dict[tuple[str, tuple[str, ...]], tuple[Code, Trial, np.ndarray]] = field(default_factory=dict)

    def case(self, source: Source) -> Case:
        """A case, made once. Raises UserError if the design cannot run it."""
        if source.name not in self._cases:
            self._cases[source.name] = case_of(
                source.name,
                self.design,
                self.hardware,
                self.most_states,
                planned=source.planned,
                paths=self.paths,
            )
        return self._cases[source.name]

    def base(self, source: Source) -> Base:
        """What the design does there unedited."""
        return base_of(self.case(source))

    def run(self, order: Order) -> Tried:
        """Try an edit. The cases must have been asked for before."""
        trials: list[Trial] = []
        for name in order.cases:
            case, ignored = self._cases[name], order.ignored.get(name, ())
            try:
                instance = case.instance((order.edit,), ignored)
            except UserError as fault:
                return Tried(refused=f"{fault.what}; {fault.mend}")
            key = meaning(instance), name
            if key not in self._known:
                self._known[key] = attempt_alone(case, instance)[0]
            trials.append(self._known[key])
            if trials[-1].result == UNSAFE:
                break
        return self._shrunk(order, Tried(tuple(trials)))

    def run_all(self, asked: Orders) -> Iterator[Tried]:
        """Try edits that are much alike, one after the other."""
        series = Series(asked.program, self._cases, self._unedited)
        return (series.run(order) for order in asked.orders)

    def _unedited(self, name: str, ignored: tuple[str, ...]) -> tuple[Code, Trial, np.ndarray]:
        """What the design does in a case: its code, and what was taken of it."""
        key = name, ignored
        if key not in self._bases:
            instance = self._cases[name].instance((), ignored)
            self._bases[key] = instance.code, *attempt(self._cases[name], instance)
        return self._bases[key]

    def _shrunk(self, order: Order, tried: Tried) -> Tried:
        """The same with the deciding failure shrunk, and no other one told."""
        worst = tried.worst
        if worst is None or not worst.choices or not order.shrinks:
            return Tried(tuple(msgspec.structs.replace(trial, choices=()) for trial in tried.trials))
        setting = self._setting(order.edit, worst.case, order.ignored.get(worst.case, ()))
        small = shrink(starter(setting, self.paths), worst.choices, worst.invariant, budget=SHRINK_STEPS, most=0)
        told = [
            msgspec.structs.replace(trial, choices=small.choices if trial is worst else ()) for trial in tried.trials
        ]
        return Tried(tuple(told))

    def _setting(self, edit: str, case: str, ignored: Sequence[str]) -> Setting:
        made = self._cases[case]
        instance = made.instance((edit,), ignored)
        return setting_of(instance, scenario=case, edits=(edit,), paths=self.paths)

    def show(self, order: Order, trial: Trial) -> "Told":
        """Step a failure again and tell it; interpreted, with all bounds checked, one that uses no index is found."""
        setting = self._setting(order.edit, trial.case, order.ignored.get(trial.case, ()))
        try:
            failure = record(setting, trial.choices, self.paths)
        except OutsideError as fault:
            return Told(ill=fault.what)
        except OverflowError as fault:
            return Told(ill=f"a count below zero, or above what a byte holds: {fault}")
        if failure is None:
            return Told(ill="it does not show again when it is stepped with bounds checked")
        return Told(self._told(order, trial, setting, failure))

    def _told(self, order: Order, trial: Trial, setting: Setting, failure: Failure) -> Shown:
        broken = failure.violation
        return Shown(
            trial.case,
            order.edit,
            broken.invariant,
            broken.sentence,
            broken.reason,
            tuple(step_line(choice, failure.actors) for choice in failure.choices),
            failure.switches,
            f"gmembench replay {line_of(setting, trial.choices)}",
        )
