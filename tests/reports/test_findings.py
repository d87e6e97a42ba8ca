"""Findings are computed from the results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gmembench.reports.findings import findings
from gmembench.reports.loading import load_results

ResultFile = Callable[..., Path]


def sentences(path: Path) -> str:
    """All findings as one text."""
    return "\n".join(found.sentence for found in findings(load_results([path])))


def test_steps_a_fault_follow_the_counters(result_file: ResultFile) -> None:
    """The sentence about faults divides the counters of the file."""

    def change(cell: str, metadata: dict[str, Any]) -> None:
        metadata["count.faults"] = 1000
        metadata["count.fault_steps"] = 43_000 if "guest-memfd" in cell else 38_500

    text = sentences(result_file(change=change))
    assert "Steps a fault: legacy-vma 38.5 and guest-memfd 43 (boot-populate, 4K)." in text


def test_conversions_name_the_designs_that_have_none(result_file: ResultFile) -> None:
    """A design that cannot convert is not applicable in the sentence, and has no number."""
    text = sentences(result_file())
    assert "Steps a conversion of 512 pages, on average: guest-memfd 1,330 (" in text
    assert "Not applicable to legacy-vma" in text


def test_memory_held_twice_names_where_and_where_not(result_file: ResultFile) -> None:
    """The peak of double backing is told with its cell, and the order of calls that avoids it."""
    text = sentences(result_file())
    assert "16 MiB, 25 % of the guest: guest-memfd in bounce-buffer:attributes-first, 4K." in text
    assert "In bounce-buffer:punch-first it holds nothing twice." in text


def test_only_times_are_measured(result_file: ResultFile) -> None:
    """A finding is measured if and only if it is about time; a counted file has none of them."""
    measured = [found for found in findings(load_results([result_file()])) if found.kind == "measured"]
    assert [" ns " in found.sentence for found in measured] == [True]
    counted = findings(load_results([result_file("counted.json", kind="counted")]))
    assert {found.kind for found in counted} == {"counted"}


def test_results_without_counters_give_no_findings(result_file: ResultFile) -> None:
    """A file that records steps alone yields no sentence instead of a wrong one."""

    def strip(_: str, metadata: dict[str, Any]) -> None:
        for key in list(metadata):
            if (key.startswith("count.") and key != "count.steps") or key.startswith("profile."):
                del metadata[key]

    assert sentences(result_file(kind="counted", change=strip)) == ""


def test_every_finding_names_cells_of_the_file(result_file: ResultFile) -> None:
    """Each sentence with a number can be traced to cells, which are those of its scenario."""
    results = load_results([result_file()])
    for found in findings(results):
        assert found.cells
        assert set(found.cells) <= set(results.cells.index)
