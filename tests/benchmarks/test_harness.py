"""Who is timed, how often, in which order, and what happens when a cell fails."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyperf
import pytest
from rich.console import Console

from gmembench.benchmarks import child, harness
from gmembench.benchmarks.cells import Cell
from gmembench.benchmarks.progress import Progress

REQUEST = child.Request("small", (), None, "0" * 16)


def cells_of(*counts: int) -> list[Cell]:
    """Cells of scenarios a, b, ...: as many designs of each as `counts` says."""
    return [
        Cell(f"{chr(97 + number)}", f"d{design:02}", "none", "4K", "small", None)
        for number, count in enumerate(counts)
        for design in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 11, 23, 24, 25, 100])
def test_quick_starts_at_most_24_workers(count: int) -> None:
    """However many cells there are, the workers of a quick run are 24 or fewer, and no cell gets more than others."""
    shares = harness.share(cells_of(count), harness.QUICK)
    assert 1 <= sum(shares.values()) <= 24
    assert len(set(shares.values())) == 1
    assert len(shares) == min(count, 24)


def test_every_scenario_gets_its_turn() -> None:
    """With more cells than workers, a scenario that comes late is timed as well."""
    shares = harness.share(cells_of(40, 1, 1), harness.QUICK)
    assert {"b/d00/none/4K", "c/d00/none/4K"} < set(shares)


def test_cells_of_larger_pages_get_fewer_processes() -> None:
    """In a quick run a cell of 4K pages is timed twice, one of 2M pages once."""
    cells = [Cell("a", "d", "none", size, "small", None) for size in ("4K", "2M")]
    assert harness.share(cells, harness.QUICK) == {"a/d/none/4K": 2, "a/d/none/2M": 1}


def test_a_full_run_times_every_cell_alike() -> None:
    """Without a bound every cell gets the same number of processes."""
    shares = harness.share(cells_of(30, 30), harness.FULL)
    assert len(shares) == 60
    assert set(shares.values()) == {harness.FULL.processes_per_cell}


def test_rounds_interleave() -> None:
    """Each round has every cell once, the order differs between rounds, and is the same in two runs."""
    wanted = dict.fromkeys("abcdefgh", 3)
    order = harness.rounds(wanted)
    parts = [order[start : start + 8] for start in range(0, 24, 8)]
    assert all(sorted(part) == list("abcdefgh") for part in parts)
    assert parts[0] != parts[1]
    assert order == harness.rounds(wanted)


def test_rounds_give_each_cell_its_share() -> None:
    """A cell with fewer processes than others appears that often."""
    assert Counter(harness.rounds({"a": 1, "b": 3})) == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("pass_s", "wall_s", "loops"),
    [
        (0.01, 0.011, 2),  # long enough after two passes
        (1.0, 1.0, 1),  # never less than one
        (0.001, 0.1, 2),  # set-up bounds the passes: 0.2 s in all
        (0.0, 0.0, harness.LOOPS_AT_MOST),  # a clock that did not move
    ],
)
def test_loops_fill_a_value(pass_s: float, wall_s: float, loops: int) -> None:
    """Passes fill 20 ms of measured time, bounded by their set-up."""
    assert harness.loops_for(pass_s, wall_s, 0.02) == loops


def quiet_progress() -> Progress:
    """A progress that shows nothing."""
    return Progress(Console(quiet=True), None, lines=False)


def counted_line(name: str, **more: Any) -> dict[str, Any]:
    """A line as the counting child writes it."""
    line = {"cell": name, "jit": "cached", "counted": {"count.steps": 70}}
    return {**line, "pass_s": 0.01, "wall_s": 0.01, **more}


def one_run(name: str, value: float) -> Any:
    """A pyperf benchmark of one process."""
    run = pyperf.Run([value], metadata={"name": name, "unit": "second"}, collect_metadata=False)
    return pyperf.Benchmark([run])


@pytest.fixture
def fake_children(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """No processes: cell `b` fails to count, cell `c` fails to time, all others work. Returns what was started."""
    started: dict[str, list[Any]] = {"counted": [], "timed": []}

    def lines(names: Sequence[str], request: child.Request, timed: Collection[str]) -> Iterator[dict[str, Any]]:
        for name in names:
            started["counted"].append((name, name in timed))
            yield {"cell": name, "error": "no memory"} if name.startswith("b/") else counted_line(name)

    def timed_once(name: str, loops: int, wall_s: float, effort: harness.Effort, request: child.Request) -> Any:
        started["timed"].append(name)
        if name.startswith("c/"):
            raise child.ChildFailed("it fell over")
        return one_run(name, 1e-6 * len(started["timed"]))

    monkeypatch.setattr(harness, "counted_lines", lines)
    monkeypatch.setattr(harness, "timed_once", timed_once)
    return started


def test_a_failing_cell_takes_no_other_with_it(fake_children: dict[str, list[Any]]) -> None:
    """Cells that fail are told with their cause and not started again; the others are complete."""
    outcome = harness.run_cells(cells_of(1, 1, 1, 1), harness.QUICK, REQUEST, quiet_progress())
    assert outcome.failed == {"b/d00/none/4K": "no memory", "c/d00/none/4K": "it fell over"}
    assert set(outcome.timed) == {"a/d00/none/4K", "d/d00/none/4K"}
    assert all(benchmark.get_nrun() == 2 for benchmark in outcome.timed.values())
    assert Counter(fake_children["timed"]) == {"a/d00/none/4K": 2, "c/d00/none/4K": 1, "d/d00/none/4K": 2}


def test_counting_starts_no_worker(fake_children: dict[str, list[Any]]) -> None:
    """A counted run times nothing, and does not ask the counting child for a pass either."""
    outcome = harness.run_cells(cells_of(2), None, REQUEST, quiet_progress())
    assert fake_children["timed"] == []
    assert [timed for _, timed in fake_children["counted"]] == [False, False]
    assert outcome.untimed == []


@pytest.mark.usefixtures("fake_children")
def test_untimed_cells_are_named() -> None:
    """Of 30 cells a quick run times 24, counts all, and names the six others."""
    cells = [Cell("a", f"d{number:02}", "none", "4K", "small", None) for number in range(30)]
    outcome = harness.run_cells(cells, harness.QUICK, REQUEST, quiet_progress())
    assert len(outcome.counted) == 30
    assert outcome.untimed == [cell.name for cell in cells[24:]]


def test_a_cell_without_steps_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that measured nothing does not pass as a result."""
    empty = counted_line("a/d00/none/4K", counted={"count.steps": 0})
    monkeypatch.setattr(harness, "counted_lines", lambda *arguments: (line for line in [empty]))
    outcome = harness.run_cells(cells_of(1), None, REQUEST, quiet_progress())
    assert "nothing was measured" in outcome.failed["a/d00/none/4K"]
