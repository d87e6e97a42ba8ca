"""What a trace check asks of a model, and what it counts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

LeafChange = tuple[int, int, int]
"""dense gfn, page level, CHANGE_SET or CHANGE_ZAP."""


class Model(Protocol):
    """What a replay asks of a model: one VM, dense gfns, one call at a time."""

    def apply(
        self, program: str, gfn: int, count: int, *, actor: int, write: bool, private: bool
    ) -> Sequence[LeafChange]:
        """Run `program` (access, prefault, convert, punch) to its end; the leaf changes it made, in order.

        private: for convert the direction, for access and prefault the kind that the hardware reported.
        """

    def zap(self, gfn: int, count: int, kind: str) -> Sequence[LeafChange]:
        """Zap what is mapped in the range because of something no event shows; the entries that changed.

        kind: an input class of replay, or "missed", "late", "teardown". Only kind "unmap" is a
        host unmap in the eyes of a control; the others must always be obeyed.
        """

    def reset(self) -> None:
        """Start again as a VM without entries and with all gfns shared."""


@dataclass
class Tally:
    """Counts of one replay.

    inputs, excluded: by class. late: matched after asking the model again, part of the matched ones.
    """

    matched_sets: int = 0
    matched_zaps: int = 0
    missed_sets: int = 0
    missed_zaps: int = 0
    extra_sets: int = 0
    extra_zaps: int = 0
    late: int = 0
    inputs: Counter[str] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)

    @property
    def matched(self) -> int:
        """Leaf changes that were owed."""
        return self.matched_sets + self.matched_zaps

    @property
    def compared(self) -> int:
        """Matched, missed and extra leaf changes."""
        return self.matched + self.missed_sets + self.missed_zaps + self.extra_sets + self.extra_zaps

    @property
    def given(self) -> int:
        """Leaf changes that were inputs (the class `exit` is faults)."""
        return self.inputs.total() - self.inputs["exit"]

    @property
    def real(self) -> int:
        """Leaf changes that the kernel made and a model can foresee."""
        return self.matched + self.missed_sets + self.missed_zaps

    @property
    def agreement(self) -> float | None:
        """Matched over compared; None if the trace has nothing to compare with."""
        return self.matched / self.compared if self.real else None
