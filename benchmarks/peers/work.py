"""The work that all peers do, operation by operation, and the counts by which it is shown to be the same.

A guest of one vCPU and one memslot, its memory private and nothing of it there. The phases go over all its gfns in
order, one operation of one 4K page each: the guest writes to the private page, the VMM makes the page shared, the
guest writes to it again, and the VMM punches the private page out of the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol

PAGE_BYTES = 4096

TOUCH_PRIVATE, CONVERT, TOUCH_SHARED, PUNCH = PHASES = ("touch private", "convert", "touch shared", "punch")
"""The phases, in order."""


@dataclass(frozen=True)
class Counts:
    """What was done since the beginning, and what there is. None: this peer has no such thing."""

    faults: int
    zeroed_bytes: int
    private_pages: int
    shared_pages: int
    conversions: int | None = None
    mapped_gfns: int | None = None


class Peer(Protocol):
    """Something that does the work. `same`: what "the same work" means for it. `lacks`: phase -> why it has none."""

    name: str
    same: str
    lacks: Mapping[str, str]

    def begin(self, gfns: int) -> None:
        """Make a new guest, and touch our own memory so that its first use is not timed."""

    def run(self, phase: str) -> None:
        """Do a phase. This is what is timed."""

    def counts(self) -> Counts:
        """What was done so far."""

    def end(self) -> None:
        """Give the guest up."""


class MissingPeerError(Exception):
    """A peer that cannot run here: says what is missing, and the mend."""


class OtherWorkError(Exception):
    """A peer did not do the same work: says which, in which phase, and what differs."""


def check_counts(name: str, phase: str, found: Counts, expected: Counts) -> None:
    """Raise OtherWorkError unless all that both peers count is equal."""
    for item in fields(Counts):
        mine, other = getattr(found, item.name), getattr(expected, item.name)
        if mine is not None and other is not None and mine != other:
            told = item.name.replace("_", " ")
            raise OtherWorkError(f"{name} did other work: after {phase!r} {told} are {mine}, not {other}")
