"""The bytes of a world by name: what a step changed, and a digest that does not depend on where fields lie."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gmembench.core.world import ARRAYS, CONSTANTS, COUNTERS, HEADER, World


@dataclass(frozen=True)
class Change:
    """A field that a step changed: `path` as in `pages[3].refs`, from `old` to `new`."""

    path: str
    old: int
    new: int

    def __str__(self) -> str:
        return f"{self.path} {self.old} -> {self.new}"


def _leaves(dtype: np.dtype, prefix: str) -> Iterator[tuple[str, int, np.dtype]]:
    """(path, distance, type) of every number in a record."""
    for name in dtype.names or ():
        inner, distance = dtype.fields[name][:2]  # type: ignore[index]  # it has names, so it has fields
        base, count = inner.base, int(np.prod(inner.shape, dtype=int))
        for k in range(count):
            path = f"{prefix}.{name}[{k}]" if inner.shape else f"{prefix}.{name}"
            start = distance + k * base.itemsize
            if base.names:
                yield from ((p, start + d, t) for p, d, t in _leaves(base, path))
            elif base.kind in "iu":
                yield path, start, base


def _constant(name: str) -> bool:
    return name.endswith(("_at", "_n"))


class Fields:
    """Where the fields of a world lie in its buffer."""

    def __init__(self, world: World) -> None:
        self._places: list[tuple[int, str, np.dtype]] = []
        for path, distance, kind in _leaves(world.header.dtype, "header"):
            if not _constant(path):
                self._places.append((distance, path, kind))
        start = world.buffer.ctypes.data
        for name, array in world.arrays.items():
            leaves = list(_leaves(array.dtype, ""))
            base = array.ctypes.data - start
            for i in range(len(array)):
                at = base + i * array.dtype.itemsize
                self._places += [(at + distance, f"{name}[{i}]{path}", kind) for path, distance, kind in leaves]
        self._places.sort(key=lambda place: place[0])
        self._starts = [place[0] for place in self._places]

    def value(self, buffer: np.ndarray, index: int) -> int:
        """The value of one field in a buffer."""
        start, _, kind = self._places[index]
        return int(buffer[start : start + kind.itemsize].view(kind)[0])

    def changes(self, before: np.ndarray, after: np.ndarray) -> list[Change]:
        """The fields that differ between two buffers of the same world, in the order of the buffer."""
        at = {bisect_right(self._starts, int(byte)) - 1 for byte in np.flatnonzero(before != after)}
        return [Change(self._places[i][1], self.value(before, i), self.value(after, i)) for i in sorted(at) if i >= 0]


def _hash_fields(digest: hashlib.blake2b, prefix: str, records: np.ndarray, wide: np.dtype) -> None:
    for name in wide.names or ():
        column = records[name]
        if column.dtype.names:
            _hash_fields(digest, f"{prefix}.{name}", column, wide[name].base)
        elif column.any():
            digest.update(f"{prefix}.{name}={column.shape}".encode())
            digest.update(np.ascontiguousarray(column, "<i8").tobytes())


ACTOR_FIELDS = np.dtype([(name, "i8") for name in ("mode", "requests", "kicked", "root", "srcu", "awaited")])
"""What others see of an actor. Its registers are its own: which of them are cleared depends on the rows to come."""

STATE_FIELDS = np.dtype([(name, "i8") for name in HEADER.names or () if name not in (*CONSTANTS, *COUNTERS)])


def state_digest(world: World) -> str:
    """Digest (16 hex digits) of a world without what only counts.

    It is made of the names and values of the fields that are not zero: the same in every process, with fields of
    any width, and where a field was added that is not used. Where the actors are, and their registers,
    are not in it: names tell that.
    """
    digest = hashlib.blake2b(digest_size=8)
    _hash_fields(digest, "header", world.header, STATE_FIELDS)
    for name, record in ARRAYS.items():
        _hash_fields(digest, name, world.arrays[name], ACTOR_FIELDS if name == "actors" else record)
    return digest.hexdigest()
