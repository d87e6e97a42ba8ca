"""Measured times: the process is the unit."""

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path

from gmembench.reports.loading import load_results
from gmembench.reports.measured import distributions

ResultFile = Callable[..., Path]
CELL = "trace/guest-memfd/none/4K"


def set_processes(path: Path, processes: list[list[float]]) -> Path:
    """Replace the runs of the only benchmark."""
    document = json.loads(path.read_text())
    document["benchmarks"][0]["runs"] = [{"values": values} for values in processes]
    path.write_text(json.dumps(document))
    return path


def test_values_of_a_process_are_averaged_first(result_file: ResultFile) -> None:
    """A process with many values weighs no more than one with few."""
    path = set_processes(result_file(cells=[CELL]), [[1e-9] * 9, [2e-9], [6e-9, 8e-9]])
    found = distributions(load_results([path]))[CELL]
    assert math.isclose(found.median_ns, 2.0)
    assert (found.processes, found.count) == (3, 12)


def test_quartiles_agree_with_the_standard_library(result_file: ResultFile) -> None:
    """The middle half runs between the inclusive quartiles of the process means."""
    means = [5e-9, 1e-9, 4e-9, 2e-9, 9e-9]
    path = set_processes(result_file(cells=[CELL]), [[mean] for mean in means])
    found = distributions(load_results([path]))[CELL]
    low, median, high = statistics.quantiles([1e9 * mean for mean in means], n=4, method="inclusive")
    assert math.isclose(found.low_ns, low)
    assert math.isclose(found.median_ns, median)
    assert math.isclose(found.high_ns, high)


def test_one_process_has_no_spread(result_file: ResultFile) -> None:
    """A single process gives a median and no quartiles, whatever the number of its values."""
    path = set_processes(result_file(cells=[CELL]), [[1e-9, 2e-9, 3e-9]])
    found = distributions(load_results([path]))[CELL]
    assert math.isclose(found.median_ns, 2.0)
    assert math.isnan(found.low_ns)
    assert math.isnan(found.high_ns)
