"""The table that `gmembench run` prints: one line a cell, and numbered reasons for all that is not applicable."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gmembench.benchmarks.cells import Cell

WIDTH = 200
"""Columns where there is no terminal, and so no width to fit."""


class Reasons:
    """Reasons with their numbers, from 1; equal ones share a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> str:
        """The number of a reason, in brackets."""
        if text not in self.texts:
            self.texts.append(text)
        return f"[{self.texts.index(text) + 1}]"


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
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    for number, text in enumerate(reasons.texts, 1):
        console.print(Text(f"[{number}] {text}"), soft_wrap=True)


def _line(row: Mapping[str, Any], reasons: Reasons) -> tuple[Text, str, str, Text]:
    """The line of a cell that ran. A time that was not taken is said to be missing, never shown as a number."""
    seconds = row.get("seconds_per_operation")
    lacking = ", ".join(f"{program} {reasons.number(text)}" for program, text in row["not_applicable"].items())
    time = f"{seconds * 1e9:.1f}" if seconds else "counted only"
    return Text(row["name"], overflow="fold"), str(row["steps"]), time, Text(lacking)
