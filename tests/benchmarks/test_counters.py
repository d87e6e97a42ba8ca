"""Counting in children: crashes, silence, and what is asked of them."""

import contextlib
import json
import select
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from gmembench.benchmarks import child, counters, harness
from gmembench.benchmarks.cells import list_cells
from gmembench.benchmarks.progress import shown
from gmembench.core import jit

REQUEST = child.Request("small", (), None, "0" * 16)

CHILD = """
import json, os, sys, time
print(flush=True)
for text in sys.stdin:
    asked = text.strip()
    if asked == "bad":
        os.kill(os.getpid(), 11)
    if asked == "silent":
        time.sleep(3600)
    for _ in range({"slow": 3, "endless": 1000}.get(asked, 0)):
        time.sleep(0.8)
        print(flush=True)
    print(json.dumps({"cell": asked}), flush=True)
"""

IN_CIRCLES = """
from gmembench.core.designs.guest_memfd import ACCESS, DESIGN as BASE
from gmembench.core.programs import row

CIRCLE = row("fault.circle", {"next": "fault.circle"}, step="fault.snapshot_seq")
DESIGN = BASE.edited("in-circles", access=ACCESS.inserted(CIRCLE, before="fault.check_slot"))
"""


@pytest.fixture
def fake_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that only pretend to count."""
    monkeypatch.setattr(counters, "count_command", lambda _: [sys.executable, "-c", CHILD])


def lines_of(*names: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of some cells, by cell: the order in which children answer is not fixed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in counters.counted_lines(names, REQUEST):
        found.setdefault(line["cell"], []).append(line)
    return found


@pytest.mark.usefixtures("fake_child")
def test_a_crash_while_counting_costs_one_cell() -> None:
    """When a counting child is killed over a cell, a new child goes on with the next."""
    found = lines_of("one", "bad", "two", "bad", "three")
    assert [len(found[name]) for name in ("one", "bad", "two", "three")] == [1, 2, 1, 1]
    assert {line["error"] for line in found["bad"]} == {"the process was ended by SIGSEGV"}


@pytest.mark.usefixtures("fake_child")
def test_a_silent_child_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child without a sign of life is ended and its cell reported; one that gives signs may take longer."""
    monkeypatch.setattr(counters, "SILENCE_AT_MOST_S", 2.0)
    found = lines_of("silent", "slow", "one")
    assert "rows that lead back to themselves" in found["silent"][0]["error"]
    assert "error" not in found["slow"][0]
    assert "error" not in found["one"][0]


@pytest.mark.usefixtures("fake_child")
def test_a_cell_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life do not help a cell that never comes to an end; others have the time for themselves."""
    monkeypatch.setattr(counters, "CELL_AT_MOST_S", 3.0)
    found = lines_of("one", "endless", "slow", "two")
    assert found["endless"][0]["error"].startswith("was counted for 3 s without an end")
    assert all("error" not in found[name][0] for name in ("one", "slow", "two"))


def test_a_child_that_never_comes_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child without a first sign of life has not begun with its cell: the rows of the design are not to blame."""
    monkeypatch.setattr(counters, "count_command", lambda _: [sys.executable, "-c", "import time; time.sleep(3600)"])
    monkeypatch.setattr(counters, "START_AT_MOST_S", 1.0)
    found = lines_of("one")
    assert [line["error"] for line in found["one"]] == ["did not start within 1 s: the machine is too busy, try again"]


@pytest.mark.usefixtures("fake_child")
def test_the_longest_cells_are_shared_out() -> None:
    """A child that has not come up has one cell, so that the next one goes to another child; then it has two."""
    counter, left = counters.Counter(REQUEST), deque(("one", "two", "three"))
    with contextlib.closing(counter):
        counter.ask(left)
        assert (list(counter.asked), list(left)) == (["one"], ["two", "three"])
        while not counter.lines():
            select.select([counter], [], [], counter.patience_s())
        counter.ask(left)
        assert (list(counter.asked), list(left)) == (["two", "three"], [])


@pytest.mark.skipif(jit.INTERPRETED, reason="interpreted rows do not hold Python's lock, and may be slow for good")
def test_a_design_in_circles_fails_its_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A design whose access never ends is reported by the name of its cell; the cell after it is counted."""
    (tmp_path / "designs").mkdir()
    (tmp_path / "designs" / "in_circles.py").write_text(IN_CIRCLES)
    names = [f"boot-populate/{design}/none/4K" for design in ("in-circles", "guest-memfd")]
    chosen = [cell for cell in list_cells("small", (tmp_path,)) if cell.name in names]
    monkeypatch.setattr(counters, "SILENCE_AT_MOST_S", 4.0)
    request = child.Request("small", (tmp_path,), None, jit.DIGEST)
    with shown(quiet=True) as progress:
        outcome = harness.Run(harness.Work(chosen, (), None, request), progress).do()
    assert list(outcome.failed) == names[:1]
    assert list(outcome.counted) == names[1:]
    assert json.loads(outcome.counted[names[1]]["counted"]["profile.backing"])
