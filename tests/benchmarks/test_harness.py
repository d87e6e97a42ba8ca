"""What happens when a cell fails, when its process ends, and what is not done twice."""

import itertools
import sys
from pathlib import Path
from typing import Any

import fake_run as fakes
import pytest
from rich.console import Console

from gmembench.benchmarks import child, harness, store, timing
from gmembench.benchmarks.output import replace_file
from gmembench.benchmarks.progress import Progress
from gmembench.benchmarks.timing import CellFailed


@pytest.fixture(autouse=True)
def fake_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted, and processes only pretend to time."""
    monkeypatch.setattr(harness, "counted_lines", fakes.counted_lines)
    monkeypatch.setattr(timing, "job_command", lambda request: fakes.TIMER_COMMAND)


def run_of(*names: str, kept: store.Store | None = None, **more: Any) -> harness.Run:
    """A run of some cells that shows nothing."""
    return harness.Run(fakes.work_of(*names, **more), Progress(Console(quiet=True), None, lines=False), kept)


def test_a_process_that_prints_fails_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is no answer: the cell has failed with what was said, and the run ends in its own way."""
    monkeypatch.setattr(timing, "job_command", lambda request: [sys.executable, "-c", "print('hello'); input()"])
    outcome = run_of("a/x").do()
    assert "said 'hello' on standard output" in outcome.failed["a/x/none/4K"]


def test_every_process_times_all_designs_of_a_group() -> None:
    """Three processes of two scenarios: each cell has three runs, and runs of one number came from one process."""
    outcome = run_of("a/x", "a/y", "b/x").do()
    assert {name: len(runs) for name, runs in outcome.runs.items()} == dict.fromkeys(
        ("a/x/none/4K", "a/y/none/4K", "b/x/none/4K"), 3
    )
    seeds = [[run["metadata"]["process.seed"] for run in outcome.runs[f"a/{d}/none/4K"]] for d in "xy"]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 3


@pytest.mark.parametrize(
    ("design", "cause"),
    [
        ("dies", "the process was ended by SIGKILL"),
        ("memory", "MemoryError: no 3 TiB"),
        ("silent", "over its time limit: no value within 1 s"),
    ],
)
def test_a_process_that_ends_costs_one_cell(design: str, cause: str) -> None:
    """A worker is killed, has no memory, or takes too long: the cell fails with the cause, the others have all runs."""
    outcome = run_of("a/x", f"a/{design}", "a/y", cell_limit_s=1.0).do()
    assert outcome.failed == {f"a/{design}/none/4K": cause}
    assert {name: len(outcome.runs[name]) for name in ("a/x/none/4K", "a/y/none/4K")} == dict.fromkeys(
        ("a/x/none/4K", "a/y/none/4K"), 3
    )
    assert outcome.timed == {"a/x/none/4K", "a/y/none/4K"}


def test_a_kill_for_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel counted a kill for memory meanwhile, the cause says so."""
    kills = itertools.chain((3,) * child.AT_ONCE, itertools.repeat(4))
    monkeypatch.setattr(timing, "memory_kills", lambda: next(kills))
    outcome = run_of("a/dies").do()
    assert outcome.failed["a/dies/none/4K"].startswith("out of memory: the process was ended by SIGKILL")


def test_a_cell_that_cannot_be_counted_is_not_timed() -> None:
    """It fails with its cause, and the run goes on."""
    outcome = run_of("bad/x", "a/x").do()
    assert outcome.failed == {"bad/x/none/4K": "no memory"}
    assert list(outcome.runs) == ["a/x/none/4K"]


def test_counting_starts_no_process() -> None:
    """A counted run times nothing."""
    outcome = run_of("a/x", effort=None).do()
    assert (outcome.runs, outcome.untimed, list(outcome.counted)) == ({}, [], ["a/x/none/4K"])


def test_a_cell_without_steps_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that measured nothing does not pass as a result."""
    empty = {"cell": "a/x/none/4K", "jit": "cached", "counted": {"count.steps": 0}}
    monkeypatch.setattr(harness, "counted_lines", lambda *arguments: (line for line in [empty]))
    assert "nothing was measured" in run_of("a/x", effort=None).do().failed["a/x/none/4K"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_a_cell_that_cannot_be_kept_fails(error: OSError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A full disk or a read-only folder fails the cells that met it, with the cause; the matrix goes on."""

    def write(path: Path, text: str) -> None:
        if '"b/x/none/4K"' in text:
            raise error
        replace_file(path, text)

    monkeypatch.setattr(store, "replace_file", write)
    with store.opened(tmp_path / "r.json", {}, resume=False) as kept:
        outcome = run_of("a/x", "b/x", "c/x", kept=kept).do()
    assert list(outcome.failed) == ["b/x/none/4K"]
    assert str(error.strerror) in outcome.failed["b/x/none/4K"]
    assert outcome.timed == {"a/x/none/4K", "c/x/none/4K"}


def test_what_is_kept_is_not_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run that ends in the middle goes on where it was, and comes to what a whole run comes to."""
    names = ("a/x", "a/y", "b/x")
    whole = run_of(*names).do()
    real = timing.Timer.answer
    done: list[str] = []

    def answer(timer: timing.Timer) -> dict[str, Any]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(timer.job.name)
        return real(timer)

    monkeypatch.setattr(timing.Timer, "answer", answer)
    for resume in (False, True, True):
        with store.opened(tmp_path / "r.json", {}, resume=resume) as kept:
            run = run_of(*names, kept=kept)
            first, done[:] = list(done), []
            try:
                run.do()
            except KeyboardInterrupt:
                assert not set(first) & set(done)
    assert run.outcome.runs.keys() == whole.runs.keys()
    for name, runs in whole.runs.items():
        assert [r["values"] for r in run.outcome.runs[name]] == [r["values"] for r in runs]
    assert (whole.parts, run.outcome.parts) == (1, 3)


@pytest.mark.parametrize(
    ("bytes_there", "turn"),
    [(1 << 40, ["ready", "ready", "answer", "answer"]), (1 << 20, ["answer", "ready", "answer", "ready"])],
    ids=["memory for two", "memory for one"],
)
def test_processes_get_ready_in_pairs(bytes_there: int, turn: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two start beside each other and are timed one after the other; where memory is short, one starts at a time."""
    done: list[str] = []
    ready, answer = timing.Timer.make_ready, timing.Timer.answer

    def make_ready(timer: timing.Timer) -> float:
        if timer._ready_s is None:
            done.append("ready")
        return ready(timer)

    def answered(timer: timing.Timer) -> dict[str, Any]:
        done.append("answer")
        return answer(timer)

    monkeypatch.setattr(timing.Timer, "make_ready", make_ready)
    monkeypatch.setattr(timing.Timer, "answer", answered)
    monkeypatch.setattr(child, "AT_ONCE", 2)
    monkeypatch.setattr(harness, "memory_bytes", lambda: bytes_there)
    outcome = run_of("a/x", "b/x").do()
    assert {name: len(runs) for name, runs in outcome.runs.items()} == {"a/x/none/4K": 3, "b/x/none/4K": 3}
    assert done == turn * 3


def test_no_job_without_cells() -> None:
    """When all cells of a group have failed, no process is started for it."""
    run = run_of("a/dies")
    run.do()
    started: list[str] = []
    for job in run._jobs(fakes.EFFORT):
        started += job.loops
    assert started == []


def test_the_cell_under_way_is_blamed() -> None:
    """The error names the cell over which the process ended, not the first of the job."""
    run = run_of("a/x", "a/dies")
    run._count()
    job = next(iter(run._jobs(fakes.EFFORT)))
    with timing.Timer(job, fakes.REQUEST, 60.0) as timer, pytest.raises(CellFailed) as error:
        timer.answer()
    assert error.value.cell == "a/dies/none/4K"
