"""The suite of our own kernels compares counters exactly, and times with a pool of runs."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gmembench.benchmarks import conftest, kernel_pool
from gmembench.benchmarks.kernel_counters import STORED, KernelCounters, differences
from gmembench.core.errors import UserError
from gmembench.core.jit import INTERPRETED

ROOT = Path(__file__).resolve().parents[2]
HERE = {"cpu": {"brand_raw": "one"}, "python_version": "3.11"}
KERNEL = "test_worlds.py::test_fingerprint"
"""One that compiles little."""


def suite(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the suite in a process of its own."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.skipif(INTERPRETED, reason="the sizes are those of compiled kernels")
def test_counters_are_as_stored() -> None:
    """Every kernel but the report does what it did when its counters were stored, and each has stored ones."""
    done = suite("benchmarks", "--benchmark-disable", "--deselect", "benchmarks/test_report.py")
    kernels = len(json.loads((ROOT / STORED).read_text())) - 1
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"counters: {kernels} of {kernels} kernels are as stored in" in done.stdout
    assert "no baseline" not in done.stdout


def test_the_first_run_passes_and_later_ones_are_compared(tmp_path: Path) -> None:
    """Without any baseline the suite passes, says so, and joins the pool.

    With baselines, a counter that differs by one fails, with both numbers and the command that stores new ones; and a
    kernel fails that is slower than in all runs of the pool.
    """
    path, storage = tmp_path / "counters.json", tmp_path / "storage"
    words = ["--counters", str(path), "--pool", "--benchmark-autosave", f"--benchmark-storage={storage}"]
    first = suite(f"benchmarks/{KERNEL}", *words)
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"counters: 0 of 1 kernels are as stored in {path}; there is no baseline for all" in first.stdout
    assert "times: the pool has 0 runs of this machine; nothing is judged with less than 5: it passes" in first.stdout

    (saved,) = storage.rglob("*.json")
    for number in range(2, 7):
        shutil.copy(saved, saved.parent / f"000{number}_again.json")
    quicken(saved.parent)
    stored = json.loads((ROOT / STORED).read_text())
    path.write_text(json.dumps(stored | {KERNEL: stored[KERNEL] | {"fingerprints": 999}}))
    later = suite(f"benchmarks/{KERNEL}", *words)
    assert later.returncode == 1, later.stdout + later.stderr
    assert "fingerprints: 999 stored, 1000 counted. If that is meant: pytest benchmarks" in later.stdout
    assert "times: 1 of 1 kernels are slower than in 6 runs of the pool" in later.stdout


def quicken(pool: Path) -> None:
    """Make stored times some thousand times shorter, each by another factor."""
    for number, path in enumerate(sorted(pool.iterdir())):
        stored = json.loads(path.read_text())
        stored["benchmarks"][0]["stats"]["median"] *= (1 + number / 100) / 1000
        path.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("stored", "found", "told"),
    [
        ({"steps": 1}, {"steps": 1}, []),
        ({"steps": 1}, {"steps": 2}, ["steps: 1 stored, 2 counted"]),
        ({"steps": 1}, {}, ["steps: 1 stored, nothing counted"]),
        ({}, {"steps": 1}, ["steps: nothing stored, 1 counted"]),
    ],
)
def test_differences(stored: Mapping[str, int], found: Mapping[str, int], told: list[str]) -> None:
    """A counter that is new, gone or another is told."""
    assert differences(stored, found) == told


def test_counters_of_tests_that_did_not_run_stay(tmp_path: Path) -> None:
    """Storing the counters of a part of the suite keeps the others."""
    path = tmp_path / "counters.json"
    path.write_text('{"a": {"n": 1}, "b": {"n": 2}}')
    counters = KernelCounters(path)
    assert counters.note("b", {"n": 3}) == ["n: 2 stored, 3 counted"]
    counters.save()
    assert json.loads(path.read_text()) == {"a": {"n": 1}, "b": {"n": 3}}


def test_a_broken_file_of_counters_is_told(tmp_path: Path) -> None:
    """A file that is no JSON is an error of the user."""
    path = tmp_path / "counters.json"
    path.write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        KernelCounters(path)


def pool_of(*medians: float) -> list[dict[str, float]]:
    """A pool of one kernel."""
    return [{"k": median} for median in medians]


@pytest.mark.parametrize(
    ("now", "slower"),
    [(1.00, False), (1.04, False), (1.10, True), (0.5, False)],
    ids=["same", "less than is told", "slower", "faster"],
)
def test_a_kernel_is_judged_by_the_pool(now: float, slower: bool) -> None:
    """A run outside of what the runs of the pool do is slower, if it is so by 5 %."""
    (verdict,) = kernel_pool.verdicts(pool_of(1.0, 1.01, 0.99, 1.005, 0.995, 1.0), {"k": now})
    assert verdict.slower is slower
    assert verdict.ratio == pytest.approx(now, rel=0.01)


def test_a_noisy_pool_judges_less() -> None:
    """What is slower than a quiet pool is within a noisy one."""
    noisy = pool_of(1.0, 1.2, 0.8, 1.1, 0.9, 1.0)
    assert not kernel_pool.verdicts(noisy, {"k": 1.2})[0].slower


def test_runs_that_are_all_equal_judge_too() -> None:
    """Without any spread, each longer time is slower and an equal one is not."""
    equal = pool_of(*[1.0] * 6)
    assert kernel_pool.verdicts(equal, {"k": 1.5})[0].p == 0
    assert not kernel_pool.verdicts(equal, {"k": 1.0})[0].slower


def test_few_runs_judge_nothing() -> None:
    """Less runs than are needed pass, and say so."""
    assert kernel_pool.verdicts(pool_of(1.0, 1.0, 1.0, 1.0), {"k": 9.0}) == []
    (line,) = kernel_pool.lines([], 4, 2)
    assert line.startswith("times: the pool has 4 runs of this machine; 2 of another processor or Python are left out")


def stored_run(machine: Mapping[str, Any], median: float) -> dict[str, Any]:
    """A run as pytest-benchmark stores it, as far as it is read."""
    return {"machine_info": machine, "benchmarks": [{"fullname": "k", "stats": {"median": median}}]}


@pytest.mark.parametrize(("now", "status"), [(1.0, 0), (2.0, 1)])
def test_a_slower_kernel_fails_the_session(now: float, status: int) -> None:
    """The exit code tells of a kernel that is slower than in the pool, and of no other."""
    runs = [(f"{i}.json", stored_run(HERE, 1 + i / 100)) for i in range(6)]
    plugin = SimpleNamespace(storage=SimpleNamespace(load=lambda: runs), get_machine_info=lambda: HERE)
    config = SimpleNamespace(_benchmarksession=plugin, stash={conftest.MEDIANS: {"k": now}})
    session: Any = SimpleNamespace(config=config, exitstatus=0)
    (line, *_) = conftest.judge(session)
    assert session.exitstatus == status
    assert line == f"times: {status} of 1 kernels are slower than in 6 runs of the pool"


def test_runs_of_other_machines_are_left_out() -> None:
    """Times of another processor or another Python are no baseline."""
    others = [{**HERE, "cpu": {"brand_raw": "two"}}, {**HERE, "python_version": "3.12"}]
    runs, left_out = kernel_pool.pooled([stored_run(HERE, 1.0), *(stored_run(other, 2.0) for other in others)], HERE)
    assert (runs, left_out) == ([{"k": 1.0}], 2)


def test_many_kernels_are_corrected() -> None:
    """A p that would do for one kernel alone does not among many."""
    runs = [{name: 1 + 0.02 * math.sin(7 * i + number) for number, name in enumerate("abcdefghij")} for i in range(8)]
    now = dict.fromkeys("abcdefghij", 1.0) | {"a": 1.055}
    alone = kernel_pool.verdicts([{"a": run["a"]} for run in runs], {"a": now["a"]})[0]
    among = next(verdict for verdict in kernel_pool.verdicts(runs, now) if verdict.name == "a")
    assert alone.p < among.p
    assert (alone.slower, among.slower) == (True, False)
