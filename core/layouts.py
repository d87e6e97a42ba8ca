"""Layouts: how a state lies in memory. One for cost, with wide fields; one for exploration, with one-byte fields.

Both have the same field names, so the same steps run on either. In the small layout a state is one stretch of bytes:
what is constant during a run, and what only counts, stands before it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

UNSIGNED = ("result", "error")
"""Fields that are unsigned in the small layout: results beyond errnos are large, and none is negative."""

PLACE_FIELDS = (
    ("row", "i2"),  # its next row; -1 between two operations
    ("next", "i1"),  # its next operation
    ("program", "i1"),  # of the operation it is inside
)
"""Where an actor of a small world is in its script; part of its record, so that a state holds it."""

ALIGNMENT = 64
"""Bytes that a state, and the record of an actor, are a multiple of and begin at one of: a block of words."""


OUTSIDE, NOWHERE = "outside", "nowhere"
"""Fields of a small header. OUTSIDE: 0, or the element outside its array that was used last: index << 8 | number of the
array + 1, or NESTED. NOWHERE: used in place of it, as large as any record but an actor's, which is always there."""

NESTED = 0xFF
"""In place of the number of an array: the index is one of a record inside an element, an entry of a frame."""


@dataclass(frozen=True)
class Layout:
    """A layout: the dtype of the header, and those of the arrays behind it, by name.

    `state_at`: bytes before the state; 0 where everything is state.
    """

    name: str
    header: np.dtype
    arrays: Mapping[str, np.dtype]
    state_at: int = 0


def _small_field(form: np.dtype) -> Any:
    if form.subdtype is not None:
        base, shape = form.subdtype
        return (_small_field(base), shape)
    if form.names is not None:
        return small_record(form)
    return "u1" if form.kind == "u" else "i1"


def small_record(record: np.dtype, more: Collection[tuple[str, str]] = (), multiple: int = 1) -> np.dtype:
    """The same fields with one byte each, further ones after them, and bytes that nobody uses up to a multiple."""
    fields = [(name, "u1" if name in UNSIGNED else _small_field(record[name])) for name in record.names or ()]
    made = np.dtype([*fields, *more])
    spare = -made.itemsize % multiple
    return np.dtype([*fields, *more, ("spare", "u1", (spare,))]) if spare else made


def small_layout(wide: Layout, constants: Collection[str], counters: Collection[str]) -> Layout:
    """The layout with one-byte fields. `constants`: fields of the header that never change; `counters`: that count."""
    names = wide.header.names or ()
    before = [(name, _constant_field(name)) for name in names if name in constants]
    before += [(name, "i4") for name in names if name in counters]
    before.append((OUTSIDE, "i4"))
    arrays = {name: small_record(dtype) for name, dtype in wide.arrays.items()}
    used, largest = np.dtype(before).itemsize, max(arrays[name].itemsize for name in arrays if name != "actors")
    state_at = -(-(used + largest) // ALIGNMENT) * ALIGNMENT
    before.append((NOWHERE, f"V{state_at - used}"))
    state = [(name, "i1") for name in names if name not in constants and name not in counters]
    arrays["actors"] = small_record(wide.arrays["actors"], PLACE_FIELDS, ALIGNMENT)
    arrays["events"] = np.dtype([("skip", "i1"), ("left", "i1")])
    return Layout("small", np.dtype([*before, ("events_at", "u2"), ("events_n", "u1"), *state]), arrays, state_at)


def _constant_field(name: str) -> str:
    if name.endswith("_at"):
        return "u2"
    return "u1" if name.endswith("_n") else "i1"
