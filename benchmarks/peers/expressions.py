"""Expressions of steps in C. Every integer is an int64_t, as it is under Numba; a record is a pointer.

The header of a world goes as `m`, which holds it and the pointers to the world's arrays (`generate.py`).
"""

import ast
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gmembench.core import world

HEADER, INTEGER = "header", "integer"
"""Kinds of values beside the records of `layout.RECORDS`, which go by their struct's name."""

GETTERS = {array: array.removesuffix("s") for array in world.ARRAYS}
"""Array of a world -> its record, which is also the function of `world` that gets one."""

BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "/",  # of numbers that are not negative, as steps promise
    ast.Mod: "%",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}
COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
UNARY = {ast.Not: "!", ast.USub: "-", ast.Invert: "~"}
BUILT_IN = {"min": "least", "max": "greatest"}

RESERVED = frozenset({"auto", "char", "const", "default", "do", "double", "enum", "extern", "float", "goto", "int"})
RESERVED |= {"long", "m", "register", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union"}
RESERVED |= {"unsigned", "void", "volatile"}
"""Names that a variable cannot have in C."""


class UntranslatableError(Exception):
    """A step uses something that has no translation. Names the function and the line."""


@dataclass(frozen=True)
class Value:
    """An expression in C, and its kind: HEADER, INTEGER, or the name of a record's struct."""

    text: str
    kind: str = INTEGER


def python_function(function: Any) -> Callable[..., Any]:
    """The Python function behind a step or part, compiled or not."""
    found: Callable[..., Any] = getattr(function, "py_func", function)
    return found


def variable(name: str) -> str:
    """Name of a variable in C."""
    return f"{name}_" if name in RESERVED else name


def is_truth(node: ast.expr) -> bool:
    """Whether an expression is true or false, and no other number."""
    match node:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp(values=values):
            return all(is_truth(value) for value in values)
    return False


@dataclass
class Scope:
    """What expressions of one function mean.

    `kinds`: variable -> kind. `c_name`: (function, kinds of its arguments) -> name of its C function.
    """

    function: Callable[..., Any]
    kinds: dict[str, str]
    c_name: Callable[[Any, Sequence[str]], str]
    _forms: dict[type[ast.expr], Callable[[Any], Value]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._forms = {
            ast.Constant: self._number,
            ast.Name: self._name,
            ast.Attribute: self._constant,
            ast.Subscript: lambda node: Value(f"(int64_t){self.place(node)}"),
            ast.UnaryOp: lambda node: Value(f"({UNARY[type(node.op)]}{self.text(node.operand)})"),
            ast.BinOp: self._arithmetic,
            ast.BoolOp: self._logic,
            ast.Compare: self._comparison,
            ast.IfExp: self._choice,
            ast.Call: self._call,
        }

    def refuse(self, node: ast.AST) -> UntranslatableError:
        """The error for something that has no C."""
        line = self.function.__code__.co_firstlineno + getattr(node, "lineno", 1) - 1
        where = f"{self.function.__module__}.{self.function.__name__}, line {line}"
        return UntranslatableError(f"{where}: no C for {ast.unparse(node)!r}")

    def value(self, node: ast.expr) -> Value:
        """An expression. Raises UntranslatableError."""
        form = self._forms.get(type(node))
        if form is None:
            raise self.refuse(node)
        try:
            return form(node)
        except KeyError:  # an operator without C
            raise self.refuse(node) from None

    def text(self, node: ast.expr) -> str:
        """The C of an expression."""
        return self.value(node).text

    def place(self, target: ast.expr) -> str:
        """A variable or a field, to be stored to."""
        match target:
            case ast.Name(id=name) if self.kinds.get(name) == INTEGER:
                return variable(name)
            case ast.Subscript(value=record, slice=ast.Constant(value=str() as name)):
                owner = self.value(record)
                if owner.kind != INTEGER:
                    return f"{'m->w' if owner.kind == HEADER else owner.text}->{name}"
        raise self.refuse(target)

    def _number(self, node: ast.Constant) -> Value:
        if not isinstance(node.value, int):
            raise self.refuse(node)
        return Value(f"{int(node.value)}LL")

    def _name(self, node: ast.Name) -> Value:
        kind = self.kinds.get(node.id)
        if kind is None:
            return self._constant(node)
        return Value("m" if kind == HEADER else variable(node.id), kind)

    def _meaning(self, node: ast.expr) -> Any:
        """The Python object that a global name stands for."""
        match node:
            case ast.Name(id=name) if name in self.function.__globals__:
                return self.function.__globals__[name]
            case ast.Attribute(value=owner, attr=name):
                return getattr(self._meaning(owner), name)
        raise self.refuse(node)

    def _constant(self, node: ast.expr) -> Value:
        number = self._meaning(node)
        if not isinstance(number, int):
            raise self.refuse(node)
        return Value(f"{int(number)}LL /* {ast.unparse(node)} */")

    def _arithmetic(self, node: ast.BinOp) -> Value:
        return Value(f"({self.text(node.left)} {BINARY[type(node.op)]} {self.text(node.right)})")

    def _logic(self, node: ast.BoolOp) -> Value:
        """`and` and `or` give one of their operands, as in Python: an operand that is not true is 0."""
        *first, text = (self.text(operand) for operand in node.values)
        both = isinstance(node.op, ast.And)
        if all(is_truth(operand) for operand in node.values):
            return Value("(" + (" && " if both else " || ").join((*first, text)) + ")")
        for operand in reversed(first):
            text = f"({operand} ? {text} : 0LL)" if both else f"({operand} ?: {text})"
        return Value(text)

    def _comparison(self, node: ast.Compare) -> Value:
        match node:
            case ast.Compare(ops=[ast.In() | ast.NotIn() as op], comparators=[ast.Tuple(elts=elements)]):
                equal = " || ".join(f"{self.text(node.left)} == {self.text(element)}" for element in elements)
                return Value(f"({equal})" if isinstance(op, ast.In) else f"(!({equal}))")
        operands = [self.text(operand) for operand in (node.left, *node.comparators)]
        pairs = [f"({x} {COMPARE[type(op)]} {y})" for x, op, y in zip(operands, node.ops, operands[1:], strict=False)]
        return Value(pairs[0] if len(pairs) == 1 else f"({' && '.join(pairs)})")

    def _choice(self, node: ast.IfExp) -> Value:
        first, second = self.value(node.body), self.value(node.orelse)
        if first.kind != second.kind:
            raise self.refuse(node)
        return Value(f"({self.text(node.test)} ? {first.text} : {second.text})", first.kind)

    def _call(self, node: ast.Call) -> Value:
        arguments = [self.value(argument) for argument in node.args]
        texts = [argument.text for argument in arguments]
        if node.keywords:
            raise self.refuse(node)
        if isinstance(node.func, ast.Name) and node.func.id in BUILT_IN and len(texts) == 2:
            return Value(f"{BUILT_IN[node.func.id]}({', '.join(texts)})")
        called = self._meaning(node.func)
        for array, record in GETTERS.items():
            if called is getattr(world, record):
                return Value(f"(&m->{array}[{texts[1]}])", record)
        if called is world.spte:
            return Value(f"(&m->frames[{texts[1]}].spte[{texts[2]}])", "spte")
        if not inspect.isfunction(python_function(called)):
            raise self.refuse(node)
        return Value(f"{self.c_name(called, [argument.kind for argument in arguments])}({', '.join(texts)})")
