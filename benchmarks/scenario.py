"""What a scenario is: operations over a guest, in a small and a full size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gmembench.core.operations import OPERATION, PROGRAM_NUMBER

Parameters = Mapping[str, int | str]


@dataclass(frozen=True)
class Workload:
    """What one size of a scenario comes to.

    `operations`: OPERATION array over `gfns` gfns; vCPU actors come first, then host actors. `slots`:
    (first gfn, gfns) of each memslot. `nodes`: NUMA nodes; actor i runs on node i modulo their number.
    """

    operations: np.ndarray
    gfns: int
    slots: tuple[tuple[int, int], ...]
    vcpus: int
    host_actors: int
    nodes: int = 1


@dataclass(frozen=True)
class Scenario:
    """A scenario: a name, two sizes that are two values of one parameter set, and how operations are made.

    `needs`: programs without which the scenario means nothing for a design. `shared_memory`: it touches
    memory that is shared under every design, so the page size of the shared side matters. `variants`:
    name -> parameters; a scenario without variants has the one variant "". `traced`: it takes a trace.
    """

    name: str
    doc: str
    sizes: Mapping[str, Parameters]
    build: Callable[[Parameters], Workload]
    needs: tuple[str, ...] = ()
    shared_memory: bool = True
    variants: Mapping[str, Parameters] = field(default_factory=lambda: {"": {}})
    traced: bool = False

    def parameters(self, size: str, variant: str, trace: Path | None) -> dict[str, int | str]:
        """The parameters of a size and variant; `trace` is added for a scenario that takes one."""
        chosen = {**self.sizes[size], **self.variants[variant]}
        if self.traced and trace is not None:
            chosen["trace"] = str(trace)
        return chosen


def operations(
    program: str, gfns: np.ndarray | Sequence[int] | int, *, actor: np.ndarray | int = 0, count: int = 1, flags: int = 0
) -> np.ndarray:
    """An OPERATION array: one operation of a program for each gfn given."""
    first = np.atleast_1d(np.asarray(gfns, np.int64))
    made = np.zeros(len(first), OPERATION)
    made["program"] = PROGRAM_NUMBER[program]
    made["gfn"] = first
    made["count"] = count
    made["actor"] = actor
    made["flags"] = flags
    return made
