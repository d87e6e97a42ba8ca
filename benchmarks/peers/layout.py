"""The header of the C twin, generated from the model: structs from the record dtypes, constants from the design.

A field that moves in a dtype moves in C, and a row that leaves the design no longer compiles.
"""

from collections.abc import Iterable

import numpy as np

from gmembench.core import errno, operations, world
from gmembench.core.outcomes import OUTCOMES
from gmembench.core.programs import Code

RECORDS = {
    "spte": world.SPTE,
    "header": world.HEADER,
    "frame": world.FRAME,
    "cache": world.CACHE,
    "page": world.PAGE,
    "region": world.REGION,
    "tlb": world.TLB,
    "slot": world.SLOT,
    "file": world.FILE,
    "actor": world.ACTOR,
    "operation": operations.OPERATION,
}
"""Struct name -> dtype; a struct comes after those it holds."""

CONSTANTS = {
    "SPTE_PRESENT": world.SPTE_PRESENT,
    "SPTE_FROZEN": world.SPTE_FROZEN,
    "SPTE_HUGE": world.SPTE_HUGE,
    "HPTE_HUGE": world.HPTE_HUGE,
    "ATTR_PRIVATE": world.ATTR_PRIVATE,
    "ORACLE_ZERO_PRIVATE": world.ORACLE_ZERO_PRIVATE,
    "ORACLE_ZERO_SHARED": world.ORACLE_ZERO_SHARED,
    "PAGE_FREE": world.PAGE_FREE,
    "PAGE_FILE": world.PAGE_FILE,
    "PG_IN_MAPPING": world.PG_IN_MAPPING,
    "PG_UPTODATE": world.PG_UPTODATE,
    "PG_POISONED": world.PG_POISONED,
    "CONTENT_ZERO": world.CONTENT_ZERO,
    "CONTENT_DATA": world.CONTENT_DATA,
    "LIFE_INVALID": world.LIFE_INVALID,
    "FILE_LIVE": world.FILE_LIVE,
    "OUTSIDE_GUEST": world.OUTSIDE_GUEST,
    "IN_GUEST": world.IN_GUEST,
    "REQUEST_TLB_FLUSH": world.REQUEST_TLB_FLUSH,
    "REQUEST_FREE_ROOTS": world.REQUEST_FREE_ROOTS,
    "WRITE": operations.WRITE,
    "EIO": errno.EIO,
    "ENOMEM": errno.ENOMEM,
    "EFAULT": errno.EFAULT,
    "EHWPOISON": errno.EHWPOISON,
}
"""Constants of the model that the twin uses."""


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


def _enumeration(pairs: Iterable[tuple[str, int]]) -> list[str]:
    return ["enum {", *(f"\t{name} = {value}," for name, value in pairs), "};", ""]


def _row_names(code: Code, program: str) -> Iterable[tuple[str, int]]:
    for position, item in enumerate(code.info):
        if item.program == program:
            yield f"ROW_{item.name.removeprefix(f'{program}.').replace('.', '_')}", position


def c_header(code: Code, program: str = "access") -> str:
    """Text of the header: structs, constants, outcomes, and the position of each row of a program of `code`."""
    lines = ["#include <stddef.h>", "#include <stdint.h>", ""]
    for name, dtype in RECORDS.items():
        lines += struct(name, dtype)
    lines += _enumeration(CONSTANTS.items())
    lines += _enumeration((name.upper(), number) for number, name in enumerate(OUTCOMES))
    lines += _enumeration(_row_names(code, program))
    lines += [f"#define OUTCOMES {len(OUTCOMES)}"]
    return "\n".join(lines) + "\n"
