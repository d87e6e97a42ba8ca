"""Result files to tidy frames: the one place that knows the names of the metadata.

A benchmark of the file is a cell. Counters and profiles are its metadata, wall-clock times its values.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from gmembench.core.errors import UserError
from gmembench.reports import designs, profiles, schema
from gmembench.reports.designs import Cast
from gmembench.reports.pyperf_file import WRITE_AGAIN, RawBenchmark, read_benchmarks
from gmembench.reports.runs import listed_cells, told_scenarios
from gmembench.reports.schema import COUNTERS, NAME_PARTS

_PAGE_SIZES = ("4K", "2M", "1G")


@dataclass(frozen=True)
class Results:
    """All result files of one report as tidy frames.

    cells: one row a cell that ran; index `cell`; columns scenario, design, hardware, page_size, kind
      ("counted" or "measured"), parameters (text), file (text), and COUNTERS (Int64, missing if not recorded).
    times: one row a timed value; columns cell, process (int), time_ns (float, nanoseconds an operation).
    programs: one row a cell and program; columns cell, program, operations, steps, not_applicable (Int64),
      reason, results (text).
    rows: one row a program row of a cell; columns cell, program, row, step, place, nature, site, hits.
    backing: one row a sampled point; columns cell, operation, private_pages, shared_pages, double_backed_pages.
    not_applicable: one row a cell that cannot run; index `cell`; columns scenario, design, hardware,
      page_size, reason.
    conformance: cell to the figures of its trace conformance.
    failed: cell to the cause, for cells that did not end.
    about: name of a scenario, without variant and axes, to what it does: a sentence, then perhaps more.
    files: path of a file to the metadata of all its benchmarks; where they differ, the first has its say.
    """

    cells: pd.DataFrame
    times: pd.DataFrame
    programs: pd.DataFrame
    rows: pd.DataFrame
    backing: pd.DataFrame
    not_applicable: pd.DataFrame
    conformance: Mapping[str, Mapping[str, Any]]
    failed: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """True if any cell was timed."""
        return not self.times.empty

    @property
    def designs(self) -> list[str]:
        """Designs of the cells that ran, in their fixed order."""
        return sorted(set(self.cells["design"]), key=designs.rank)

    @cached_property
    def cast(self) -> Mapping[str, Cast]:
        """How each design appears, those without a cell that could run included; the same in `of_scenario`."""
        return designs.cast_of(tuple({*self.cells["design"], *self.not_applicable["design"]} - {""}))

    def of_scenario(self, scenario: str) -> "Results":
        """Return the cells of one scenario, with all that is known of them."""
        cells = self.cells[self.cells["scenario"] == scenario]
        lacking = self.not_applicable[self.not_applicable["scenario"] == scenario]
        found = replace(
            self,
            cells=cells,
            times=self.times[self.times["cell"].isin(cells.index)],
            programs=self.programs[self.programs["cell"].isin(cells.index)],
            rows=self.rows[self.rows["cell"].isin(cells.index)],
            backing=self.backing[self.backing["cell"].isin(cells.index)],
            not_applicable=lacking,
            conformance={cell: figures for cell, figures in self.conformance.items() if cell in cells.index},
        )
        # What all cells together say of a design holds in each scenario too.
        vars(found).update(cast=self.cast, _missing_programs=self._missing_programs)
        return found

    def missing_program(self, cell: str, program: str) -> str | None:
        """Return why the design of a cell has no such program, or None if it has it.

        The reason that any cell of the same design and hardware gives holds for all its cells.
        """
        return self._missing_programs.get((*self._owner(cell), program))

    def _owner(self, cell: str) -> tuple[str, str]:
        return str(self.cells.loc[cell, "design"]), str(self.cells.loc[cell, "hardware"])

    @cached_property
    def _missing_programs(self) -> dict[tuple[str, str, str], str]:
        """Design, hardware and program to the first reason given."""
        found: dict[tuple[str, str, str], str] = {}
        for row in records(self.programs[self.programs["reason"].notna()]):
            found.setdefault((*self._owner(row["cell"]), row["program"]), str(row["reason"]))
        return found


def load_results(paths: Sequence[Path]) -> Results:
    """Read result files.

    Raises UserError if a file is not a gmembench result, or if two benchmarks are the same cell.
    """
    if not paths:
        raise UserError("no result file", "report", "name at least one RESULT.json")
    cells: dict[str, RawBenchmark] = {}
    file_of: dict[str, str] = {}
    for path in paths:
        for raw in read_benchmarks(path):
            name = schema.cell_name(raw)
            if name in cells:
                raise UserError(f"the cell {name} is there twice", str(path), "report one result of each cell")
            cells[name], file_of[name] = raw, str(path)
    return _results(cells, file_of)


def _results(cells: Mapping[str, RawBenchmark], file_of: Mapping[str, str]) -> Results:
    facts: dict[str, pd.DataFrame] = {}
    return Results(
        cells=_cells(cells, file_of),
        times=_frame(
            ["cell", "process", "time_ns"], [row for name, raw in cells.items() for row in _values(name, raw)]
        ),
        programs=_programs(cells),
        rows=pd.concat([profiles.row_frame(name, raw, facts) for name, raw in cells.items()], ignore_index=True),
        backing=pd.concat([profiles.backing_frame(name, raw) for name, raw in cells.items()], ignore_index=True),
        not_applicable=_not_applicable(cells),
        conformance={
            name: profiles.conformance(raw) for name, raw in cells.items() if "profile.conformance" in raw.metadata
        },
        failed={name: cause for raw in cells.values() for name, cause in listed_cells(raw, "cells.failed", "cause")},
        files=_files(cells, file_of),
        about=_about(cells),
    )


def _about(cells: Mapping[str, RawBenchmark]) -> dict[str, str]:
    """What scenarios do. All benchmarks of a file say the same, so that each file is asked once."""
    common = {id(raw.common): raw for raw in cells.values()}
    return {name: text for raw in common.values() for name, text in told_scenarios(raw).items()}


def cell_order(parts: Mapping[str, Any]) -> tuple[str, str, int, str, tuple[int, str]]:
    """Sort key of a cell: scenario, hardware, page size, design, so that designs stand side by side."""
    page_size = str(parts["page_size"])
    known = _PAGE_SIZES.index(page_size) if page_size in _PAGE_SIZES else len(_PAGE_SIZES)
    return (parts["scenario"], parts["hardware"], known, page_size, designs.rank(parts["design"]))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a small frame as dictionaries by column, without the index."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def _cells(cells: Mapping[str, RawBenchmark], file_of: Mapping[str, str]) -> pd.DataFrame:
    found = []
    for name, raw in cells.items():
        record: dict[str, Any] = {part: raw.metadata[f"cell.{part}"] for part in NAME_PARTS}
        record |= {counter: profiles.counter(raw, f"count.{counter}") for counter in COUNTERS}
        if record["steps"] is None:
            raise UserError("count.steps is missing", raw.where, WRITE_AGAIN)
        record |= {"cell": name, "kind": raw.metadata["gmembench.kind"], "file": file_of[name]}
        record["parameters"] = str(raw.metadata.get("cell.parameters", ""))
        found.append(record)
    found.sort(key=cell_order)
    frame = pd.DataFrame(found).set_index("cell")
    return frame.astype(dict.fromkeys(COUNTERS, "Int64"))


def _values(name: str, raw: RawBenchmark) -> Iterator[tuple[str, int, float]]:
    if raw.metadata["gmembench.kind"] == "measured":
        for process, values in enumerate(raw.processes):
            yield from ((name, process, 1e9 * value) for value in values)


def _programs(cells: Mapping[str, RawBenchmark]) -> pd.DataFrame:
    columns = ["cell", "program", "operations", "steps", "not_applicable", "reason", "results"]
    found = [
        (name, program, *(profiles.counter(raw, f"count.{key}.{program}") for key in columns[2:5]),
         raw.metadata.get(f"reason.not_applicable.{program}"), _result_text(raw, program))
        for name, raw in cells.items()
        for program in _program_names(raw.metadata)
    ]  # fmt: skip
    return _frame(columns, found).astype(dict.fromkeys(columns[2:5], "Int64"))


def _program_names(metadata: Mapping[str, Any]) -> list[str]:
    prefixes = ("count.operations.", "count.steps.", "count.not_applicable.", "reason.not_applicable.")
    return sorted({key[len(p) :] for key in metadata for p in prefixes if key.startswith(p)})


def _result_text(raw: RawBenchmark, program: str) -> str:
    prefix = f"count.result.{program}."
    found = sorted(key for key in raw.metadata if key.startswith(prefix))
    return ", ".join(f"{key[len(prefix) :]} {profiles.counter(raw, key):,}" for key in found)


def _not_applicable(cells: Mapping[str, RawBenchmark]) -> pd.DataFrame:
    found: dict[str, dict[str, str]] = {}
    for raw in cells.values():
        for name, reason in listed_cells(raw, "cells.not_applicable", "reason"):
            parts = name.rsplit("/", 3) if name.count("/") >= 3 else [name, "", "", ""]
            found[name] = {"cell": name, **dict(zip(NAME_PARTS, parts, strict=True)), "reason": reason}
    present = [record for name, record in found.items() if name not in cells]
    present.sort(key=cell_order)
    frame = pd.DataFrame(present, columns=["cell", *NAME_PARTS, "reason"])
    return frame.set_index("cell")


def _files(cells: Mapping[str, RawBenchmark], file_of: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Merge the metadata of each file: a cell that was only counted lacks the facts about the machine."""
    files: dict[str, dict[str, Any]] = {}
    for name, raw in cells.items():
        files[file_of[name]] = {**raw.metadata, **files.get(file_of[name], {})}
    return files
