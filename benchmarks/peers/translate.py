"""Steps as C functions, translated from the Python source that Numba compiles: a step is written once.

Steps use a small part of Python: integers, fields of records, `if`, `while`, `for` over a range, and calls
of parts. Anything else is refused by name.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gmembench.benchmarks.peers.expressions import BINARY, HEADER, INTEGER, Scope, Value, python_function, variable

PRELUDE = """
STEP int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
STEP int64_t greatest(int64_t x, int64_t y) { return x > y ? x : y; }
"""


@dataclass
class Translation:
    """C functions so far, each after those that it calls: name -> text."""

    texts: dict[str, str] = field(default_factory=dict)

    def name_of(self, function: Any, kinds: Sequence[str]) -> str:
        """Name of the C function for a Python function and the kinds of its arguments, translated if it is new.

        Raises UntranslatableError.
        """
        source = python_function(function)
        records = [kind for kind in kinds if kind not in {HEADER, INTEGER}]
        name = "_".join([*source.__module__.split(".")[-2:], source.__name__, *records])
        if name not in self.texts:
            self.texts[name] = "\n".join(_Function(self, source, name, kinds).lines())
        return name

    def text(self) -> str:
        """All functions."""
        return PRELUDE + "\n" + "\n".join(self.texts.values())


def _tree(function: Callable[..., Any]) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{function} is no function")
    return tree


def _declaration(name: str, kind: str) -> str:
    if kind == HEADER:
        return "machine m"
    return f"int64_t {variable(name)}" if kind == INTEGER else f"struct {kind} *{variable(name)}"


class _Function:
    """One Python function on its way to C."""

    def __init__(self, owner: Translation, function: Callable[..., Any], name: str, kinds: Sequence[str]) -> None:
        self.name, self.tree = name, _tree(function)
        self.parameters = dict(zip((a.arg for a in self.tree.args.args), kinds, strict=True))
        self.scope = Scope(function, dict(self.parameters), owner.name_of)
        self.loops = 0

    def lines(self) -> list[str]:
        body = list(self._block(self.tree.body, 1))
        returned = self.tree.returns
        what = "void" if isinstance(returned, ast.Constant) and returned.value is None else "int64_t"
        arguments = ", ".join(_declaration(name, kind) for name, kind in self.parameters.items())
        local = {name: kind for name, kind in self.scope.kinds.items() if name not in self.parameters}
        declared = [f"\t{_declaration(name, kind)};" for name, kind in local.items()]
        return [f"STEP {what} {self.name}({arguments})", "{", *declared, *body, "}", ""]

    def _block(self, nodes: Sequence[ast.stmt], depth: int) -> Iterator[str]:
        for node in nodes:
            simple = self._simple(node)
            if simple is None:
                yield from self._compound(node, "\t" * depth, depth + 1)
            else:
                yield "\t" * depth + simple + ";"

    def _simple(self, node: ast.stmt) -> str | None:
        """A statement without a block of its own; None if it is another kind."""
        text = None
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                text = ""
            case ast.Expr(value=ast.Call() as call):
                text = self.scope.text(call)
            case ast.Return(value=value):
                text = f"return {self.scope.text(value)}" if value else "return"
            case ast.Break() | ast.Continue():
                text = ast.unparse(node)
            case ast.Assign(targets=[ast.Name() | ast.Subscript() as target], value=value):
                text = self._store(target, self.scope.value(value))
            case ast.AugAssign(target=target, op=op, value=value) if type(op) in BINARY:
                text = f"{self.scope.place(target)} {BINARY[type(op)]}= {self.scope.text(value)}"
        return text

    def _compound(self, node: ast.stmt, tabs: str, depth: int) -> Iterator[str]:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                yield f"{tabs}{{"
                yield from (f"{tabs}\t{line}" for line in self._exchange(targets, values))
            case ast.If(test=test, body=body, orelse=orelse):
                yield f"{tabs}if ({self.scope.text(test)}) {{"
                yield from self._block(body, depth)
                if orelse:
                    yield f"{tabs}}} else {{"
                    yield from self._block(orelse, depth)
            case ast.While(test=test, body=body, orelse=[]):
                yield f"{tabs}while ({self.scope.text(test)}) {{"
                yield from self._block(body, depth)
            case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=bounds), orelse=[]):
                yield tabs + self._range(bounds)
                yield f"{tabs}\t{self._store(node.target, Value(f'i_{self.loops}'))};"
                yield from self._block(node.body, depth)
            case _:
                raise self.scope.refuse(node)
        yield f"{tabs}}}"

    def _exchange(self, targets: Sequence[ast.expr], values: Sequence[ast.expr]) -> Iterator[str]:
        """An assignment of several values at once: all are read before one is stored."""
        read = [self.scope.value(value) for value in values]
        for number, value in enumerate(read):
            yield f"__auto_type value_{number} = {value.text};"
        for number, (target, value) in enumerate(zip(targets, read, strict=True)):
            yield f"{self._store(target, Value(f'value_{number}', value.kind))};"

    def _range(self, bounds: Sequence[ast.expr]) -> str:
        """Head of a loop over a range. Its counter is its own, so the variable ends as it does in Python."""
        texts = [self.scope.text(bound) for bound in bounds]
        start, stop, stride = ("0", *texts, "1") if len(texts) == 1 else (*texts, "1")[:3]
        self.loops += 1
        i, end = f"i_{self.loops}", f"end_{self.loops}"
        return f"for (int64_t {i} = {start}, {end} = {stop}; {i} < {end}; {i} += {stride}) {{"

    def _store(self, target: ast.expr, value: Value) -> str:
        if isinstance(target, ast.Name):
            if self.scope.kinds.setdefault(target.id, value.kind) != value.kind:
                raise self.scope.refuse(target)
            return f"{variable(target.id)} = {value.text}"
        return f"{self.scope.place(target)} = {value.text}"
