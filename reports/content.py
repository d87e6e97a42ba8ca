"""What stands in the page: everything that the template of the report is given."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

import gmembench
from gmembench.reports import (
    canvas,
    conformance,
    findings,
    necessity,
    overview,
    page,
    provenance,
    summary,
    theme,
    touchpoints,
    vocabulary,
)
from gmembench.reports.canvas import Canvas
from gmembench.reports.designs import Cast
from gmembench.reports.failure_file import FailureFile
from gmembench.reports.figure import Figure
from gmembench.reports.inputs import Inputs
from gmembench.reports.loading import Results

GENERATOR = '<meta name="generator" content="gmembench report">'
"""The mark of a page that was written here."""


@dataclass(frozen=True)
class Drawn:
    """One drawn figure: its name, the scenario that it shows ("" for all), its files, and its numbers as a frame."""

    name: str
    scenario: str
    figure: Figure
    canvas: Canvas
    svg: str
    png: bytes
    numbers: Mapping[str, Any] | None

    @property
    def files(self) -> list[tuple[str, bytes]]:
        """Its files by the ends of their names."""
        return [("png", self.png), ("svg", self.svg.encode())]

    @property
    def heading(self) -> str:
        """What it is called where figures of several scenarios stand together."""
        return f"{self.scenario}: {self.figure.title}" if self.scenario else self.figure.title


@dataclass(frozen=True)
class Pictured:
    """A failure with its sequence diagram."""

    name: str
    path: Path
    failure: FailureFile
    svg: str
    png: bytes
    element: Markup

    @property
    def files(self) -> list[tuple[str, bytes]]:
        """Its files by the ends of their names."""
        return [("png", self.png), ("svg", self.svg.encode())]


def scenario_slugs(results: Results) -> dict[str, str]:
    """Scenarios in the order of the table of cells -> their words in links and names of files."""
    return page.slugs(dict.fromkeys(results.cells["scenario"]))


def content(inputs: Inputs, drawn: Sequence[Drawn], failures: Sequence[Pictured]) -> dict[str, Any]:
    """All that the template is given."""
    results = inputs.results
    numbers = {str(cell): number for number, cell in enumerate(results.cells.index)}
    found = overview.overview(results)
    script = resources.files("gmembench.reports").joinpath("templates/report.js").read_text(encoding="utf-8")
    return {
        "generator": Markup(GENERATOR),  # noqa: S704 - a constant of ours
        "version": gmembench.__version__,
        "script": Markup(script),  # noqa: S704 - a file of ours
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "data": page.data_text(_data(inputs, found)),
        "cast": results.cast,
        "cast_dark": theme.variables(results.cast, dark=True),
        "designs": results.designs,
        "samples": {name: _sample(design) for name, design in results.cast.items()},
        "numbers": numbers,
        "firsts": {str(row.design): str(row.Index) for row in reversed(list(results.cells[["design"]].itertuples()))},
        "cells": len(results.cells),
        "measured": results.measured,
        "findings": findings.findings(results),
        "summary": summary.summary_table(results),
        "programs": summary.program_rows(results),
        "overview": found,
        "scenarios": _scenarios(results, drawn, numbers),
        "slugs": scenario_slugs(results),
        "touchpoints": _touchpoint_table(results),
        "tables": [(path.name, table, necessity.by_program(table)) for path, table in inputs.tables],
        "failures": failures,
        "conformance": conformance.verdicts(results),
        "figures": {d.name: (d, _element(d, numbers)) for d in drawn if not d.scenario},
        "files": provenance.files(inputs),
        "provenance": provenance.table(results),
        "warnings": provenance.warnings(results),
        "places": vocabulary.PLACES,
        "natures": vocabulary.NATURES,
        "place_colours": theme.PLACE_COLOURS,
    }


def _sample(design: Cast) -> Markup:
    """The marker of a design."""
    drawing = Canvas(14, 14)
    drawing.marker(7, 7, design.marker, design.variable, size=5)
    return canvas.element(drawing, "", "", {})


def _element(drawn: Drawn, numbers: Mapping[str, int]) -> Markup:
    label = f"{drawn.heading} ({drawn.figure.kind})"
    return canvas.element(drawn.canvas, f"f-{drawn.name}", label, numbers)


def _scenarios(results: Results, drawn: Sequence[Drawn], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """A section for each scenario: its figures, how many cells ran, and which designs cannot run it."""
    found = []
    for scenario, slug in scenario_slugs(results).items():
        cells = results.cells[results.cells["scenario"] == scenario]
        lacking = results.not_applicable[results.not_applicable["scenario"] == scenario]
        found.append(
            {
                "name": scenario,
                "slug": slug,
                "cells": len(cells),
                "about": _about(results, scenario),
                "parameters": sorted({text: str(cell) for cell, text in cells["parameters"].items() if text}.items()),
                "lacking": [(str(cell), str(row["reason"])) for cell, row in lacking.iterrows()],
                "figures": [(d, _element(d, numbers)) for d in drawn if d.scenario == scenario],
            }
        )
    return found


def _about(results: Results, scenario: str) -> list[Markup]:
    """What a scenario does, in paragraphs of which the first is one sentence; empty if the files do not say it.

    What stands between backticks is code, all else plain text.
    """
    text = results.about.get(re.split("[:@]", scenario, maxsplit=1)[0], "")
    return [_with_code(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]


def _with_code(text: str) -> Markup:
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts))


def _data(inputs: Inputs, found: overview.Overview) -> dict[str, Any]:
    """What the script of the page needs: cells with where they are from, and the overview."""
    results = inputs.results
    paths = list(results.files)
    columns = ["scenario", "design", "hardware", "page_size", "file", "kind"]
    rows = results.cells[columns].itertuples()
    return {
        "cells": [
            [str(r[0]), str(r[1]), str(r[2]), found.groups.index((str(r[3]), str(r[4]))), paths.index(str(r[5]))]
            for r in rows
        ],
        "files": [[file.name, file.command, file.digest, file.date, file.tier] for file in provenance.files(inputs)],
        "baseline": found.baseline,
        "slugs": scenario_slugs(results),
        **found.data(),
    }


def _touchpoint_table(results: Results) -> dict[str, Any]:
    found = touchpoints.lines(results)
    return {
        "lines": [line for line in found if line.place != touchpoints.ALL],
        "sums": [line for line in found if line.place == touchpoints.ALL],
        "baseline": touchpoints.BASELINE if touchpoints.BASELINE in results.designs else None,
        "common": len(touchpoints.common_cells(results)),
    }
