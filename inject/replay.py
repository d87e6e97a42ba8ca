"""Replaying a failure: does it still happen, and if the sources changed, which step differs first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gmembench.core.drivers.prepared import NeverEnds
from gmembench.core.errors import UserError
from gmembench.core.jit import DIGEST
from gmembench.inject.failure import Choice, Failure
from gmembench.inject.recording import Recorder, failure_from, kind_code, kind_name, never_begun
from gmembench.inject.schedule import SOURCES_DIGITS, Lookup, Schedule, line_of, marks_of
from gmembench.inject.setting import Setting, panel_of, stepper_of


@dataclass(frozen=True)
class Difference:
    """The first step that is not as it was recorded: its number from 1, and both steps in words."""

    step: int
    expected: str
    got: str

    def __str__(self) -> str:
        return f"step {self.step} differs first: expected {self.expected}, got {self.got}"


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    `found`: the failure as it is now, recorded anew; None if nothing is violated. `difference`: the first step that
    differs, None if all are as they were. `other_sources`: these are not the sources that wrote it.
    """

    found: Failure | None
    difference: Difference | None
    other_sources: bool


def step_line(choice: Choice, actors: Sequence[str]) -> str:
    """A step in one line: `V0: access.fault.set_spte gfn=0 pfn=3`."""
    kind = f" ({choice.event or choice.kind})" if choice.event or choice.kind == "yield" else ""
    words = [f"{actors[choice.actor]}: {choice.row}{kind}", choice.operands]
    return " ".join(word for word in words if word)


def _named(choice: Choice, actors: Sequence[str]) -> str:
    outcome = f" ending in {choice.outcome}" if choice.outcome else ""
    return step_line(choice, actors) + outcome


def _unlike(one: Choice, other: Choice) -> str:
    """What one step changed and the other did not, in parentheses."""
    own = [*one.locks, *one.changes]
    found = [what for what in own if what not in (*other.locks, *other.changes)]
    return f" ({', '.join(found)})" if found else ""


def _compare(number: int, old: Choice, new: Choice, actors: Sequence[str]) -> Difference | None:
    if (old.row, old.outcome) != (new.row, new.outcome):
        return Difference(number, _named(old, actors), _named(new, actors))
    if old.state != new.state:
        return Difference(
            number,
            f"state {old.state}{_unlike(old, new)} after {_named(old, actors)}",
            f"state {new.state}{_unlike(new, old)}",
        )
    if (old.options, old.picked) != (new.options, new.picked):
        return Difference(number, f"{old.options} options", f"{new.options} options")
    return None


def _follow(failure: Failure, recorder: Recorder) -> Difference | None:
    """Step the choices of a failure as far as they go; the first difference.

    A choice that is no option any more, or has to wait, is left out.
    """
    first: Difference | None = None
    for number, old in enumerate(failure.choices, 1):
        if recorder.stepper.violation is not None:
            ended = recorder.stepper.violation.invariant
            return first or Difference(number, _named(old, failure.actors), f"{ended} violated before it")
        kind = _kind(old.kind)
        if not 0 <= old.actor < len(recorder.actors) or recorder.can(old.actor, kind) < 0:
            first = first or Difference(number, _named(old, failure.actors), "no such option")
            continue
        standing = recorder.stepper.next_row(old.actor)
        new = recorder.take(old.actor, kind)
        if new is None:
            first = first or Difference(number, _named(old, failure.actors), f"it waits at {standing}")
        elif first is None:
            first = _compare(number, old, new, failure.actors)
    return first


def _kind(name: str) -> int:
    try:
        return kind_code(name)
    except ValueError:
        raise UserError(f"no kind of choice {name!r}", "the failure", "choose step, yield, exit or force:N") from None


def _never_begun(setting: Setting, fault: NeverEnds, paths: Sequence[Path], old: Failure | None = None) -> Replay:
    """A replay in which what is prepared never ends: LIVE, of a mutant; a mistake of the setting otherwise."""
    panel = panel_of(setting, paths)
    if not setting.edits or not panel.judges_stuck:
        raise fault
    found = never_begun(setting, fault, panel)
    difference = None
    if old is not None and old.choices:
        difference = Difference(1, _named(old.choices[0], old.actors), found.violation.reason)
    return Replay(with_line(found), difference, other_sources=old is not None and old.sources != DIGEST)


def replay(failure: Failure, paths: Sequence[Path] = ()) -> Replay:
    """Step the choices of a failure with the sources as they are. Raises UserError if they have no such setting."""
    try:
        recorder = Recorder(stepper_of(failure.setting, paths), failure.setting)
    except NeverEnds as fault:
        return _never_begun(failure.setting, fault, paths, failure)
    difference = _follow(failure, recorder)
    found = failure_from(recorder, failure.setting, paths)
    same = found is not None and found.violation.invariant == failure.violation.invariant
    if difference is None and not same:
        got = found.violation.invariant if found is not None else "nothing violated"
        difference = Difference(len(failure.choices), f"{failure.violation.invariant} violated after it", got)
    if found is not None:
        found = msgspec.structs.replace(found, replay=failure.replay if difference is None else "")
    return Replay(found, difference, failure.sources != DIGEST)


def replay_schedule(schedule: Schedule, paths: Sequence[Path] = (), line: str = "") -> Replay:
    """Step a schedule.

    The first choice that is no option, has to wait, or does something else than its mark says is the difference. The
    rest goes on.
    """
    try:
        recorder = Recorder(stepper_of(schedule.setting, paths), schedule.setting)
    except NeverEnds as fault:
        return _never_begun(schedule.setting, fault, paths)
    first: Difference | None = None
    for number, (actor, kind) in enumerate(schedule.choices, 1):
        if recorder.stepper.violation is not None:
            break
        if not 0 <= actor < len(recorder.actors):
            raise UserError(f"actor {actor}", "the schedule", f"choose 0 to {len(recorder.actors) - 1}")
        what = f"{kind_name(kind)} of {recorder.actors[actor]}"
        standing = recorder.stepper.next_row(actor)
        if recorder.can(actor, kind) < 0:
            first = first or Difference(number, what, "no such option")
        elif (new := recorder.take(actor, kind)) is None:
            first = first or Difference(number, what, f"it waits at {standing}")
        elif first is None and schedule.differs(number - 1, new):
            told = f"{_named(new, recorder.actors)}, state {new.state}"
            first = Difference(number, "what the line was written for (its mark differs)", told)
    found = failure_from(recorder, schedule.setting, paths)
    if found is not None and first is None:
        found = msgspec.structs.replace(found, replay=line)
    return Replay(found, first, other_sources=schedule.sources not in ("", DIGEST[:SOURCES_DIGITS]))


def with_line(failure: Failure, lookup: Lookup | None = None) -> Failure:
    """The failure with the line to paste, if there is one that is short enough."""
    choices = [(choice.actor, kind_code(choice.kind)) for choice in failure.choices]
    return msgspec.structs.replace(failure, replay=line_of(failure.setting, choices, lookup, marks_of(failure)))
