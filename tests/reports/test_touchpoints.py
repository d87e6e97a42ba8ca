"""Touchpoints against a naive count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gmembench.reports.loading import load_results
from gmembench.reports.touchpoints import common_cells, kvm_rows, tally

ResultFile = Callable[..., Path]
CELL = "boot-populate/guest-memfd/none/4K"


def row(name: str, place: str, nature: str, site: str, hits: int) -> dict[str, Any]:
    """One row of a profile."""
    return {"row": name, "step": "a.b", "place": place, "nature": nature, "site": site, "hits": hits}


def with_rows(rows: list[dict[str, Any]]) -> Callable[[str, dict[str, Any]], None]:
    """Return a change that gives every cell these rows."""

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata["profile.rows"] = json.dumps(rows)

    return change


def test_a_touchpoint_is_a_distinct_pair_of_function_and_nature(result_file: ResultFile) -> None:
    """Equal pairs count once, rows outside KVM not at all, and only pairs with hits are reached."""
    rows = [
        row("access.a", "kvm-fault", "check", "f", 3),
        row("access.b", "kvm-fault", "check", "f", 4),
        row("access.c", "kvm-fault", "lock", "f", 0),
        row("access.d", "kvm-memslot", "check", "f", 5),
        row("access.e", "mm", "check", "g", 7),
    ]
    results = load_results([result_file(cells=[CELL], change=with_rows(rows))])
    found = tally(kvm_rows(results), {CELL})
    assert (found.static, found.reached, found.hits) == (2, 1, 12)


def test_splitting_a_row_adds_no_touchpoint(result_file: ResultFile) -> None:
    """A row that is split for interleaving leaves the count as it was."""
    whole = [row("access.a", "kvm-fault", "check", "f", 3)]
    split = [*whole, row("access.a2", "kvm-fault", "check", "f", 3)]
    counts = [
        tally(kvm_rows(load_results([result_file(f"{len(rows)}.json", cells=[CELL], change=with_rows(rows))])), set())
        for rows in (whole, split)
    ]
    assert counts[0].static == counts[1].static == 1


def test_default_profile_agrees_with_a_naive_count(result_file: ResultFile) -> None:
    """The tally of every design equals a count with a plain set."""
    results = load_results([result_file()])
    rows = kvm_rows(results)
    for design in results.designs:
        own = results.rows[results.rows["cell"].isin(results.cells.index[results.cells["design"] == design])]
        naive = {(r["site"], r["nature"]) for r in own.to_dict("records") if r["place"].startswith("kvm-")}
        assert tally(rows[rows["design"] == design], set()).static == len(naive)


def test_hits_are_summed_over_cells_that_every_design_ran(result_file: ResultFile) -> None:
    """Only scenarios with a cell of each design are common."""
    found = common_cells(load_results([result_file()]))
    assert {cell.split("/")[0] for cell in found} == {"boot-populate", "trace"}
    assert "boot-populate/legacy-vma/none/2M" not in found
