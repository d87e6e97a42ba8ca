"""The folder of a run under way: what is in it, who may use it, and which run may go on with it."""

import json
from pathlib import Path

import pytest

from gmembench.benchmarks import store
from gmembench.core.errors import UserError

PLAN = {"tier": "quick", "--cells": ["a/*"], "cells": ["x" * 100, "y"]}


def test_pieces_are_found_again(tmp_path: Path) -> None:
    """What was kept is there for the next run, by kind and name; a damaged file counts as missing."""
    with store.opened(tmp_path / "r.json", PLAN, resume=False) as first:
        first.keep("jobs", "a/x#1", {"n": 1})
        first.keep("jobs", "a/x#2", {"n": 2})
        first.keep("counted", "a/x#1", {"n": 3})
    broken = next((tmp_path / "r.json.run" / "jobs").iterdir())
    gone = json.loads(broken.read_text())["name"]
    broken.write_text('{"name": "a/')
    with store.opened(tmp_path / "r.json", PLAN, resume=True) as second:
        assert second.kept("jobs") == {name: {"n": int(name[-1])} for name in {"a/x#1", "a/x#2"} - {gone}}
        assert second.kept("counted") == {"a/x#1": {"n": 3}}


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    """While a run is at work on a result no other may be; the error names its process. Afterwards one may."""
    with (
        store.opened(tmp_path / "r.json", PLAN, resume=False),
        pytest.raises(UserError, match=r"process \d+ is at work"),
        store.opened(tmp_path / "r.json", PLAN, resume=True),
    ):
        pass
    with store.opened(tmp_path / "r.json", PLAN, resume=True):
        pass


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tier": "full"}, 'this run has "full" for tier, the interrupted one had "quick"'),
        ({"cells": []}, r"this run has \[\] for cells, .*\.\.\."),
        ({"--seed": 7}, "this run has 7 for --seed, the interrupted one had null"),
    ],
)
def test_another_configuration_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    """A resume with other options is told the first that differs, and leaves everything as it was."""
    with store.opened(tmp_path / "r.json", PLAN, resume=False) as first:
        first.keep("jobs", "a", {})
    with pytest.raises(UserError, match=said), store.opened(tmp_path / "r.json", {**PLAN, **change}, resume=True):
        pass
    with store.opened(tmp_path / "r.json", PLAN, resume=True) as again:
        assert again.kept("jobs") == {"a": {}}


def test_an_interrupted_run_is_not_begun_anew(tmp_path: Path) -> None:
    """Without --resume its work is not thrown away; with it, and nothing there, nothing is made up."""
    with pytest.raises(UserError, match="no interrupted run"), store.opened(tmp_path / "r.json", PLAN, resume=True):
        pass
    assert list(tmp_path.iterdir()) == []
    with store.opened(tmp_path / "r.json", PLAN, resume=False):
        pass
    with pytest.raises(UserError, match="add --resume"), store.opened(tmp_path / "r.json", PLAN, resume=False):
        pass


def test_a_complete_result_leaves_no_folder(tmp_path: Path) -> None:
    """An unfinished result is replaced by the finished one, and then there is nothing else."""
    with store.opened(tmp_path / "r.json", PLAN, resume=False) as first:
        first.write_result(tmp_path / "r.json", "some", complete=False)
    with store.opened(tmp_path / "r.json", PLAN, resume=True) as second:
        second.write_result(tmp_path / "r.json", "all", complete=True)
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    assert (tmp_path / "r.json").read_text() == "all"


def test_a_file_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    """A result that the run did not write stays, and so does what the run has kept."""
    (tmp_path / "r.json").write_text("theirs")
    with store.opened(tmp_path / "r.json", PLAN, resume=False) as first:
        first.keep("jobs", "a", {})
        with pytest.raises(UserError, match="another file appeared"):
            first.write_result(tmp_path / "r.json", "ours", complete=True)
        assert first.kept("jobs") == {"a": {}}
    assert (tmp_path / "r.json").read_text() == "theirs"


def test_a_full_disk_keeps_the_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that cannot be written is told with what to do, and can be written by a resume."""

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with store.opened(tmp_path / "r.json", PLAN, resume=False) as first:
        first.keep("jobs", "a", {})
        with monkeypatch.context() as patched:
            patched.setattr(store, "replace_file", full)
            with pytest.raises(UserError, match=r"No space left on device.*add --resume"):
                first.write_result(tmp_path / "r.json", "ours", complete=True)
        assert first.kept("jobs") == {"a": {}}


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full from the beginning: one line, and no folder."""

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "replace_file", full)
    with pytest.raises(UserError, match="No space left"), store.opened(tmp_path / "a.json", {}, resume=False):
        pass
    assert list(tmp_path.iterdir()) == []
