"""Every shipped scenario, for every design that can run it, shows the design's findings and nothing else."""

from pathlib import Path

import msgspec
import pytest

from gmembench.benchmarks.proofs import PLAIN_STATES, compare_plain, main, read_proofs
from gmembench.inject.proofs import QUICK_SECONDS, SECONDS, Proof, cells, known, prove

PROOFS = read_proofs(Path(__file__).parents[1] / "data" / "proofs.json")

FEW_STATES, EVERY = 20_000, 12
"""One of so many cells that have fewer states is explored without reductions with the other tests."""


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


def plain_cases() -> list[object]:
    """Cells without many states; all are marked but for some with few, which are explored with the other tests."""
    few = sorted((p for p in PROOFS.values() if p.states < PLAIN_STATES), key=lambda p: (p.states, p.cell))
    often = [p.cell for p in few if p.states < FEW_STATES][::EVERY]
    return [pytest.param(p, id=name_of(p), marks=[] if p.cell in often else [pytest.mark.proofs]) for p in few]


@pytest.mark.parametrize("proof", plain_cases())
def test_without_reductions_it_is_the_same(proof: Proof) -> None:
    """All states, explored one by one, show the same findings, and what must be seen."""
    plain = prove(*proof.cell, reductions=())
    assert plain.verdicts == proof.verdicts
    assert plain.states >= proof.states


def test_a_difference_without_reductions_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 1 and names the cell."""
    proof = min(PROOFS.values(), key=lambda p: p.states)
    assert compare_plain([proof]) == 0
    assert compare_plain([msgspec.structs.replace(proof, unseen=("a state",))]) == 1
    assert f"{name_of(proof)}: holds" in capsys.readouterr().err


@pytest.mark.parametrize("cell", PROOFS, ids="/".join)
def test_what_is_recorded_is_what_ships(cell: tuple[str, str, str]) -> None:
    """The search ended in time, showed nothing but findings of the design, and saw every state that it must see."""
    proof = PROOFS[cell]
    assert proof.verdict == "holds"
    assert [shown for shown in proof.shown if not known(proof, shown)] == []
    assert proof.unseen == ()
    assert proof.seconds < SECONDS


def test_a_cell_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pattern that names no cell ends with one line, and nothing is written."""
    assert main([str(tmp_path / "proofs.json"), "no-such-scenario/*"]) == 2
    assert "no cell no-such-scenario/*" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
