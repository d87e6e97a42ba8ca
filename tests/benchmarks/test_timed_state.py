"""The run that is timed is compared with the one that was counted."""

import io
import json
import sys

import pytest

from gmembench.benchmarks import interleaved
from gmembench.benchmarks.cells import Cell, cell_named
from gmembench.benchmarks.child import ChildFailed, Request
from gmembench.benchmarks.group import Job
from gmembench.benchmarks.prepared import Prepared, check_state, prepare
from gmembench.core.jit import DIGEST

TINY = {"gfns": 32, "range_gfns": 8, "vcpus": 2}
NAMES = [f"double-backing:no-punch/{design}/none/4K" for design in ("guest-memfd", "fd-restricted")]


def tiny(cell: Cell) -> Prepared:
    """A cell over a guest of 32 gfns."""
    return prepare(cell, **TINY)


@pytest.mark.parametrize("name", NAMES)
def test_a_timed_pass_ends_as_the_counted_one(name: str) -> None:
    """Same state, same numbers, whatever the number of passes; its world is given up afterwards."""
    prepared = tiny(cell_named(name, "small"))
    prepared.time(3)
    check_state(prepared, str(prepared.counted()["check.state"]))
    with pytest.raises(ValueError, match="nothing was timed"):
        prepared.timed_state()


@pytest.mark.parametrize("what", ["memory", "hits", "work"])
def test_a_pass_that_differs_is_refused(what: str) -> None:
    """One byte of the world, one hit of another row, or one operation less: the cell fails and says so."""
    prepared = tiny(cell_named(NAMES[0], "small"))
    expected = str(prepared.counted()["check.state"])
    if what == "work":
        prepared.work = prepared.work[:-1]
    prepared.time(1)
    assert prepared.last is not None
    if what == "memory":
        prepared.last.world.buffer[-1] ^= 1
    if what == "hits":
        prepared.last.hits[5:7] += (1, -1)  # of one program, and of no step that is counted
    with pytest.raises(ChildFailed, match="another state"):
        check_state(prepared, expected)


def test_a_process_times_and_checks_every_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the cell before each piece of work, and gives each cell its values and warm-ups."""
    monkeypatch.setattr(interleaved, "prepare", lambda cell, *rest: tiny(cell))
    states = {name: str(tiny(cell_named(name, "small")).counted()["check.state"]) for name in NAMES}
    job = Job("g", 4, 7, 1, 2, dict.fromkeys(NAMES, 2), states)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job.to_json()) + "\n"))
    interleaved.main(Request("small", (), None, DIGEST).arguments())
    *places, answer = map(json.loads, capsys.readouterr().out.splitlines())
    orders = [name for order in job.orders() for name in order]
    assert places == [*({"at": name} for name in NAMES), {"ready": True}, *({"at": name} for name in orders)]
    for name in NAMES:
        run = answer["runs"][name]
        assert (len(run["warmups"]), len(run["values"]), run["metadata"]["loops"]) == (1, 2, 2)
    about = answer["metadata"]
    assert (about["process.number"], about["process.group"]) == (4, "g")
    assert json.loads(about["process.designs"]) == ["guest-memfd", "fd-restricted"]
    assert 0 < about["process.values_s"] < about["process.timed_s"] < about["process.inside_s"]


def test_a_process_that_finds_another_state_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last cell that it named is the one that differs, and its cause says what is wrong."""
    monkeypatch.setattr(interleaved, "prepare", lambda cell, *rest: tiny(cell))
    states = {name: str(tiny(cell_named(name, "small")).counted()["check.state"]) for name in NAMES}
    job = Job("g", 0, 7, 0, 1, dict.fromkeys(NAMES, 1), {**states, NAMES[1]: "0" * 16})
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job.to_json()) + "\n"))
    with pytest.raises(SystemExit):
        interleaved.main(Request("small", (), None, DIGEST).arguments())
    found = capsys.readouterr()
    assert json.loads(found.out.splitlines()[-1]) == {"at": NAMES[1]}
    assert "another state" in found.err
