"""Failure files: whole or not at all, readable, and damage is placed instead of believed."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import PLANTED, found

from gmembench.core.errors import UserError
from gmembench.inject.failure import BLOCK_BYTES, SCHEMA, as_bytes, failure_of, offset_of, read_failure, write_failure


def raw() -> bytes:
    """The bytes of a failure."""
    return as_bytes(found("no-recheck")[0])


@pytest.mark.parametrize("name", PLANTED)
def test_a_failure_reads_as_it_was_written(name: str, tmp_path: Path) -> None:
    """Everything in it comes back."""
    failure = found(name)[0]
    write_failure(tmp_path / "a.json", failure)
    assert read_failure(tmp_path / "a.json") == failure


def test_it_is_plain_json_with_a_choice_a_line() -> None:
    """Any reader of JSON can take it, and people can read it."""
    document = json.loads(raw())
    assert document["schema"] == SCHEMA
    assert document["choices"][0]["row"] == "access.run.resume"
    lines = raw().decode().splitlines()
    assert sum(line.startswith(' {"actor":') for line in lines) == len(document["choices"])


def test_it_names_the_step_its_outcome_and_the_state() -> None:
    """Each choice has its step by name, and digests differ where the state does."""
    choices = found("no-recheck")[0].choices
    assert choices[-1].row == "access.fault.set_spte"
    assert choices[-1].outcome == "next"
    assert len({choice.state for choice in choices}) > len(choices) // 3
    assert all(re.fullmatch("[0-9a-f]{16}", choice.state) for choice in choices)
    assert all(0 <= choice.picked < choice.options for choice in choices)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A path that exists is refused, and stays."""
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_failure(tmp_path / "a.json", found("no-recheck")[0])
    assert (tmp_path / "a.json").read_text() == "mine"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Without the folder there is an error for the user."""
    with pytest.raises(UserError, match="cannot write"):
        write_failure(tmp_path / "none" / "a.json", found("no-recheck")[0])
    assert list(tmp_path.iterdir()) == []


def test_writing_leaves_the_file_alone_in_its_folder(tmp_path: Path) -> None:
    """What is written aside is renamed."""
    write_failure(tmp_path / "a.json", found("no-recheck")[0])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@given(st.data())
@settings(max_examples=60)
def test_a_truncated_file_is_placed(data: st.DataObject) -> None:
    """Wherever it ends, the error names a byte of the file, at most one past its end."""
    whole = raw().rstrip()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(UserError) as error:
        failure_of(cut, "f.json")
    assert int(re.search(r"byte (\d+)", str(error.value))[1]) <= len(cut)  # type: ignore[index]


@given(st.data())
@settings(max_examples=60)
def test_a_flipped_bit_is_placed(data: st.DataObject) -> None:
    """The error names the kilobyte, or the byte at which JSON ends; only spaces at the end may change unnoticed."""
    whole = bytearray(raw())
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    whole[at] ^= 1 << bit
    try:
        failure = failure_of(bytes(whole), "f.json")
    except UserError as error:
        told = int(re.search(r"byte (\d+)", str(error))[1])  # type: ignore[index]
        assert told <= len(whole)
        assert told >= at - BLOCK_BYTES
    else:
        assert failure == found("no-recheck")[0]


@given(st.binary(max_size=200))
def test_no_bytes_give_a_traceback(garbage: bytes) -> None:
    """Anything that is no failure is the user's error."""
    with pytest.raises(UserError):
        failure_of(garbage, "f.json")


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"schema": 1}', b"{}", b"[]", b'{"schema": "1"}', b"\xff"])
def test_json_that_is_no_failure_is_refused(text: bytes) -> None:
    """Also JSON of another shape, deep nesting, and what is not UTF-8."""
    with pytest.raises(UserError, match="byte"):
        failure_of(text, "f.json")


def test_an_unknown_format_says_so() -> None:
    """A file of a later version is not called damaged."""
    later = as_bytes(msgspec.structs.replace(found("no-recheck")[0], schema=SCHEMA + 1))
    with pytest.raises(UserError, match=f"format {SCHEMA + 1}.*reads format {SCHEMA}"):
        failure_of(later, "f.json")


def test_a_wrong_value_is_placed() -> None:
    """A well-made file with a value of the wrong kind: the byte at which that value begins."""
    document = msgspec.to_builtins(found("no-recheck")[0])
    document["choices"][3]["options"] = "many"
    text = json.dumps(document).encode()
    at = offset_of(text, ".choices[3].options")
    assert text[at:].startswith(b'"many"')


def test_a_missing_file_is_the_users_error(tmp_path: Path) -> None:
    """A path that is a folder, or nothing."""
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(UserError):
            read_failure(path)
