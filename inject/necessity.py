"""Necessity: what each row and phase of a design is for, as far as small worlds can tell. The table as data."""

from collections.abc import Mapping, Sequence

import msgspec

import gmembench
from gmembench.core.jit import DIGEST
from gmembench.inject.trial import BOUND, ILL, STUCK_ONLY, UNSAFE, Base, Trial
from gmembench.inject.variations import Target

SCHEMA = 1

NECESSARY, PROGRESS, REDUNDANT, CUT_OFF, OUTSIDE, NOT_REACHED, FIXED, ILL_FORMED, OPEN = (
    "necessary",
    "progress only",
    "redundant up to this bound",
    "cut off at the bound",
    "guards something outside the model",
    "not reached",
    "cannot be left out",
    "ill-formed",
    "not tried",
)
VERDICTS = {
    NECESSARY: "without it an invariant of safety breaks; the line below it replays the shortest failure",
    PROGRESS: "without it somebody waits or retries for ever, and nothing else breaks",
    REDUNDANT: "without it nothing breaks in these worlds, up to their bounds, and one of them was explored to its end",
    CUT_OFF: "without it nothing was found, but no world was explored to its end: ask again with more --states",
    OUTSIDE: "without it nothing breaks, and the step says what it protects that the model does not have",
    NOT_REACHED: "no world here runs it, so nothing is known of it",
    FIXED: "the program does not fit together without it",
    ILL_FORMED: "without it the program leaves the model (an index or a count that is none): no proof of anything",
    OPEN: "stopped before its turn",
}

UNSAFE_PLACE, STUCK_PLACE, HOLDS_PLACE, SAME_PLACE = "unsafe", "stuck", "holds", "same"
ILL_PLACE, REFUSED_PLACE, UNREACHED_PLACE, OPEN_PLACE = "ill", "refused", "not reached", "not tried"
PLACES = {
    UNSAFE_PLACE: "an invariant of safety breaks",
    STUCK_PLACE: "only progress breaks",
    HOLDS_PLACE: "nothing breaks up to the bound",
    SAME_PLACE: "the program is the same as before",
    ILL_PLACE: "the program leaves the model",
    REFUSED_PLACE: "the program does not fit together",
    UNREACHED_PLACE: "no world runs either place",
    OPEN_PLACE: "stopped before its turn",
}


class Shown(msgspec.Struct, frozen=True):
    """A failure of a mutant, shrunk. `steps`: each `actor: program.step operands`. `replay`: the line to paste."""

    case: str
    edit: str
    invariant: str
    sentence: str
    reason: str
    steps: tuple[str, ...]
    switches: int
    replay: str


class Tried(msgspec.Struct, frozen=True):
    """What came of one edit. `refused`: why it cannot be made. `unreached`: no case runs what it changes."""

    trials: tuple[Trial, ...] = ()
    refused: str = ""
    unreached: bool = False
    shown: Shown | None = None

    @property
    def worst(self) -> Trial | None:
        """The trial that decides."""
        rank = (ILL, UNSAFE, STUCK_ONLY, BOUND)
        return min(self.trials, key=lambda t: rank.index(t.result) if t.result in rank else len(rank), default=None)


class Entry(msgspec.Struct, frozen=True):
    """A row of the table. `invariant`, `case`: what breaks without the target, and where. `why`: of a refusal.

    `places`: what moving does -> the rows before which it does that. `breaks`: invariant -> how many places break it.
    """

    name: str
    program: str
    phase: bool
    step: str
    verdict: str
    guards: str = ""
    invariant: str = ""
    case: str = ""
    why: str = ""
    cases: int = 0
    bounded: int = 0
    shown: Shown | None = None
    places: dict[str, tuple[str, ...]] = {}
    breaks: dict[str, int] = {}

    @property
    def tested(self) -> bool:
        """Whether some world runs it, or a place that it was moved to."""
        return self.verdict != NOT_REACHED or any(what != UNREACHED_PLACE for what in self.places)


class Table(msgspec.Struct, frozen=True):
    """What each row and phase of a design is for. `most_states`, `most_worlds`: bounds of each mutant.

    `mutants`: that were tried; those that change nothing that a world runs are not.
    """

    schema: int
    gmembench: str
    sources: str
    design: str
    hardware: str
    most_states: int
    most_worlds: int | None
    claim: str
    complete: bool
    seconds: float
    mutants: int
    cases: tuple[Base, ...]
    counts: dict[str, int]
    entries: tuple[Entry, ...]


def verdict_of(target: Target, tried: Tried | None) -> str:
    """What leaving out a target has shown."""
    if tried is None:
        return OPEN
    if tried.refused:
        return FIXED
    if tried.unreached:
        return NOT_REACHED
    worst = tried.worst
    found = {ILL: ILL_FORMED, UNSAFE: NECESSARY, STUCK_ONLY: PROGRESS}.get(worst.result if worst else "")
    if found is None and tried.trials and all(trial.result == BOUND for trial in tried.trials):
        return CUT_OFF
    return found or (OUTSIDE if target.guards else REDUNDANT)


def place_of(tried: Tried | None) -> str:
    """What moving a target to one place has shown."""
    if tried is None:
        return OPEN_PLACE
    if tried.refused:
        return SAME_PLACE if "changes nothing" in tried.refused else REFUSED_PLACE
    if tried.unreached:
        return UNREACHED_PLACE
    worst = tried.worst
    return {ILL: ILL_PLACE, UNSAFE: UNSAFE_PLACE, STUCK_ONLY: STUCK_PLACE}.get(
        worst.result if worst else "", HOLDS_PLACE
    )


def entry_of(target: Target, left_out: Tried | None, moved: Mapping[str, Tried | None]) -> Entry:
    """A row of the table. `moved`: place -> what came of moving it there."""
    places: dict[str, list[str]] = {}
    breaks: dict[str, int] = {}
    for place, tried in moved.items():
        what = place_of(tried)
        places.setdefault(what, []).append(place)
        if what == UNSAFE_PLACE and tried is not None and tried.worst is not None:
            breaks[tried.worst.invariant] = breaks.get(tried.worst.invariant, 0) + 1
    verdict = verdict_of(target, left_out)
    worst = left_out.worst if left_out else None
    telling = worst if worst is not None and verdict in {NECESSARY, PROGRESS, ILL_FORMED} else None
    return Entry(
        target.name,
        target.program,
        target.phase,
        target.step,
        verdict,
        guards=target.guards,
        invariant=telling.invariant if telling else "",
        case=telling.case if telling else "",
        why=(left_out.refused if left_out else "") or (telling.what if telling else ""),
        cases=len(left_out.trials) if left_out else 0,
        bounded=sum(t.result == BOUND for t in left_out.trials) if left_out else 0,
        shown=left_out.shown if left_out else None,
        places={what: tuple(names) for what, names in places.items()},
        breaks=dict(sorted(breaks.items())),
    )


Bounds = tuple[int, int | None]
"""States of a mutant in a world, and worlds of a mutant (None: all)."""


def claim_of(bases: Sequence[Base], bounds: Bounds) -> str:
    """What the table claims."""
    most_states, most_worlds = bounds
    few = most_worlds is not None and most_worlds < len(bases)
    worlds = f"the {most_worlds} smallest" if few and most_worlds != 1 else "the smallest" if few else "those"
    where = (
        f"in {worlds} of {len(bases)} small worlds that run" if len(bases) != 1 else "in one small world, if it runs"
    )
    ignored = sorted({f"{name} in {base.case}" for base in bases for name in base.ignored})
    cut = sum(base.result == BOUND for base in bases)
    larger = "No world is" if cut == 0 else "1 world is" if cut == 1 else f"{cut} worlds are"
    told = (
        f"Each mutant was explored exhaustively, breadth first, until one world broke safety: {where} the "
        f"rows it changes, up to {most_states:,} states each. {larger} larger than that even without an edit. "
        "Memory is sequentially consistent between steps. States are told apart by 64-bit fingerprints: in a world one "
        "was left out with a probability of about "
        f"{most_states**2 / 2**65:.1e}. Rows that use what is not there are told of everywhere; counts that fall below "
        "zero only where a failure of what is left out was stepped again."
    )
    return told + (f" Not judged, since the design breaks it unedited: {', '.join(ignored)}." if ignored else "")


def table_of(
    names: tuple[str, str], bounds: Bounds, bases: Sequence[Base], entries: Sequence[Entry], seconds: float
) -> Table:
    """The table of a design on a hardware (`names`), with how often each verdict stands in it."""
    counts = {verdict: sum(e.verdict == verdict for e in entries) for verdict in VERDICTS}
    no_turn = {OPEN_PLACE, UNREACHED_PLACE}
    tried = [len(places) for e in entries for what, places in e.places.items() if what not in no_turn]
    return Table(
        SCHEMA,
        gmembench.__version__,
        DIGEST,
        *names,
        *bounds,
        claim_of(bases, bounds),
        not any(e.verdict == OPEN or OPEN_PLACE in e.places for e in entries),
        round(seconds, 1),
        sum(tried) + sum(e.verdict not in {OPEN, NOT_REACHED} for e in entries),
        tuple(bases),
        {verdict: count for verdict, count in counts.items() if count},
        tuple(entries),
    )
