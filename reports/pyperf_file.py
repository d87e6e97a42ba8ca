"""pyperf's JSON, read with the standard library alone, so that a bad file is told in one line.

The format: {"benchmarks": [{"metadata": {}, "runs": [{"metadata": {}, "warmups": [], "values": []}]}],
"metadata": {}, "version": "1.0"}. Metadata that all benchmarks share stand on the top level only.
A run may hold calibration or warm-ups without values.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gmembench.core.errors import UserError

WRITE_AGAIN = "write it again with gmembench run"


@dataclass(frozen=True)
class RawBenchmark:
    """One benchmark of a pyperf file: merged metadata, and a list of values for each process."""

    metadata: Mapping[str, Any]
    processes: tuple[tuple[float, ...], ...]
    where: str


def read_benchmarks(path: Path) -> list[RawBenchmark]:
    """Return the benchmarks of a pyperf JSON file, each with at least one process that has values.

    Raises UserError if the file cannot be read, is not JSON, holds NaN or infinity, is not of pyperf's
    shape, or holds no benchmark, or a benchmark without values.
    """
    document = _document(path)
    benchmarks = document.get("benchmarks")
    if not isinstance(benchmarks, list) or not isinstance(document.get("version"), str):
        raise UserError("this is JSON, but not a pyperf result", str(path), "give a file of gmembench run")
    if not benchmarks:
        raise UserError("it holds no benchmark", str(path), WRITE_AGAIN)
    common = _mapping(document.get("metadata", {}), f"{path}, metadata")
    return [_benchmark(raw, common, f"{path}, benchmark {i}") for i, raw in enumerate(benchmarks, 1)]


def load_json(text: str) -> Any:
    """Parse strict JSON. Raises ValueError on NaN, infinity, bad syntax or hopeless nesting."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = load_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "give a readable file") from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", str(path), "give an unpacked JSON file of gmembench run") from None
    except ValueError as error:
        raise UserError(f"not valid JSON ({error})", str(path), WRITE_AGAIN) from None
    return _mapping(document, str(path))


def _benchmark(raw: object, common: Mapping[str, Any], where: str) -> RawBenchmark:
    benchmark = _mapping(raw, where)
    runs = benchmark.get("runs")
    if not isinstance(runs, list) or not runs:
        raise UserError("it has no runs", where, WRITE_AGAIN)
    metadata = {**common, **_mapping(benchmark.get("metadata", {}), where)}
    processes = []
    for number, raw_run in enumerate(runs, 1):
        run = _mapping(raw_run, f"{where}, run {number}")
        values = _values(run.get("values", []), f"{where}, run {number}")
        if values:
            processes.append(values)
            metadata = {**_mapping(run.get("metadata", {}), f"{where}, run {number}"), **metadata}
    if not processes:
        raise UserError("none of its runs has a value", where, WRITE_AGAIN)
    return RawBenchmark(metadata, tuple(processes), where)


def _values(raw: object, where: str) -> tuple[float, ...]:
    if not isinstance(raw, list):
        raise UserError("values is not a list", where, WRITE_AGAIN)
    for value in raw:
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or value <= 0:
            raise UserError(f"{str(value)[:40]!r} is not a positive number", where, WRITE_AGAIN)
    return tuple(float(value) for value in raw)


def _mapping(raw: object, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise UserError("this is not a pyperf result (an object is missing)", where, WRITE_AGAIN)
    return raw
