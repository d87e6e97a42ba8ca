"""A comparison in words: as text, as Markdown, for GitHub, and as plain data."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gmembench.reports.compare.comparison import CellVerdict, Comparison
from gmembench.reports.compare.counted import Change, Counted
from gmembench.reports.compare.measured import Measured

CHANGES_AT_MOST = 3
"""Counters shown for a cell in a line; the JSON has all."""

ANNOTATIONS_AT_MOST = 9
"""GitHub shows ten errors of a step; the tenth says how many more there are."""

ROWS_AT_MOST = 200
"""Rows of a Markdown table: GitHub refuses a summary of more than 1 MiB."""


def as_text(comparison: Comparison, *, everything: bool = False) -> str:
    """For a terminal: what was compared, every cell that differs (or every cell), and the outcome."""
    lines = [headline(comparison), *(f"note: {note}" for note in comparison.notes), ""]
    shown = _shown(comparison, everything)
    width = max((len(cell.cell) for cell in shown), default=0)
    lines += [f"{cell.verdict:7} {cell.cell:{width}}  {details(cell)}".rstrip() for cell in shown]
    return "\n".join([*lines, *([""] if shown else []), outcome(comparison)]) + "\n"


def _shown(comparison: Comparison, everything: bool) -> list[CellVerdict]:
    """The rows of a table: findings first. What is the same or undecided is only counted, unless all is wanted."""
    rows = [*comparison.findings, *(row for row in (*comparison.groups, *comparison.cells) if not row.finding)]
    return [row for row in rows if everything or row.finding or row.verdict not in {"same", "unsure"}]


def headline(comparison: Comparison) -> str:
    """Which runs were compared, and in which numbers."""
    name = Path(comparison.new).name
    if comparison.first:
        return f"{name}: there is no earlier run yet"
    base = Path(comparison.base[-1]).name if len(comparison.base) == 1 else f"a pool of {len(comparison.base)} runs"
    rules = comparison.rules
    text = f"{name} against {base}: {comparison.compared} cells by count"
    if comparison.timed:
        limits = f"least difference {rules.threshold:.1%}, false discoveries at most {rules.alpha:.0%}"
        text += f", {comparison.timed} by time ({limits})"
    return text


def outcome(comparison: Comparison) -> str:
    """The verdict over all cells in a line."""
    if comparison.first:
        return "passed: nothing to compare with; add this run to the history, and the next has a base"
    counts = ", ".join(f"{count} {verdict}" for verdict, count in comparison.counts().items() if count)
    if not comparison.compared:
        return f"failed: no cell was compared ({counts or 'there are none'}): a gate that measures nothing cannot pass"
    needed = [c.measured.needed for c in (*comparison.groups, *comparison.cells) if c.measured and c.measured.needed]
    if needed:
        counts += f"; up to {max(needed)} processes a side would decide the unsure (--all lists them)"
    if comparison.findings:
        return f"failed: {len(comparison.findings)} to look at; {counts}"
    return f"passed: {counts}"


def details(cell: CellVerdict) -> str:
    """What differs in a cell, or why it was not compared."""
    parts = [cell.reason]
    if cell.counted and cell.counted.changes:
        parts.append(counted_text(cell.counted))
    if cell.measured and (cell.verdict != "same" or cell.measured.verdict != "same"):
        parts.append(measured_text(cell.measured))
    return "; ".join(part for part in parts if part)


def counted_text(counted: Counted) -> str:
    """The counters that differ, those that decide first."""
    shown = [change_text(change) for change in counted.changes[:CHANGES_AT_MOST]]
    more = len(counted.changes) - len(shown)
    return ", ".join(shown) + (f", {more} more" if more else "")


def change_text(change: Change) -> str:
    """A counter before and after."""
    before, after = ("none" if value is None else f"{value:,}" for value in (change.base, change.new))
    if change.base is None or change.new is None:
        return f"{change.counter} {before} -> {after}"
    far = change.share is not None and abs(change.share) >= 0.001
    by = f"{change.share:+.1%}" if far else f"{change.new - change.base:+,}"
    return f"{change.counter} {before} -> {after} ({by})"


def measured_text(measured: Measured) -> str:
    """How the time differs."""
    beside = f" beside the {measured.beside - 1} others of its rounds" if measured.beside else ""
    if math.isinf(measured.low):
        return f"time {measured.change:+.1%}{beside}"
    return f"time {measured.change:+.1%}{beside} ({measured.low:+.1%} to {measured.high:+.1%}), q {measured.q:.2g}"


def as_markdown(comparison: Comparison, *, everything: bool = False) -> str:
    """For a comment or a step summary: a table of the cells that differ."""
    mark = "✅" if comparison.passed else "❌"
    lines = [f"### {mark} gmembench: {_cell(outcome(comparison))}", "", _cell(headline(comparison)), ""]
    lines += [f"> {_cell(note)}\n" for note in comparison.notes]
    shown = _shown(comparison, everything)
    if shown:
        lines += ["| verdict | cell | what |", "|---|---|---|"]
        lines += [
            f"| {'**' + c.verdict + '**' if c.finding else c.verdict} | {_code(c.cell)} | {_cell(details(c))} |"
            for c in shown[:ROWS_AT_MOST]
        ]
    if len(shown) > ROWS_AT_MOST:
        lines += ["", f"{len(shown) - ROWS_AT_MOST} more rows were left out."]
    return "\n".join(lines).rstrip() + "\n"


_ENTITIES = {ord(sign): f"&#{ord(sign)};" for sign in "&<>|`*_[]~\\"}


def _cell(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    return " ".join(text.translate(_ENTITIES).split())


def _code(text: str) -> str:
    return f"<code>{_cell(text)}</code>"


def as_github(comparison: Comparison, *, everything: bool = False) -> str:
    """Commands of GitHub's runner: an annotation for every finding, a notice on what else there is to know."""
    del everything  # annotations are for what is to be looked at
    findings = comparison.findings
    kind = "error" if not comparison.passed else "notice"
    lines = [
        _annotation("error", f"{cell.verdict}: {cell.cell}", details(cell)) for cell in findings[:ANNOTATIONS_AT_MOST]
    ]
    lines += [_annotation("warning", "gmembench compare", note) for note in comparison.notes]
    lines.append(_annotation(kind, "gmembench compare", f"{headline(comparison)}. {outcome(comparison)}"))
    return "\n".join(lines) + "\n"


def _annotation(kind: str, title: str, text: str) -> str:
    title = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def as_data(comparison: Comparison) -> dict[str, Any]:
    """Plain data for JSON; numbers that are not finite are None."""
    return {
        "schema": 1,
        "base": list(comparison.base),
        "new": comparison.new,
        "passed": comparison.passed,
        "outcome": outcome(comparison),
        "counts": comparison.counts(),
        "compared": {"counted": comparison.compared, "measured": comparison.timed},
        "threshold": comparison.rules.threshold,
        "alpha": comparison.rules.alpha,
        "notes": list(comparison.notes),
        "groups": [_cell_data(group) for group in comparison.groups],
        "cells": [_cell_data(cell) for cell in comparison.cells],
    }


def _cell_data(cell: CellVerdict) -> dict[str, Any]:
    data: dict[str, Any] = {"cell": cell.cell, "verdict": cell.verdict, "finding": cell.finding, "reason": cell.reason}
    if cell.counted:
        changes = [{"counter": c.counter, "base": c.base, "new": c.new} for c in cell.counted.changes]
        data["counted"] = {"verdict": cell.counted.verdict, "changes": changes}
    if cell.measured:
        found = cell.measured
        numbers = {key: _finite(getattr(found, key)) for key in ("change", "low", "high", "p", "q")}
        data["measured"] = {"verdict": found.verdict, **numbers, "processes": list(found.processes)}
        data["measured"] |= {"processes_needed": found.needed, "at_least": found.at_least, "reason": found.reason}
        data["measured"]["beside"] = found.beside
    return data


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


FORMATS: dict[str, Callable[..., str]] = {"text": as_text, "markdown": as_markdown, "github": as_github}
"""Name of a format -> the function that writes it; JSON is written by the command line."""
