"""The table that `gmembench run` prints: a line a cell with numbered reasons, or of many cells a line a scenario."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gmembench.benchmarks.cells import Cell

WIDTH = 200
"""Columns where there is no terminal, and so no width to fit."""


CELLS_AT_MOST = 40
"""Of more cells the table has a line for those that differ in the design only; a report has them all."""


class Reasons:
    """Reasons with their numbers, from 1; equal ones share a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> str:
        """The number of a reason, in brackets."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


def print_summary(cells: Sequence[Cell], found: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each scenario, hardware and page size that ran: how many designs did, and between what."""
    ran = {row["name"]: row for row in found}
    table = Table("scenario, hardware, pages", box=None, pad_edge=False)
    for head in ("designs", "not applicable", "timed"):
        table.add_column(head, justify="right")
    table.add_column("fewest steps (counted)")
    table.add_column("most steps (counted)")
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    for group, members in groups.items():
        if any(cell.name in ran for cell in members):
            table.add_row(Text(group, overflow="fold"), *_group(members, ran))
    lacking = sum(cell.reason is not None for cell in cells)
    out = console()
    out.print(table)
    out.print(Text(f"{len(ran)} cells; {lacking} more are not applicable: gmembench list cells says why"))


def _group(members: Sequence[Cell], ran: Mapping[str, Mapping[str, Any]]) -> list[str | Text]:
    """The fields of a line for some cells: how many ran, are not applicable and were timed, and the extremes."""
    here = sorted((ran[cell.name]["steps"], cell.design) for cell in members if cell.name in ran)
    lacking = sum(cell.reason is not None for cell in members)
    timed = sum(bool(ran[cell.name].get("seconds_per_operation")) for cell in members if cell.name in ran)
    fewest, most = (Text(f"{steps:,} {design}") for steps, design in (here[0], here[-1]))
    counts = [str(number or "-") for number in (len(here), lacking, timed)]
    return [*counts, fewest, most if len(here) > 1 else Text("-")]


def console() -> Console:
    """Where tables go."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def print_table(cells: Sequence[Cell], found: Sequence[Mapping[str, Any]]) -> None:
    """Print selected cells with what was counted and measured, in columns that say which, then the reasons."""
    ran = {row["name"]: row for row in found}
    reasons = Reasons()
    table = Table("cell", box=None, pad_edge=False)
    table.add_column("steps (counted)", justify="right")
    table.add_column("ns per operation (measured)", justify="right")
    table.add_column("left out, not applicable")
    for cell in cells:
        if cell.reason is not None:
            table.add_row(Text(cell.name, overflow="fold"), Text(f"not applicable {reasons.number(cell.reason)}"), "-")
        elif cell.name in ran:
            table.add_row(*_line(ran[cell.name], reasons))
    out = console()
    out.print(table)
    for number, text in enumerate(reasons.texts, 1):
        out.print(Text(f"[{number}] {text}"), soft_wrap=True)


def _line(row: Mapping[str, Any], reasons: Reasons) -> tuple[Text, str, str, Text]:
    """The line of a cell that ran. A time that was not taken is said to be missing, never shown as a number."""
    seconds = row.get("seconds_per_operation")
    lacking = ", ".join(f"{program} {reasons.number(text)}" for program, text in row["not_applicable"].items())
    time = f"{seconds * 1e9:.1f}" if seconds else "counted only"
    return Text(row["name"], overflow="fold"), str(row["steps"]), time, Text(lacking)
