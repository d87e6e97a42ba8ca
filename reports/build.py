"""Building a report: one self-contained page and its figures, in a folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import gmembench
from gmembench.core.errors import UserError
from gmembench.reports import (
    conformance,
    designs,
    findings,
    formatting,
    provenance,
    rendering,
    summary,
    theme,
    touchpoints,
)
from gmembench.reports.figure import SECTIONS, Figure, find_figures
from gmembench.reports.loading import Results, load_results

GENERATOR = '<meta name="generator" content="gmembench report">'
"""The mark of a page that was written here."""


@dataclass(frozen=True)
class Drawn:
    """One drawn figure: its name, what it is, its files and its element for the page."""

    name: str
    figure: Figure
    png: bytes
    svg: str
    element: Markup
    numbers: dict[str, Any] | None


def build_report(result_paths: Sequence[Path], out: Path) -> Path:
    """Write a report of some result files into the new folder `out`; return the path of its index.html.

    The folder gets `index.html` (needs no other file and no network) and `figures/*.png` and `*.svg`.
    Equal results give equal bytes. Raises UserError if a result file is bad or `out` cannot be made.
    """
    _refuse_existing(out)
    results = load_results(result_paths)
    drawn = [found for name, figure in find_figures().items() if (found := _draw(name, figure, results))]
    page = render_page(results, drawn)
    try:
        _write_folder(out, page, drawn)
    except OSError as error:
        raise UserError(error.strerror or "cannot be written", str(out), "choose another -o") from None
    return out / "index.html"


def render_page(results: Results, drawn: Sequence[Drawn]) -> str:
    """Return the page as HTML. All text of the results is escaped."""
    environment = Environment(
        loader=PackageLoader("gmembench.reports"),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["count"] = formatting.count
    environment.filters["ratio"] = formatting.ratio
    return environment.get_template("report.html").render(_content(results, drawn))


def _content(results: Results, drawn: Sequence[Drawn]) -> dict[str, Any]:
    return {
        "generator": Markup(GENERATOR),  # noqa: S704 - a constant of ours
        "version": gmembench.__version__,
        "designs": [(design, designs.look(design), _variable(design)) for design in results.designs],
        "colours": [(designs.look(design), _variable(design)) for design in _named(results)],
        "cells": len(results.cells),
        "measured": results.measured,
        "some_counted": bool((results.cells["kind"] == "counted").any()),
        "findings": findings.findings(results),
        "summary": summary.summary_table(results),
        "programs": summary.program_rows(results),
        "touchpoints": _touchpoint_table(results),
        "conformance": conformance.verdicts(results),
        "figures": {section: [f for f in drawn if f.figure.section == section] for section in SECTIONS},
        "provenance": provenance.table(results),
        "warnings": provenance.warnings(results),
        "parameters": results.cells[results.cells["parameters"] != ""]["parameters"].to_dict(),
    }


def _touchpoint_table(results: Results) -> dict[str, Any]:
    found = touchpoints.lines(results)
    return {
        "lines": [line for line in found if line.place != touchpoints.ALL],
        "sums": [line for line in found if line.place == touchpoints.ALL],
        "baseline": touchpoints.BASELINE if touchpoints.BASELINE in results.designs else None,
        "common": len(touchpoints.common_cells(results)),
    }


def _draw(name: str, figure: Figure, results: Results) -> Drawn | None:
    with rendering.themed():
        drawing = figure.draw(results)
        if drawing is None:
            return None
        document = rendering.svg(drawing)
        picture = rendering.png(drawing)
    variables = theme.NEUTRALS | {designs.look(design).colour: _variable(design) for design in _named(results)}
    element = rendering.inline(document, name, str(escape(figure.title)), variables)
    numbers = figure.numbers(results).to_dict("split") if figure.numbers else None
    return Drawn(name, figure, picture, document, Markup(element), numbers)  # noqa: S704 - matplotlib escapes text


def _named(results: Results) -> list[str]:
    """All designs that the page names, those without a cell that could run included."""
    lacking = set(results.not_applicable["design"]) - set(results.designs)
    return [*results.designs, *sorted(lacking)]


def _variable(design: str) -> str:
    """The CSS variable of a design's colour."""
    return f"design-{designs.look(design).colour[1:]}"


def _refuse_existing(out: Path) -> None:
    if not os.path.lexists(out):
        return
    if _is_report(out):
        raise UserError("an earlier report is there", str(out), "choose another -o or remove it")
    raise UserError("output exists", str(out), "choose another -o or remove it")


def _is_report(out: Path) -> bool:
    try:
        with (out / "index.html").open(encoding="utf-8") as page:
            return GENERATOR in page.read(1024)
    except (OSError, UnicodeDecodeError):
        return False


def _write_folder(out: Path, page: str, drawn: Sequence[Drawn]) -> None:
    """Write everything beside `out`, then rename, so that a report is never half there."""
    parent = out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".gmembench-report-", dir=parent))
    try:
        (aside / "figures").mkdir()
        for found in drawn:
            _write(aside / "figures" / f"{found.name}.png", found.png)
            _write(aside / "figures" / f"{found.name}.svg", found.svg.encode())
        _write(aside / "index.html", page.encode())
        aside.chmod(0o755)
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
