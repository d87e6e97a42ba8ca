"""What a resumed run must find unchanged beside the model."""

from pathlib import Path

from gmembench.benchmarks.sources import digest_of_benchmarks, digest_of_parts


def test_an_edit_below_a_path_is_seen(tmp_path: Path) -> None:
    """A scenario that was edited, or a file that came, gives another digest; the same files give the same."""
    (tmp_path / "scenarios").mkdir()
    scenario = tmp_path / "scenarios" / "mine.py"
    scenario.write_text("LAPS = 1\n")
    before = digest_of_parts([tmp_path], None)
    assert digest_of_parts([tmp_path], None) == before
    scenario.write_text("LAPS = 2\n")
    edited = digest_of_parts([tmp_path], None)
    (tmp_path / "scenarios" / "other.py").write_text("")
    assert len({before, edited, digest_of_parts([tmp_path], None)}) == 3


def test_another_trace_is_seen(tmp_path: Path) -> None:
    """By its content, under the same name."""
    trace = tmp_path / "trace.dat"
    trace.write_bytes(b"a")
    before = digest_of_parts([], trace)
    trace.write_bytes(b"b")
    assert digest_of_parts([], trace) != before


def test_without_parts_there_is_nothing_to_tell() -> None:
    """What ships has a digest of its own, of 16 digits."""
    assert digest_of_parts([], None) == ""
    assert len(digest_of_benchmarks()) == 16
