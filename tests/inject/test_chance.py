"""`explore --random`, `--pct`: campaigns from the command line, their answers and what they keep."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gmembench.benchmarks.cli import command_line
from gmembench.inject import campaign
from gmembench.inject.corpus import corpus
from gmembench.inject.failure import read_failure
from gmembench.inject.replay import replay

STUCK = ("--design", "guest-memfd", "--scenario", "convert-vs-convert", "--without", "convert.unlock_slots")


def explore(*words: str) -> tuple[int, dict[str, object]]:
    """Exit code and the object on standard output."""
    done = CliRunner().invoke(command_line, ["explore", *words, "--json"], standalone_mode=False)
    assert done.exception is None, done.output
    return done.return_value, json.loads(done.stdout)


@pytest.mark.parametrize("way", [("--random", "8"), ("--pct", "2", "--schedules", "8")])
def test_a_failure_is_shrunk_kept_and_replayed(way: tuple[str, ...], tmp_path: Path) -> None:
    """Exit code 1, the invariant, a line to paste, and a file in the corpus that replays."""
    code, answer = explore(*STUCK, *way, "--corpus", str(tmp_path / "corpus"))
    assert (code, answer["verdict"], answer["invariant"]) == (1, "violation", "LIVE")
    assert str(answer["replay"]).startswith("gmembench replay ")
    kept = corpus(tmp_path / "corpus")
    assert len(kept) == 1
    again = replay(read_failure(kept[0]))
    assert again.difference is None
    assert again.found is not None


@pytest.mark.parametrize(("enough", "fails"), [(2, 1), (3, 0)])
def test_states_that_were_never_seen_fail_a_campaign(enough: int, fails: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, though nothing was found; a handful of schedules only says so."""
    monkeypatch.setattr(campaign, "MUST_SEE", enough)
    code, answer = explore("--design", "guest-memfd", "--scenario", "fault-vs-punch", "--random", "2")
    assert (code, answer["verdict"]) == (fails, "not-found")
    assert answer["schedules"] == 2
    assert answer["transitions"] > 100  # type: ignore[operator]  # a number
    seen = answer["sometimes"]["seen"]  # type: ignore[index]  # an object
    assert not all(seen.values())
    assert "Never seen" in str(answer["claim"])
