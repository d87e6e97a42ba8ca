"""Metrics of a cell: what the overview compares, each with its kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gmembench.reports import formatting
from gmembench.reports.loading import Results
from gmembench.reports.measured import Distribution, distributions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Metric:
    """One metric: less is better. `program`: what a design must have for it; `key`: where the file has it."""

    name: str
    label: str
    unit: str
    kind: str
    key: str
    program: str | None
    value: Callable[["pd.Series[Any]", Distribution | None], float | None]


def _counter(key: str, scale: float = 1) -> Callable[["pd.Series[Any]", Distribution | None], float | None]:
    def value(counters: "pd.Series[Any]", _: Distribution | None) -> float | None:
        found = counters[key]
        return None if formatting.absent(found) else float(found) * scale if scale != 1 else int(found)

    return value


def _per(steps: str, events: str) -> Callable[["pd.Series[Any]", Distribution | None], float | None]:
    def value(counters: "pd.Series[Any]", _: Distribution | None) -> float | None:
        some = not formatting.absent(counters[steps]) and not formatting.absent(counters[events])
        return float(counters[steps] / counters[events]) if some and counters[events] else None

    return value


_MIB = formatting.mebibytes(1)

METRICS = (
    Metric("steps", "steps of the whole run", "", "counted", "count.steps", None, _counter("steps")),
    Metric(
        "fault", "steps per fault", "", "counted", "count.fault_steps / count.faults", "access",
        _per("fault_steps", "faults"),
    ),
    Metric(
        "conversion", "steps per conversion", "", "counted", "count.conversion_steps / count.conversions", "convert",
        _per("conversion_steps", "conversions"),
    ),
    Metric("flushes", "TLB flushes", "", "counted", "count.flushes", None, _counter("flushes")),
    Metric("retries", "retries of faults", "", "counted", "count.retries", None, _counter("retries")),
    Metric("zeroed", "pages zeroed", "", "counted", "count.zeroed_pages", None, _counter("zeroed_pages")),
    Metric(
        "memory", "memory behind the guest, peak", "MiB", "counted", "count.backing_pages_peak", None,
        _counter("backing_pages_peak", _MIB),
    ),
    Metric(
        "twice", "memory held twice, peak", "MiB", "counted", "count.double_backed_pages_peak", None,
        _counter("double_backed_pages_peak", _MIB),
    ),
    Metric(
        "time", "time per operation of the model's code, median", "ns", "measured", "values", None,
        lambda _, time: time.median_ns if time else None,
    ),
)  # fmt: skip
"""All metrics, the most asked for first."""


def recorded(results: Results) -> dict[str, dict[str, float | None]]:
    """Metric to cell to value, None if a cell has none; metrics that no cell has are left out."""
    times = distributions(results)
    found = {
        metric.name: {
            str(cell): None if _lacks(results, str(cell), metric) else metric.value(row, times.get(str(cell)))
            for cell, row in results.cells.iterrows()
        }
        for metric in METRICS
    }
    return {name: values for name, values in found.items() if any(value is not None for value in values.values())}


def _lacks(results: Results, cell: str, metric: Metric) -> bool:
    return metric.program is not None and results.missing_program(cell, metric.program) is not None
