"""The answer of a campaign: what schedules at random have found, shrunk and kept like any other failure."""

from dataclasses import dataclass
from pathlib import Path

from gmembench.core.drivers.prepared import NeverEnds
from gmembench.inject.answer import MEMORY_MODEL, Answer, judged_in_words, never_begun, shrunk, world_in_words
from gmembench.inject.campaign import Campaign, Found, Less, Orders, Progress, run_campaign, silent
from gmembench.inject.corpus import keep
from gmembench.inject.coverage import rows_not_run
from gmembench.inject.failure import Failure
from gmembench.inject.question import Question


@dataclass(frozen=True)
class Campaigned:
    """A campaign, its answer, and the files that are new in the corpus. No campaign: what is prepared never ends."""

    campaign: Campaign | None
    answer: Answer
    kept: tuple[Path, ...] = ()


def by_chance(
    question: Question, orders: Orders, *, progress: Progress = silent, corpus: Path | None = None
) -> Campaigned:
    """Run a campaign. `corpus`: a folder in which the failures that were found are kept, shrunk."""
    depth = f" of depth {orders.depth}" if orders.strategy == "pct" else ""
    driver = f"{orders.strategy}{depth}, seed {orders.seed}"
    try:
        done = run_campaign(question.instance, orders, edits=question.edits, paths=question.paths, progress=progress)
    except NeverEnds as fault:
        return Campaigned(None, never_begun(question, fault, driver))
    # Failures beside the first are only wanted for the corpus.
    failures = [_shrunk(question, done, one) for one in (done.found if corpus is not None else done.found[:1])]
    kept = [keep(corpus, failure) for failure in failures] if corpus is not None else []
    answer = Answer(
        question,
        driver,
        done.verdict,
        f"{done.claim} Bound: {world_in_words(question)}. {judged_in_words(question)} {MEMORY_MODEL}",
        done.seconds,
        transitions=done.tally.steps,
        schedules=done.tally.schedules,
        violation=done.found[0].violation if done.found else None,
        seen={item.name: item.name not in done.unseen for item in question.instance.sometimes},
        failure=failures[0] if failures else None,
        lacking=done.lacking,
        rows_not_run=rows_not_run(question.instance, done.ran),
    )
    return Campaigned(done, answer, tuple(path for path in kept if path is not None))


def _shrunk(question: Question, done: Campaign, found: Found) -> Failure:
    setting = None if found.less == Less() else done.setting(found, question.edits, question.paths)
    return shrunk(question, found.choices, found.violation.invariant, setting=setting)
