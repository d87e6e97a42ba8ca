"""What `gmembench report` is given: result files, and with them failures and tables of necessity, told apart."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gmembench.core.errors import UserError
from gmembench.reports import failure_file, necessity
from gmembench.reports.failure_file import FailureFile
from gmembench.reports.loading import Results, load_results

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Inputs:
    """All that a report shows. `digests`: path as text -> SHA-256 of the file."""

    results: Results
    failures: list[tuple[Path, FailureFile]]
    tables: list[tuple[Path, necessity.Table]]
    digests: dict[str, str]


def read_inputs(paths: Sequence[Path]) -> Inputs:
    """Read all files. Raises UserError if one of them is bad, or if there is no result among them."""
    results: list[Path] = []
    failures: list[tuple[Path, FailureFile]] = []
    tables: list[tuple[Path, necessity.Table]] = []
    digests: dict[str, str] = {}
    for path in paths:
        raw = _bytes(path)
        digests[str(path)] = hashlib.sha256(raw).hexdigest()
        kind = kind_of(raw)
        if kind == "failure":
            failures.append((path, failure_file.parse(raw, str(path))))
        elif kind == "table":
            tables.append((path, necessity.parse(raw, str(path))))
        else:
            results.append(path)
    if not results and (failures or tables):
        raise UserError("no result file among them", "report", "name a RESULT.json of gmembench run too")
    return Inputs(load_results(results), failures, tables, digests)


def kind_of(raw: bytes) -> str:
    """`failure`, `table` or `result`, as the names of its first fields say; what is none is read as a result."""
    if b'"schema"' in raw[:HEAD_BYTES] and b'"benchmarks"' not in raw[:HEAD_BYTES]:
        if b'"violation"' in raw and b'"choices"' in raw:
            return "failure"
        if b'"entries"' in raw and b'"mutants"' in raw:
            return "table"
    return "result"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "give a readable file") from None
