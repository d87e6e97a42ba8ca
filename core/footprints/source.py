"""The syntax tree of a step, a part or a rule, found by where its code object says that it was written."""

import ast
import linecache
from functools import cache
from types import FunctionType
from typing import Any


class FootprintError(Exception):
    """Something in a step that its footprint cannot be derived from. Names the file and the line."""


def plain(function: Any) -> FunctionType:
    """The Python function behind a compiled one. Raises FootprintError for anything else."""
    found = getattr(function, "py_func", function)
    if not isinstance(found, FunctionType):
        raise FootprintError(f"{function!r} is no Python function")
    return found


@cache
def _trees(path: str) -> dict[int, ast.FunctionDef]:
    """First line (that of the first decorator) -> function, for all functions of a file."""
    tree = ast.parse("".join(linecache.getlines(path)), path)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {min([node.lineno, *(d.lineno for d in node.decorator_list)]): node for node in found}


def tree_of(function: FunctionType) -> ast.FunctionDef:
    """The syntax tree of a function. Raises FootprintError if its source is not at hand."""
    code = function.__code__
    node = _trees(code.co_filename).get(code.co_firstlineno)
    if node is None:
        raise FootprintError(f"{code.co_filename}:{code.co_firstlineno}: no source of {function.__name__}")
    return node
