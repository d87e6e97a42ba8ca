"""The table of a run of many cells."""

import pytest

from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.run_table import print_summary


def test_many_cells_have_a_line_for_each_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """A line says how many designs ran, how many could not, how many were timed, and who has fewest and most steps."""
    cells = [
        *(Cell("a", design, "none", "4K", "small") for design in ("x", "y", "z")),
        Cell("a", "w", "none", "4K", "small", "it has no such operation"),
        Cell("b", "x", "none", "4K", "small"),
        Cell("c", "x", "none", "4K", "small", "nobody can"),
    ]
    steps = {"a/x": 1200, "a/y": 30, "a/z": 500, "b/x": 7}
    found = [{"name": f"{name}/none/4K", "steps": number, "not_applicable": {}} for name, number in steps.items()]
    found[0]["seconds_per_operation"] = 1e-7
    print_summary(cells, found)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:3] == [
        ["a/none/4K", "3", "1", "1", "30", "y", "1,200", "x"],
        ["b/none/4K", "1", "-", "-", "7", "x", "-"],
    ]
    assert " ".join(lines[3]) == "4 cells; 2 more are not applicable: gmembench list cells says why"
