"""Trials: a mutant in a small world, explored up to a bound. What breaks: safety, only progress, or nothing."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from gmembench.core.drivers.exhaustive import Exploration, Explorer
from gmembench.core.drivers.instance import Force, Gate, Instance
from gmembench.core.errors import OutsideError, UserError
from gmembench.core.invariant import STUCK
from gmembench.core.jit import DIGEST
from gmembench.core.judges import Panel
from gmembench.core.operations import PROGRAMS
from gmembench.core.outcomes import OUTCOMES
from gmembench.core.programs import Code, Design, assemble
from gmembench.core.rows import END, OPERANDS
from gmembench.inject.mutants import mutated
from gmembench.inject.question import Question, Words, ask
from gmembench.inject.running import LIVE

HOLDS, BOUND, UNSAFE, STUCK_ONLY, ILL = "holds", "bound", "unsafe", "stuck", "ill"
"""Of a trial: nothing breaks; nothing breaks up to the bound; safety breaks; only LIVE does; it leaves the model."""

MEMORY_BYTES = 2 << 30


class Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a mutant did in a case. `choices`: up to what broke. `what`: in words, of an ill one."""

    case: str
    result: str
    states: int = 0
    transitions: int = 0
    invariant: str = ""
    choices: tuple[tuple[int, int], ...] = ()
    what: str = ""


class Base(msgspec.Struct, frozen=True):
    """A case as the design runs it unedited.

    `ignored`: invariants that it breaks already there: known findings, which are not judged of mutants. `hit`: rows
    that ran. `meaning`: digest of all that an exploration of it depends on.
    """

    case: str
    result: str
    states: int
    transitions: int
    ignored: tuple[str, ...]
    hit: tuple[str, ...]
    meaning: str


def invariants_without_liveness(panel: Panel) -> Panel:
    """The panel without what the driver judges itself."""
    return Panel({name: item for name, item in panel.invariants.items() if STUCK not in item.when})


@dataclass(frozen=True)
class Case:
    """A small world in which mutants of a design are tried: of a scenario, or of a plan, whose edits are left out."""

    name: str
    question: Question
    most_states: int

    @property
    def programs(self) -> set[str]:
        """Programs that somebody runs in it."""
        instance = self.question.instance
        return {PROGRAMS[int(o["program"])] for s in (*instance.scripts, *instance.prepare) for o in s}

    def design(self) -> Design:
        """The design with only these programs: what is assembled for a mutant is small."""
        design = self.question.design
        return replace(design, programs={n: p for n, p in design.programs.items() if n in self.programs})

    def instance(self, edits: Sequence[str], ignored: Sequence[str] = ()) -> Instance:
        """The world with a mutant. Raises UserError if the edit cannot be made."""
        hardware = self.question.hardware
        return self.running(assemble(mutated(self.design(), hardware, edits), hardware), ignored)

    def running(self, code: Code, ignored: Sequence[str] = ()) -> Instance:
        """The world with another code."""
        old = self.question.instance
        panel = Panel({name: item for name, item in old.panel.invariants.items() if name not in ignored})
        places = {item.name: at for at, item in enumerate(code.info)}
        forces = tuple(replace(f, rows=_moved(f, old.code, places)) for f in old.forces)
        gates = tuple(replace(g, rows=_moved(g, old.code, places)) for g in old.gates)
        return replace(old, code=code, panel=panel, forces=forces, gates=gates, sometimes=())


def _moved(event: Force | Gate, old: Code, places: dict[str, int]) -> tuple[int, ...]:
    names = (old.info[row].name for row in event.rows)
    return tuple(places[name] for name in names if name in places)


def case_of(
    source: str, design: str, hardware: str, most_states: int, *, planned: bool, paths: Sequence[Path] = ()
) -> Case:
    """The case of a scenario, or with `planned` of a plan. Raises UserError if the design cannot run it."""
    words = Words(design, "" if planned else source, hardware, source if planned else "", paths=tuple(paths))
    question = replace(ask(words), edits=())
    made = Case(source, question, most_states)
    made.question.instance  # noqa: B018  # whether it can run is known now
    return made


def explored(case: Case, instance: Instance) -> Exploration:
    """All states of an instance, up to the bound of the case."""
    stuck = instance.panel.judges_stuck
    return Explorer(instance, live=stuck, stuck=stuck, states=case.most_states, memory_bytes=MEMORY_BYTES).run()


def base_of(case: Case) -> Base:
    """What the unedited design does in a case: explored again without what it breaks, until nothing does."""
    ignored: list[str] = []
    while True:
        instance = case.instance((), ignored)
        e = explored(case, instance)
        if e.violation is None:
            break
        ignored.append(e.violation.invariant)
    hit = (e.taken + e.taken_first).any(axis=1)
    names = tuple(item.name for item, ran in zip(instance.code.info, hit, strict=True) if ran)
    result = HOLDS if e.verdict == "holds" else BOUND
    return Base(case.name, result, e.states, e.transitions, tuple(ignored), names, meaning(instance))


def attempt(case: Case, instance: Instance) -> tuple[Trial, np.ndarray]:
    """Explore a mutant: first with LIVE, and where only LIVE breaks, once more without it.

    Returns too (row, outcome) -> how often it was taken.
    """
    e = explored(case, instance)
    taken = e.taken + e.taken_first
    if e.violation is None:
        return Trial(case.name, HOLDS if e.verdict == "holds" else BOUND, e.states, e.transitions), taken
    if e.violation.when != STUCK:
        return Trial(case.name, UNSAFE, e.states, e.transitions, e.violation.invariant, e.choices), taken
    safe = explored(case, replace(instance, panel=invariants_without_liveness(instance.panel)))
    taken += safe.taken
    if safe.violation is None:
        return Trial(case.name, STUCK_ONLY, e.states, e.transitions, e.violation.invariant, e.choices), taken
    return Trial(case.name, UNSAFE, safe.states, safe.transitions, safe.violation.invariant, safe.choices), taken


def attempt_alone(case: Case, instance: Instance) -> tuple[Trial, np.ndarray | None]:
    """The same. What one took that leaves the model is unknown.

    So it is of one that cannot even run alone what runs before others do; that is stuck.
    """
    try:
        return attempt(case, instance)
    except OutsideError as fault:
        return Trial(case.name, ILL, what=fault.what), None
    except UserError as fault:
        return Trial(case.name, STUCK_ONLY, invariant=LIVE, what=fault.what), None


# --- what a mutant is, whatever its rows are called ---


def meaning(instance: Instance) -> str:
    """A digest of all that an exploration depends on. Mutants that are equal after assembly have the same.

    Rows are numbered as they are reached from the entries of the programs that run; those that are never reached do
    not count.
    """
    code = instance.code
    numbers = _numbers(instance)
    digest = hashlib.blake2b(digest_size=12)
    for old, number in sorted(numbers.items(), key=lambda item: item[1]):
        row, info = code.rows[old], code.info[old]
        told = (int(row["step"]), *(int(row[name]) for name in OPERANDS), info.program == "access")
        ways = tuple(numbers.get(target, -1) for target in _ways(code, old))
        digest.update(repr((number, told, ways)).encode())
    events = [
        (type(e).__name__, sorted(numbers.get(row, -1) for row in e.rows), repr(replace(e, rows=())))
        for e in _events(instance)
    ]
    rest = (DIGEST, instance.geometry, instance.timer, sorted(instance.panel.invariants), events)
    digest.update(repr(rest).encode())
    for operations in (*instance.prepare, *instance.scripts):
        digest.update(np.ascontiguousarray(operations).tobytes() + b"|")
    return digest.hexdigest()


def _events(instance: Instance) -> Iterator[Force | Gate]:
    yield from instance.forces
    yield from instance.gates


def _ways(code: Code, row: int) -> list[int]:
    """Where each outcome of a row leads, END too."""
    targets = [int(target) for target in code.targets[row]]
    if code.rows[row]["jump"] == 0:
        targets[OUTCOMES.index("next")] = row + 1
    return targets


def _numbers(instance: Instance) -> dict[int, int]:
    """Row -> number, of all rows that can be reached."""
    code = instance.code
    asked = {int(o["program"]) for s in (*instance.scripts, *instance.prepare) for o in s}
    waiting = [int(code.entries[number]) for number in sorted(asked)]
    numbers: dict[int, int] = {}
    while waiting:
        row = waiting.pop()
        if row == END or row in numbers:
            continue
        numbers[row] = len(numbers)
        waiting += reversed(_ways(code, row))
    return numbers
