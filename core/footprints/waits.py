"""For which locks a step waits before it does anything else."""

import ast
from types import FunctionType

from gmembench.core.footprints.kinds import HEADER_KIND, getter_kind
from gmembench.core.footprints.source import plain, tree_of
from gmembench.core.outcomes import BLOCKED


def _is_record(function: FunctionType, value: ast.expr) -> str | None:
    """The kind of record that a getter's call gives; None for other expressions."""
    match value:
        case ast.Call(func=ast.Name(id=name)):
            return getter_kind(function.__globals__.get(name))
    return None


def _leading_test(function: FunctionType) -> tuple[dict[str, str], ast.expr | None]:
    """The test of the step's first statement if that is `if ...: return BLOCKED`, and the records named before."""
    tree = tree_of(function)
    records = {tree.args.args[0].arg: HEADER_KIND}
    for statement in tree.body:
        match statement:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if kind := _is_record(function, value):
                records[name] = kind
            case ast.If(test=test, body=[ast.Return(value=ast.Name(id=name))]):
                return records, test if function.__globals__.get(name) == BLOCKED else None
            case _:
                break
    return records, None


def waits_of(step: object) -> frozenset[str]:
    """Fields that make a step wait while they are not 0, whatever else is the case.

    Only what stands at the very beginning counts: the step then does nothing on any path while the field is not 0.
    """
    function = plain(step)
    records, test = _leading_test(function)
    if test is None:
        return frozenset()
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else [test]
    found = set()
    for part in parts:
        match part:
            case ast.Compare(
                left=ast.Subscript(value=record, slice=ast.Constant(value=str(name))),
                ops=[ast.NotEq()],
                comparators=[ast.Constant(value=0)],
            ):
                kind = records.get(record.id) if isinstance(record, ast.Name) else _is_record(function, record)
                if kind is not None:
                    found.add(f"{kind}.{name}")
    return frozenset(found)
