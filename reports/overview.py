"""The overview: scenarios by designs, each cell as a ratio to a baseline; readers choose metric, baseline and group.

The same data is in the page, where a script draws the choices; what stands here is the first choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gmembench.reports import formatting, metrics
from gmembench.reports.loading import Results
from gmembench.reports.metrics import METRICS, Metric
from gmembench.reports.once import once

SAME = 1.01
"""Ratios below this, and above its inverse, have the colour of equal ones."""

SHADES = ((2.0, 3), (1.25, 2), (SAME, 1))
"""From which ratio on a cell has which of the three shades."""

PREFERRED = ("legacy-vma", "guest-memfd")
"""Baselines that are preferred among those that ran in equally many scenarios."""


@dataclass(frozen=True)
class Field:
    """One field of the table: its text, the class of its colour, and what a reader is told who points at it."""

    scenario: str
    design: str
    text: str
    tone: str
    title: str
    cell: str


@dataclass(frozen=True)
class Overview:
    """The data of the overview. `groups`: hardware and page size, those with the most cells first."""

    results: Results
    groups: list[tuple[str, str]]
    values: Mapping[str, Mapping[str, float | None]]

    @property
    def metrics(self) -> list[Metric]:
        """Metrics that some cell has."""
        return [metric for metric in METRICS if metric.name in self.values]

    @cached_property
    def cells(self) -> dict[tuple[str, str, tuple[str, str]], str]:
        """Scenario, design and group to the cell that ran."""
        rows = self.results.cells[["scenario", "design", "hardware", "page_size"]].itertuples()
        return {(str(row[1]), str(row[2]), (str(row[3]), str(row[4]))): str(row[0]) for row in rows}

    @cached_property
    def reasons(self) -> dict[tuple[str, str, tuple[str, str]], str]:
        """Scenario, design and group to why it cannot run."""
        rows = self.results.not_applicable[["scenario", "design", "hardware", "page_size", "reason"]].itertuples()
        return {(str(row[1]), str(row[2]), (str(row[3]), str(row[4]))): str(row[5]) for row in rows}

    @property
    def scenarios(self) -> list[str]:
        """All scenarios, in the order of the table of cells."""
        return list(dict.fromkeys(self.results.cells["scenario"]))

    @cached_property
    def baseline(self) -> str:
        """The design that ran in the most scenarios of the first group, so that most fields have a ratio."""
        group = self.groups[0]
        ran = {name: sum((s, name, group) in self.cells for s in self.scenarios) for name in self.results.designs}
        most = [name for name, count in ran.items() if count == max(ran.values())]
        return next((name for name in PREFERRED if name in most), most[0])

    def rows(self) -> list[tuple[str, list[Field]]]:
        """Scenario and its fields, a field a design, of the first metric and group."""
        metric, group = self.metrics[0], self.groups[0]
        found = []
        for scenario in self.scenarios:
            ran = any((scenario, design, group) in self.cells for design in self.results.designs)
            fields = [self.field(metric, group, scenario, design) for design in self.results.designs]
            if ran:
                found.append((scenario, fields))
        return found

    def field(self, metric: Metric, group: tuple[str, str], scenario: str, design: str) -> Field:
        """One field."""
        cell = self.cells.get((scenario, design, group))
        if cell is None:
            reason = self.reasons.get((scenario, design, group))
            title = f"not applicable: {reason}" if reason else "not in these results"
            return Field(scenario, design, "n/a" if reason else "", "none", title, "")
        value = self.values[metric.name][cell]
        base = self.values[metric.name].get(self.cells.get((scenario, self.baseline, group), ""))
        text, tone = compared(value, base)
        return Field(scenario, design, text, tone, told(metric, cell, value, self.baseline, base), cell)

    def data(self) -> dict[str, Any]:
        """All that the script of the page needs to draw any choice."""
        return {
            "designs": self.results.designs,
            "groups": [list(group) for group in self.groups],
            "metrics": [[m.name, m.label, m.unit, m.kind, m.key] for m in self.metrics],
            "shades": [list(shade) for shade in SHADES],
            "values": [
                [self.values[metric.name][str(cell)] for metric in self.metrics] for cell in self.results.cells.index
            ],
            "reasons": [
                [scenario, design, self.groups.index(group) if group in self.groups else -1, reason]
                for (scenario, design, group), reason in self.reasons.items()
            ],
        }


@once
def overview(results: Results) -> Overview:
    """Return the overview of some results."""
    sizes = results.cells.groupby(["hardware", "page_size"], sort=False).size()
    sizes = sizes.sort_values(ascending=False, kind="stable")
    groups = [(str(hardware), str(page_size)) for hardware, page_size in sizes.index]
    return Overview(results, groups, metrics.recorded(results))


def compared(value: float | None, base: float | None) -> tuple[str, str]:
    """The text of a field, and the class of its colour: a ratio, or the number alone where there is no baseline."""
    if value is None:
        return "n/a", "none"
    if base is None:
        return number(value), "alone"
    if value == base:
        return "1×", "same"
    if base == 0:
        return f"{number(value)} : 0", "more-3"
    ratio = value / base
    return f"{number(ratio)}×", shade(ratio)


def shade(ratio: float) -> str:
    """The class of a ratio's colour."""
    far = ratio if ratio >= 1 else (1 / ratio if ratio else math.inf)
    level = next((level for least, level in SHADES if far >= least), 0)
    return f"{'more' if ratio > 1 else 'less'}-{level}" if level else "same"


def number(value: float) -> str:
    """A number for a narrow field."""
    return formatting.ratio(value)


def told(metric: Metric, cell: str, value: float | None, baseline: str, base: float | None) -> str:
    """What a field says to a reader who points at it."""
    if value is None:
        return f"{cell}: it has no {metric.label}"
    unit = f" {metric.unit}" if metric.unit else ""
    own = f"{cell}: {metric.label} {number(value)}{unit} ({metric.kind})"
    return f"{own}; {baseline}: {number(base)}{unit}" if base is not None else f"{own}; {baseline} has no such number"
