"""The peer in SimPy: processes that take one lock before each operation, over the guest of dictionaries."""

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

from gmembench.benchmarks.peers.dictionary import Guest
from gmembench.benchmarks.peers.work import CONVERT, PUNCH, Counts, MissingPeerError

if TYPE_CHECKING:
    import simpy


class SimPyPeer:
    """A vCPU or a VMM as a process of SimPy; mmu_lock as its resource."""

    name = "SimPy"
    lacks: Mapping[str, str] = {}
    same = (
        "the guest of dictionaries, each operation by a process of SimPy that asks for one lock and waits for it: "
        "two points at which others could run (about 40 in a fault of ours); no time passes"
    )

    def __init__(self) -> None:
        try:
            import simpy as module
        except ImportError:
            raise MissingPeerError("SimPy is not installed: pip install 'gmembench[peers]'") from None
        self.module = module

    def begin(self, gfns: int) -> None:
        """A new guest and its simulation."""
        self.guest = Guest(gfns)
        self.environment = self.module.Environment()
        self.lock = self.module.Resource(self.environment)

    def _process(self, do: Callable[[int], None]) -> "Generator[simpy.Event, object, None]":
        for gfn in range(self.guest.gfns):
            with self.lock.request() as granted:
                yield granted
                do(gfn)

    def run(self, phase: str) -> None:
        """Do a phase, as a process of its own."""
        do = {CONVERT: self.guest.convert, PUNCH: self.guest.punch}.get(phase, self.guest.touch)
        self.environment.process(self._process(do))
        self.environment.run()

    def counts(self) -> Counts:
        """What was done so far."""
        return self.guest.counts()

    def end(self) -> None:
        """Drop the guest."""
        del self.guest, self.environment, self.lock
