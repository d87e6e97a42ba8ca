"""pyperf's JSON, read without pyperf: fast where the file is right, precise where it is wrong.

The format: {"benchmarks": [{"metadata": {}, "runs": [{"metadata": {}, "warmups": [], "values": []}]}],
"metadata": {}, "version": "1.0"}. Metadata that all benchmarks share stand on the top level only.
A run may hold calibration or warm-ups without values. A file that ends in .zst is unpacked on the way.

msgspec reads a right file ten times faster than pyperf does. What it refuses is read again with the
standard library, value by value, and that reading tells what is wrong and where.
"""

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import zstandard

from gmembench.core.errors import UserError

WRITE_AGAIN = "write it again with gmembench run"

VALUES_AT_MOST = 100_000
"""Values of one benchmark. A run of gmembench has hundreds; more than this comes from another tool or a mistake."""

NUMBER = "process.number"
"""Metadata of a process: its number among those that timed several cells interleaved."""

PROFILES = ("rows.", "profile.")
"""Metadata that make up nine tenths of a file, and that a table of numbers does not need."""


@dataclass(frozen=True)
class RawBenchmark:
    """One benchmark of a pyperf file: merged metadata, and a list of values for each process.

    common, own: the metadata that all benchmarks of the file share (one and the same object), and its own.
    numbers: what each process says is its number.
    """

    metadata: Mapping[str, Any]
    processes: tuple[tuple[float, ...], ...]
    where: str
    common: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    numbers: tuple[Any, ...] = ()


class _Run(msgspec.Struct, gc=False):
    values: list[float] = []
    metadata: dict[str, Any] = {}


class _Benchmark(msgspec.Struct, gc=False):
    runs: list[_Run]
    metadata: dict[str, Any] = {}


class _Document(msgspec.Struct, gc=False):
    benchmarks: list[_Benchmark]
    version: str
    metadata: dict[str, msgspec.Raw] = {}


_decoder = msgspec.json.Decoder(_Document)


def read_benchmarks(path: Path, *, profiles: bool = True) -> list[RawBenchmark]:
    """Return the benchmarks of a pyperf JSON file, each with at least one process that has values.

    `profiles`: whether to keep metadata that begin with PROFILES.
    Raises UserError if the file cannot be read, is not JSON, holds NaN or infinity, is not of pyperf's
    shape, or holds no benchmark, or a benchmark without values or with values in several units.
    """
    content = read_bytes(path)
    try:
        return _benchmarks(content, str(path), profiles)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _read_slowly(content, str(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked if its name ends in .zst. Raises UserError if that cannot be done."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "give a readable file") from None
    if path.suffix != ".zst":
        return content
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except zstandard.ZstdError:
        raise UserError("not packed by zstd, or cut off", str(path), "restore it, or remove it") from None


def load_json(text: str | bytes) -> Any:
    """Parse strict JSON. Raises ValueError on NaN, infinity, bad syntax or hopeless nesting."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a number{_place(text, name)}")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _place(text: str | bytes, name: str) -> str:
    """Where the first such name stands outside of strings."""
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    for found in re.finditer(rf'"(?:[^"\\]|\\.)*"|({re.escape(name)})', plain):
        if found[1]:
            line = plain.count("\n", 0, found.start()) + 1
            column = found.start() - plain.rfind("\n", 0, found.start())
            return f": line {line} column {column}"
    return ""


def _benchmarks(content: bytes, path: str, profiles: bool) -> list[RawBenchmark]:
    """The fast reading. Raises ValueError if anything is wrong."""
    document = _decoder.decode(content)
    common = {
        key: msgspec.json.decode(text)
        for key, text in document.metadata.items()
        if profiles or not key.startswith(PROFILES)
    }
    if not document.benchmarks:
        raise ValueError
    return [_fast(found, common, f"{path}, benchmark {i}") for i, found in enumerate(document.benchmarks, 1)]


def _fast(found: _Benchmark, common: Mapping[str, Any], where: str) -> RawBenchmark:
    metadata = {**common, **found.metadata}
    processes = [run for run in found.runs if run.values]
    for run in processes:
        if not (min(run.values) > 0 and max(run.values) < math.inf):  # NaN cannot be here: it is no JSON
            raise ValueError
        if not run.metadata.keys() <= metadata.keys():
            metadata = {**run.metadata, **metadata}
    if not processes or sum(len(run.values) for run in processes) > VALUES_AT_MOST or _units(processes, metadata):
        raise ValueError
    numbers = tuple([run.metadata.get(NUMBER, metadata.get(NUMBER)) for run in processes])
    return RawBenchmark(metadata, tuple(tuple(run.values) for run in processes), where, common, found.metadata, numbers)


def _units(runs: Iterable[_Run], metadata: Mapping[str, Any]) -> bool:
    """True if a run has another unit than its benchmark."""
    unit = metadata.get("unit")
    return any(run.metadata.get("unit", unit) != unit for run in runs)


def _read_slowly(content: bytes, path: str) -> list[RawBenchmark]:
    """The same with the standard library, which tells what is wrong."""
    document = _document(content, path)
    benchmarks = document.get("benchmarks")
    if not isinstance(benchmarks, list) or not isinstance(document.get("version"), str):
        raise UserError("this is JSON, but not a pyperf result", path, "give a file of gmembench run")
    if not benchmarks:
        raise UserError("it holds no benchmark", path, WRITE_AGAIN)
    common = _mapping(document.get("metadata", {}), f"{path}, metadata")
    return [_benchmark(raw, common, f"{path}, benchmark {i}") for i, raw in enumerate(benchmarks, 1)]


def _document(content: bytes, path: str) -> Mapping[str, Any]:
    try:
        document = load_json(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text", path, "give a JSON file of gmembench run") from None
    except ValueError as error:
        raise UserError(f"not valid JSON ({error})", path, WRITE_AGAIN) from None
    return _mapping(document, path)


def _benchmark(raw: object, common: Mapping[str, Any], where: str) -> RawBenchmark:
    benchmark = _mapping(raw, where)
    runs = benchmark.get("runs")
    if not isinstance(runs, list) or not runs:
        raise UserError("it has no runs", where, WRITE_AGAIN)
    special = _mapping(benchmark.get("metadata", {}), where)
    metadata = {**common, **special}
    processes: list[tuple[float, ...]] = []
    numbers: list[Any] = []
    for number, raw_run in enumerate(runs, 1):
        run = _mapping(raw_run, f"{where}, run {number}")
        values = _values(run.get("values", []), f"{where}, run {number}")
        if values:
            processes.append(values)
            own = _mapping(run.get("metadata", {}), f"{where}, run {number}")
            metadata = {**own, **metadata}
            _check_unit(own, metadata, f"{where}, run {number}")
            numbers.append(own.get(NUMBER, metadata.get(NUMBER)))
    if not processes:
        raise UserError("none of its runs has a value", where, WRITE_AGAIN)
    if (count := sum(map(len, processes))) > VALUES_AT_MOST:
        raise UserError(f"it holds {count:,} values, more than {VALUES_AT_MOST:,}", where, WRITE_AGAIN)
    return RawBenchmark(metadata, tuple(processes), where, common, special, tuple(numbers))


def _check_unit(own: Mapping[str, Any], metadata: Mapping[str, Any], where: str) -> None:
    unit = str(metadata.get("unit"))[:20]
    if own.get("unit", unit) != unit:
        raise UserError(f"its unit is {str(own['unit'])[:20]!r}, that of others is {unit!r}", where, WRITE_AGAIN)


def _values(raw: object, where: str) -> tuple[float, ...]:
    if not isinstance(raw, list):
        raise UserError("values is not a list", where, WRITE_AGAIN)
    for value in raw:
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not numeric or not 0 < value < sys.float_info.max:
            raise UserError(f"{repr(value)[:40]} is not a positive number", where, WRITE_AGAIN)
    return tuple(float(value) for value in raw)


def _mapping(raw: object, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise UserError("this is not a pyperf result (an object is missing)", where, WRITE_AGAIN)
    return raw
