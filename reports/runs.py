"""Result files as runs: the numbers of each cell, without profiles, so that thousands of files can be read.

`loading` has all of few files, for a report. This has little of many: for comparisons and a history.
"""

import contextlib
import gc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmembench.core.errors import UserError
from gmembench.reports.pyperf_file import PROFILES, WRITE_AGAIN, RawBenchmark, load_json, read_benchmarks
from gmembench.reports.schema import cell_name

_COUNT = "count."
_PER_CELL = ("cell.", _COUNT, "reason.", "gmembench.kind", *PROFILES)
ABOUT = "scenarios.about"
_LISTS = ("cells.failed", "cells.not_applicable")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one cell in one run.

    facts: what makes the cell what it is, metadata `cell.*` without that prefix.
    counted: every counter by name, metadata `count.*` without that prefix.
    means_s: seconds an operation, one mean for each worker process; empty if the cell was only counted.
    interpreted: whether the model ran as plain Python.
    group, processes, rounds_s: name of the cells that were timed interleaved with it, the number of each process in
      it, and the values of each process, one a round; empty if it was timed alone.
    """

    facts: Mapping[str, str]
    counted: Mapping[str, int]
    means_s: tuple[float, ...]
    interpreted: bool
    group: str = ""
    processes: tuple[int, ...] = ()
    rounds_s: tuple[Sequence[float], ...] = ()


@dataclass(frozen=True)
class Run:
    """One result file: its path, the metadata that its cells share, its cells, and those that are missing, with why."""

    path: Path
    metadata: Mapping[str, Any]
    cells: Mapping[str, Numbers]
    failed: Mapping[str, str]
    not_applicable: Mapping[str, str]


def read_run(path: Path) -> Run:
    """Read the numbers of a result file.

    Raises UserError if it is not a gmembench result, or if two of its benchmarks are the same cell.
    """
    cells: dict[str, Numbers] = {}
    metadata: dict[str, Any] = {}
    lists: dict[str, dict[str, str]] = {key: {} for key in _LISTS}
    texts: set[str] = set()
    kinds: set[str] = set()
    shared: dict[int, tuple[dict[str, Any], dict[str, str]]] = {}
    for raw in read_benchmarks(path, profiles=False):
        name = cell_name(raw)
        if name in cells:
            raise UserError(f"the cell {name} is there twice", raw.where, "remove one of the two")
        cells[name] = numbers(raw, shared)
        if (kind := raw.metadata["gmembench.kind"]) not in kinds:
            kinds.add(kind)  # facts about the machine stand at timed cells only
            metadata = {key: value for key, value in raw.metadata.items() if not key.startswith(_PER_CELL)} | metadata
        for key, text in (("cells.failed", "cause"), ("cells.not_applicable", "reason")):
            listed = raw.metadata.get(key)
            if listed is not None and str(listed) not in texts:
                texts.add(str(listed))
                lists[key].update(listed_cells(raw, key, text))
    return Run(path, metadata, cells, lists["cells.failed"], lists["cells.not_applicable"])


def numbers(raw: RawBenchmark, shared: dict[int, tuple[dict[str, Any], dict[str, str]]]) -> Numbers:
    """The numbers of a benchmark. `shared`: what was found in metadata that all benchmarks share, once found.

    Raises UserError if a counter is not a count, or `count.steps` is missing.
    """
    if id(raw.common) not in shared:
        shared[id(raw.common)] = _parts(raw.common)
    (common_counts, common_facts), (counts, facts) = shared[id(raw.common)], _parts(raw.own)
    counted = {**common_counts, **counts}
    for key, value in counted.items():
        if type(value) is not int or not 0 <= value < 1 << 63:
            raise UserError(f"{_COUNT}{key} is not a count", raw.where, WRITE_AGAIN)
    if "steps" not in counted:
        raise UserError("count.steps is missing", raw.where, WRITE_AGAIN)
    measured = raw.metadata["gmembench.kind"] == "measured"
    means = tuple([sum(values) / len(values) for values in raw.processes]) if measured else ()
    interpreted = raw.metadata.get("jit.state") == "interpreted"
    return Numbers({**common_facts, **facts}, counted, means, interpreted, *_interleaved(raw, means))


def _interleaved(
    raw: RawBenchmark, means: tuple[float, ...]
) -> tuple[str, tuple[int, ...], tuple[Sequence[float], ...]]:
    """Group, numbers of the processes, and their values, if all processes say which they are."""
    group = raw.metadata.get("process.group")
    if not means or not isinstance(group, str) or not all(type(number) is int for number in raw.numbers):
        return "", (), ()
    if len(set(raw.numbers)) < len(means):
        return "", (), ()
    return group, raw.numbers, tuple(raw.processes)


def _parts(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Counters and facts in some metadata."""
    counts: dict[str, Any] = {}
    facts: dict[str, str] = {}
    for key, value in metadata.items():
        head = key[:5]
        if head == "count" and key[5:6] == ".":
            counts[key[6:]] = value
        elif head == "cell.":
            facts[key[5:]] = str(value)
    return counts, facts


def listed_cells(raw: RawBenchmark, key: str, text: str) -> list[tuple[str, str]]:
    """Read a list of cells with a text for each; a file without the list has no such cells."""
    try:
        found = load_json(str(raw.metadata.get(key, "[]")))
        return [(str(item["cell"]), str(item[text])) for item in found]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{key} is not a list of cells", raw.where, WRITE_AGAIN) from None


def told_scenarios(raw: RawBenchmark) -> dict[str, str]:
    """Name of a scenario, without variant and axes -> what it does; a file need not say it."""
    try:
        return {str(name): str(text) for name, text in load_json(str(raw.metadata.get(ABOUT, "{}"))).items()}
    except (ValueError, AttributeError):
        raise UserError(f"{ABOUT} is not an object of texts", raw.where, WRITE_AGAIN) from None


@contextlib.contextmanager
def quiet_collector() -> Iterator[None]:
    """Hold off the garbage collector, which goes through all numbers again and again and never finds a cycle."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def digest(path: Path) -> str:
    """A digest of the content of a file, 16 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
