"""Every shipped scenario, for every design that can run it, shows the design's findings and nothing else."""

from pathlib import Path

import pytest

from gmembench.benchmarks.proofs import main, read_proofs
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.inject.proofs import QUICK_SECONDS, SECONDS, Proof, cells, prove, shipped_findings

PROOFS = read_proofs(Path(__file__).parents[1] / "data" / "proofs.json")
DESIGNS, HARDWARE = load_designs(), load_hardware()

WITHOUT_REDUCTION_STATES = 20_000
"""Cells with fewer states are explored without reductions too."""


def name_of(proof: Proof) -> str:
    """A cell as one word."""
    return "/".join(proof.cell)


def cases() -> list[object]:
    """Cells; those that take long are marked."""
    marks = {cell: [pytest.mark.proofs] if p.seconds >= QUICK_SECONDS else [] for cell, p in PROOFS.items()}
    return [pytest.param(p, id=name_of(p), marks=marks[cell]) for cell, p in PROOFS.items()]


def test_every_cell_is_recorded() -> None:
    """A scenario or a design that is added must be proved: `python -m gmembench.benchmarks.proofs`."""
    assert list(PROOFS) == list(cells())


@pytest.mark.parametrize("proof", cases())
def test_a_cell(proof: Proof) -> None:
    """The search comes to the counts, the findings and the unseen states that are recorded."""
    assert prove(*proof.cell).counts == proof.counts


def invariants(proof: Proof) -> tuple[str, ...]:
    """What a proof shows."""
    return tuple(shown.invariant for shown in proof.shown)


@pytest.mark.proofs
@pytest.mark.parametrize("proof", [p for p in PROOFS.values() if p.states < WITHOUT_REDUCTION_STATES], ids=name_of)
def test_without_reductions_it_is_the_same(proof: Proof) -> None:
    """All states, explored one by one, show the same findings, and what must be seen."""
    plain = prove(*proof.cell, reductions=())
    assert (plain.verdict, invariants(plain), plain.unseen) == (proof.verdict, invariants(proof), proof.unseen)
    assert plain.states >= proof.states


@pytest.mark.parametrize("cell", PROOFS, ids="/".join)
def test_what_is_recorded_is_what_ships(cell: tuple[str, str, str]) -> None:
    """The search ended in time, showed nothing but findings of the design, and saw every state that it must see."""
    proof = PROOFS[cell]
    assert proof.verdict == "holds"
    assert {shown.invariant for shown in proof.shown} <= shipped_findings(DESIGNS[cell[1]], HARDWARE[cell[2]])
    assert proof.unseen == ()
    assert proof.seconds < SECONDS


def test_a_cell_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pattern that names no cell ends with one line, and nothing is written."""
    assert main([str(tmp_path / "proofs.json"), "no-such-scenario/*"]) == 2
    assert "no cell no-such-scenario/*" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
