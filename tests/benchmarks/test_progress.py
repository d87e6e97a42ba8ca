"""What a run says of its progress where there is no terminal."""

import io

from rich.console import Console

from gmembench.benchmarks.progress import LINES_AT_MOST, Progress


def said(total: int) -> list[str]:
    """The lines of a run that counts so many cells."""
    output = io.StringIO()
    progress = Progress(Console(file=output), None, lines=True)
    progress.begin(total)
    for number in range(total):
        progress.counted(f"cell{number}", 7)
    return output.getvalue().splitlines()


def test_each_of_a_few_cells_has_its_line() -> None:
    """With its steps."""
    assert said(LINES_AT_MOST) == [f"counted cell{number}: 7 steps" for number in range(LINES_AT_MOST)]


def test_of_many_cells_a_tenth_has_a_line() -> None:
    """Ten lines, the last when all is done."""
    lines = said(425)
    assert len(lines) == 10
    assert lines[0] == "43 of 425 done: counted cell42"
    assert lines[-1] == "425 of 425 done: counted cell424"


def test_a_cell_that_fails_while_it_is_timed_is_no_step() -> None:
    """Its process is one: the last tenth is told when all is done, not before."""
    output = io.StringIO()
    progress = Progress(Console(file=output), None, lines=True)
    progress.begin(100)
    for number in range(100):
        if number < 10:
            progress.failed(f"cell{number}", "killed", step=False)
        progress.timed("group", number + 1, 100)
    lines = [line for line in output.getvalue().splitlines() if "done" in line]
    assert len(lines) == 10
    assert lines[-1] == "100 of 100 done: timed group"
