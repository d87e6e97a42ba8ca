"""A run that is interrupted or killed: what it leaves, and that a resumed run comes to the same as a whole one."""

import json
import shlex
import subprocess
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

import click
import fake_run as fakes
import pyperf
import pytest

from gmembench.benchmarks.commands.run import asked_for

NAMES = ("a/x", "a/y", "b/x")
JOBS = 6
"""Three processes for each of two scenarios."""

NEVER = 1000


def run(folder: Path, *words: str, stop: int = NEVER, signal: int = SIGKILL) -> "subprocess.CompletedProcess[str]":
    """Run cells that only pretend; the run sends itself a signal after `stop` jobs."""
    command = fakes.command(NAMES, stop, signal, "-o", "r.json", *words)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def values_in(path: Path) -> dict[str, list[tuple[float, ...]]]:
    """Cell -> the values of its processes, from a result that pyperf can read."""
    return {b.get_name(): [r.values for r in b.get_runs()] for b in pyperf.BenchmarkSuite.load(str(path))}


def metadata_of(path: Path) -> dict[str, Any]:
    """What all cells of a result share."""
    found: dict[str, Any] = json.loads(path.read_text())["metadata"]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[float, ...]]]:
    """The values of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done = run(folder)
    assert (done.returncode, len(done.stdout.split())) == (0, JOBS), done.stderr
    assert [path.name for path in folder.iterdir()] == ["r.json"]
    assert metadata_of(folder / "r.json")["gmembench.complete"] == "yes"
    return values_in(folder / "r.json")


@pytest.mark.parametrize(("signal", "code"), [(SIGINT, 130), (SIGTERM, 143)])
def test_an_interrupted_run_leaves_a_valid_result(
    signal: int, code: int, tmp_path: Path, whole: dict[str, list[tuple[float, ...]]]
) -> None:
    """It holds what was finished, says that it is not complete, and prints the command that goes on."""
    done = run(tmp_path, stop=4, signal=signal)
    assert done.returncode == code
    found = values_in(tmp_path / "r.json")
    timed = {name: values for name, values in found.items() if len(values[0]) == 3}
    assert timed
    assert all(whole[name][: len(values)] == values for name, values in timed.items())
    assert metadata_of(tmp_path / "r.json")["gmembench.complete"] == "no"
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("go on with: gmembench run ")]
    assert shlex.split(line)[-1] == "--resume"
    again = run(tmp_path, "--resume")
    assert again.returncode == 0, again.stderr
    assert len(again.stdout.split()) == JOBS - 4
    assert values_in(tmp_path / "r.json") == whole
    assert metadata_of(tmp_path / "r.json")["gmembench.parts"] == 2


@pytest.mark.parametrize("stop", [0, 5])
def test_a_killed_run_loses_one_process(stop: int, tmp_path: Path, whole: dict[str, list[tuple[float, ...]]]) -> None:
    """After kill -9 a resume does the jobs that were not finished, each of the others never again."""
    killed = run(tmp_path, stop=stop)
    assert killed.returncode == -SIGKILL
    assert not (tmp_path / "r.json").exists()
    again = run(tmp_path, "--resume")
    assert again.returncode == 0, again.stderr
    assert len(again.stdout.split()) == JOBS - stop
    assert not set(killed.stdout.split()) & set(again.stdout.split())
    assert values_in(tmp_path / "r.json") == whole
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_what_was_killed_is_not_begun_anew(tmp_path: Path) -> None:
    """Without --resume, and with another configuration, a run is refused in one line; the work stays."""
    run(tmp_path, stop=2)
    for words, said in (
        ((), "add --resume"),
        (("--resume", "--seed", "3"), "--seed"),
        (("--resume", "--full"), "tier"),
    ):
        done = run(tmp_path, *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "r.json.run" / "plan.json").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"fast": True},
        {"harness": "pyperf", "fast": True, "rigorous": True},
        {"harness": "pyperf", "counted": True},
        {"harness": "pyperf", "tier": "all"},
        {"resume": True, "output": None},
    ],
)
def test_options_that_exclude_each_other(changes: dict[str, Any]) -> None:
    """A mistake on the command line is told before anything is made."""
    given = {"harness": "interleaved", "fast": False, "rigorous": False, "counted": False, "resume": False}
    rest = {"tier": "quick", "globs": (), "seed": 0, "cell_limit_s": None, "paths": (), "trace": None, "axes": ()}
    with pytest.raises(click.UsageError):
        asked_for({**given, **rest, "output": Path("r.json"), **changes})
    assert asked_for({**given, **rest, "output": Path("r.json")}).pyperf_options == ()


@pytest.mark.parametrize(
    ("changes", "tier", "counted"),
    [
        ({}, "standard", False),
        ({"globs": ("*/none/4K",)}, "standard", False),
        ({"counted": True}, "all", True),
        ({"counted": True, "globs": ("*/none/4K",)}, "standard", True),
        ({"counted": True, "axes": ("vcpus=1",)}, "standard", True),
        ({"counted": True, "tier": "quick"}, "quick", True),
        ({"tier": "all"}, "all", True),
        ({"tier": "all", "globs": ("*/none/4K",)}, "all", True),
    ],
)
def test_counting_alone_is_of_all_cells(changes: dict[str, Any], tier: str, counted: bool) -> None:
    """`--counted` with a selection or a tier counts what these say; alone it is `--all`, which never times."""
    given = {"harness": "interleaved", "fast": False, "rigorous": False, "counted": False, "resume": False}
    rest = {"tier": None, "globs": (), "seed": 0, "cell_limit_s": None, "paths": (), "trace": None, "axes": ()}
    asked = asked_for({**given, **rest, "output": Path("r.json"), **changes})
    assert (asked.tier, asked.counted) == (tier, counted)
