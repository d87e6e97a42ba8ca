"""The schema of result files: which keys of pyperf's metadata are ours, and what a cell must have.

docs/results.md tells users the same, with what we promise about later versions.
"""

from collections.abc import Mapping
from typing import Any

from gmembench.core.errors import UserError
from gmembench.reports import profiles
from gmembench.reports.pyperf_file import WRITE_AGAIN, RawBenchmark

SCHEMA = 1

COUNTERS = (
    "operations", "steps", "faults", "fault_steps", "conversions", "conversion_steps", "converted_gfns",
    "retries", "flushes", "ipis", "zeroed_pages", "private_pages_peak", "shared_pages_peak",
    "backing_pages_peak", "double_backed_pages_peak", "state_bytes", "state_bytes_per_gfn", "gfns",
    "conversions_refused", "warns", "pinned_pages", "mappings_4k", "mappings_2m", "mappings_1g",
)  # fmt: skip
"""Counters of a cell, metadata `count.<name>`; each is a column of the report's tables."""

NAME_PARTS = ("scenario", "design", "hardware", "page_size")

UNITS = {"measured": "second", "counted": "integer"}
"""Kind of a cell -> pyperf's unit of its values."""


def cell_name(raw: RawBenchmark) -> str:
    """Return the name of the cell. Raises UserError unless the benchmark is a cell of a schema that we read."""
    metadata = raw.metadata
    if "gmembench.schema" not in metadata:
        raise UserError("this pyperf result is not of gmembench", raw.where, "give a file of gmembench run")
    if metadata["gmembench.schema"] != SCHEMA:
        schema = str(metadata["gmembench.schema"])[:20]
        raise UserError(f"schema {schema} is not known", raw.where, f"this version reads schema {SCHEMA}")
    kind = metadata.get("gmembench.kind")
    if not isinstance(kind, str) or kind not in UNITS:
        raise UserError("gmembench.kind is neither counted nor measured", raw.where, WRITE_AGAIN)
    _check_unit(metadata, UNITS[kind], raw.where)
    for part in NAME_PARTS:
        profiles.text(raw, f"cell.{part}")
    return profiles.text(raw, "name")


def _check_unit(metadata: Mapping[str, Any], wanted: str, where: str) -> None:
    unit = metadata.get("unit", "second")
    if unit != wanted:
        kind = metadata["gmembench.kind"]
        raise UserError(f"its unit is {str(unit)[:20]!r}, but a {kind} cell is in {wanted!r}", where, WRITE_AGAIN)
