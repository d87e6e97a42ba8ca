"""Where the numbers come from: machine, software, command and digest of every result file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmembench.reports.inputs import Inputs
from gmembench.reports.loading import Results
from gmembench.reports.pyperf_file import load_json

_FIELDS = (
    ("gmembench", ("gmembench.version",)),
    ("commit", ("gmembench.commit",)),
    ("digest of the model's source", ("gmembench.digest",)),
    ("tier", ("gmembench.tier",)),
    ("size of the scenarios", ("gmembench.size",)),
    ("all cells ran", ("gmembench.complete",)),
    ("command", ("gmembench.command",)),
    ("date", ("date",)),
    ("way of timing", ("gmembench.harness",)),
    ("seed of the orders", ("gmembench.seed",)),
    ("seconds in all", ("gmembench.wall_s",)),
    ("seconds inside timed kernels", ("gmembench.timed_s",)),
    ("share of all else, the overhead", ("gmembench.overhead",)),
    ("Python", ("python_version",)),
    ("Numba", ("numba_version", "gmembench.numba", "numba.version")),
    ("compiled code", ("jit.state",)),
    ("processor", ("cpu_model_name",)),
    ("processors", ("cpu_count",)),
    ("kernel and platform", ("platform",)),
    ("pyperf", ("perf_version",)),
    ("digest of the machine's facts", ("machine.fingerprint",)),
    ("frequency governor", ("machine.governor",)),
    ("MHz before and after", ("machine.mhz",)),
    ("load before and after", ("machine.load",)),
    ("differs between halves of the processes by", ("noise.spread",)),
    ("the same, 95th percentile of the cells", ("noise.spread_95",)),
    ("beside the other designs of their rounds by", ("noise.beside",)),
    ("the same, 95th percentile of the cells", ("noise.beside_95",)),
)
"""Label, and the metadata keys that may hold it."""

_LISTED = (("facts of the machine", "machine.facts"), ("what pyperf advises", "machine.findings"))
"""Label, and the key of a JSON object or list."""

_MUST_MATCH = (
    ("gmembench.digest", "the source of the model"),
    ("gmembench.size", "the size of the scenarios"),
    ("machine.fingerprint", "the machine"),
    ("cpu_model_name", "the processor"),
)


@dataclass(frozen=True)
class Source:
    """A file that numbers come from. `command`, `date`, `tier`: as it records them, "" if it does not."""

    name: str
    command: str
    digest: str
    date: str
    tier: str


def files(inputs: Inputs) -> list[Source]:
    """All result files, in the order in which cells name them."""
    return [
        Source(
            Path(path).name,
            str(metadata.get("gmembench.command", "")),
            inputs.digests.get(path, ""),
            str(metadata.get("date", "")),
            str(metadata.get("gmembench.tier", "")),
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
    for label, key in _LISTED:
        texts = [_listed(metadata.get(key)) for metadata in results.files.values()]
        if any(texts):
            rows.append((label, [text or "not recorded" for text in texts]))
    return rows


def _listed(value: object) -> str:
    """A JSON object or list as a line of text; what is none stands as it is."""
    try:
        found = load_json(str(value)) if value is not None else []
    except ValueError:
        return str(value)
    if isinstance(found, dict):
        return ", ".join(f"{key} {text}" for key, text in found.items())
    return "; ".join(str(text) for text in found) if isinstance(found, list) else str(value)


def warnings(results: Results) -> list[str]:
    """Return what a reader must know before any number: failed cells, files that cannot be compared."""
    found = []
    for key, name in _MUST_MATCH:
        recorded = {str(metadata[key]) for metadata in results.files.values() if key in metadata}
        if len(recorded) > 1:
            found.append(f"The files differ in {name}. Do not compare numbers across them.")
    for path, metadata in results.files.items():
        if metadata.get("gmembench.complete") == "no":
            found.append(f"The run of {Path(path).name} was interrupted: cells are missing.")
        if "noise.warning" in metadata:
            found.append(f"Distrust the times of {Path(path).name}: {metadata['noise.warning']}.")
    found += [f"The cell {cell} failed and is not in this report: {cause}" for cell, cause in results.failed.items()]
    if any(metadata.get("jit.state") == "interpreted" for metadata in results.files.values()):
        found.append("The model ran interpreted, not compiled: its times say nothing about the compiled model.")
    return found


def _first(metadata: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(metadata[key]) for key in keys if key in metadata), "")
