"""The table of many result files: one row a cell, a thousand files in seconds.

A table needs thirty numbers of a cell, and a file holds hundreds of metadata and profiles. So a file is read into
records that have these numbers only; all else is passed over and never becomes an object. Where anything of what is
read is not as it should be, the file is read as a run, and that reading tells what is wrong. What is passed over is not
checked: profiles, counters that are no column, numbers of processes, lists of failed cells.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd

from gmembench.reports.profiles import LONGEST_NAME
from gmembench.reports.pyperf_file import VALUES_AT_MOST, read_bytes
from gmembench.reports.runs import quiet_collector, read_run
from gmembench.reports.schema import COUNTERS, NAME_PARTS, SCHEMA, UNITS

_COUNT = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] | None
_NAME = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)] | None

_TEXTS = {"name": "name", **{part: f"cell.{part}" for part in NAME_PARTS}}
_ABOUT = {"schema": "gmembench.schema", "kind": "gmembench.kind", "unit": "unit"}
_COUNTS = {counter: f"count.{counter}" for counter in COUNTERS}

_Metadata: Any = msgspec.defstruct(
    "_Metadata",
    [
        *((field, _NAME, None) for field in _TEXTS),
        ("schema", int | None, None),
        ("kind", str | None, None),
        ("unit", str | None, None),
        ("parameters", str | None, None),
        *((field, _COUNT, None) for field in _COUNTS),
    ],
    rename={**_TEXTS, **_ABOUT, "parameters": "cell.parameters", **_COUNTS},
    gc=False,
)
"""Metadata, as far as a table needs them; None: not there, so what all cells share holds."""

_Unit: Any = msgspec.defstruct("_Unit", [("unit", str | None, None)], gc=False)
_Run: Any = msgspec.defstruct(
    "_Run",
    [
        ("values", list[float], msgspec.field(default_factory=list)),
        ("metadata", _Unit, msgspec.field(default_factory=_Unit)),
    ],
    gc=False,
)
_SHARED = ("metadata", _Metadata, msgspec.field(default_factory=_Metadata))
_Benchmark: Any = msgspec.defstruct("_Benchmark", [("runs", list[_Run]), _SHARED], gc=False)
_Document: Any = msgspec.defstruct("_Document", [("benchmarks", list[_Benchmark]), ("version", str), _SHARED], gc=False)
_decoder = msgspec.json.Decoder(_Document)
_STEPS = COUNTERS.index("steps")
_facts = attrgetter(*_Metadata.__struct_fields__)

_COLUMNS = ("cell", *NAME_PARTS, "kind", "parameters", *COUNTERS, "processes", "time_ns")
_MISSING = -1


def read_table(paths: Iterable[Path]) -> pd.DataFrame:
    """Return one row a file and cell: file, cell, NAME_PARTS, kind, parameters, COUNTERS, processes, time_ns.

    `time_ns` is the mean over the means of the processes, missing for a cell that was only counted.
    Raises UserError if a file is not a gmembench result, or if two of its benchmarks are the same cell.
    """
    files: list[str] = []
    rows: list[tuple[Any, ...]] = []
    with quiet_collector():
        for path in paths:
            found = _rows(path)
            files += [str(path)] * len(found)
            rows += found
        columns = dict(zip(_COLUMNS, zip(*rows, strict=True) if rows else [()] * len(_COLUMNS), strict=True))
        numbers = {counter: np.array(columns[counter], dtype=np.int64) for counter in COUNTERS}
        arrays = {counter: pd.arrays.IntegerArray(values, values == _MISSING) for counter, values in numbers.items()}
        return pd.DataFrame({"file": files} | {name: list(column) for name, column in columns.items()} | arrays)


def _rows(path: Path) -> list[tuple[Any, ...]]:
    """The rows of a file, in the order of _COLUMNS."""
    try:
        return _fast(_decoder.decode(read_bytes(path)))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return list(_slow(path))


def _fast(document: Any) -> list[tuple[Any, ...]]:
    """The rows of a document that is as it should be. Raises ValueError if it is not."""
    common = _facts(document.metadata)
    rows = []
    for benchmark in document.benchmarks:
        own = _facts(benchmark.metadata)
        found = [theirs if mine is None else mine for mine, theirs in zip(own, common, strict=True)]
        names, counts = found[: len(_TEXTS)], found[-len(_COUNTS) :]
        schema, kind, unit, parameters = found[len(_TEXTS) : -len(_COUNTS)]
        if schema != SCHEMA or (unit or "second") != UNITS.get(kind) or counts[_STEPS] is None:
            raise ValueError
        if not all(name and name.isprintable() for name in names):
            raise ValueError
        processes = _processes(benchmark.runs, unit)
        means = [sum(values) / len(values) for values in processes] if kind == "measured" else []
        numbers = (_MISSING if count is None else count for count in counts)
        rows.append((*names, kind, parameters or "", *numbers, len(means), _mean_ns(means)))
    if not rows or len({row[0] for row in rows}) < len(rows):
        raise ValueError
    return rows


def _processes(runs: Iterable[Any], unit: str | None) -> list[list[float]]:
    """The values of each process. Raises ValueError if one is no time, or if they are of several units."""
    found = [run.values for run in runs if run.values]  # noqa: PD011 - no pandas here
    if not found or sum(map(len, found)) > VALUES_AT_MOST or any(run.metadata.unit not in {None, unit} for run in runs):
        raise ValueError
    if not all(min(values) > 0 and max(values) < math.inf for values in found):
        raise ValueError
    return found


def _slow(path: Path) -> Iterator[tuple[Any, ...]]:
    """The same of any file that is a result. Raises UserError if it is none."""
    for name, cell in read_run(path).cells.items():
        names = (cell.facts[part] for part in NAME_PARTS)
        counts = (cell.counted.get(counter, _MISSING) for counter in COUNTERS)
        means = cell.means_s
        kind = "measured" if means else "counted"
        yield (name, *names, kind, cell.facts.get("parameters", ""), *counts, len(means), _mean_ns(means))


def _mean_ns(means_s: Sequence[float]) -> float:
    """The mean over processes, in nanoseconds; NaN if nothing was timed."""
    return 1e9 * sum(means_s) / len(means_s) if means_s else math.nan
