"""A history in the formats of others: result files of asv, CSV with a configuration for Apache Otava.

Both know one number a benchmark, commit and machine, so each cell becomes two benchmarks: its time and its steps.
"""

import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable

from gmembench.reports.compare.counted import COSTS
from gmembench.reports.history.series import IndexedRun, Point, Series, indexed_runs, read_series
from gmembench.reports.history.store import Entry, entry_of

Files = dict[str, str]
"""Path below the folder of the export -> text."""

_STEPS = COSTS.index("steps")
_NEEDLESS = re.compile(r"[^0-9A-Za-z]+")

COUNTED_MACHINE = "counted"
"""The machine of runs that timed nothing."""


def _entries(index: sqlite3.Connection) -> list[tuple[IndexedRun, Entry]]:
    from pathlib import Path

    return [(run, entry_of(run.file, Path())) for run in indexed_runs(index)]


def _name(cell: str) -> str:
    """A name of a cell that needs no quoting anywhere."""
    return _NEEDLESS.sub("_", cell).strip("_")


def _facts_of_latest(series: list[Series]) -> list[Series]:
    """Of each cell, the series of its newest configuration: others would be jumps that nobody caused."""
    latest: dict[str, Series] = {}
    for one in series:
        if one.cell not in latest or one.points[-1].at >= latest[one.cell].points[-1].at:
            latest[one.cell] = one
    return list(latest.values())


def as_asv(index: sqlite3.Connection) -> Files:
    """`results/` as asv 0.6 writes it; where a commit was run several times on a machine, its newest run."""
    runs = _entries(index)
    found: Files = {}
    benchmarks: dict[str, object] = {"version": 2}
    chosen: dict[tuple[str, str], int] = {}
    for at, (run, entry) in enumerate(runs):
        chosen[run.machine or COUNTED_MACHINE, entry.commit] = at
    rows: dict[int, dict[str, list[object]]] = {at: {} for at in chosen.values()}
    for one in _facts_of_latest(read_series(index)):
        for point in one.points:
            if point.at in rows:
                rows[point.at] |= _asv_rows(one, point, runs[point.at][1], benchmarks)
    machines: dict[str, str] = {}
    for (machine, commit), at in chosen.items():
        run, entry = runs[at]
        machines[machine] = run.about
        found[f"results/{machine}/{commit.rstrip('+')[:8]}-gmembench.json"] = _asv_file(machine, entry, rows[at])
    for machine, about in machines.items():
        found[f"results/{machine}/machine.json"] = _json({"machine": machine, "cpu": about, "version": 1})
    found["results/benchmarks.json"] = _json(benchmarks)
    return found


def _asv_rows(one: Series, point: Point, entry: Entry, benchmarks: dict[str, object]) -> dict[str, list[object]]:
    """The rows of a cell in a result file; notes the benchmarks they are of."""
    milliseconds = int(entry.when.timestamp() * 1000)
    values = {"time": ("seconds", point.time_s), "track": ("steps", point.costs[_STEPS])}
    rows: dict[str, list[object]] = {}
    for kind, (unit, value) in values.items():
        if value is not None:
            name = f"gmembench.{kind}_{_name(one.cell)}"
            benchmarks[name] = {
                "code": one.cell, "name": name, "param_names": [], "params": [], "timeout": 60.0,
                "type": kind, "unit": unit, "version": "1", "pretty_name": f"{one.cell} ({unit})",
            }  # fmt: skip
            rows[name] = [[value], [], "1", milliseconds]
    return rows


def _asv_file(machine: str, entry: Entry, rows: dict[str, list[object]]) -> str:
    return _json(
        {
            "commit_hash": entry.commit.rstrip("+"), "env_name": "gmembench", "python": "", "requirements": {},
            "date": int(entry.when.timestamp() * 1000), "params": {"machine": machine}, "env_vars": {},
            "result_columns": ["result", "params", "version", "started_at"],
            "results": rows, "durations": {}, "version": 2,
        }
    )  # fmt: skip


def _json(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def as_otava(index: sqlite3.Connection) -> Files:
    """A CSV file for each cell and machine, and `otava.yaml` that names them as tests."""
    runs = _entries(index)
    found: Files = {}
    tests: dict[str, object] = {}
    for one in _facts_of_latest(read_series(index)):
        machines: dict[str, list[Point]] = {}
        for point in one.points:
            machines.setdefault(runs[point.at][0].machine or COUNTED_MACHINE, []).append(point)
        for machine, points in machines.items():
            name = f"{_name(one.cell)}.{machine}"
            file = f"{name}.csv"
            found[file] = _otava_csv(points, runs)
            tests[name] = _otava_test(file, any(point.time_s is not None for point in points))
    found["otava.yaml"] = _json({"tests": tests})  # JSON is YAML
    return found


def _otava_csv(points: list[Point], runs: list[tuple[IndexedRun, Entry]]) -> str:
    text = io.StringIO()
    timed = any(point.time_s is not None for point in points)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", "commit", "steps", *(["time_ns"] if timed else [])])
    for point in points:
        if timed and point.time_s is None:
            continue  # Otava knows no missing value
        entry = runs[point.at][1]
        times = [f"{1e9 * point.time_s:.6g}"] if point.time_s is not None else []
        writer.writerow([f"{entry.when:%Y-%m-%dT%H:%M:%S+00:00}", entry.commit, point.costs[_STEPS], *times])
    return text.getvalue()


def _otava_test(file: str, timed: bool) -> dict[str, object]:
    columns = ["steps", *(["time_ns"] if timed else [])]
    metrics = {name: {"column": name, "direction": -1, "scale": 1} for name in columns}
    return {"type": "csv", "file": file, "time_column": "time", "attributes": ["commit"], "metrics": metrics}


FORMATS: dict[str, Callable[[sqlite3.Connection], Files]] = {"asv": as_asv, "otava": as_otava}
"""Name of a format -> the function that makes its files."""
