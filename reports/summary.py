"""The summary: one row a cell, every column counted or measured, and the programs that each cell ran."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gmembench.reports import formatting
from gmembench.reports.loading import Results, cell_order, records
from gmembench.reports.measured import Distribution, distributions
from gmembench.reports.schema import NAME_PARTS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Entry:
    """One table entry: a text, whether it is a number, the number of a note (0 if none), a second line."""

    text: str
    number: bool = True
    note: int = 0
    below: str = ""


@dataclass(frozen=True)
class Column:
    """One column of the summary: group, label, unit, kind of number, and how to fill it for a cell.

    seldom: a counter; the column is shown only if it is not zero in some cell.
    """

    group: str
    label: str
    unit: str
    kind: str
    entry: Callable[["Cell"], Entry]
    seldom: str = ""


@dataclass(frozen=True)
class Row:
    """One row of a table: the cell's name in parts, its entries, or why it is not applicable."""

    name: str
    parts: dict[str, str]
    entries: list[Entry]
    reason: str | None


@dataclass
class Notes:
    """Numbered notes under a table; equal texts share a number."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        """Return the number of a note, from 1."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@dataclass(frozen=True)
class Cell:
    """What a column needs to know of a cell."""

    name: str
    counters: "pd.Series[Any]"
    time: Distribution | None
    results: Results
    notes: Notes


@dataclass(frozen=True)
class Table:
    """A table ready for the page: columns, rows, and notes."""

    columns: tuple[Column, ...]
    rows: list[Row]
    notes: list[str]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Name and number of columns of each group, left to right."""
        return [(name, len(list(found))) for name, found in groupby(self.columns, lambda column: column.group)]


def summary_table(results: Results) -> Table:
    """Return the summary: cells that ran and cells that are not applicable, designs side by side."""
    notes = Notes()
    times = distributions(results)
    columns = tuple(c for c in COLUMNS if not c.seldom or results.cells[c.seldom].fillna(0).any())
    rows = []
    for name, counters in results.cells.iterrows():
        cell = Cell(str(name), counters, times.get(str(name)), results, notes)
        rows.append(Row(cell.name, _parts(counters), [column.entry(cell) for column in columns], None))
    for name, missing in results.not_applicable.iterrows():
        rows.append(Row(str(name), _parts(missing), [], missing["reason"]))
    rows.sort(key=lambda row: cell_order(row.parts))
    return Table(columns, rows, notes.texts)


def program_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row a cell and program: operations, steps, outcomes, and why it is not applicable."""
    order = {cell: i for i, cell in enumerate(results.cells.index)}
    programs = results.programs.sort_values(["cell", "program"], key=lambda c: c.map(order) if c.name == "cell" else c)
    return [
        {
            "cell": row["cell"],
            "program": row["program"],
            "operations": _plain(row["operations"]),
            "steps": _plain(row["steps"]),
            "results": row["results"],
            "reason": _missing_text(row["not_applicable"], results.missing_program(row["cell"], row["program"])),
        }
        for row in records(programs)
    ]


def _parts(record: "pd.Series[Any]") -> dict[str, str]:
    return {part: str(record[part]) for part in NAME_PARTS}


def _plain(value: Any) -> str:
    return "not recorded" if formatting.absent(value) else formatting.count(value)


def _missing_text(operations: Any, reason: str | None) -> str:
    if reason is None:
        return ""
    skipped = "" if formatting.absent(operations) else f" ({formatting.plural(int(operations), 'operation')} left out)"
    return f"{reason}{skipped}"


def _counter(
    key: str, program: str | None = None, show: Callable[[Any], str] = formatting.count
) -> Callable[[Cell], Entry]:
    def entry(cell: Cell) -> Entry:
        missing = program and cell.results.missing_program(cell.name, program)
        if missing:
            return Entry("n/a", False, cell.notes.number(missing))
        value = cell.counters[key]
        return Entry("not recorded", False) if formatting.absent(value) else Entry(show(value))

    return entry


def _per(steps: str, events: str, program: str) -> Callable[[Cell], Entry]:
    plain = _counter(events, program)

    def entry(cell: Cell) -> Entry:
        found = plain(cell)
        if not found.number:
            return found
        if cell.counters[events] == 0:
            return Entry("none ran", False)
        if formatting.absent(cell.counters[steps]):
            return Entry("not recorded", False)
        return Entry(formatting.ratio(cell.counters[steps] / cell.counters[events]))

    return entry


def _time(cell: Cell) -> Entry:
    if cell.time is None:
        return Entry("not measured", False)
    return Entry(formatting.time_ns(cell.time.median_ns), below=_quartiles(cell.time))


def _quartiles(time: Distribution) -> str:
    if math.isnan(time.low_ns):
        return "no spread"
    return f"{formatting.time_ns(time.low_ns)} to {formatting.time_ns(time.high_ns)}"


def _sample(cell: Cell) -> Entry:
    if cell.time is None:
        return Entry("not measured", False)
    return Entry(f"{cell.time.processes} / {cell.time.count}")


def _seldom(group: str, label: str, key: str, program: str | None = None) -> Column:
    return Column(group, label, "", "counted", _counter(key, program), key)


COLUMNS = (
    Column("Work", "operations", "", "counted", _counter("operations")),
    Column("Work", "steps", "", "counted", _counter("steps")),
    Column("Work", "retries", "", "counted", _counter("retries")),
    Column("Work", "flushes", "", "counted", _counter("flushes")),
    Column("Faults", "faults", "", "counted", _counter("faults", "access")),
    Column("Faults", "steps per fault", "", "counted", _per("fault_steps", "faults", "access")),
    Column("Conversions", "conversions", "", "counted", _counter("conversions", "convert")),
    Column(
        "Conversions",
        "steps per conversion",
        "",
        "counted",
        _per("conversion_steps", "conversions", "convert"),
    ),
    _seldom("Conversions", "refused", "conversions_refused", "convert"),
    Column("Memory", "private, peak", "MiB", "counted", _counter("private_pages_peak", show=formatting.size)),
    Column("Memory", "shared, peak", "MiB", "counted", _counter("shared_pages_peak", show=formatting.size)),
    Column(
        "Memory",
        "held twice, peak",
        "MiB",
        "counted",
        _counter("double_backed_pages_peak", show=formatting.size),
    ),
    Column("Memory", "model state a gfn", "bytes", "counted", _counter("state_bytes_per_gfn")),
    _seldom("At the end", "mapped at 4K", "mappings_4k"),
    _seldom("At the end", "mapped at 2M", "mappings_2m"),
    _seldom("At the end", "mapped at 1G", "mappings_1g"),
    _seldom("At the end", "pinned pages", "pinned_pages"),
    _seldom("At the end", "kernel warnings", "warns"),
    Column("Time of the model's code", "per operation: median, middle half", "ns", "measured", _time),
    Column("Time of the model's code", "processes / values", "", "measured", _sample),
)
"""The columns of the summary, left to right, seldom ones included; columns of one group stand together."""
