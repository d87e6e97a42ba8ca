"""`gmembench run` end to end: real cells, real worker processes."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyperf
import pytest

from gmembench.benchmarks import cli, counter, harness
from gmembench.benchmarks.cells import cell_named, list_cells
from gmembench.benchmarks.child import Request
from gmembench.core.catalog import load_designs

TWO = [f"inplace-vs-dual:{variant}/guest-memfd/none/4K" for variant in ("pool", "copy")]

BROKEN = '''
"""A scenario whose operations cannot be made."""

from gmembench.benchmarks.scenario import Scenario


def build(parameters):
    raise ArithmeticError("nine is not\\nprime")


SCENARIO = Scenario(name="broken", doc=__doc__, sizes={"small": {}, "full": {}}, build=build)
'''


def run(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `gmembench run` in a process of its own."""
    command = [sys.executable, "-P", "-m", "gmembench", "run", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def counted_here(names: Sequence[str], request: Request) -> Iterator[dict[str, Any]]:
    """The lines of cells, counted in this process."""
    told: set[str] = set()
    for name in names:
        yield {**counter.answer(cell_named(name, request.size), request, told), "jit": counter.kernels_state()}


Here = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Here:
    """`gmembench run` in this process and in `tmp_path`: cells are real, and no child has to start and load kernels."""
    monkeypatch.setattr(harness, "counted_lines", counted_here)
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str) -> "subprocess.CompletedProcess[str]":
        monkeypatch.setattr(sys, "argv", ["gmembench", "run", *words])
        code = cli.invoke()
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return invoke


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A quick run of one cell: the result file and what was printed as JSON."""
    folder = tmp_path_factory.mktemp("quick")
    done = run("--quick", "--cells", TWO[0], "-o", "result.json", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "result.json", json.loads(done.stdout)


def test_a_quick_run_times_in_worker_processes(quick: tuple[Path, dict[str, Any]]) -> None:
    """A cell has the runs of three processes, each of three values, per operation, and says that it did the same."""
    benchmark = pyperf.BenchmarkSuite.load(str(quick[0])).get_benchmark(TWO[0])
    metadata = benchmark.get_metadata()
    assert benchmark.get_nrun() == 3
    assert len({run.get_metadata()["date"] for run in benchmark.get_runs()}) == 3
    assert [run.get_metadata()["process.number"] for run in benchmark.get_runs()] == [0, 1, 2]
    assert metadata["check.timed"] == "equal"
    assert {len(run.values) for run in benchmark.get_runs()} == {3}
    assert metadata["inner_loops"] == metadata["count.operations"]
    assert (metadata["gmembench.kind"], metadata["unit"]) == ("measured", "second")


def test_the_answer_agrees_with_the_file(quick: tuple[Path, dict[str, Any]]) -> None:
    """What is printed as JSON is what the file holds."""
    suite = pyperf.BenchmarkSuite.load(str(quick[0]))
    answer = quick[1]
    assert answer["output"] == "result.json"
    assert (answer["failed"], answer["untimed"], answer["report"]) == ([], [], None)
    assert answer["warning"] == suite.get_metadata().get("noise.warning", "")
    for row in answer["cells"]:
        benchmark = suite.get_benchmark(row["name"])
        assert row["seconds_per_operation"] == pytest.approx(benchmark.mean())
        assert row["steps"] == benchmark.get_metadata()["count.steps"]


def test_counts_do_not_depend_on_timing(quick: tuple[Path, dict[str, Any]], here: Here, tmp_path: Path) -> None:
    """A counted run finds the same numbers as a timed one; one that counts in its own process writes the same file."""
    cells = [word for name in TWO for word in ("--cells", name)]
    words = ("--quick", "--counted", *cells, "-o", "result.json", "--json")
    (tmp_path / "a").mkdir()
    for done in (run(*words, cwd=tmp_path / "a"), here(*words)):
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a" / "result.json").read_text() == (tmp_path / "result.json").read_text()
    timed, counted = (pyperf.BenchmarkSuite.load(str(p)) for p in (quick[0], tmp_path / "a" / "result.json"))
    before, after = (
        {key: value for key, value in suite.get_benchmark(TWO[0]).get_metadata().items() if is_count(key)}
        for suite in (timed, counted)
    )
    assert before == after
    assert counted.get_benchmark(TWO[0]).get_values() == (after["count.steps"],)


def is_count(key: str) -> bool:
    """Whether a metadata key is a counted number or profile."""
    return key.startswith(("count.", "profile.", "cell."))


def test_not_applicable_cells_are_told(here: Here, tmp_path: Path) -> None:
    """Selected cells that are not applicable are in the result with their reason."""
    lacking = next(cell for cell in list_cells("small", (), None) if cell.reason is not None)
    done = here("--quick", "--counted", "--cells", lacking.name, "--cells", TWO[0], "-o", "r.json")
    assert done.returncode == 0, done.stderr
    metadata = pyperf.BenchmarkSuite.load(str(tmp_path / "r.json")).get_metadata()
    assert json.loads(metadata["cells.not_applicable"]) == [{"cell": lacking.name, "reason": lacking.reason}]


def test_what_is_not_applicable_is_told_everywhere(here: Here, tmp_path: Path) -> None:
    """A cell, and a program inside a cell, that a design does not have: with the reason in file, JSON and table."""
    reason = load_designs()["legacy-vma"].not_applicable["convert"]
    ran, lacking = "teardown/legacy-vma/none/4K", "inplace-vs-dual:pool/legacy-vma/none/4K"
    words = ("--quick", "--counted", "--cells", ran, "--cells", lacking)
    done = here(*words, "-o", "a.json")
    answer = json.loads(here(*words, "--json", "-o", "b.json").stdout)
    metadata = pyperf.BenchmarkSuite.load(str(tmp_path / "a.json")).get_benchmark(ran).get_metadata()
    assert (metadata["reason.not_applicable.convert"], metadata["count.not_applicable.convert"]) == (reason, 2)
    assert "count.operations.convert" not in metadata
    assert [row["not_applicable"] for row in answer["cells"]] == [{"convert": reason}]
    assert answer["not_applicable"] == [{"name": lacking, "reason": f"legacy-vma has no convert: {reason}"}]
    lines = done.stdout.splitlines()
    (cell_line,) = [line for line in lines if line.startswith(lacking)]
    (ran_line,) = [line for line in lines if line.startswith(ran)]
    assert cell_line.split()[1:] == ["not", "applicable", "[1]", "-"]
    assert ran_line.split()[-2:] == ["convert", "[2]"]
    assert f"[1] legacy-vma has no convert: {reason}" in lines
    assert f"[2] {reason}" in lines


def test_only_not_applicable_cells_are_a_mistake(here: Here) -> None:
    """A selection in which nothing can run is refused with the reason."""
    lacking = next(cell for cell in list_cells("small", (), None) if cell.reason is not None)
    done = here("--counted", "--cells", lacking.name)
    assert done.returncode == 2
    assert str(lacking.reason) in done.stderr


def parts_with_a_broken_scenario(folder: Path) -> Path:
    """A folder for `--path` whose scenario raises when its operations are made."""
    (folder / "parts" / "scenarios").mkdir(parents=True)
    (folder / "parts" / "scenarios" / "broken.py").write_text(BROKEN)
    return folder / "parts"


def test_a_broken_scenario_costs_its_cells_only(here: Here, tmp_path: Path) -> None:
    """A scenario from `--path` that raises is told with its cause in one line; others are kept; exit code 1."""
    parts = parts_with_a_broken_scenario(tmp_path)
    words = ["--quick", "--counted", "--path", str(parts), "--cells", "broken/*", "--cells", TWO[0], "-o", "r.json"]
    done = here(*words, "--json")
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert [row["name"] for row in answer["cells"]] == TWO[:1]
    assert {failed["name"].partition("/")[0] for failed in answer["failed"]} == {"broken"}
    assert all(failed["cause"].startswith("ArithmeticError: nine is not prime") for failed in answer["failed"])
    assert (tmp_path / "r.json").is_file()


def test_when_every_cell_fails_nothing_is_written(here: Here, tmp_path: Path) -> None:
    """No result file without a result, and the exit code says so; the JSON answer still comes."""
    parts = parts_with_a_broken_scenario(tmp_path)
    done = here("--counted", "--path", str(parts), "--cells", "broken/*", "-o", "r.json", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["output"] is None
    assert not (tmp_path / "r.json").exists()


def test_without_a_terminal_a_line_for_each_cell(here: Here, tmp_path: Path) -> None:
    """Progress that is not read on a terminal is plain lines on standard error; `--quiet` says nothing."""
    done = here("--quick", "--counted", "--cells", TWO[0], "-o", "a.json")
    assert done.stderr.startswith(f"counted {TWO[0]}: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout.endswith("results: a.json\n")
    silent = here("--quick", "--counted", "--quiet", "--cells", TWO[0], "-o", "b.json")
    assert (silent.stdout, silent.stderr) == ("", "")


def test_the_default_name_is_the_time(here: Here, tmp_path: Path) -> None:
    """Without -o the result is gmembench-<UTC time>.json in the current folder."""
    assert here("--quick", "--counted", "--cells", TWO[0]).returncode == 0
    (result,) = tmp_path.iterdir()
    assert result.match("gmembench-*T*Z.json")


def test_run_builds_the_report(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--report` builds the same report as the command `report` does from the file."""
    done = here("--quick", "--counted", "--cells", TWO[0], "-o", "a.json", "--report", "one")
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(sys, "argv", ["gmembench", "report", "a.json", "-o", "two"])
    assert cli.invoke() == 0
    names = [sorted(str(p.relative_to(tmp_path / f)) for p in (tmp_path / f).rglob("*")) for f in ("one", "two")]
    assert names[0] == names[1]
    assert "index.html" in names[0]


@pytest.mark.parametrize("module", ["counter", "worker"])
def test_children_refuse_other_sources(module: str, tmp_path: Path) -> None:
    """A child that was started from other sources says so and measures nothing."""
    words = ["--size=small", f"--digest={'0' * 16}"]
    if module == "worker":
        words += [
            f"--cell={TWO[0]}",
            "--state=0",
            "--processes=1",
            "--values=1",
            "--warmups=0",
            "--loops=1",
            "--quiet",
            "--output=result.json",
        ]
    command = [sys.executable, "-P", "-m", f"gmembench.benchmarks.{module}", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "runs other sources" in done.stderr
    assert "0" * 16 in done.stderr
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])
