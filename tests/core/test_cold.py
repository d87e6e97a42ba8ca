"""Sharing the work of a cold cache: every chunk once, whoever comes later waits, and nothing depends on it."""

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from cold_notes import FOLDER, note_chunks

from gmembench.core import cold
from gmembench.core.steps import table

CHUNKS = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where chunks are noted; two CPUs."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(cold, "cpus", lambda: 2)
    return tmp_path


def workers(folder: Path) -> list[list[int]]:
    """For each chunk the processes that compiled it."""
    return [[int(pid) for pid in (folder / f"chunk-{n}").read_text().split()] for n in range(CHUNKS)]


def compile_all(folder: Path) -> None:
    """A process that needs the chunks."""
    cold.compile_once(folder / "done", CHUNKS, note_chunks)


def test_two_processes_share_the_chunks(folder: Path) -> None:
    """Each chunk is compiled once, half of them by a helper, and not again by whoever comes later."""
    compile_all(folder)
    compile_all(folder)
    (first,), (second,), *others = workers(folder)
    assert first == os.getpid() != second
    assert others == [[first], [second]]


def test_one_of_several_cold_starts_compiles(folder: Path) -> None:
    """Processes that start together compile each chunk once: the others wait."""
    started = [get_context("fork").Process(target=compile_all, args=(folder,)) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    assert [len(pids) for pids in workers(folder)] == [1, 1, 1, 1]


def test_where_no_process_can_be_started_the_rest_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without helpers a process compiles its own share; the other chunks are compiled when they are needed."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    compile_all(folder)
    assert sorted(path.name for path in folder.glob("chunk-*")) == ["chunk-0", "chunk-2"]


def test_a_helper_that_dies_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that fails leaves its share to whoever needs it, silently."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    compile_all(folder)
    assert sorted(path.name for path in folder.glob("chunk-*")) == ["chunk-0", "chunk-2"]


def test_one_cpu_needs_no_helper(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one CPU all chunks are compiled where they are needed."""
    monkeypatch.setattr(cold, "cpus", lambda: 1)
    compile_all(folder)
    assert workers(folder) == [[os.getpid()]] * CHUNKS


def test_a_folder_that_cannot_be_written_is_no_error(folder: Path) -> None:
    """Without a lock and a mark the chunks are compiled all the same."""
    cold.compile_once(folder / "absent" / "done", CHUNKS, note_chunks)
    assert [len(pids) for pids in workers(folder)] == [1, 1, 1, 1]


def test_the_chunks_hold_every_link_once() -> None:
    """Each step and each fused sequence is compiled in exactly one chunk; no chunk is much larger than the others."""
    chunks = table._chunks()
    assert sorted(number for chunk in chunks for number in chunk) == list(range(len(table._links)))
    assert len(chunks) == len(table.TABLE_KERNELS) == table.CHUNKS
    assert max(len(chunk) for chunk in chunks) <= len(table._links) / table.CHUNKS * 2
