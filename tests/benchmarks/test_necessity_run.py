"""Going on with a study that was stopped: each answer is noted as it comes, and every run gets on."""

import queue
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from gmembench.benchmarks import necessity_run
from gmembench.benchmarks.crew import Answer, Crew
from gmembench.benchmarks.necessity_run import Explaining, Notes, Study, Trying
from gmembench.inject.necessity import Tried
from gmembench.inject.series import Order
from gmembench.inject.trial import HOLDS, ILL, Base, Trial
from gmembench.inject.variations import MOVED, Target, Variation, without

LINE = msgspec.json.encode(Tried((Trial("w", HOLDS),))).decode() + "\n"
CASE = Base("w", HOLDS, 1, 1, (), ("p.a",), "m")


@dataclass
class Silent:
    """A crew that is asked and does nothing. `keys`, `lines`: of each question."""

    keys: list[Hashable] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def ask(self, key: Hashable, line: str, patience_seconds: float, lines: int = 1) -> None:
        """Keep the question."""
        assert line
        assert patience_seconds > 0
        self.keys.append(key)
        self.lines.append(lines)


@dataclass
class Paper:
    """Notes without a file."""

    tried: dict[str, Tried] = field(default_factory=dict)

    def add(self, edit: str, tried: Tried) -> None:
        """Note an answer."""
        self.tried[edit] = tried


@dataclass
class Bench:
    """Edits that are being tried, by nobody."""

    notes: Paper = field(default_factory=Paper)
    crew: Silent = field(default_factory=Silent)
    answers: "queue.Queue[Answer]" = field(default_factory=queue.Queue)

    def trying(self) -> Trying:
        """What asks and notes."""
        crew = cast(Crew, self.crew)
        return Trying(cast(Notes, self.notes), crew, crew, self.answers)


def orders(*edits: str) -> tuple[Order, ...]:
    """Moves to try in one world."""
    return tuple(Order(edit, ("w",), {}) for edit in edits)


def test_each_answer_is_noted_as_it_comes() -> None:
    """One of three moves was answered when the time was up: it is kept."""
    bench = Bench()
    trying = bench.trying()
    trying.ask(orders("move p.a", "move p.b", "move p.c"))
    assert bench.crew.lines == [3]
    bench.answers.put(Answer("move p.a", LINE))
    trying.take(float("inf"))
    assert list(bench.notes.tried) == ["move p.a"]
    trying.take(time.monotonic())
    assert trying.waiting == 1


def test_those_without_an_answer_are_asked_alone() -> None:
    """The process ended in the second move: it is ill-formed if it ends another one, and the third is not lost."""
    bench = Bench()
    trying = bench.trying()
    trying.ask(orders("move p.a", "move p.b", "move p.c"))
    first = "move p.a"
    for answer in (Answer(first, LINE), Answer(first, "", "SIGSEGV"), Answer("move p.b", "", "SIGSEGV")):
        bench.answers.put(answer)
        trying.take(float("inf"))
    assert bench.crew.keys == [first, "move p.b", "move p.c"]
    worst = bench.notes.tried["move p.b"].worst
    assert worst is not None
    assert worst.result == ILL
    assert trying.waiting == 1


def explaining(monkeypatch: pytest.MonkeyPatch, moved: int) -> Explaining:
    """A study of one row that can be moved to some places, two of which are tried together."""
    target = Target("p.a", "p", ("p.a",))
    moves = [replace(without(target), edit=f"move p.a,{n}", kind=MOVED) for n in range(moved)]

    def variations(_: Explaining) -> Iterator[tuple[Target, list[Variation]]]:
        yield target, [without(target), *moves]

    monkeypatch.setattr(Explaining, "variations", variations)
    monkeypatch.setattr(necessity_run, "TOGETHER", 2)
    return Explaining(cast(Study, SimpleNamespace(worlds=None)), lambda _: None, (CASE,))


def test_what_is_tried_together_does_not_depend_on_interruptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on has the batches of a whole one, without what was tried."""
    run: Any = explaining(monkeypatch, 5)
    tried = {name: Tried() for name in ("without p.a", "move p.a,0", "move p.a,2", "move p.a,3")}
    left = [[order.edit for order in batch] for batch in run._in_turn(Paper(tried))]
    assert left == [["move p.a,1"], ["move p.a,4"]]


def test_a_run_whose_time_is_up_at_once_tries_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the time, the next run has less to do."""
    run: Any = explaining(monkeypatch, 5)
    bench = Bench(notes=Paper({"without p.a": Tried()}))
    for number in (0, 2, 4):
        bench.answers.put(Answer(f"move p.a,{number}", LINE))
    crew = bench.crew
    run._try_all(bench.notes, crew, crew, bench.answers, 1, time.monotonic())
    assert list(bench.notes.tried) == ["without p.a", "move p.a,0"]
