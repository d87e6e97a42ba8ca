"""SPIN counts as many states as the exhaustive driver, and finds the same mutants, by Promela of the same rows."""

import json
import subprocess
import sys

import pytest

from gmembench.benchmarks.peers import compare, pan, spin
from gmembench.benchmarks.peers.instances import FOLDER, TWINS
from gmembench.core import jit
from gmembench.core.drivers.exhaustive import Explorer

SMALL = ["fault-vs-punch-1-1", "fault-vs-punch-1-1-timer", "fault-vs-convert-huge-1", "fault-vs-convert-huge-1-timer"]
MUTANTS = [(name, mutant) for name in SMALL for mutant in TWINS[name].mutants]


def quick_or_cold(name: str, *more: str) -> object:
    """Parameters of a test; where a timer is added to an instance, one of the cold ones."""
    return pytest.param(name, *more, marks=[pytest.mark.cold] if name.endswith("-timer") else [])


PRINTED = """
pan:1: assertion violated (spte==cached) (at depth 63)
State-vector 68 byte, depth reached 560, errors: 1
    65047 states, stored
   118208 states, matched
   183255 transitions (= stored+matched)
"""

needs_compiled = pytest.mark.skipif(jit.INTERPRETED, reason="so many states take an hour when interpreted")


@pytest.fixture(scope="module")
def _spin() -> None:
    try:
        pan.spin_version()
    except pan.NoSpinError as error:
        pytest.skip(f"{error}: install spin and gcc")


@needs_compiled
@pytest.mark.usefixtures("_spin")
@pytest.mark.parametrize("name", [quick_or_cold(name) for name in SMALL])
def test_counts_are_equal(name: str) -> None:
    """All states without reduction: as many states, and as many transitions."""
    twin = TWINS[name]
    ours, _ = spin.explored(twin)
    with pan.built(twin.path, twin.macros) as program:
        theirs = pan.run(program, ours.states)
    assert (ours.verdict, theirs.failed) == ("holds", "")
    assert (ours.states, ours.transitions) == (theirs.states, theirs.transitions)


@needs_compiled
@pytest.mark.usefixtures("_spin")
@pytest.mark.parametrize(("name", "mutant"), [quick_or_cold(*one) for one in MUTANTS])
def test_mutants_are_found_by_both(name: str, mutant: str) -> None:
    """Each mutant breaks an invariant here and an assertion there."""
    twin = TWINS[name]
    ours, _ = spin.explored(twin, mutant)
    with pan.built(twin.path, (*twin.macros, mutant)) as program:
        theirs = pan.run(program)
    assert ours.verdict == "violation"
    assert theirs.failed.startswith("assertion violated")


@pytest.mark.parametrize("name", TWINS)
def test_every_instance_has_its_file(name: str) -> None:
    """The Promela is there, and knows the macros of the mutants."""
    text = TWINS[name].path.read_text(encoding="utf-8")
    for macro in (*TWINS[name].mutants, *(macro.partition("=")[0] for macro in TWINS[name].macros)):
        assert f"#ifdef {macro}" in text or f"#ifndef {macro}" in text


def test_no_file_is_left_over() -> None:
    """Every Promela file belongs to an instance."""
    assert {path.name for path in FOLDER.glob("*.pml")} == {twin.path.name for twin in TWINS.values()}


def test_what_pan_prints_is_read() -> None:
    """Counts, the failed assertion, and the transition into the first state left out."""
    assert pan.parsed(PRINTED, 1.5) == pan.Run(65047, 183254, "assertion violated (spte==cached)", 1.5)


def test_text_without_counts_is_refused() -> None:
    """A pan that stopped early is no result."""
    with pytest.raises(RuntimeError, match="no counts"):
        pan.parsed("pan: out of memory", 0.0)


def test_different_counts_are_told() -> None:
    """Neither another count nor another verdict passes."""
    twin = TWINS["fault-vs-punch-1-1"]
    ours = Explorer(twin.instance(), live=False, reductions=(), states=200)._result("holds", 0.0)
    for theirs in (
        pan.Run(ours.states + 1, 0, "", 0.0),
        pan.Run(ours.states, ours.transitions, "invalid end state", 0.0),
    ):
        with pytest.raises(compare.DifferentError, match="fault-vs-punch-1-1"):
            spin.check_same(twin, ours, theirs)


def test_an_unknown_instance_is_refused() -> None:
    """The command names the instances that there are."""
    done = subprocess.run(
        [sys.executable, "-m", "gmembench.benchmarks.peers.spin", "--instance", "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "fault-vs-punch-1-1" in done.stderr


@needs_compiled
@pytest.mark.usefixtures("_spin")
def test_the_command_reports_both() -> None:
    """As JSON: counts, seconds of both and their ratio."""
    words = ["--instance", "fault-vs-punch-1-1", "--runs", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "gmembench.benchmarks.peers.spin", *words], capture_output=True, text=True, check=True
    )
    row = json.loads(done.stdout)["instances"]["fault-vs-punch-1-1"]
    assert row["states"] == 663_385
    assert len(row["our_seconds"]) == len(row["spin_seconds"]) == 1
    assert row["ratio"] == row["spin_seconds"][0] / row["our_seconds"][0]
