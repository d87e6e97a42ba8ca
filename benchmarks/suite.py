"""The result file: one pyperf suite, one benchmark a cell, counted numbers as metadata.

Timed cells hold seconds per operation. Cells without a time, and all cells of a counted run, hold
their total steps in pyperf's unit `integer`, so that the file works with pyperf's own commands.

Names of the metadata, beside pyperf's own (`cpu_model_name`, `platform`, `python_version`, `load_avg_1min`, ...).
"T": only in a run that timed something; a counted run holds nothing that differs from one machine to the next.

Of the run, the same in every benchmark:

- `gmembench.schema`: SCHEMA. `.version`, `.digest`: of the package, and of the sources of `core/`.
- `gmembench.commit`: commit of the checkout that it ran from, with `+` if files were changed; not in an installed
  package.
- `gmembench.command`, `.size` ("small", "medium", "full"), `.tier` ("quick", "all", "standard", "full").
- `gmembench.harness`: "interleaved", "pyperf", or "counted" for a run that timed nothing.
- `gmembench.seed`: of the order in which processes ran and of the orders of designs in them.
- `gmembench.complete`: "yes", or "no" for a run that was interrupted: cells are missing.
- `gmembench.wall_s` T: seconds of the whole run, all its parts together. `.parts` T: 1, and 1 more for each resume.
- `gmembench.overhead` T: share of the run that was not inside timed kernels, warm-ups included in these.
- `gmembench.timed_s` T: seconds inside timed kernels, warm-ups included; `.values_s` T: without warm-ups.
- `machine.fingerprint` T: digest of `machine.facts` T, a JSON object of what must be equal for times to be compared.
- `machine.governor`, `machine.mhz` T: of the first CPU before and after ("3200 3190"), "unknown" in many guests.
- `machine.load` T: load average of a minute, before and after ("0.30 1.04").
- `machine.findings` T: JSON list of what `pyperf system show` advises.
- `noise.spread`, `noise.spread_95` T: relative difference between two halves of the processes of one cell, which
  measured the same: median and 95th percentile over the cells. `noise.cells` T: how many cells. Missing if no
  cell has two processes.
- `noise.beside`, `noise.beside_95` T: the same of what `compare` takes: the median over rounds of how far a cell is
  from its usual time, without what the others of its group are. Missing if fewer than four cells were timed together
  in two processes.
- `noise.warning` T: why times of this run are to be distrusted; missing if nothing speaks against them.
- `cells.not_applicable`, `cells.failed`: JSON lists of `{"cell": NAME, "reason": TEXT}` and `{"cell", "cause"}`.
- `scenarios.about`: JSON object, name of a scenario (without variant and axes) -> what it does: a sentence, then
  perhaps more.
- `rows.<design>/<hardware>`: facts about rows that cells share.

Of a cell:

- `name`: `scenario/design/hardware/page size`. Axes that differ from what the scenario says stand behind the scenario:
  `bounce-buffer:punch-first@guest=64M,vcpus=8/guest-memfd/none/4K`.
- `cell.scenario` (variant and axes included), `.design`, `.hardware`, `.page_size`, `.parameters` (JSON).
- `cell.guest_gfns`, `cell.vcpus`: integers. `cell.conversion` (gfns in one conversion, or "as scenario"), `cell.punch`,
  `cell.numa`, `cell.inject` ("none", or what is injected), `cell.engine` ("model"): texts.
- `gmembench.kind`: "counted" or "measured". `jit.state`: "cold", "cached" or "interpreted" when it was counted.
- `check.state`: digest of the state in which the counted pass ended, and of its counted numbers.
- `check.timed` T: "equal": every process that timed the cell ended in the same state with the same numbers. A cell
  that did not is in `cells.failed`.
- `count.*`, `profile.*`, `reason.*`: counted numbers and profiles.

Of a pyperf run, one process of one cell (T), beside pyperf's `date`, `duration`, `loops` (passes in one value):

- `process.number`: number of the process among those of its group. Runs of two designs with the same number, in cells
  that differ in the design only, were measured in one process, interleaved.
- `process.group`: name of the group: the cells of one scenario that differ in the design only.
- `process.order`: JSON list, for every round of the process (warm-ups first) the designs in their order, as indices
  into `process.designs` (JSON list).
- `process.seed`: from which the orders follow. `process.jit`: as `jit.state`.
- `process.wall_s`: seconds of the process, its start included (two start beside each other: until both are ready),
  without waiting for its turn; `.inside_s`: without the start too.
- `process.timed_s`, `process.values_s`: seconds inside timed kernels of all its cells, with and without warm-ups.
"""

import io
import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyperf

import gmembench
from gmembench.benchmarks import axes, noise
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.child import one_line
from gmembench.benchmarks.harness import Outcome

SCHEMA = 1


@dataclass(frozen=True)
class About:
    """What a run was asked to do. `scenarios`: name -> what it does, of all that there are."""

    digest: str
    size: str
    tier: str
    harness: str
    seed: int
    command: Sequence[str]
    scenarios: Mapping[str, str] = field(default_factory=dict)


def commit() -> str:
    """The commit of the checkout that this runs from, with `+` if files were changed; "" in an installed package."""
    root = Path(gmembench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    words = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run_metadata(cells: Sequence[Cell], outcome: Outcome, about: About, *, complete: bool = True) -> dict[str, Any]:
    """Metadata that every benchmark of a run shares. pyperf stores it once.

    `cells` are all selected cells, those that are not applicable included.
    """
    not_applicable = [{"cell": cell.name, "reason": cell.reason} for cell in cells if cell.reason is not None]
    metadata: dict[str, Any] = {
        "gmembench.schema": SCHEMA,
        "gmembench.version": gmembench.__version__,
        "gmembench.digest": about.digest,
        "gmembench.size": about.size,
        "gmembench.tier": about.tier,
        "gmembench.harness": about.harness,
        "gmembench.seed": about.seed,
        "gmembench.complete": "yes" if complete else "no",
        "gmembench.command": one_line(shlex.join(about.command)),
        "cells.not_applicable": json.dumps(not_applicable),
    }
    ran = {axes.split(cell.scenario)[0] for cell in cells}
    if told := {name: text for name, text in sorted(about.scenarios.items()) if name in ran}:
        metadata["scenarios.about"] = json.dumps(told)
    if commit():
        metadata["gmembench.commit"] = commit()
    if outcome.failed:
        failed = [{"cell": name, "cause": cause} for name, cause in sorted(outcome.failed.items())]
        metadata["cells.failed"] = json.dumps(failed)
    return metadata


def times_metadata(
    outcome: Outcome, conditions: Mapping[str, Any], warnings: Sequence[str], seed: int
) -> dict[str, Any]:
    """Metadata of a run that timed something: seconds, the machine, and how much equal measurements differ."""
    found = noise.spread(process_means(outcome), seed)
    beside = noise.spread(noise.beside(rounds_of(outcome)), seed)
    said = [*warnings, *noise.warning(found, beside)]
    return {
        **conditions,
        **seconds(outcome),
        **({"noise.warning": one_line("; ".join(said))} if said else {}),
        **({"noise.spread": found.median, "noise.spread_95": found.high, "noise.cells": found.cells} if found else {}),
        **({"noise.beside": beside.median, "noise.beside_95": beside.high} if beside else {}),
    }


def rounds_of(outcome: Outcome) -> list[dict[str, dict[int, list[float]]]]:
    """Of each group its cells, of each cell the values of its processes by their number."""
    groups: dict[str, dict[str, dict[int, list[float]]]] = {}
    for name, runs in outcome.runs.items():
        for run in runs if name not in outcome.failed else ():
            cells = groups.setdefault(run["metadata"]["process.group"], {})
            cells.setdefault(name, {})[run["metadata"]["process.number"]] = run["values"]
    return list(groups.values())


def process_means(outcome: Outcome) -> dict[str, list[float]]:
    """Cell -> the mean of every process that timed it."""
    means = {
        name: [sum(run["values"]) / len(run["values"]) for run in runs]
        for name, runs in outcome.runs.items()
        if name not in outcome.failed
    }
    for name in outcome.plain.keys() - outcome.failed.keys():
        runs = _loaded(outcome.plain[name]).get_runs()
        means[name] = [sum(run.values) / len(run.values) for run in runs if run.values]
    return means


def seconds(outcome: Outcome) -> dict[str, float]:
    """Seconds of the run, and inside timed kernels; a process that timed several cells counts once."""
    processes = {
        (run["metadata"]["process.group"], run["metadata"]["process.number"]): run["metadata"]
        for runs in outcome.runs.values()
        for run in runs
    }
    found = {"gmembench.wall_s": outcome.wall_s, "gmembench.parts": outcome.parts}
    for kind in ("timed_s", "values_s"):
        plain = sum(_plain_seconds(text, warm=kind == "timed_s") for text in outcome.plain.values())
        found[f"gmembench.{kind}"] = plain + sum(metadata[f"process.{kind}"] for metadata in processes.values())
    if outcome.wall_s > 0:
        found["gmembench.overhead"] = 1 - found["gmembench.timed_s"] / outcome.wall_s
    return found


def _plain_seconds(text: str, *, warm: bool) -> float:
    total = 0.0
    for run in _loaded(text).get_runs():
        if run.values:
            total += run.get_total_loops() * sum(run.values)
        total += sum(loops * run.get_inner_loops() * value for loops, value in run.warmups or ()) if warm else 0.0
    return total


def _loaded(text: str) -> Any:
    return pyperf.Benchmark.loads(text)


def cell_metadata(cell: Cell, line: dict[str, Any]) -> dict[str, Any]:
    """Metadata of one cell: what it is, where its kernels came from, and its counted numbers."""
    return {
        "cell.scenario": cell.scenario,
        "cell.design": cell.design,
        "cell.hardware": cell.hardware,
        "cell.page_size": cell.page_size,
        "jit.state": line["jit"],
        **line["counted"],
    }


def row_tables(cells: Sequence[Cell], outcome: Outcome) -> dict[str, str]:
    """Facts about rows, kept once for all cells that share them: a result of all cells is ten times smaller."""
    return {cell.rows: outcome.rows[cell.rows] for cell in cells if cell.rows and cell.name in outcome.counted}


def counted_benchmark(name: str, steps: int) -> Any:
    """A benchmark whose one value is a number of steps; without the metadata of a machine, which it does not need."""
    metadata = {"name": name, "unit": "integer"}
    return pyperf.Benchmark([pyperf.Run([steps], metadata=metadata, collect_metadata=False)])


def timed_benchmark(name: str, outcome: Outcome) -> Any:
    """The benchmark of a timed cell: a run for each process."""
    if name in outcome.plain:
        return _loaded(outcome.plain[name])
    runs = [
        pyperf.Run(
            run["values"],
            warmups=[tuple(pair) for pair in run["warmups"]],
            metadata={**run["metadata"], "name": name, "unit": "second"},
            collect_metadata=False,
        )
        for run in outcome.runs[name]
    ]
    return pyperf.Benchmark(runs)


def build(cells: Sequence[Cell], outcome: Outcome, shared: dict[str, Any]) -> Any:
    """The pyperf suite of all cells that were counted and did not fail, or None if there are none."""
    benchmarks = []
    shared = {**shared, **row_tables(cells, outcome)}
    for cell in cells:
        line = outcome.counted.get(cell.name)
        if line is None or cell.name in outcome.failed:
            continue
        timed = cell.name in outcome.timed
        steps = line["counted"]["count.steps"]
        benchmark = timed_benchmark(cell.name, outcome) if timed else counted_benchmark(cell.name, steps)
        kind = {"gmembench.kind": "measured", "check.timed": "equal"} if timed else {"gmembench.kind": "counted"}
        benchmark.update_metadata({**shared, **cell_metadata(cell, line), **kind})
        benchmarks.append(benchmark)
    return pyperf.BenchmarkSuite(benchmarks) if benchmarks else None


def as_text(suite: Any) -> str:
    """The suite as the text of a result file."""
    text = io.StringIO()
    suite.dump(text)
    return text.getvalue()
