"""`gmembench compare` and `gmembench history` as a user types them: output, exit codes, and errors in one line."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gmembench.benchmarks import cli

CELLS = ["boot-populate/legacy-vma/none/4K", "boot-populate/guest-memfd/none/4K"]


def document(steps: int = 100) -> dict[str, Any]:
    """A counted result of two cells."""
    benchmarks = []
    for cell in CELLS:
        scenario, design, hardware, page_size = cell.split("/")
        metadata = {
            "name": cell, "cell.scenario": scenario, "cell.design": design, "cell.hardware": hardware,
            "cell.page_size": page_size, "count.steps": steps, "count.operations": 10,
        }  # fmt: skip
        benchmarks.append({"metadata": metadata, "runs": [{"values": [steps]}]})
    shared = {"gmembench.schema": 1, "gmembench.size": "small", "gmembench.kind": "counted", "unit": "integer"}
    return {"version": "1.0", "metadata": shared, "benchmarks": benchmarks}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with base.json, and new.json that takes a step more; it is the current one."""
    (tmp_path / "base.json").write_text(json.dumps(document()))
    (tmp_path / "new.json").write_text(json.dumps(document(101)))
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gmembench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, in this process: exit code, standard output and standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gmembench", *words])
        code = cli.invoke()
        return code, *capsys.readouterr()

    return call


def test_compare_fails_on_a_regression_and_passes_without(here: Path, gmembench: Command) -> None:
    """Exit code 1 with the cells and counters, 0 for equal runs."""
    code, out, _ = gmembench("compare", "base.json", "new.json")
    assert code == 1
    assert f"slower  {CELLS[0]}" in out
    assert "steps 100 -> 101 (+1.0%)" in out
    code, out, _ = gmembench("compare", "base.json", "base.json")
    assert (code, out.splitlines()[-1]) == (0, "passed: 2 same")


def test_json_is_all_of_standard_output(here: Path, gmembench: Command) -> None:
    """With --json there is one value, also where the exit code is 1."""
    code, out, err = gmembench("compare", "base.json", "new.json", "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["counts"]["slower"] == 2


def test_github_gets_annotations_and_a_summary(here: Path, gmembench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotations on standard output, the table at the end of the step summary."""
    summary = here / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    code, out, _ = gmembench("compare", "base.json", "new.json", "--format", "github")
    assert code == 1
    assert out.startswith("::error title=slower%3A boot-populate/")
    assert summary.read_text().startswith("before\n### ")
    assert summary.read_text().count("**slower**") == 2


def test_an_output_file_holds_what_would_be_printed(here: Path, gmembench: Command) -> None:
    """-o writes the text and prints nothing; what is there is not overwritten."""
    assert gmembench("compare", "base.json", "new.json", "--format", "markdown", "-o", "x.md")[:2] == (1, "")
    assert "| **slower** |" in (here / "x.md").read_text()
    code, _, err = gmembench("compare", "base.json", "new.json", "-o", "x.md")
    assert (code, "exists already" in err) == (2, True)


def test_of_a_history_the_runs_of_the_same_size_are_the_base(here: Path, gmembench: Command) -> None:
    """Newer runs of another tier stand in no run's way; if there are no others, they are refused in one line."""
    (here / "history").mkdir()
    other = document()
    other["metadata"]["gmembench.size"] = "medium"
    (here / "other.json").write_text(json.dumps(other))
    gmembench("history", "add", "history", "other.json", "--time", "2026-01-02T00:00:00Z")
    code, _, errors = gmembench("compare", "history", "base.json")
    assert code == 2
    assert "the size of the scenarios is 'small', but 'medium'" in errors
    gmembench("history", "add", "history", "base.json", "--time", "2026-01-01T00:00:00Z")
    assert gmembench("compare", "history", "base.json")[0] == 0
    assert gmembench("compare", "history", "new.json")[0] == 1


def test_a_history_from_empty_to_blessed(here: Path, gmembench: Command) -> None:
    """Add, compare with it, find the regression, bless it; adding again adds nothing."""
    (here / "history").mkdir()
    code, out, _ = gmembench("compare", "history", "base.json")
    assert (code, "nothing to compare with" in out) == (0, True)
    assert gmembench("history", "add", "history", "base.json", "--time", "2026-01-01T00:00:00Z")[0] == 0
    assert gmembench("history", "check", "history")[0] == 0
    assert gmembench("compare", "history", "new.json")[0] == 1
    gmembench("history", "add", "history", "new.json", "--time", "2026-01-02", "--commit", "abc123")
    code, out, _ = gmembench("history", "add", "history", "new.json", "--commit", "abc123")
    assert (code, "is there already" in out) == (0, True)
    assert len(list((here / "history" / "runs").iterdir())) == 2
    code, out, _ = gmembench("history", "check", "history")
    assert (code, "2 regressions are open" in out) == (1, True)
    assert "--run 20260102T000000Z-abc123" in out
    run = ("--run", "20260102T000000Z-abc123")
    assert gmembench("history", "bless", "history", *run, "--note", "on purpose")[0] == 0
    code, out, _ = gmembench("history", "check", "history")
    assert (code, "[blessed: on purpose]" in out) == (0, True)


def test_a_history_is_shown_and_exported(here: Path, gmembench: Command) -> None:
    """A line a cell in the terminal, a page with -o, and files for asv and Otava."""
    gmembench("history", "add", "history", "base.json", "new.json")
    code, out, _ = gmembench("history", "show", "history", "--cells", "*/guest-memfd/*")
    assert (code, CELLS[1] in out, CELLS[0] in out) == (0, True, False)
    assert gmembench("history", "show", "history", "-o", "page.html")[0] == 0
    assert CELLS[0] in (here / "page.html").read_text()
    assert gmembench("history", "export", "history", "--format", "asv", "-o", "asv")[0] == 0
    assert gmembench("history", "export", "history", "--format", "otava", "-o", "otava")[0] == 0
    assert (here / "asv" / "results" / "benchmarks.json").exists()
    assert (here / "otava" / "otava.yaml").exists()


def test_an_index_that_cannot_be_written_is_kept_in_memory(here: Path, gmembench: Command) -> None:
    """What is found is the same, and a line on standard error says so."""
    gmembench("history", "add", "history", "base.json", "--time", "2026-01-01")
    gmembench("history", "add", "history", "new.json", "--time", "2026-01-02")
    (here / "history" / "index.sqlite").mkdir()
    code, out, err = gmembench("history", "check", "history")
    assert (code, "2 regressions are open" in out, "in memory" in err) == (1, True, True)


def spoilt(text: str) -> str:
    """The base result with a piece of its text replaced."""
    return json.dumps(document()).replace(*text.split(" => "), 1)


BAD = {
    "truncated": json.dumps(document())[:-20],
    "wrong schema": spoilt('"gmembench.schema": 1 => "gmembench.schema": 9'),
    "not a number": spoilt("[100] => [NaN]"),
    "no runs": spoilt('[{"values": [100]}] => []'),
    "mixed units": spoilt('{"values": [100]} => {"values": [100], "metadata": {"unit": "byte"}}'),
    "a million values": json.dumps(document()).replace("[100]", json.dumps([100] * 1_000_000), 1),
    "no pyperf": '{"hello": "world"}',
    "a cell twice": json.dumps({**document(), "benchmarks": document()["benchmarks"] * 2}),
    "empty": "",
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize(
    "words",
    [
        ("compare", "base.json", "bad.json"),
        ("compare", "bad.json", "base.json"),
        ("history", "add", "history", "bad.json"),
        ("report", "bad.json", "-o", "out"),
    ],
    ids=" ".join,
)
def test_bad_files_are_one_line_and_leave_nothing(here: Path, gmembench: Command, what: str, words: list[str]) -> None:
    """Exit code 2, one line with the file and the mend, and nothing that is half there."""
    (here / "bad.json").write_text(BAD[what])
    before = sorted(here.rglob("*"))
    code, out, err = gmembench(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "bad.json" in err
    assert ";" in err
    assert sorted(here.rglob("*")) == before


def test_a_torn_history_is_told_with_the_file(here: Path, gmembench: Command) -> None:
    """A damaged run, blessing or record of changes: one line that names it."""
    gmembench("history", "add", "history", "base.json")
    (run,) = (here / "history" / "runs").iterdir()
    for name, text in (("changes.json", "{"), ("blessed/x.toml", "cell = 1"), (f"runs/{run.name}", "torn")):
        path = here / "history" / name
        path.parent.mkdir(exist_ok=True)
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        path.write_text(text)
        code, _, err = gmembench("history", "check", "history")
        assert (code, err.count("\n")) == (2, 1), err
        assert path.name in err
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    assert gmembench("history", "check", "history")[0] == 0


def test_usage_errors_are_one_line(here: Path, gmembench: Command) -> None:
    """A folder that is no history, a time that is none, a commit that is none, no such cell."""
    shutil.copytree(here, here / "folder")
    gmembench("history", "add", "history", "base.json")
    for words, says in (
        (("compare", "folder", "new.json"), "this is no history"),
        (("history", "add", "history", "new.json", "--time", "soon"), "'soon' is not a time"),
        (("history", "add", "history", "new.json", "--commit", "../x"), "'../x' is not the name of a commit"),
        (("history", "show", "history", "--cells", "nothing"), "no cell matches"),
        (("history", "bless", "history", "--run", "x", "--note", "y"), "no run begins with 'x'"),
    ):
        code, _, err = gmembench(*words)
        assert (code, err.count("\n"), says in err) == (2, 1, True), (words, err)


def test_nothing_heavy_is_loaded_to_compare(here: Path) -> None:
    """A comparison needs neither Numba nor Matplotlib nor pyperf: it takes a second in a CI job."""
    code = (
        "import sys\nfrom gmembench.benchmarks import cli\n"
        "sys.argv = ['gmembench', 'compare', 'base.json', 'base.json']\n"
        "assert cli.invoke() == 0\nprint({'numba', 'matplotlib', 'pyperf'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd=here)
    assert done.stderr.strip() == "set()"
