"""The steps of a trace check: what a replay gets to see, in which VM, on which dense gfns."""

from dataclasses import dataclass

from gmembench.core.conformance.gfns import DenseGfns
from gmembench.core.conformance.tasks import TaskFacts

FAULT, CONVERT, PUNCH, UNMAP, HYPERCALL = range(5)
SET, ZAP, OLD_SET, OLD_ZAP = range(5, 9)
PREFAULT, EXIT_FAULT, PIECE, SPLIT = range(9, 13)
TEARDOWN, ROOT, RESET = range(13, 16)
"""Operations of a step.

The first row are causes, the second leaf changes to predict (OLD_: the trace began after their cause or
after the entry), the third inputs. TEARDOWN is excluded, ROOT gives a VM a second set of tables, at RESET its
last one is gone.
"""

WRITE, PRIVATE, JOIN, UNSURE = 1, 2, 4, 8
"""Flags of a step: a fault writes; a fault is private or a range becomes private; a call goes on with the
one before it; a call covers gfns whose attribute the trace has not told yet."""

Step = tuple[int, int, int, int, int, int, int, int]
"""operation, vm, task, first dense gfn, dense end, flags or page level, actor, index of the event."""


@dataclass(frozen=True)
class Script:
    """A trace, ready to be replayed any number of times.

    steps: in the order of the events. gfns: the world that the model needs. vcpus: actors 0 to vcpus - 1
    fault, actor `vcpus` is the host. vms: address spaces that had leaf changes, one after the other or at
    once. facts, retries_explained, faults, large_leaves: for the report.
    """

    steps: list[Step]
    gfns: DenseGfns
    vcpus: int
    vms: int
    facts: TaskFacts
    retries_explained: int
    faults: int
    large_leaves: int
