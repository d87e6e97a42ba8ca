"""Prove the shipped scenarios of exploration and write what each came to: `python -m gmembench.benchmarks.proofs FILE`.

The tests compare the counts of `tests/data/proofs.json` exactly; this command makes the file anew. With patterns after
the file, such as `fault-vs-*/guest-memfd/none`, only these cells are proved, and the others stay as they are.
With `--without-reductions` nothing is written: the cells that have fewer than 200,000 states are explored without
reductions, and must come to the same verdict, findings and states to be seen. Exit code 1 if one does not.
"""

import sys
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from gmembench.inject.proofs import Proof, cells, prove

COMMAND = "python -m gmembench.benchmarks.proofs tests/data/proofs.json"


def read_proofs(path: Path) -> dict[tuple[str, str, str], Proof]:
    """The proofs of a file, by cell; none if there is no such file."""
    if not path.exists():
        return {}
    return {proof.cell: proof for proof in msgspec.json.decode(path.read_bytes(), type=list[Proof])}


def write_proofs(path: Path, proofs: Iterable[Proof]) -> None:
    """Write proofs, a line each."""
    lines = ",\n".join(msgspec.json.encode(proof).decode() for proof in proofs)
    path.write_text(f"[\n{lines}\n]\n")


def in_words(proof: Proof) -> str:
    """A line about a proof."""
    shown = ", ".join(f"{s.invariant} in {s.choices}" for s in proof.shown)
    unseen = f"; never seen: {', '.join(proof.unseen)}" if proof.unseen else ""
    told = f"{proof.verdict}{f' but for {shown}' if shown else ''}"
    return f"{'/'.join(proof.cell)}: {told}, {proof.states} states, {proof.seconds:.2f} s{unseen}"


WITHOUT_REDUCTIONS = "--without-reductions"

PLAIN_STATES = 200_000
"""Cells with fewer states are explored without reductions too."""


def compare_plain(proofs: Iterable[Proof]) -> int:
    """Explore cells without reductions. The exit code: 1 if one comes to something else."""
    differ = 0
    for proof in proofs:
        plain = prove(*proof.cell, reductions=())
        same = plain.verdicts == proof.verdicts
        differ += not same
        sys.stderr.write(f"{in_words(plain)} in place of {proof.states}{'' if same else ': DIFFERS'}\n")
    sys.stderr.write(f"{differ} differ\n")
    return int(differ > 0)


def main(words: Sequence[str]) -> int:
    """Prove the cells that the words after the file name, by default all, and write the file."""
    plain, words = WITHOUT_REDUCTIONS in words, [word for word in words if word != WITHOUT_REDUCTIONS]
    if not words or words[0].startswith("-"):
        sys.stderr.write(f"proofs: give a file, as in {COMMAND}\n")
        return 2
    path, patterns = Path(words[0]), words[1:]
    every = list(cells())
    chosen = [cell for cell in every if not patterns or any(fnmatchcase("/".join(cell), p) for p in patterns)]
    if not chosen:
        sys.stderr.write(f"proofs: no cell {patterns[0]}: write scenario/design/hardware, with * for any\n")
        return 2
    proofs = read_proofs(path)
    if plain:
        return compare_plain(p for cell in chosen if (p := proofs.get(cell)) is not None and p.states < PLAIN_STATES)
    prove(*chosen[0], states=1)
    for cell in chosen:
        proofs[cell] = prove(*cell)
        sys.stderr.write(f"{in_words(proofs[cell])}\n")
        write_proofs(path, [proofs[cell] for cell in every if cell in proofs])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
