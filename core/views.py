"""Records as plain Python sees them: the interpreted twin of the compiled record pointers."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class Record(Protocol):
    """What a step sees of a record: fields by name. Compiled it is a pointer, interpreted a `View`."""

    def __getitem__(self, field: str) -> Any: ...

    def __setitem__(self, field: str, value: Any) -> None: ...


class View:
    """One record inside the buffer of a world.

    Fields read as Python integers, so interpreted arithmetic never wraps. Raises OverflowError when a
    value does not fit its field.
    """

    __slots__ = ("buffer", "record")

    def __init__(self, buffer: np.ndarray, start: int, dtype: np.dtype) -> None:
        self.buffer = buffer
        self.record = buffer[start : start + dtype.itemsize].view(dtype)[0]

    def __getitem__(self, field: str) -> int:
        return int(self.record[field])

    def __setitem__(self, field: str, value: int) -> None:
        self.record[field] = int(value)


def header_view(dtype: np.dtype) -> Callable[[np.ndarray], Record]:
    """A function (u1 array: the buffer of a world) -> view of its header."""

    def head(buffer: np.ndarray) -> View:
        return View(buffer, 0, dtype)

    return head


def element_view(array: str, dtype: np.dtype) -> Callable[[Record, int], Record]:
    """A function (header, index) -> view of one element of an array of the world.

    Raises IndexError when the index lies outside the array: compiled code would touch its neighbour.
    """

    def get(header: View, index: int) -> View:
        if not 0 <= index < header[f"{array}_n"]:
            raise IndexError(f"{array}[{index}] of {header[f'{array}_n']}")
        return View(header.buffer, header[f"{array}_at"] + int(index) * dtype.itemsize, dtype)

    return get  # type: ignore[return-value]  # the header of an interpreted run is always a View


def nested_view(array: str, element: np.dtype, field: str) -> Callable[[Record, int, int], Record]:
    """A function (header, index, k) -> view of record `k` of an array field of one element."""
    inner, inside = element[field].base, int(element.fields[field][1])  # type: ignore[index]

    def get(header: View, index: int, k: int) -> View:
        if not 0 <= index < header[f"{array}_n"] or not 0 <= k < element[field].shape[0]:
            raise IndexError(f"{array}[{index}].{field}[{k}] of {header[f'{array}_n']}")
        start = header[f"{array}_at"] + int(index) * element.itemsize + inside + k * inner.itemsize
        return View(header.buffer, start, inner)

    return get  # type: ignore[return-value]  # the header of an interpreted run is always a View
