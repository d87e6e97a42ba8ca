"""Records as plain Python sees them: the interpreted twin of the compiled record pointers."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from gmembench.core.errors import OutsideError
from gmembench.core.layouts import Layout

Word = Any
"""A number of 64 bits: of NumPy in an array, an int in an interpreted record, which mypy takes for strangers."""


class Record(Protocol):
    """What a step sees of a record: fields by name. Compiled it is a pointer, interpreted a `View`."""

    def __getitem__(self, field: str) -> Any: ...

    def __setitem__(self, field: str, value: Any) -> None: ...


class View:
    """One record inside the buffer of a world.

    Fields read as Python integers, so interpreted arithmetic never wraps. Raises OverflowError when a
    value does not fit its field.
    """

    __slots__ = ("buffer", "layout", "record", "start")

    def __init__(self, buffer: np.ndarray, start: int, dtype: np.dtype, layout: Layout) -> None:
        self.buffer, self.start, self.layout = buffer, start, layout
        self.record = buffer[start : start + dtype.itemsize].view(dtype)[0]

    def __getitem__(self, field: str) -> int:
        return int(self.record[field])

    def __setitem__(self, field: str, value: int) -> None:
        self.record[field] = int(value)


def header_view(layout: Layout) -> Callable[[np.ndarray], Record]:
    """A function (u1 array: the buffer of a world) -> view of its header."""

    def head(buffer: np.ndarray) -> View:
        return View(buffer, 0, layout.header, layout)

    return head


def header_at_view(layout: Layout) -> Callable[[np.ndarray, int], Record]:
    """A function (u1 array: buffers of worlds, distance in bytes) -> view of the header there."""

    def head_at(buffers: np.ndarray, at: int) -> View:
        return View(buffers.reshape(-1), int(at), layout.header, layout)

    return head_at


def outside(array: str, index: int, length: int, row: str = "a row") -> OutsideError:
    """What is wrong with a program that uses an element of an array that is not there."""
    mend = "an edit led the program out of the model, which shows nothing about the design: choose another"
    return OutsideError(f"{row} uses {array}[{index}], and there are {length}", "the edited program", mend)


def _element(header: View, array: str, index: int) -> int:
    """Where an element of an array of the world begins. Raises OutsideError when the index lies outside the array."""
    if not 0 <= index < header[f"{array}_n"]:
        raise outside(array, index, header[f"{array}_n"])
    return header.start + header[f"{array}_at"] + int(index) * header.layout.arrays[array].itemsize


def element_view(array: str) -> Callable[[Record, int], Record]:
    """A function (header, index) -> view of one element of an array of the world.

    Raises OutsideError when the index lies outside the array. Compiled code notes it, in small worlds.
    """

    def get(header: View, index: int) -> View:
        return View(header.buffer, _element(header, array, index), header.layout.arrays[array], header.layout)

    return get  # type: ignore[return-value]  # the header of an interpreted run is always a View


def nested_view(array: str, field: str) -> Callable[[Record, int, int], Record]:
    """A function (header, index, k) -> view of record `k` of an array field of one element."""

    def get(header: View, index: int, k: int) -> View:
        element = header.layout.arrays[array]
        inner, inside = element[field].base, int(element.fields[field][1])  # type: ignore[index]
        if not 0 <= k < element[field].shape[0]:
            raise outside(f"{array}[{index}].{field}", k, element[field].shape[0])
        start = _element(header, array, index) + inside + k * inner.itemsize
        return View(header.buffer, start, inner, header.layout)

    return get  # type: ignore[return-value]  # the header of an interpreted run is always a View


def load_word_view(record: View, at: int) -> int:
    """The eight bytes at a distance from the beginning of a record, as a number."""
    start = record.start + int(at)
    return int.from_bytes(record.buffer[start : start + 8].tobytes(), "little")


def store_word_view(record: View, at: int, value: int) -> None:
    """Write eight bytes at a distance from the beginning of a record."""
    start = record.start + int(at)
    record.buffer[start : start + 8] = np.frombuffer(int(value).to_bytes(8, "little"), np.uint8)
