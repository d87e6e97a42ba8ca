"""Arithmetic on numbers that may be unknown (None)."""

import ast
import operator
from collections.abc import Callable, Sequence
from typing import Any

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Invert: operator.invert,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def computed(op: ast.AST, *numbers: int | None) -> int | None:
    """The result of an operator; unknown if one of the numbers is, or if the operator has no entry above."""
    if None in numbers or type(op) not in OPERATORS:
        return None
    try:
        return int(OPERATORS[type(op)](*numbers))
    except (ValueError, ZeroDivisionError):  # on a way that no run takes
        return None


def compared(op: ast.cmpop, left: int | None, right: int | Sequence[int | None] | None) -> int | None:
    """The result of a comparison, or of `in` and `not in` a tuple."""
    if not isinstance(right, Sequence):
        return computed(op, left, right)
    if left is None or None in right:
        return None
    return int((left in right) == isinstance(op, ast.In))


def joined(op: ast.boolop, values: Sequence[int | None]) -> int | None:
    """The result of `and` or `or` over the values that were evaluated; of unknown ones only that an `and` is 0."""
    last = values[-1]
    if None not in values:
        return last
    return 0 if isinstance(op, ast.And) and last is not None and last == 0 else None
