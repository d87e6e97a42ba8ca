"""What came of an exploration: the verdict, what exactly it claims, and the shrunk failure, ready to be told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gmembench.core.catalog import load_invariants
from gmembench.core.drivers.exhaustive import REDUCTIONS, Exploration, Explorer
from gmembench.core.drivers.prepared import NeverEnds, Prepared
from gmembench.core.errors import UserError
from gmembench.core.invariant import STUCK
from gmembench.core.judges import Violation
from gmembench.core.programs import Finding
from gmembench.core.world import World
from gmembench.inject.coverage import rows_not_run
from gmembench.inject.failure import Failure
from gmembench.inject.question import Question, nearest
from gmembench.inject.recording import never_begun as tell_never_begun
from gmembench.inject.replay import step_line, with_line
from gmembench.inject.setting import Setting
from gmembench.inject.smaller import smallest_failure

HOLDS, NOT_FOUND, VIOLATION, BOUND = "holds", "not-found", "violation", "bound"

EXIT_CODES = {HOLDS: 0, NOT_FOUND: 0, VIOLATION: 1, BOUND: 4}
"""What the command ends with."""

FINGERPRINT_BITS = 64

SHRINK_STEPS = 300_000
"""Steps that shrinking may make; a shrunk failure that needs more is not the shortest, and is one all the same."""

Choices = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Answer:
    """What came of an exploration.

    `claim`: what exactly was shown, in sentences. `states`, `transitions`, `schedules`: how many; None for a driver
    that has no such number. `seen`: name of a state that must be seen -> whether it was; None if nobody looked.
    `memory`: name -> bytes. `failure`: shrunk, with its steps, its reason and the line that replays it. `lacking`:
    states that a campaign must see and did not, so that it fails whatever it found. `rows_not_run`: rows that the
    scripts may run in this world and that never ran; None if nobody counted them.
    """

    question: Question
    driver: str
    verdict: str
    claim: str
    seconds: float
    states: int | None = None
    transitions: int | None = None
    schedules: int | None = None
    reductions: tuple[str, ...] = ()
    violation: Violation | None = None
    seen: dict[str, bool] | None = None
    memory: dict[str, int] = field(default_factory=dict)
    failure: Failure | None = None
    lacking: tuple[str, ...] = ()
    rows_not_run: tuple[str, ...] | None = None

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return EXIT_CODES[VIOLATION] if self.lacking else EXIT_CODES[self.verdict]

    @property
    def finding(self) -> Finding | None:
        """The finding that the unedited design ships with and that the violation is: of its invariant and its row."""
        if self.failure is None:
            return None
        broken = self.failure.violation
        row = "" if broken.when == STUCK or not self.failure.choices else self.failure.choices[-1].row
        return self.question.finding(broken.invariant, row)

    @property
    def known(self) -> bool:
        """Whether the design ships with this as a finding: nobody edited it, and it says so itself."""
        return not self.question.edits and self.finding is not None

    @property
    def steps(self) -> list[str]:
        """The steps of the shrunk failure, each `actor: program.step operands`."""
        if self.failure is None:
            return []
        return [step_line(choice, self.failure.actors) for choice in self.failure.choices]


def world_in_words(question: Question) -> str:
    """Actors and sizes of the world that was explored."""
    instance = question.instance
    shape = instance.geometry
    operations = sum(len(script) for script in instance.scripts)
    hosts = len(instance.scripts) - shape.vcpus
    events = [*dict.fromkeys(f.event for f in instance.forces), *(["gated operations"] if instance.gates else [])]
    more = f", events {', '.join(events)}" if events else ""
    pages = int(World(shape)["pages_n"]) - 1  # page 0 is none; a shape may ask for as many as are enough
    timer = ", vCPUs may leave the guest at any time" if instance.timer else ""
    return (
        f"{_count(shape.vcpus, 'vCPU')}, {_count(hosts, 'host thread')}, {_count(operations, 'operation')}, "
        f"{_count(shape.gfns, 'gfn')}, {_count(pages, 'page')}{timer}{more}"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def omission(states: int) -> str:
    """About how likely two of the states had the same fingerprint, so that one was left out."""
    return f"{states * states / 2 ** (FINGERPRINT_BITS + 1):.1e}"


def judged_in_words(question: Question) -> str:
    """The invariants that are judged, and those that this driver cannot judge."""
    names = sorted(question.panel.invariants)
    others = sorted(question.panel.others)
    told = f"Judged: {', '.join(name for name in names if name not in others)}."
    told += f" Not judged by this driver: {', '.join(others)}." if others else ""
    left = sorted(load_invariants(question.paths).keys() - set(names))
    return told + (f" Left out as asked, with every cause of theirs: {', '.join(left)}." if left else "")


MEMORY_MODEL = "Memory is sequentially consistent between steps."


def claim_exhaustive(question: Question, e: Exploration) -> str:
    """What an exhaustive search has shown."""
    counted = f"{_count(e.states, 'state')} and {_count(e.transitions, 'transition')}"
    left = " that the reductions leave" if e.reductions else ""
    rest = "These are all states" if e.complete else "These are not all states"
    rest += ", and whether all scripts can end is not known." if question.panel.judges_stuck else "."
    what = {
        HOLDS: f"Every reachable state was visited{left}, {counted}: nothing judged is violated"
        + (", and all scripts can end from each of them." if question.panel.judges_stuck else "."),
        VIOLATION: f"A violation was found after {counted}; the states behind it were not visited.",
        BOUND: f"Stopped at the bound of {e.stopped} after {counted}: no violation in them. {rest}",
    }[e.verdict]
    reductions = f"Reductions: {', '.join(e.reductions) or 'none'}."
    reductions += "".join(f" Not {name}: {why}." for name, why in e.not_made.items())
    chance = (
        f"States are told apart by {FINGERPRINT_BITS}-bit fingerprints: a state was left out with a probability "
        f"of about {omission(e.states)} (n^2/2^65)."
    )
    bound = f"Bound: {world_in_words(question)}."
    return " ".join([what, bound, judged_in_words(question), reductions, MEMORY_MODEL, chance])


@dataclass(frozen=True)
class Limits:
    """What an exploration may use."""

    memory_bytes: int = 8 << 30
    seconds: float = float("inf")
    states: int = 1 << 31


def chosen_reductions(without: Sequence[str]) -> tuple[str, ...]:
    """The reductions but some. Raises UserError for a name that is none."""
    for name in without:
        if name not in REDUCTIONS:
            mend = nearest(name, REDUCTIONS, f"choose one of {', '.join(REDUCTIONS)}")
            raise UserError(f"no reduction {name!r}", "--no-reduction", mend)
    return tuple(name for name in REDUCTIONS if name not in without)


def exhaustively(
    question: Question,
    limits: Limits,
    *,
    order: str = "breadth",
    without: Sequence[str] = (),
    found: Callable[[], None] = lambda: None,
) -> Answer:
    """Visit every reachable state, but for those that the reductions leave out.

    `without`: reductions not to make. `found`: called before a violation that was found is shrunk.
    """
    reductions = chosen_reductions(without)
    stuck = question.panel.judges_stuck
    how = {"order": order, "live": stuck, "stuck": stuck, "seconds": limits.seconds, "states": limits.states}
    try:
        explorer = Explorer(
            question.instance,
            memory_bytes=limits.memory_bytes,
            reductions=reductions,
            **how,  # type: ignore[arg-type]  # by name
        )
    except NeverEnds as fault:
        return never_begun(question, fault, f"exhaustive, {order} first")
    e = explorer.run(interruptible=True)
    if e.violation is not None:
        found()
    return Answer(
        question,
        f"exhaustive, {order} first",
        e.verdict,
        claim_exhaustive(question, e),
        e.seconds,
        states=e.states,
        transitions=e.transitions,
        reductions=tuple(e.reductions),
        violation=e.violation,
        seen=dict(e.seen),
        memory={
            "visited_set_bytes": e.table_bytes,
            "stack_and_links_bytes": e.other_bytes,
            "peak_bytes": e.peak_bytes,
        },
        failure=None if e.violation is None else shrunk(question, e.choices, e.violation.invariant),
        rows_not_run=rows_not_run(question.instance, frozenset(np.flatnonzero(e.taken.any(axis=1)).tolist())),
    )


def never_begun(question: Question, fault: NeverEnds, driver: str) -> Answer:
    """The answer where what is prepared never ends: LIVE, if that is what the edits did.

    Raises the fault where the design without edits does not get on either, so that the scenario is mistaken, and where
    LIVE is not judged.
    """
    if not question.edits or not question.panel.judges_stuck:
        raise fault
    try:
        Prepared(replace(question, edits=()).instance)
    except NeverEnds:
        raise fault from None
    failure = with_line(tell_never_begun(question.setting, fault, question.panel), question.lookup)
    claim = f"A violation was found before anybody could step. Bound: {world_in_words(question)}."
    return Answer(
        question,
        driver,
        VIOLATION,
        f"{claim} {judged_in_words(question)}",
        0.0,
        violation=question.panel.stuck(),
        failure=failure,
    )


def shrunk(
    question: Question,
    choices: Choices,
    invariant: str,
    budget: int = SHRINK_STEPS,
    setting: Setting | None = None,
) -> Failure:
    """The smallest failure that is found from a schedule that breaks an invariant, with the line that replays it.

    `setting`: where the schedule ran, if that is only a part of what was asked.
    """
    failure = smallest_failure(
        setting or question.setting,
        tuple(choices),
        invariant,
        budget=budget,
        paths=question.paths,
        lookup=question.lookup,
    )
    if failure is None or failure.violation.invariant != invariant:
        raise AssertionError(f"{invariant} is not violated when its schedule is stepped again")
    return failure
