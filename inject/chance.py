"""The answer of a campaign: what schedules at random have found, shrunk and kept like any other failure."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from gmembench.inject.answer import SHRINK_STEPS, Answer, judged_in_words, world_in_words
from gmembench.inject.campaign import Campaign, Found, Less, Orders, Progress, run_campaign, silent
from gmembench.inject.corpus import keep
from gmembench.inject.failure import Failure
from gmembench.inject.question import Lookup, Question
from gmembench.inject.recording import record
from gmembench.inject.schedule import line_of
from gmembench.inject.smaller import smallest


@dataclass(frozen=True)
class Campaigned:
    """A campaign, its answer, and the files that are new in the corpus."""

    campaign: Campaign
    answer: Answer
    kept: tuple[Path, ...] = ()


def by_chance(
    question: Question, orders: Orders, *, progress: Progress = silent, corpus: Path | None = None
) -> Campaigned:
    """Run a campaign. `corpus`: a folder in which the failures that were found are kept, shrunk."""
    done = run_campaign(question.instance, orders, edits=question.edits, paths=question.paths, progress=progress)
    # Failures beside the first are only wanted for the corpus.
    failures = [shrunk(question, done, one) for one in (done.found if corpus is not None else done.found[:1])]
    kept = [keep(corpus, failure) for failure in failures] if corpus is not None else []
    workers = f"{orders.workers} worker{'' if orders.workers == 1 else 's'}"
    depth = f" of depth {orders.depth}" if orders.strategy == "pct" else ""
    answer = Answer(
        question,
        f"{orders.strategy}{depth}, {workers}",
        done.verdict,
        f"{done.claim} World: {world_in_words(question)}. {judged_in_words(question)}",
        done.seconds,
        transitions=done.tally.steps,
        schedules=done.tally.schedules,
        violation=done.found[0].violation if done.found else None,
        seen={item.name: item.name not in done.unseen for item in question.instance.sometimes},
        failure=failures[0] if failures else None,
        lacking=done.unseen,
    )
    return Campaigned(done, answer, tuple(path for path in kept if path is not None))


def shrunk(question: Question, done: Campaign, found: Found) -> Failure:
    """The smallest failure that is found from one of a campaign, with the line that replays it."""
    paths, invariant = question.paths, found.violation.invariant
    setting = done.setting(found, question.edits, paths)
    if found.less == Less():
        setting = question.setting
    small, made = smallest(setting, found.choices, invariant, budget=SHRINK_STEPS, paths=paths)
    failure = record(small, made, paths)
    if failure is None or failure.violation.invariant != invariant:
        raise AssertionError(f"{invariant} is not violated when schedule {found.number} is stepped again")
    return msgspec.structs.replace(failure, replay=line_of(small, made, Lookup(tuple(paths))))
