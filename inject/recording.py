"""Stepping a schedule and writing down each step: its name, operands, locks, what it changed, a digest after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gmembench.core.drivers.instance import FORCE
from gmembench.core.drivers.prepared import NeverEnds
from gmembench.core.drivers.stepper import EXIT, KINDS, Stepper
from gmembench.core.errors import UserError
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.invariant import STUCK, Rule
from gmembench.core.judges import Panel, Violation
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.rows import OPERANDS
from gmembench.inject import locks
from gmembench.inject.failure import Broken, Choice, Failure, new_failure
from gmembench.inject.fields import Change, Fields, state_digest
from gmembench.inject.reason import Event, Hindered, Story, explain
from gmembench.inject.running import LIVE, MASK, Running
from gmembench.inject.setting import Setting, actor_name, stepper_of


def kind_name(kind: int) -> str:
    """The name of a kind of choice in files."""
    return KINDS[kind] if kind < FORCE else f"force:{kind - FORCE}"


def kind_code(name: str) -> int:
    """The code of a kind of choice. Raises ValueError for an unknown name."""
    if name.startswith("force:"):
        return FORCE + int(name.removeprefix("force:"))
    return KINDS[:FORCE].index(name)


def _is_about(change: Change, pfn: int) -> bool:
    """Whether a step that changed this has to do with a page."""
    named = change.path.endswith(".pfn") and pfn in (change.new, change.old) and not change.path.startswith("tlbs")
    return named or change.path.startswith(f"pages[{pfn}].")


@dataclass
class Recorder:
    """A stepper that writes down what it does. `waited`: choices made before somebody first had to wait."""

    stepper: Stepper
    setting: Setting
    choices: list[Choice] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    waited: int = 1 << 30

    def __post_init__(self) -> None:
        self._fields = Fields(self.stepper.world)
        self._begun = [0] * len(self.stepper.world.arrays["actors"])
        self.vcpus = self.stepper.world.geometry.vcpus
        self.actors = tuple(actor_name(n, self.vcpus) for n in range(len(self.stepper.world.arrays["actors"])))

    def can(self, actor: int, kind: int) -> int:
        """The place of a choice among the options; -1 if it is none of them."""
        options = self.stepper.options().tolist()
        return options.index([actor, kind]) if [actor, kind] in options else -1

    def take(self, actor: int, kind: int) -> Choice | None:
        """Do one thing that is an option; None if the actor has to wait, and nothing changed."""
        options = len(self.stepper.options())
        picked = self.can(actor, kind)
        before = self.stepper.world.buffer.copy()
        idle = self.stepper.idle(actor) and kind != EXIT
        record = self.stepper.world.arrays["actors"][actor]
        gfn, pfn = -1 if idle else int(record["gfn"]), int(record["pfn"])
        ended = self.stepper.take(actor, kind)
        if kind != EXIT and ended & MASK == BLOCKED:
            self.waited = min(self.waited, len(self.choices))
            return None
        changes = self._fields.changes(before, self.stepper.world.buffer)
        row, outcome = "guest exit", ""
        if kind != EXIT:
            row, outcome = self.stepper.code.info[ended >> OUTCOME_BITS].name, OUTCOMES[ended & MASK]
        operands = self._operands(actor, gfn, pfn, changes, -1 if kind == EXIT else ended >> OUTCOME_BITS)
        seen = [c for c in changes if not c.path.startswith("actors[") and locks.lock_of(c.path) is None]
        choice = Choice(
            actor,
            kind_name(kind),
            options,
            picked,
            row,
            outcome,
            state_digest(self.stepper.world),
            operands,
            self._begins(actor) if idle else "",
            self.setting.forces[kind - FORCE].event if kind >= FORCE else "",
            locks.told(changes),
            (),
            tuple(map(str, seen)),
        )
        self.events.append(Event(actor, row, tuple(changes), gfn, int(record["pfn"])))
        self.inside.append(not self.stepper.idle(actor))
        self.choices.append(choice)
        return choice

    def _begins(self, actor: int) -> str:
        """The operation that an actor has just begun."""
        self._begun[actor] += 1
        return str(self.setting.scripts[actor][self._begun[actor] - 1])

    def _operands(self, actor: int, gfn: int, before: int, changes: Sequence[Change], position: int) -> str:
        """Registers and operands of a step: its gfn, the page if the step has to do with it, the row's operands."""
        record = self.stepper.world.arrays["actors"][actor]
        told = {"gfn": int(record["gfn"]) if gfn < 0 else gfn}
        for pfn in dict.fromkeys((int(record["pfn"]), before)):
            if pfn > 0 and (record["used"] or any(_is_about(change, pfn) for change in changes)):
                told["pfn"] = pfn
                break
        if position >= 0:
            row = self.stepper.code.rows[position]
            told |= {name: int(row[name]) for name in OPERANDS if row[name]}
        return " ".join(f"{name}={value}" for name, value in told.items())

    def held_up(self) -> list[Hindered]:
        """Who has something left to do and does not get on, at which row. Ends the recording: others may step."""
        known = {choice.row: lock[1:] for choice in self.choices for lock in choice.locks if lock[0] == "+"}
        found, self.stepper.violation, violation = [], None, self.stepper.violation
        for number in range(len(self.actors)):
            if self.stepper.unfinished(number):
                ended = self.stepper.take(number)
                waits, row = ended & MASK == BLOCKED, self.stepper.code.info[ended >> OUTCOME_BITS].name
                lock = locks.parts("+" + known[row])[0] if waits and row in known else ""
                found.append(Hindered(number, row, waits, lock))
        self.stepper.violation = violation
        return found


def with_waits(recorder: Recorder, hindered: Sequence[Hindered] = ()) -> tuple[Choice, ...]:
    """The choices with who waits for which lock, or at the end at which row, after each of them."""
    found = locks.waits([c.actor for c in recorder.choices], [c.locks for c in recorder.choices], recorder.inside)
    if found and hindered:
        found[-1] = [(one.actor, one.lock or one.row) for one in hindered if one.waits]
    return tuple(
        msgspec.structs.replace(choice, waits=tuple(waits))
        for choice, waits in zip(recorder.choices, found, strict=True)
    )


def _gfn_of(recorder: Recorder, violation: Violation) -> int:
    """The gfn that a violation is about; -1 if its number is one of something else."""
    rule = getattr(recorder.stepper.panel.invariants[violation.invariant], violation.when, None)
    return violation.index if isinstance(rule, Rule) and "gfn {}" in rule.says else -1


def prepared_in_words(setting: Setting) -> str:
    """What runs before the schedule begins."""
    vcpus = setting.world.vcpus
    made = ", ".join(f"{actor_name(number, vcpus)} {asked}" for number, asked in setting.prepare)
    return f"what is prepared ({made})" if made else "nothing was prepared"


def never_begun(setting: Setting, fault: NeverEnds, panel: Panel) -> Failure:
    """The failure of a mutant in which nobody gets to step: an operation that is prepared never ends."""
    stuck, actors = panel.stuck(), setting.world.vcpus + setting.world.host_actors
    names = tuple(actor_name(number, setting.world.vcpus) for number in range(actors))
    reason = f"{names[fault.actor]}'s {fault.program} is prepared, runs alone and never ends: {fault.how}"
    return new_failure(setting, Broken(stuck.invariant, STUCK, stuck.why, -1, -1, reason, ()), names, ())


def broken_of(recorder: Recorder, violation: Violation, hindered: Sequence[Hindered] = ()) -> Broken:
    """A violation with its reason."""
    if recorder.events or violation.when == STUCK:
        reason, marked = explain(Story(recorder.stepper.world, violation, recorder.events, recorder.actors, hindered))
    else:
        reason, marked = f"so it is before anybody steps, after {prepared_in_words(recorder.setting)}", ()
    actor = recorder.events[-1].actor if recorder.events and violation.when != STUCK else -1
    return Broken(
        violation.invariant, violation.when, violation.why, _gfn_of(recorder, violation), actor, reason, marked
    )


def record(setting: Setting, choices: Iterable[tuple[int, int]], paths: Sequence[Path] = ()) -> Failure | None:
    """Step (actor, kind) choices of a setting and write them down; None if nothing is violated.

    Choices that have to wait are left out: they change nothing. Raises UserError if one is no option. If nothing is
    violated after the last choice, everybody goes on in turns until nobody can: a list that leads where some can
    never finish is a failure too, and what they did until then is written down with it.
    """
    recorder = Recorder(stepper_of(setting, paths), setting)
    for number, (actor, kind) in enumerate(choices):
        if recorder.stepper.violation is not None:
            break
        if recorder.can(actor, kind) < 0:
            raise UserError(
                f"choice {number + 1} ({kind_name(kind)} of actor {actor}) is none of the options",
                "the schedule",
                "it belongs to another setting",
            )
        recorder.take(actor, kind)
    return failure_from(recorder, setting, paths)


def failure_from(recorder: Recorder, setting: Setting, paths: Sequence[Path] = ()) -> Failure | None:
    """The failure that a recorder has come to, perhaps after everybody went on; None if nothing is violated.

    After going on, only that somebody is stuck counts: any other violation belongs to another schedule.
    """
    made = tuple((choice.actor, kind_code(choice.kind)) for choice in recorder.choices)
    hindered: list[Hindered] = []
    if recorder.stepper.violation is None or recorder.stepper.violation.invariant == LIVE:
        running = Running(recorder.stepper)
        running.run_on()
        if not running.is_stuck():
            return None
        if running.made:
            return record(setting, (*made, *running.made), paths)
        hindered = recorder.held_up()
    if recorder.waited < len(made):
        # Who was found waiting is no option until something changes: count the options as they are without that.
        return record(setting, made, paths)
    violation = recorder.stepper.violation
    if violation is None:
        return None
    return new_failure(
        setting, broken_of(recorder, violation, hindered), recorder.actors, with_waits(recorder, hindered)
    )
