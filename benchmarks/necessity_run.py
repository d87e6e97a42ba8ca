"""Trying all variations of a design in processes of their own: what is asked, what was answered, and going on later.

Answers are appended to a file in the cache folder, a line each, so that a run that was stopped goes on where it was.
The name of the file is a digest of all that the answers depend on.
"""

import hashlib
import queue
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gmembench.benchmarks import child
from gmembench.benchmarks.crew import Answer, Crew, hired
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.core.jit import DIGEST, cache_root, source_digest
from gmembench.core.programs import Design, Hardware
from gmembench.inject.laboratory import Orders, Source, Told
from gmembench.inject.necessity import Entry, Table, Tried, entry_of, table_of
from gmembench.inject.plan import load_plans
from gmembench.inject.question import chosen, nearest
from gmembench.inject.scenario import load_scenarios
from gmembench.inject.series import Order
from gmembench.inject.trial import ILL, Base, Trial, case_of
from gmembench.inject.variations import MOVED, Target, Variation, moves, targets_of, without

PATIENCE_SECONDS = 120.0
"""A process that answers nothing for so long is ended: its mutant runs in circles inside a step."""

BASE_SECONDS = 1200.0
"""The first question may have to compile the model."""

AHEAD = 2
"""Questions that wait for each process."""

TOGETHER = 32
"""Moves of one row or phase that a process tries together."""

FOLDER = "explain"


@dataclass(frozen=True)
class Study:
    """What is explained.

    `distance`: rows are moved at most so many rows away; `worlds`: a mutant is tried in at most so many worlds, the
    smallest that run what it changes. None: everywhere, in all.
    """

    design: Design
    hardware: Hardware
    sources: tuple[Source, ...]
    most_states: int
    distance: int | None = None
    worlds: int | None = None
    paths: tuple[Path, ...] = ()

    def command(self, *, interpreted: bool) -> list[str]:
        """The command of a process that tries mutants."""
        return [
            *child.module_command("gmembench.benchmarks.necessity_child"),
            f"--design={self.design.name}",
            f"--hardware={self.hardware.name}",
            f"--digest={DIGEST}",
            f"--states={self.most_states}",
            f"--sources={msgspec.json.encode(self.sources).decode()}",
            *(f"--path={path}" for path in self.paths),
            *(["--interpreted"] if interpreted else []),
        ]


def study_of(design: str, hardware: str, scenarios: Sequence[str], most_states: int, paths: tuple[Path, ...]) -> Study:
    """The study of a design. Without scenarios: all that it can run, and the worlds of its plans.

    Raises UserError for names that are not there, and if it can run nothing.
    """
    found = chosen(load_designs(paths), design, "design", "explain")
    kind = chosen(load_hardware(paths), hardware, "hardware")
    known, plans = load_scenarios(paths), load_plans(paths)
    if scenarios:
        for name in scenarios:
            if name not in known and name not in plans:
                raise UserError(f"no scenario {name!r}", "--scenario", nearest(name, known, "see `list scenarios`"))
        sources = [Source(name, name not in known) for name in scenarios]
        for source in sources:
            case_of(source.name, design, hardware, most_states, planned=source.planned, paths=paths)
    else:
        sources = [Source(name) for name, s in known.items() if not s.why_not(found, kind)]
        own = [p for p in plans.values() if (p.body.design, p.body.hardware) == (design, hardware)]
        sources += [Source(p.name, planned=True) for p in own if not p.body.scenario]
    if not sources:
        raise UserError(f"{design} on {hardware} can run no scenario", "explain", "choose another design or hardware")
    return Study(found, kind, tuple(sources), most_states, paths=paths)


class Line(msgspec.Struct, frozen=True):
    """A line of the file of answers."""

    edit: str
    tried: Tried


class Notes:
    """The answers that there are, in a file that is appended to."""

    def __init__(self, study: Study, bases: Sequence[Base]) -> None:
        inject = Path(child.__file__).resolve().parents[1] / "inject"
        depends = (
            DIGEST,
            source_digest(inject),
            study.design.name,
            study.hardware.name,
            study.most_states,
            study.worlds,
        )
        digest = hashlib.blake2b(repr(depends).encode() + msgspec.json.encode(bases), digest_size=8).hexdigest()
        self.path = cache_root() / FOLDER / f"{study.design.name}-{study.hardware.name}-{digest}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.tried: dict[str, Tried] = {}
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        for line in self.path.read_bytes().splitlines():
            try:
                found = msgspec.json.decode(line, type=Line)
            except msgspec.MsgspecError:  # the last line of a run that was killed
                continue
            self.tried[found.edit] = found.tried

    def add(self, edit: str, tried: Tried) -> None:
        """Note an answer."""
        self.tried[edit] = tried
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(Line(edit, tried)) + b"\n")


@dataclass
class Asked:
    """A question about some edits, and how many of them have an answer."""

    orders: tuple[Order, ...]
    answered: int = 0

    @property
    def left(self) -> tuple[Order, ...]:
        """The edits without an answer, the one under way first."""
        return self.orders[self.answered :]


@dataclass
class Trying:
    """Edits that are being tried: asks the processes, and notes what they answer."""

    notes: Notes
    crew: Crew
    checkers: Crew
    answers: "queue.Queue[Answer]"
    done: int = 0
    _asked: dict[Hashable, Asked] = field(default_factory=dict)
    _showing: dict[Hashable, Tried] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Questions that are not answered to the end."""
        return len(self._asked)

    def ask(self, orders: Sequence[Order]) -> None:
        """Ask about edits. What no case runs needs no process."""
        for order in orders:
            if not order.cases:
                self._note(order.edit, Tried(unreached=True))
        left = tuple(order for order in orders if order.cases)
        if not left:
            return
        key = left[0].edit
        self._asked[key] = Asked(left)
        if left[0].shrinks:
            self.crew.ask(key, _question("try", left[0]), PATIENCE_SECONDS)
        else:
            program = key.partition(" ")[2].partition(".")[0]
            self.crew.ask(key, _question("try all", Orders(program, left)), PATIENCE_SECONDS * len(left), len(left))

    def take(self, deadline: float) -> None:
        """Take an answer, if one comes before the deadline. The first is waited for: each run gets on."""
        try:
            patience = deadline - time.monotonic() if self.done else float("inf")
            answer = self.answers.get(timeout=None if patience == float("inf") else max(patience, 0))
        except queue.Empty:
            return
        if not answer.line and source_digest() != DIGEST:
            raise UserError("core/ was edited during the run", "explain", "start it again")
        asked = self._asked.pop(answer.key)
        order = asked.left[0]
        if answer.key in self._showing:
            self._note(order.edit, _shown(self._showing.pop(answer.key), answer))
        elif order.shrinks:
            self._one(order, _tried(answer))
        elif answer.line or len(asked.orders) == 1:
            self._note(order.edit, _tried(answer))
            asked.answered += 1
            if asked.left:
                self._asked[answer.key] = asked
        else:  # one of them ended the process: each alone says which
            for order in asked.left:
                self.ask((order,))

    def _one(self, order: Order, tried: Tried) -> None:
        if tried.worst is None or not tried.worst.choices:
            self._note(order.edit, tried)
            return
        key = order.edit
        self._asked[key], self._showing[key] = Asked((order,)), tried
        self.checkers.ask(key, _question("show", order, tried.worst), PATIENCE_SECONDS)

    def _note(self, edit: str, tried: Tried) -> None:
        self.notes.add(edit, tried)
        self.done += 1


@dataclass
class Explaining:
    """A run: asks about every variation, and makes the table of what was answered."""

    study: Study
    told: Callable[[str], None]
    bases: tuple[Base, ...] = ()

    def run(self, workers: int, seconds: float) -> Table:
        """Try everything, or what can be tried in that time."""
        started, answers = time.monotonic(), queue.Queue[Answer]()
        with (
            hired(self.study.command(interpreted=False), workers, answers) as crew,
            hired(self.study.command(interpreted=True), 1, answers) as checkers,
        ):
            self.bases = self._explored_bases(crew, answers)
            notes = Notes(self.study, self.bases)
            self._try_all(notes, crew, checkers, answers, workers, started + seconds)
        return self.table(notes, time.monotonic() - started)

    def _explored_bases(self, crew: Crew, answers: "queue.Queue[Answer]") -> tuple[Base, ...]:
        sources = self.study.sources
        for source in sources:
            crew.ask(source.name, _question("base", source), BASE_SECONDS)
        found: dict[str, Base] = {}
        for number in range(len(sources)):
            self.told(f"exploring {len(sources)} world{'s' * (len(sources) != 1)} without an edit: {number} done")
            answer = answers.get()
            if not answer.line:
                raise UserError(answer.cause, f"scenario {answer.key}", "leave it out, or try a smaller --states")
            found[str(answer.key)] = msgspec.json.decode(answer.line, type=Base)
        smallest_first = sorted(found.values(), key=lambda base: (base.states, base.case))
        return tuple({base.meaning: base for base in reversed(smallest_first)}.values())[::-1]

    def variations(self) -> Iterator[tuple[Target, list[Variation]]]:
        """Each target with its variations: left out first, then moved, the nearest places first."""
        study = self.study
        for target in targets_of(study.design, study.hardware):
            everywhere = moves(target, study.design, study.hardware)
            near = [v for v in everywhere if study.distance is None or v.distance <= study.distance]
            yield target, [without(target), *near]

    def _in_turn(self, notes: "Notes") -> Iterator[tuple[Order, ...]]:
        """What is left to try, in the order in which it is: what is left out first, and then the moves of each target.

        Moves of one target are tried together, since most of them do what another one did. Which ones are together
        does not depend on what was tried before.
        """
        targets = sorted(self.variations(), key=lambda item: item[0].phase)
        for _, (left_out, *_) in targets:
            if left_out.edit not in notes.tried:
                yield (self._order(left_out),)
        for _, (_, *moved) in targets:
            for at in range(0, len(moved), TOGETHER):
                together = [v for v in moved[at : at + TOGETHER] if v.edit not in notes.tried]
                if together:
                    yield tuple(self._order(v) for v in together)

    def _order(self, variation: Variation) -> Order:
        """The cases in which a variation changes something, the smallest first."""
        touched = set(variation.touched)
        cases = tuple(base.case for base in self.bases if touched & set(base.hit))[: self.study.worlds]
        ignored = {base.case: base.ignored for base in self.bases if base.case in cases and base.ignored}
        return Order(variation.edit, cases, ignored, shrinks=variation.kind != MOVED)

    def _try_all(
        self,
        notes: Notes,
        crew: Crew,
        checkers: Crew,
        answers: "queue.Queue[Answer]",
        workers: int,
        deadline: float,
    ) -> None:
        trying = Trying(notes, crew, checkers, answers)
        total = sum(1 for _, found in self.variations() for v in found if v.edit not in notes.tried)
        began, left = time.monotonic(), self._in_turn(notes)
        while not trying.done or time.monotonic() < deadline:
            while trying.waiting < workers * (1 + AHEAD) and (orders := next(left, ())):
                trying.ask(orders)
            if trying.waiting == 0:
                return
            trying.take(deadline)
            self.told(_progress(trying.done, total, time.monotonic() - began))

    def table(self, notes: Notes, seconds: float) -> Table:
        """The table of what is known."""
        entries: list[Entry] = []
        for target, variations in self.variations():
            moved = {v.place: notes.tried.get(v.edit) for v in variations[1:]}
            entries.append(entry_of(target, notes.tried.get(variations[0].edit), moved))
        names = self.study.design.name, self.study.hardware.name
        return table_of(names, (self.study.most_states, self.study.worlds), self.bases, entries, seconds)


def _question(do: str, first: object, second: object = None) -> str:
    parts = {"do": do, "first": first, "second": second}
    return msgspec.json.encode(parts).decode()


def _tried(answer: Answer) -> Tried:
    if answer.line:
        return msgspec.json.decode(answer.line, type=Tried)
    return Tried((Trial("", ILL, what=answer.cause),))


def _shown(tried: Tried, answer: Answer) -> Tried:
    """What was tried with its failure shown, or found to be ill-formed."""
    told = msgspec.json.decode(answer.line, type=Told) if answer.line else Told(ill=answer.cause)
    worst = tried.worst
    ill = {"result": ILL, "what": told.ill} if told.ill else {}
    trials = tuple(
        msgspec.structs.replace(trial, choices=(), **(ill if trial is worst else {})) for trial in tried.trials
    )
    return Tried(trials, shown=told.shown)


def _progress(done: int, total: int, seconds: float) -> str:
    left = (total - done) * seconds / max(done, 1)
    return f"{done:,} of {total:,} mutants, {done / max(seconds, 0.001):.1f} a second, {left / 60:.0f} min left"
