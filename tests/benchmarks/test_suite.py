"""The result file works with pyperf's own commands."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyperf
import pytest

from gmembench.benchmarks import suite
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.counter import split_rows
from gmembench.benchmarks.harness import Outcome

CELLS = [
    Cell("a", "d", "none", "4K", "small", None),
    Cell("b", "d", "none", "4K", "small", None),
    Cell("c", "d", "none", "4K", "small", "the design has no such operation"),
    Cell("e", "d", "none", "4K", "small", None),
]

ABOUT = suite.About("0" * 16, "small", "quick", "interleaved", 0, ["gmembench", "a\nb"])


def run_of(number: int, *values: float) -> dict[str, Any]:
    """The run of one process, as the harness keeps it."""
    process = {"process.group": "a/none/4K", "process.number": number, "process.timed_s": 2.0, "process.values_s": 1.5}
    return {
        "values": values,
        "warmups": [[2, values[0]]],
        "metadata": {"loops": 2, "inner_loops": 10, "hostname": "here", **process},
    }


def outcome_of(*, timed: bool) -> Outcome:
    """Cell a is timed or only counted, cell b is only counted, cell e failed."""
    line = {"jit": "cached", "counted": {"count.steps": 70, "count.flushes": 0, "profile.hits": "[]"}}
    outcome = Outcome(counted={"a/d/none/4K": line, "b/d/none/4K": line}, failed={"e/d/none/4K": "it fell over"})
    outcome.rows["rows.d/none"] = "[]"
    if timed:
        outcome.runs["a/d/none/4K"] = [run_of(0, 1e-6, 1.1e-6), run_of(1, 1.2e-6, 1e-6)]
    return outcome


def built(outcome: Outcome) -> Any:
    """The suite of an outcome."""
    shared = suite.run_metadata(CELLS, outcome, ABOUT)
    return suite.build(
        CELLS, outcome, shared | (suite.times_metadata(outcome, {}, ["loud"], 0) if outcome.runs else {})
    )


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A result file with a timed and a counted cell."""
    path = tmp_path / "result.json"
    path.write_text(suite.as_text(built(outcome_of(timed=True))))
    return path


def test_what_is_written_can_be_read(result: Path) -> None:
    """Loading a result gives the cells that ran, with their kinds, values and shared metadata."""
    loaded = pyperf.BenchmarkSuite.load(str(result))
    assert loaded.get_benchmark_names() == ["a/d/none/4K", "b/d/none/4K"]
    timed, counted = (benchmark.get_metadata() for benchmark in loaded)
    assert (timed["gmembench.kind"], timed["unit"], timed["inner_loops"]) == ("measured", "second", 10)
    assert (counted["gmembench.kind"], counted["unit"]) == ("counted", "integer")
    assert loaded.get_benchmark("b/d/none/4K").get_values() == (70,)
    assert timed["count.flushes"] == 0
    shared = loaded.get_metadata()
    assert json.loads(shared["cells.not_applicable"]) == [
        {"cell": "c/d/none/4K", "reason": "the design has no such operation"}
    ]
    assert json.loads(shared["cells.failed"]) == [{"cell": "e/d/none/4K", "cause": "it fell over"}]


def test_a_counted_result_is_the_same_every_time() -> None:
    """Counted results of equal counts are equal byte by byte: no date, no machine."""
    texts = {suite.as_text(built(outcome_of(timed=False))) for _ in range(2)}
    assert len(texts) == 1
    assert "hostname" not in texts.pop()


def test_nothing_left_is_no_suite() -> None:
    """When every cell failed there is nothing to write."""
    outcome = Outcome(failed={cell.name: "it fell over" for cell in CELLS})
    assert built(outcome) is None


@pytest.mark.parametrize("command", [["show"], ["stats"], ["check"], ["metadata"], ["dump"], ["compare_to", "SAME"]])
def test_pyperf_commands_read_it(result: Path, command: list[str]) -> None:
    """pyperf's own commands accept the file."""
    words = [str(result) if word == "SAME" else word for word in command]
    done = subprocess.run(
        [sys.executable, "-m", "pyperf", *words, str(result)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_facts_about_rows_are_stored_once() -> None:
    """Cells of one design share the facts; each has the hits of its own, in the same order."""
    facts = {"row": "access.a", "step": "a.b", "place": "mm", "nature": "check", "site": "f"}
    outcome = outcome_of(timed=False)
    for number, name in enumerate(("a/d/none/4K", "b/d/none/4K")):
        rows = json.dumps([{**facts, "hits": number}, {**facts, "row": "access.b", "hits": 7}])
        outcome.rows["rows.d/none"], hits = split_rows(rows)
        outcome.counted[name] = {"jit": "cached", "counted": {"count.steps": 70, "profile.hits": hits}}
    document = json.loads(suite.as_text(built(outcome)))
    assert json.loads(document["metadata"]["rows.d/none"]) == [facts, {**facts, "row": "access.b"}]
    own = [benchmark["metadata"] for benchmark in document["benchmarks"]]
    assert [metadata["profile.hits"] for metadata in own] == ["[0,7]", "[1,7]"]
    assert not any(key.startswith("rows.") for metadata in own for key in metadata)
