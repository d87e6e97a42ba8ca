"""Kinds of records: what a variable of a step can stand for, and the names of its fields.

A field is named by the kind and its own name: `header.inval_count`, `frames.attr`, `frames.spte.bits`. Fields of
the actor that runs the step are `self.pfn`, those of an actor that the step looks up are `actors.pfn`, which may be
its own. A translation that a vCPU keeps for itself is `self.tlbs.gfn`. Rows and operations are no state.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gmembench.core import world
from gmembench.core.operations import OPERATION
from gmembench.core.rows import OPERANDS, ROW
from gmembench.core.world import ACTOR, ARRAYS, HEADER, SPTE, TLB

HEADER_KIND, SELF, OWN_TLB, ROW_KIND, OPERATION_KIND = "header", "self", "self.tlbs", "row", "operation"


@dataclass(frozen=True)
class RowOf:
    """The kind of a row whose operands are known."""

    operands: tuple[int, ...]

    def operand(self, name: str) -> int | None:
        """The value of an operand."""
        return self.operands[OPERANDS.index(name)] if name in OPERANDS else None


Kind = str | int | RowOf | None
"""What an expression stands for: a kind of record, a number that is known, or (None) a number."""

STATELESS = (ROW_KIND, OPERATION_KIND)
"""Kinds whose fields are no part of a world."""

DTYPES: dict[str, np.dtype] = {
    HEADER_KIND: HEADER,
    SELF: ACTOR,
    OWN_TLB: TLB,
    ROW_KIND: ROW,
    OPERATION_KIND: OPERATION,
    "frames.spte": SPTE,
    **ARRAYS,
}
"""Kind -> its fields."""

GETTERS: dict[int, str] = {
    id(getter): kind
    for kind, getter in {
        "frames": world.frame,
        "frames.spte": world.spte,
        "cache": world.cache,
        "pages": world.page,
        "regions": world.region,
        "actors": world.actor,
        "tlbs": world.tlb,
        "slots": world.slot,
        "files": world.file,
        "septs": world.sept,
        "consumers": world.consumer,
    }.items()
}


def getter_kind(function: Any) -> str | None:
    """The kind of record that a getter of the world returns; None for other functions."""
    return GETTERS.get(id(function))


SINGLE = (HEADER_KIND, "files")
"""Kinds of which a world has one record at most: a lock that lies in one is one lock."""
