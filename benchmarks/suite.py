"""The result file: one pyperf suite, one benchmark a cell, counted numbers as metadata.

Timed cells hold seconds per operation. Cells without a time, and all cells of a counted run, hold
their total steps in pyperf's unit `integer`, so that the file works with pyperf's own commands.
"""

import io
import json
import shlex
from collections.abc import Sequence
from typing import Any

import pyperf

import gmembench
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.child import one_line
from gmembench.benchmarks.harness import Outcome

SCHEMA = 1


def run_metadata(
    cells: Sequence[Cell], outcome: Outcome, digest: str, size: str, command: Sequence[str]
) -> dict[str, Any]:
    """Metadata that every benchmark of a run shares. pyperf stores it once.

    `cells` are all selected cells, those that are not applicable included.
    """
    not_applicable = [{"cell": cell.name, "reason": cell.reason} for cell in cells if cell.reason is not None]
    metadata: dict[str, Any] = {
        "gmembench.schema": SCHEMA,
        "gmembench.version": gmembench.__version__,
        "gmembench.digest": digest,
        "gmembench.size": size,
        "gmembench.command": one_line(shlex.join(command)),
        "cells.not_applicable": json.dumps(not_applicable),
    }
    if outcome.failed:
        failed = [{"cell": name, "cause": cause} for name, cause in sorted(outcome.failed.items())]
        metadata["cells.failed"] = json.dumps(failed)
    return metadata


def cell_metadata(cell: Cell, line: dict[str, Any]) -> dict[str, Any]:
    """Metadata of one cell: what it is, where its kernels came from, and its counted numbers."""
    counted = dict(line["counted"])
    counted["profile.hits"] = split_rows(counted.pop("profile.rows"))[1]
    return {
        "cell.scenario": cell.scenario,
        "cell.design": cell.design,
        "cell.hardware": cell.hardware,
        "cell.page_size": cell.page_size,
        "jit.state": line["jit"],
        **counted,
    }


def split_rows(profile: str) -> tuple[str, str]:
    """The facts about rows that cells of one design and hardware share, and the hits of a cell, both as JSON."""
    rows = json.loads(profile)
    hits = [row.pop("hits") for row in rows]
    return json.dumps(rows, separators=(",", ":")), json.dumps(hits, separators=(",", ":"))


def row_tables(cells: Sequence[Cell], outcome: Outcome) -> dict[str, str]:
    """`rows.<design>/<hardware>` -> facts about its rows, kept once: a result of all cells is ten times smaller."""
    counted = {f"rows.{c.design}/{c.hardware}": outcome.counted[c.name] for c in cells if c.name in outcome.counted}
    return {key: split_rows(line["counted"]["profile.rows"])[0] for key, line in counted.items()}


def counted_benchmark(name: str, steps: int) -> Any:
    """A benchmark whose one value is a number of steps; without the metadata of a machine, which it does not need."""
    metadata = {"name": name, "unit": "integer"}
    return pyperf.Benchmark([pyperf.Run([steps], metadata=metadata, collect_metadata=False)])


def build(cells: Sequence[Cell], outcome: Outcome, shared: dict[str, Any]) -> Any:
    """The pyperf suite of all cells that were counted and did not fail, or None if there are none."""
    benchmarks = []
    shared = {**shared, **row_tables(cells, outcome)}
    for cell in cells:
        line = outcome.counted.get(cell.name)
        if line is None or cell.name in outcome.failed:
            continue
        timed = outcome.timed.get(cell.name)
        benchmark = timed or counted_benchmark(cell.name, line["counted"]["count.steps"])
        kind = "measured" if timed else "counted"
        benchmark.update_metadata({**shared, **cell_metadata(cell, line), "gmembench.kind": kind})
        benchmarks.append(benchmark)
    return pyperf.BenchmarkSuite(benchmarks) if benchmarks else None


def as_text(suite: Any) -> str:
    """The suite as the text of a result file."""
    text = io.StringIO()
    suite.dump(text)
    return text.getvalue()
