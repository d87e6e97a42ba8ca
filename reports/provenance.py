"""Where the numbers come from: machine, software, command and digest of every result file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmembench.reports.inputs import Inputs
from gmembench.reports.loading import Results

_FIELDS = (
    ("gmembench", ("gmembench.version",)),
    ("digest of the model's source", ("gmembench.digest",)),
    ("size of the scenarios", ("gmembench.size",)),
    ("command", ("gmembench.command",)),
    ("date", ("date",)),
    ("Python", ("python_version",)),
    ("Numba", ("numba_version", "gmembench.numba", "numba.version")),
    ("compiled code", ("jit.state",)),
    ("processor", ("cpu_model_name",)),
    ("processors", ("cpu_count",)),
    ("kernel and platform", ("platform",)),
    ("pyperf", ("perf_version",)),
)
"""Label, and the metadata keys that may hold it."""

_MUST_MATCH = (
    ("gmembench.digest", "the source of the model"),
    ("gmembench.size", "the size of the scenarios"),
    ("cpu_model_name", "the processor"),
)


@dataclass(frozen=True)
class Source:
    """A file that numbers come from. `command`, `date`: as it records them, "" if it does not."""

    name: str
    command: str
    digest: str
    date: str


def files(inputs: Inputs) -> list[Source]:
    """All result files, in the order in which cells name them."""
    return [
        Source(
            Path(path).name,
            str(metadata.get("gmembench.command", "")),
            inputs.digests.get(path, ""),
            str(metadata.get("date", "")),
        )
        for path, metadata in inputs.results.files.items()
    ]


def table(results: Results) -> list[tuple[str, list[str]]]:
    """Return one row a fact: its label, and its text for each file."""
    kinds = {file: sorted(set(found)) for file, found in results.cells.groupby("file")["kind"]}
    rows = [
        ("file", [Path(file).name for file in results.files]),
        ("kind of result", [" and ".join(kinds[file]) for file in results.files]),
    ]
    for label, keys in _FIELDS:
        texts = [_first(metadata, keys) for metadata in results.files.values()]
        if any(texts):
            rows.append((label, [text or "not recorded" for text in texts]))
    return rows


def warnings(results: Results) -> list[str]:
    """Return what a reader must know before any number: failed cells, files that cannot be compared."""
    found = []
    for key, name in _MUST_MATCH:
        if len({str(metadata.get(key, "")) for metadata in results.files.values()}) > 1:
            found.append(f"The files differ in {name}. Do not compare numbers across them.")
    found += [f"The cell {cell} failed and is not in this report: {cause}" for cell, cause in results.failed.items()]
    if any(metadata.get("jit.state") == "interpreted" for metadata in results.files.values()):
        found.append("The model ran interpreted, not compiled: its times say nothing about the compiled model.")
    return found


def _first(metadata: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(metadata[key]) for key in keys if key in metadata), "")
