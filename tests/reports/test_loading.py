"""Result files become tidy frames, and bad files one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import zstandard

from gmembench.core.errors import UserError
from gmembench.reports import many_files, pyperf_file
from gmembench.reports.loading import load_results
from gmembench.reports.many_files import read_table
from gmembench.reports.pyperf_file import read_benchmarks
from gmembench.reports.runs import read_run

ResultFile = Callable[..., Path]


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Change the JSON of a result file in place."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    return path


def test_one_row_a_cell_with_designs_side_by_side(result_file: ResultFile) -> None:
    """Cells are sorted by scenario, hardware and page size, and designs of one group follow each other."""
    cells = load_results([result_file()]).cells
    assert list(cells.index[:3]) == [
        "boot-populate/legacy-vma/none/4K",
        "boot-populate/guest-memfd/none/4K",
        "boot-populate/legacy-vma/none/2M",
    ]


def test_counters_are_exact(result_file: ResultFile) -> None:
    """A counter beyond the precision of floats arrives unchanged."""
    large = (1 << 60) + 1

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata["count.steps"] = large

    cells = load_results([result_file(change=change)]).cells
    assert set(cells["steps"]) == {large}


def test_times_are_nanoseconds_an_operation(result_file: ResultFile) -> None:
    """Every value of every process becomes one row, in nanoseconds."""
    path = result_file(cells=["boot-populate/guest-memfd/none/4K"], processes=4)
    times = load_results([path]).times
    stored = [1e9 * value for process in read_benchmarks(path)[0].processes for value in process]
    assert times["time_ns"].tolist() == stored
    assert times["process"].tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_runs_without_values_are_skipped(result_file: ResultFile) -> None:
    """A run that only calibrated does not count as a process."""

    def calibrate(document: dict[str, Any]) -> None:
        document["benchmarks"][0]["runs"].insert(0, {"warmups": [[1, 0.1]]})

    path = edited(result_file(processes=2), calibrate)
    assert [len(benchmark.processes) for benchmark in read_benchmarks(path)] == [2] * 9


def test_counted_values_are_not_times(result_file: ResultFile) -> None:
    """The value of a counted benchmark is a number of steps and never shows up as a time."""
    results = load_results([result_file(kind="counted")])
    assert results.times.empty
    assert not results.measured


def test_a_program_that_a_design_lacks_is_missing_in_all_its_cells(result_file: ResultFile) -> None:
    """The reason that one cell of a design gives holds for its other cells, and for no other design."""
    results = load_results([result_file()])
    assert "no memory attribute" in (results.missing_program("boot-populate/legacy-vma/none/4K", "convert") or "")
    assert results.missing_program("boot-populate/guest-memfd/none/4K", "convert") is None


def test_cells_that_cannot_run_keep_their_reason(result_file: ResultFile) -> None:
    """A cell that is not applicable is listed with its parts and reason."""
    missing = load_results([result_file()]).not_applicable
    row = missing.loc["boot-populate/guest-memfd/none/2M"]
    assert (row["design"], row["page_size"]) == ("guest-memfd", "2M")
    assert "4K" in row["reason"]


def test_several_files_are_one_set_of_cells(result_file: ResultFile) -> None:
    """Cells of several files stand together, each with its file."""
    first = result_file("a.json", cells=["boot-populate/legacy-vma/none/4K"])
    second = result_file("b.json", cells=["boot-populate/guest-memfd/none/4K"])
    results = load_results([first, second])
    assert results.cells["file"].tolist() == [str(first), str(second)]
    assert list(results.files) == [str(first), str(second)]


def test_cells_with_and_without_profiles_mix(result_file: ResultFile) -> None:
    """A cell without rows and backing leaves the columns of the others as integers."""

    def change(cell: str, metadata: dict[str, Any]) -> None:
        if cell.startswith("trace"):
            del metadata["profile.rows"], metadata["profile.backing"]

    results = load_results([result_file(change=change)])
    assert results.rows["hits"].dtype == "int64"
    assert results.backing["private_pages"].dtype == "int64"
    assert not results.rows["cell"].str.startswith("trace").any()


def truncate(path: Path) -> None:
    """Cut the file off."""
    path.write_text(path.read_text()[:-40])


def replace_by(text: str) -> Callable[[Path], None]:
    """Put another text in its place."""

    def write(path: Path) -> None:
        path.write_text(text)

    return write


def set_common(key: str, value: object) -> Callable[[Path], None]:
    """Set one item of metadata in every benchmark."""

    def write(path: Path) -> None:
        def edit(document: dict[str, Any]) -> None:
            document["metadata"].pop(key, None)
            for benchmark in document["benchmarks"]:
                benchmark["metadata"][key] = value

        edited(path, edit)

    return write


def empty_runs(path: Path) -> None:
    """Leave a benchmark without runs."""
    edited(path, lambda document: document["benchmarks"][0].update(runs=[]))


def only_warmups(path: Path) -> None:
    """Leave a benchmark without values."""
    edited(path, lambda document: document["benchmarks"][0].update(runs=[{"warmups": [[1, 0.5]]}]))


def duplicate(path: Path) -> None:
    """Store a benchmark twice."""
    edited(path, lambda document: document["benchmarks"].append(document["benchmarks"][0]))


def not_a_number(path: Path) -> None:
    """Store a value that is not a number."""
    path.write_text(path.read_text().replace('"values":[', '"values":[NaN,', 1))


def too_large(path: Path) -> None:
    """Store a value beyond all floats."""
    path.write_text(path.read_text().replace('"values":[', '"values":[1e999,', 1))


def hopelessly_long(path: Path) -> None:
    """Store a number that no float can hold."""
    path.write_text(path.read_text().replace('"values":[', f'"values":[{"9" * 400},', 1))


def many_values(path: Path) -> None:
    """Store a million values in one process."""
    edited(path, lambda document: document["benchmarks"][0]["runs"][0].update(values=[1.5] * 1_000_000))


def mixed_units(path: Path) -> None:
    """Give one process another unit than the others have."""
    edited(path, lambda document: document["benchmarks"][0]["runs"][1].update(metadata={"unit": "byte"}))


def binary(path: Path) -> None:
    """Make it a packed file."""
    path.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncate, "not valid JSON"),
        (replace_by(""), "not valid JSON"),
        (replace_by("[" * 200_000), "not valid JSON"),
        (replace_by("[1, 2]"), "not a pyperf result"),
        (replace_by('{"a": 1}'), "not a pyperf result"),
        (replace_by('{"benchmarks": [], "version": "1.0"}'), "no benchmark"),
        (replace_by('{"benchmarks": [{"runs": [{"values": [1.0]}]}], "version": "1.0"}'), "not of gmembench"),
        (binary, "not UTF-8"),
        (not_a_number, "NaN is not a number: line "),
        (too_large, "not a positive number"),
        (hopelessly_long, "not a positive number"),
        (many_values, "1,000,015 values, more than 100,000"),
        (mixed_units, "its unit is 'byte', that of others is 'second'"),
        (set_common("unit", "byte"), "its unit is 'byte', but a measured cell is in 'second'"),
        (set_common("unit", "integer"), "a measured cell is in 'second'"),
        (empty_runs, "no runs"),
        (only_warmups, "none of its runs has a value"),
        (duplicate, "twice"),
        (set_common("gmembench.schema", 2), "schema 2"),
        (set_common("gmembench.kind", "guessed"), "kind"),
        (set_common("gmembench.kind", {"a": 1}), "kind"),
        (set_common("cell.design", "a\x00b"), "cell.design"),
        (set_common("cell.design", ""), "cell.design"),
        (set_common("count.steps", "many"), "count.steps is not a count"),
        (set_common("count.faults", -1), "count.faults is not a count"),
        (set_common("profile.rows", "[1]"), "profile.rows"),
        (set_common("profile.rows", "{"), "profile.rows is not valid JSON"),
        (set_common("profile.rows", '[{"row": "a", "hits": 1}]'), "profile.rows"),
        (set_common("profile.hits", "[1]"), "profile.hits does not fit rows."),
        (set_common("profile.hits", "[-1]"), "profile.hits does not fit rows."),
        (set_common("profile.backing", '{"operation": [1]}'), "profile.backing"),
        (set_common("profile.backing", "[]"), "profile.backing"),
        (set_common("profile.conformance", "[]"), "profile.conformance"),
        (set_common("cells.not_applicable", '[{"cell": "a"}]'), "cells.not_applicable"),
        (set_common("scenarios.about", "[3]"), "scenarios.about is not an object of texts"),
    ],
)
def test_a_bad_file_is_told_in_one_line(result_file: ResultFile, spoil: Callable[[Path], None], says: str) -> None:
    """Whatever is wrong with a file, the error is one line that names the file, the fault and the mend."""
    path = result_file()
    spoil(path)
    readers: list[Callable[[], object]] = [lambda: load_results([path])]
    if not says.startswith(("profile.", "scenarios.")):  # runs have no profiles, and need no words
        readers.append(lambda: read_run(path))
    if not says.startswith(("profile.", "cells.", "scenarios.")):  # nor has a table the cells that are missing
        readers.append(lambda: read_table([path]))
    for read in readers:
        with pytest.raises(UserError) as caught:
            read()
        line = str(caught.value)
        assert says in line
        assert str(path) in line
        assert "\n" not in line
        assert len(line) < 400


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    """A path that cannot be read is a user's error, not a traceback."""
    for path in (tmp_path / "absent.json", tmp_path):
        with pytest.raises(UserError, match=str(path)):
            load_results([path])


def test_no_file_at_all_is_told() -> None:
    """A report needs a result file."""
    with pytest.raises(UserError, match="no result file"):
        load_results([])


def test_hits_beside_the_shared_facts_of_rows(result_file: ResultFile) -> None:
    """A cell whose rows are stored in two parts reads like one whose rows are stored whole."""
    cell = "boot-populate/guest-memfd/none/4K"

    def split(name: str, metadata: dict[str, Any]) -> None:
        rows = json.loads(metadata.pop("profile.rows"))
        metadata["profile.hits"] = json.dumps([row.pop("hits") for row in rows])
        metadata["rows.guest-memfd/none"] = json.dumps(rows)

    whole = load_results([result_file("whole.json", cells=[cell])]).rows
    parts = load_results([result_file("parts.json", cells=[cell], change=split)]).rows
    pd.testing.assert_frame_equal(whole, parts)


def test_the_table_of_many_files_has_the_numbers_of_the_report(result_file: ResultFile) -> None:
    """Read fast and without profiles, files give the counters and times that the report has of them."""
    first, second = result_file("a.json"), result_file("b.json", kind="counted")
    table = read_table([first, second])
    results = load_results([first])
    assert table["file"].value_counts().to_dict() == {str(first): 9, str(second): 9}
    measured = table[table["file"] == str(first)].set_index("cell")
    shared = [column for column in results.cells if column in table and column != "file"]
    pd.testing.assert_frame_equal(measured.loc[results.cells.index, shared], results.cells[shared], check_dtype=False)
    means = results.times.groupby(["cell", "process"])["time_ns"].mean().groupby("cell").mean()
    pd.testing.assert_series_equal(measured["time_ns"].sort_index(), means.sort_index(), check_names=False)
    assert table[table["kind"] == "counted"]["time_ns"].isna().all()


def test_both_readings_of_a_table_agree(result_file: ResultFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is read record by record is the one that is read as runs, whatever cells share or lack."""

    def change(name: str, metadata: dict[str, Any]) -> None:
        if name.startswith("trace"):
            del metadata["count.flushes"]
            metadata["count.steps"] = (1 << 60) + 1

    paths = [result_file("a.json", change=change), result_file("b.json", kind="counted")]

    def refuse(what: object) -> None:
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr(many_files, "_slow", refuse)
        fast = read_table(paths)
    monkeypatch.setattr(many_files, "_fast", refuse)
    pd.testing.assert_frame_equal(read_table(paths), fast)


def test_fast_and_slow_reading_agree(result_file: ResultFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What msgspec reads is what the standard library reads."""
    path = result_file()
    fast = read_benchmarks(path)

    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(pyperf_file, "_benchmarks", refuse)
    assert read_benchmarks(path) == fast


def test_a_packed_file_is_unpacked(result_file: ResultFile) -> None:
    """A file packed by zstd reads like the file itself; one that is cut off is told."""
    path = result_file()
    packed = path.with_suffix(".json.zst")
    packed.write_bytes(zstandard.compress(path.read_bytes()))
    assert read_run(packed).cells == read_run(path).cells
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut off|not valid JSON"):
        read_run(packed)


def test_processes_keep_their_numbers(result_file: ResultFile) -> None:
    """Cells that were timed interleaved know their group and the numbers of their processes, unless two are equal."""

    def number(document: dict[str, Any]) -> None:
        for benchmark in document["benchmarks"]:
            benchmark["metadata"]["process.group"] = "boot/none/4K"
            for at, run in enumerate(benchmark["runs"]):
                run["metadata"] = {"process.number": 5 - at}

    path = edited(result_file(), number)
    cells = read_run(path).cells
    assert {(cell.group, cell.processes) for cell in cells.values()} == {("boot/none/4K", (5, 4, 3, 2, 1, 0))}

    def same(document: dict[str, Any]) -> None:
        document["benchmarks"][0]["runs"][0]["metadata"] = {"process.number": 0}

    spoilt = read_run(edited(path, same)).cells
    assert [cell.processes for cell in spoilt.values()].count(()) == 1
