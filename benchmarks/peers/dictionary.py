"""The peer that one would write in an afternoon: a guest of dictionaries, in plain Python."""

from collections.abc import Mapping

from gmembench.benchmarks.peers.work import CONVERT, PAGE_BYTES, PUNCH, Counts


class Guest:
    """Attributes, page cache, VMA and stage-2 entries of a guest, each a dictionary by gfn."""

    def __init__(self, gfns: int) -> None:
        self.gfns = gfns
        self.private = dict.fromkeys(range(gfns), True)
        self.file: dict[int, int] = {}
        self.vma: dict[int, int] = {}
        self.sptes: dict[int, tuple[int, bool]] = {}
        self.free = list(range(2 * gfns, 0, -1))
        self.faults = self.zeroed_pages = self.conversions = self.invalidations = 0

    def touch(self, gfn: int) -> None:
        """The guest writes: a fault, unless the entry is there."""
        if gfn in self.sptes:
            return
        while True:
            self.faults += 1
            seen = self.invalidations
            if not 0 <= gfn < self.gfns:
                raise ValueError(f"no memslot has gfn {gfn}")
            private = self.private[gfn]
            backing = self.file if private else self.vma
            pfn = backing.get(gfn)
            if pfn is None:
                pfn = backing[gfn] = self.free.pop()
                self.zeroed_pages += 1
            if seen == self.invalidations:
                self.sptes[gfn] = (pfn, private)
                return

    def convert(self, gfn: int) -> None:
        """The VMM makes a private gfn shared: its entry goes, its page stays in the file."""
        self.invalidations += 1
        self.sptes.pop(gfn, None)
        self.private[gfn] = False
        self.conversions += 1

    def punch(self, gfn: int) -> None:
        """The VMM punches the gfn out of the file: its entry goes, even a shared one, as both kinds have one root."""
        self.invalidations += 1
        self.sptes.pop(gfn, None)
        pfn = self.file.pop(gfn, None)
        if pfn is not None:
            self.free.append(pfn)

    def counts(self) -> Counts:
        """What was done so far."""
        return Counts(
            faults=self.faults,
            zeroed_bytes=self.zeroed_pages * PAGE_BYTES,
            private_pages=len(self.file),
            shared_pages=len(self.vma),
            conversions=self.conversions,
            mapped_gfns=len(self.sptes),
        )


class DictionaryPeer:
    """The guest of dictionaries, each operation a call."""

    name = "dictionaries"
    lacks: Mapping[str, str] = {}
    same = (
        "the same operations with the same effect (pages, entries, attributes) in plain Python dictionaries: "
        "an operation is one step, without locks, rows or an oracle"
    )

    def begin(self, gfns: int) -> None:
        """A new guest."""
        self.guest = Guest(gfns)

    def run(self, phase: str) -> None:
        """Do a phase."""
        guest = self.guest
        do = {CONVERT: guest.convert, PUNCH: guest.punch}.get(phase, guest.touch)
        for gfn in range(guest.gfns):
            do(gfn)

    def counts(self) -> Counts:
        """What was done so far."""
        return self.guest.counts()

    def end(self) -> None:
        """Drop the guest."""
        del self.guest
