"""Touchpoints against a naive count."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gmembench.reports.loading import load_results
from gmembench.reports.touchpoints import ALL, Score, common_cells, kvm_rows, lines, tally

ResultFile = Callable[..., Path]
CELL = "boot-populate/guest-memfd/none/4K"


LEGACY = "boot-populate/legacy-vma/none/4K"


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


def test_paths_are_scored_apart_and_beyond_the_baseline(result_file: ResultFile) -> None:
    """What the baseline has on the same path does not count against a design; hits are for each operation."""
    own = {
        LEGACY: [row("access.a", "kvm-fault", "check", "f", 50), row("punch.a", "kvm-memslot", "lock", "g", 3)],
        CELL: [
            row("access.a", "kvm-fault", "check", "f", 100),
            row("prefault.b", "kvm-fault", "callback", "new", 100),
            row("punch.a", "kvm-memslot", "check", "f", 10),
            row("punch.b", "kvm-memslot", "lock", "g", 10),
        ],
    }

    def change(cell: str, metadata: dict[str, Any]) -> None:
        kept = {k: v for k, v in metadata.items() if not k.startswith("count.operations.")}
        metadata.clear()
        metadata.update(kept | {"count.operations.access": 100, "count.operations.punch": 5})
        metadata["profile.rows"] = json.dumps(own[cell])

    results = load_results([result_file(cells=[LEGACY, CELL], change=change)])
    legacy, guest = (results.designs.index(name) for name in ("legacy-vma", "guest-memfd"))
    sums = {line.path: line.scores for line in lines(results) if line.place == ALL}
    assert sums["fault"][legacy] == Score(1, 0, 0.5)
    assert sums["fault"][guest] == Score(2, 1, 2.0)
    assert sums["lifetime"][legacy] == Score(1, 0, 0.6)
    assert sums["lifetime"][guest] == Score(2, 1, 4.0)
    detail = {(line.path, line.place, line.nature): line.scores[guest] for line in lines(results)}
    assert detail["fault", "kvm-fault", "callback"] == Score(1, 1, 1.0)
    assert detail["lifetime", "kvm-memslot", "lock"] == Score(1, 0, 2.0)
