"""Results appear whole or not at all."""

import os
from pathlib import Path

import pytest

from gmembench.benchmarks.output import check_new_path, write_new
from gmembench.core.errors import UserError


def test_writes_the_text_and_nothing_else(tmp_path: Path) -> None:
    """The folder holds the file with exactly the text, and no file aside."""
    write_new(tmp_path / "a.json", "{}\n")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "{}\n"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """Neither the other file nor the new text is lost, and the error says where the text is."""
    target = tmp_path / "a.json"
    target.write_text("theirs")
    with pytest.raises(UserError) as caught:
        write_new(target, "ours")
    assert target.read_text() == "theirs"
    aside = Path(caught.value.mend.rsplit(" ", 1)[1])
    assert aside.read_text() == "ours"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full nothing stays behind, under either name."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_new(tmp_path / "a.json", "{}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    """Whatever stands at a path, it is refused before any work."""
    target = tmp_path / "taken"
    if kind == "file":
        target.touch()
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists already"):
        check_new_path(target, "-o")


def test_a_missing_folder_is_told_with_its_mend(tmp_path: Path) -> None:
    """A path in a folder that does not exist is refused, and the error has the command that makes it."""
    with pytest.raises(UserError, match="mkdir -p"):
        check_new_path(tmp_path / "no" / "a.json", "-o")
