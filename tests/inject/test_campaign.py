"""Campaigns: what they find does not depend on the number of workers, and they say what they did not see."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from planted import PLANTED, instance_of

from gmembench.core.drivers.instance import Instance, Sometimes
from gmembench.core.drivers.sampling import sample
from gmembench.core.errors import UserError
from gmembench.core.jit import INTERPRETED
from gmembench.inject import campaign
from gmembench.inject.campaign import Campaign, Less, Orders, Tally, Work, less_of, run_campaign
from gmembench.inject.corpus import corpus, keep
from gmembench.inject.failure import read_failure
from gmembench.inject.recording import record
from gmembench.inject.replay import replay

CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus"


BATCH = 1 if INTERPRETED else 1000
"""Interpreted schedules are slow."""


def orders(schedules: int = 1_000_000, **parts: object) -> Orders:
    """Orders of small batches."""
    return Orders(schedules, **{"batch": 4, **parts})  # type: ignore[arg-type]  # by name


@cache
def bug() -> Instance:
    """The lock that is never dropped: nearly every schedule shows it."""
    return instance_of(PLANTED["slots-lock-left"])


@cache
def sound() -> Instance:
    """The same scripts without a bug."""
    from gmembench.core.catalog import load_designs, load_hardware
    from gmembench.core.programs import assemble

    return replace(bug(), code=assemble(load_designs()["guest-memfd"], load_hardware()["none"]))


def told(done: Campaign) -> tuple[object, ...]:
    """All that must not depend on the workers."""
    t = done.tally
    counts = (t.schedules, t.steps, t.capped, t.by_strategy, t.steps_by_strategy, t.left_out, t.seen)
    return (*counts, sorted(t.taken.items()), done.found, done.verdict, done.rows, done.claim)


@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_a_bug_is_found_and_its_schedule_is_told(strategy: str) -> None:
    """The failing schedule is the one of the smallest number; it replays in what its batch left over."""
    done = run_campaign(bug(), orders(schedules=40, strategy=strategy))  # type: ignore[arg-type]  # one of both
    found = done.found[0]
    assert done.verdict == "violation"
    assert done.stopped == "the first failure"
    assert found.violation.invariant == "LIVE"
    assert done.tally.schedules == found.number + 1
    failure = record(done.setting(found), found.choices)
    assert failure is not None
    assert failure.violation.invariant == "LIVE"


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """All schedules are made, by their numbers."""
    done = run_campaign(sound(), orders(schedules=22, seed=3))
    assert (done.verdict, done.stopped, done.tally.schedules) == ("not-found", "", 22)
    assert done.tally.by_strategy == {"random": 22}
    assert 0 < done.rows[0] <= done.rows[1]


def test_the_random_baseline_runs_beside_pct() -> None:
    """Every fourth batch."""
    done = run_campaign(sound(), orders(schedules=32, strategy="pct", depth=2))
    assert done.tally.by_strategy == {"pct": 24, "random": 8}


WORKERS = """
import hashlib, sys
from test_campaign import BATCH, bug, orders, sound, told
from gmembench.inject.campaign import run_campaign
if __name__ == "__main__":
    for instance in (bug(), sound()):
        parts = {"strategy": sys.argv[2], "failures": 2, "seed": 7, "batch": BATCH}
        done = run_campaign(instance, orders(40 * BATCH, workers=int(sys.argv[1]), **parts))
        assert done.verdict == ("violation" if instance is bug() else "not-found")
        print(hashlib.sha256(repr(told(done)).encode()).hexdigest())
"""


def test_any_number_of_workers_finds_the_same(tmp_path: Path) -> None:
    """One in this process, or several others."""
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent), str(Path(__file__).parents[1])])
    answers = [
        subprocess.run(
            [sys.executable, str(script), str(workers), "random" if INTERPRETED else "pct"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": paths},
        ).stdout
        for workers in (1, 2)
    ]
    assert answers[0] == answers[1]
    assert len(answers[0].split()) == 2


def test_tallies_are_put_together_in_any_portions() -> None:
    """Batches one by one, and all of them at once."""
    work = campaign.Work(sound(), orders(schedules=24))
    whole, parts = work.make(range(6), 1e9), Tally()
    for batch in range(6):
        parts.merge(work.make(range(batch, batch + 1), 1e9), 1)
    assert parts == whole


def test_batches_leave_out_what_their_number_says() -> None:
    """The same for the same seed; every other one nothing; every operation is left out by some and not by others."""
    many = [less_of(sound(), 5, batch) for batch in range(2000)]
    assert many == [less_of(sound(), 5, batch) for batch in range(2000)]
    assert many != [less_of(sound(), 6, batch) for batch in range(2000)]
    assert all(less == Less() for less in many[::2])
    for number, script in enumerate(sound().scripts):
        for at in range(len(script)):
            assert 130 < sum((number, at) in less.operations for less in many) < 250


def test_what_is_left_out_does_not_run() -> None:
    """Without the conversion of H0, only H1 converts."""
    work = campaign.Work(sound(), orders())
    sampler = work.sampler("random")
    sampler.disable({(2, 0)})
    less = sampler.run(3)
    sampler.disable()
    assert less.steps < sampler.run(3).steps
    same = sample(
        replace(sound(), scripts=(*sound().scripts[:2], sound().scripts[2][:0], sound().scripts[3])), schedules=3
    )
    assert same.steps == less.steps


def test_a_state_that_is_never_seen_fails_the_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named; a run too short to be a campaign only says so."""
    monkeypatch.setattr(campaign, "MUST_SEE", 4)
    impossible = Sometimes("everybody is everywhere", needs=((1, (0,)), (1, (1,))))
    done = run_campaign(replace(sound(), sometimes=(impossible,)), orders(schedules=4))
    assert done.verdict == "not-found"
    assert done.failed
    assert done.lacking == ("everybody is everywhere",)
    short = run_campaign(done.instance, orders(schedules=3))
    assert (short.failed, short.unseen) == (False, done.lacking)
    assert "everybody is everywhere" in done.claim


def test_a_campaign_stops_when_its_time_is_up() -> None:
    """And says so."""
    done = run_campaign(sound(), orders(schedules=10**9, seconds=0.2))
    assert done.stopped == "0.2 seconds"
    assert done.tally.schedules < 10**9
    assert "Stopped after 0.2 seconds" in done.claim


def test_an_interrupt_ends_it_with_what_it_has() -> None:
    """As Ctrl-C does, also where the tests were started in the background, with the signal ignored."""
    told_of: list[int] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(tally: Tally, seconds: float) -> None:
        told_of.append(tally.schedules)
        os.kill(os.getpid(), signal.SIGINT)

    try:
        done = run_campaign(sound(), orders(schedules=10**9), progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.stopped == "an interrupt"
    assert done.tally.schedules >= told_of[0] > 0


def test_an_interrupt_before_the_first_batch_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was looked at, so that nothing is told as not found."""

    def interrupted(work: Work, batches: object, seconds: float) -> Tally:
        raise KeyboardInterrupt

    monkeypatch.setattr(Work, "make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(sound(), orders(schedules=10**9))


def test_different_failures_are_kept() -> None:
    """Two different ones, if two are asked for; the same one is not told twice."""
    done = run_campaign(bug(), orders(schedules=24, failures=50))
    kinds = [found.kind for found in done.found]
    assert len(kinds) == len(set(kinds)) > 0
    assert done.tally.schedules == 24


@pytest.mark.parametrize("parts", [{"schedules": 0}, {"workers": 0}, {"failures": 0}, {"strategy": "none"}])
def test_what_cannot_be_is_refused(parts: dict[str, object]) -> None:
    """With what there is."""
    with pytest.raises(UserError):
        Orders(**parts)  # type: ignore[arg-type]  # wrong on purpose


def test_a_failure_is_kept_once(tmp_path: Path) -> None:
    """Under a name that says what it is; found again it is not written again."""
    done = run_campaign(bug(), orders(schedules=4))
    failure = record(done.setting(done.found[0]), done.found[0].choices)
    assert failure is not None
    path = keep(tmp_path / "corpus", failure)
    assert path is not None
    assert path.name.startswith("guest-memfd-none-LIVE-")
    assert keep(tmp_path / "corpus", failure) is None
    assert corpus(tmp_path / "corpus") == [path]
    assert read_failure(path) == failure


def test_there_is_a_corpus() -> None:
    """The next test has something to do."""
    assert len(corpus(CORPUS)) >= 3


@pytest.mark.parametrize("path", corpus(CORPUS), ids=lambda path: path.stem)
def test_every_failure_of_the_corpus_replays(path: Path) -> None:
    """The same invariant breaks."""
    failure = read_failure(path)
    again = replay(failure)
    assert again.found is not None, f"{again.difference}: find it anew as docs/adding.md says"
    assert again.found.violation.invariant == failure.violation.invariant
