"""`gmembench replay`: exit codes, pictures, and what bad input is told."""

import json
import sys
from pathlib import Path

import pytest

from gmembench.benchmarks import cli, compiling

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "inject"))

from planted import found  # beside the tests of inject

from gmembench.inject.failure import write_failure
from gmembench.inject.schedule import packed_line


def gmembench(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run the command line here; the exit code."""
    monkeypatch.setattr(sys, "argv", ["gmembench", *words])
    return cli.invoke()


@pytest.fixture
def failure(tmp_path: Path) -> Path:
    """A failure file."""
    write_failure(tmp_path / "failure.json", found("no-recheck")[0])
    return tmp_path / "failure.json"


def test_a_violation_that_shows_again_is_exit_1(
    failure: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the table and the reason."""
    assert gmembench(monkeypatch, "replay", str(failure)) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("UAF-MAP: ")
    assert "because that came between V0's" in shown


def test_json_is_one_value(failure: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With every step by name."""
    assert gmembench(monkeypatch, "replay", str(failure), "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["invariant"] == "UAF-MAP"
    assert answer["steps"][-1] == "V0: access.fault.set_spte gfn=0 pfn=12"
    assert answer["difference"] is None


def test_a_line_replays(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Pasted as one word; the answer has it again."""
    line = packed_line(found("no-flush")[0].setting, found("no-flush")[1])
    assert gmembench(monkeypatch, "replay", line, "--json") == 1
    assert json.loads(capsys.readouterr().out)["replay"] == line


def test_a_schedule_that_breaks_nothing_is_exit_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps of it only."""
    line = packed_line(found("no-flush")[0].setting, found("no-flush")[1][:20])
    assert gmembench(monkeypatch, "replay", line, "--quiet") == 0


def test_pictures_are_drawn(failure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SVG and PNG, and the failure as it is now."""
    svg, png, again = tmp_path / "a.svg", tmp_path / "a.png", tmp_path / "again.json"
    words = ["--svg", str(svg), "--png", str(png), "-o", str(again), "--quiet"]
    assert gmembench(monkeypatch, "replay", str(failure), *words) == 1
    assert svg.read_text().startswith("<?xml")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert again.read_bytes() == failure.read_bytes()


def test_a_damaged_file_is_exit_2_with_the_offset(
    failure: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error."""
    failure.write_bytes(failure.read_bytes()[:5000])
    assert gmembench(monkeypatch, "replay", str(failure)) == 2
    shown = capsys.readouterr().err
    assert "damaged at byte 5000" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("word", ["none.json", "v1:x", "v9:x:y", "v1:none:guest-memfd:none::0s:00000000", ""])
def test_bad_input_is_exit_2(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such file, no such line."""
    assert gmembench(monkeypatch, "replay", word) == 2


def test_compiling_is_said_first(
    failure: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, of a file and of a line, and not of one that cannot be read."""
    monkeypatch.setattr(compiling, "must_compile", lambda kernel: kernel == compiling.STEPS)
    line = packed_line(found("no-flush")[0].setting, found("no-flush")[1][:2])
    for word in (str(failure), line):
        gmembench(monkeypatch, "replay", word, "--json")
        assert capsys.readouterr().err == f"{compiling.TEXT}\n"
    gmembench(monkeypatch, "replay", "v1:x", "--json")
    assert compiling.TEXT not in capsys.readouterr().err


def test_nothing_is_overwritten(failure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is there already is exit 2, before anything is stepped."""
    (tmp_path / "a.svg").write_text("mine")
    assert gmembench(monkeypatch, "replay", str(failure), "--svg", str(tmp_path / "a.svg")) == 2
    assert (tmp_path / "a.svg").read_text() == "mine"
