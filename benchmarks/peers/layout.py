"""The records of the model as C structs, from their dtypes: a field that moves in a dtype moves in C."""

import numpy as np

from gmembench.core import operations, world

RECORDS = {
    "spte": world.SPTE,
    "header": world.HEADER,
    **{array.removesuffix("s"): dtype for array, dtype in world.ARRAYS.items()},
    "operation": operations.OPERATION,
}
"""Struct name -> dtype; a struct comes after those it holds."""


def _type_name(dtype: np.dtype) -> str:
    if dtype.names is not None:
        return "struct " + next(name for name, known in RECORDS.items() if known == dtype)
    return f"{'u' if dtype.kind == 'u' else ''}int{8 * dtype.itemsize}_t"


def _member(name: str, dtype: np.dtype) -> str:
    if dtype.subdtype is None:
        return f"\t{_type_name(dtype)} {name};"
    base, shape = dtype.subdtype
    return f"\t{_type_name(base)} {name}" + "".join(f"[{length}]" for length in shape) + ";"


def struct(name: str, dtype: np.dtype) -> list[str]:
    """Lines of a packed struct with the fields of a record dtype at the same offsets, which C asserts."""
    offsets = {field: offset for field, (_, offset, *_) in (dtype.fields or {}).items()}
    lines = [f"struct __attribute__((packed)) {name} {{"]
    lines += [_member(field, dtype[field]) for field in offsets]
    lines += ["};", f'_Static_assert(sizeof(struct {name}) == {dtype.itemsize}, "size of {name}");']
    lines += [
        f'_Static_assert(offsetof(struct {name}, {field}) == {offset}, "{name}.{field}");'
        for field, offset in offsets.items()
    ]
    return [*lines, ""]


def c_header() -> str:
    """Text of the structs."""
    lines = ["#include <stddef.h>", "#include <stdint.h>", ""]
    for name, dtype in RECORDS.items():
        lines += struct(name, dtype)
    return "\n".join(lines) + "\n"
