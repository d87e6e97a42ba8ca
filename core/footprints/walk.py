"""The walk over the source of a step: which fields it may read and write, and which registers it sets first.

Steps are written in a small part of Python, so the walk knows every form that occurs and refuses the rest: a footprint
is right or it is not there. Calls of parts are followed; a part is walked once for each kind of records that it is
given. Reads and writes are collected from all paths. What is set on every path is followed path by path.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from gmembench.core.footprints.kinds import DTYPES, HEADER_KIND, OWN_TLB, SELF, SINGLE, STATELESS, getter_kind
from gmembench.core.footprints.source import FootprintError, plain, tree_of

Names = frozenset[str]
Kind = str | None
"""Of a variable: the kind of its record, None for a number."""

Exit = tuple[int | None, Names]
"""One way out of a function: the constant that it returns, if it is one, and what is certain by then.

That is the registers that are set, and the locks that are taken, these with TAKEN before their names.
"""

TAKEN = "+"

HARMLESS = (min, max, range, int, abs)
"""Built-in functions that steps may call."""


@dataclass(frozen=True)
class Summary:
    """What a function does, given records of some kinds.

    `reads`, `writes`: fields. `uses`: registers of the own actor that may be read before they are set here. `exits`:
    ways out. `returns`: kind of the record that it returns. `asks`: fields that its
    own text reads, except to count one up in place. `tells`: whether it returns anything.
    """

    reads: Names
    writes: Names
    uses: Names
    exits: tuple[Exit, ...]
    returns: Kind
    asks: Names
    tells: bool


@dataclass
class Walks:
    """Everything walked so far, by function and kinds of its arguments."""

    done: dict[tuple[FunctionType, tuple[Kind, ...]], Summary] = field(default_factory=dict)
    under_way: set[FunctionType] = field(default_factory=set)

    def of(self, function: Any, kinds: tuple[Kind, ...]) -> Summary:
        """Walk a function, unless that is done. Raises FootprintError for what the walk does not know."""
        source = plain(function)
        key = (source, kinds)
        if key not in self.done:
            if source in self.under_way:
                raise FootprintError(f"{source.__qualname__} calls itself")
            self.under_way.add(source)
            self.done[key] = _Walk(self, source, kinds).summary()
            self.under_way.remove(source)
        return self.done[key]


def is_register(name: str) -> bool:
    """Whether a field is one register of the own actor: of its translations a step sets one of many."""
    return name.startswith(f"{SELF}.") and not name.startswith(f"{OWN_TLB}.")


def _both(one: Names | None, other: Names | None) -> Names | None:
    """What is certain on two paths that meet; None is a path that nobody comes along."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


class _Walk:
    """One function, given records of some kinds. `set_` is what is certain at the point in hand, as in Exit."""

    def __init__(self, walks: Walks, function: FunctionType, kinds: tuple[Kind, ...]) -> None:
        self.walks, self.function, self.tree = walks, function, tree_of(function)
        names = [item.arg for item in self.tree.args.args]
        if len(names) != len(kinds):
            raise self.unknown(self.tree, f"{len(kinds)} arguments for {len(names)}")
        self.kinds: dict[str, Kind] = dict(zip(names, kinds, strict=True))
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.uses: set[str] = set()
        self.asks: set[str] = set()
        self.exits: list[Exit] = []
        self.returned: set[Kind] = set()
        self.set_: Names | None = frozenset()

    def unknown(self, node: Any, what: str) -> FootprintError:
        """An error at a place of the source."""
        return FootprintError(f"{self.function.__code__.co_filename}:{node.lineno}: {what}")

    def summary(self) -> Summary:
        """Walk it all."""
        self.block(self.tree.body)
        if self.set_ is not None:
            self.exits.append((None, self.set_))
        tells = bool(self.returned)
        if len(self.returned) > 1:
            raise self.unknown(self.tree, f"returns records of different kinds: {self.returned}")
        named = (frozenset(names) for names in (self.reads, self.writes, self.uses))
        kind = self.returned.pop() if self.returned else None
        return Summary(*named, tuple(self.exits), kind, frozenset(self.asks), tells)

    # --- statements ---

    def block(self, body: list[ast.stmt]) -> None:
        """Statements one after the other."""
        for statement in body:
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        match node:
            case ast.Expr(value=value):
                self.value(value)
            case ast.Assign(targets=targets, value=value):
                self.assign(targets, value)
            case ast.AugAssign(target=target, value=value):
                self.augment(target, value, isinstance(node.op, ast.Add))
            case ast.Return(value=value):
                self.leave(value)
            case ast.If():
                self.branch(node)
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range")), orelse=[]):
                self.value(node.iter)
                self.bind(node, name, None)
                self.loop(node.body)
            case ast.While(orelse=[]):
                self.value(node.test)
                self.loop(node.body)
            case ast.Continue() | ast.Break():
                self.set_ = None
            case ast.Pass():
                pass
            case _:
                raise self.unknown(node, f"{type(node).__name__}: {ast.unparse(node)}")

    def branch(self, node: ast.If) -> None:
        """Two ways that meet again."""
        self.value(node.test)
        before = self.set_
        self.block(node.body)
        after, self.set_ = self.set_, before
        self.block(node.orelse)
        self.set_ = _both(after, self.set_)

    def loop(self, body: list[ast.stmt]) -> None:
        """A body that may run any number of times, also not at all."""
        before = self.set_
        self.block(body)
        self.set_ = before

    def assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        """Assignments to names and fields; several at once are written `x, y = ...`."""
        for target in targets:
            if isinstance(target, ast.Tuple):
                if not isinstance(value, ast.Tuple) or len(value.elts) != len(target.elts):
                    raise self.unknown(target, f"cannot tell what {ast.unparse(target)} is given")
                for kind, one in zip([self.value(item) for item in value.elts], target.elts, strict=True):
                    self.store(one, kind)
            else:
                self.store(target, self.value(value), value)

    def store(self, target: ast.expr, kind: Kind, value: ast.expr | None = None) -> None:
        """Store into a name or a field."""
        match target:
            case ast.Name(id=name):
                self.bind(target, name, kind)
            case ast.Subscript():
                if kind is not None:
                    raise self.unknown(target, "a record is stored in a field")
                name = self.field(target)
                self.note_write(name)
                if value is not None and self.is_holder(value):
                    self.note_taken(name)
            case _:
                raise self.unknown(target, f"cannot store into {ast.unparse(target)}")

    def is_holder(self, value: ast.expr) -> bool:
        """Whether a value is the actor's number + 1: what a lock holds while the actor has it."""
        match value:
            case ast.BinOp(left=ast.Subscript() as number, op=ast.Add(), right=ast.Constant(value=1)):
                return self.field(number) == f"{SELF}.number"
        return False

    def augment(self, target: ast.expr, value: ast.expr, added: bool) -> None:
        """`x += ...`: of a field both a read and a write, though one that decides nothing."""
        self.value(value)
        if isinstance(target, ast.Subscript):
            name = self.field(target)
            self.note_read(name)
            self.note_write(name)
            if added and isinstance(value, ast.Constant) and value.value == 1:
                self.note_taken(name)
        elif not isinstance(target, ast.Name) or self.kind_of(target) is not None:
            raise self.unknown(target, f"cannot change {ast.unparse(target)} in place")

    def leave(self, value: ast.expr | None) -> None:
        """A return."""
        if value is None:
            self.exits.append((None, self.set_ or frozenset()))
        else:
            self.returned.add(self.returning(value))
        self.set_ = None

    def returning(self, value: ast.expr) -> Kind:
        """Note the exits of a returned value, and tell its kind."""
        if isinstance(value, ast.IfExp):
            self.value(value.test)
            before = self.set_
            kinds = {self.returning(value.body)}
            self.set_ = before
            kinds.add(self.returning(value.orelse))
            if len(kinds) > 1:
                raise self.unknown(value, "records of different kinds")
            return kinds.pop()
        called = self.part_called(value)
        before = self.set_
        kind = self.value(value)
        if called is not None and before is not None:
            inner = self.walks.of(called, self.argument_kinds(value))
            self.exits += [(number, before | names) for number, names in inner.exits]
        elif self.set_ is not None:
            self.exits.append((self.constant(value), self.set_))
        return kind

    def constant(self, value: ast.expr) -> int | None:
        """The number that an expression names, if it is the name of one."""
        if isinstance(value, ast.Constant) and isinstance(value.value, int):
            return int(value.value)
        if isinstance(value, ast.Name) and value.id not in self.kinds:
            known = self.function.__globals__.get(value.id)
            return known if isinstance(known, int) else None
        return None

    # --- expressions: each returns the kind of its value ---

    def value(self, node: ast.expr) -> Kind:
        """One expression."""
        match node:
            case ast.Name():
                return self.kind_of(node)
            case ast.Call():
                return self.call(node)
            case ast.IfExp():
                return self.either(node)
            case ast.Subscript():
                name = self.field(node)
                self.note_read(name)
                self.asks.add(name)
            case _:
                self.computed(node)
        return None

    def computed(self, node: ast.expr) -> None:
        """An expression whose value is a number."""
        match node:
            case ast.Constant():
                pass
            case ast.BoolOp(values=values):
                self.number(values[0])
                self.aside(values[1:])
            case ast.BinOp(left=left, right=right):
                self.numbers([left, right])
            case ast.UnaryOp(operand=operand):
                self.number(operand)
            case ast.Compare(left=left, comparators=[ast.Tuple(elts=others)] | [*others]):
                self.numbers([left, *others[:1]])
                self.aside(others[1:])
            case _:
                raise self.unknown(node, f"{type(node).__name__}: {ast.unparse(node)}")

    def number(self, node: ast.expr) -> None:
        """An expression that must not be a record."""
        if self.value(node) is not None:
            raise self.unknown(node, f"a record is computed with: {ast.unparse(node)}")

    def numbers(self, nodes: list[ast.expr]) -> None:
        """Expressions that must not be records."""
        for node in nodes:
            self.number(node)

    def aside(self, nodes: list[ast.expr]) -> None:
        """Expressions that may not be evaluated at all."""
        before = self.set_
        self.numbers(nodes)
        self.set_ = before

    def either(self, node: ast.IfExp) -> Kind:
        """`x if t else y`."""
        self.number(node.test)
        before = self.set_
        kind = self.value(node.body)
        after, self.set_ = self.set_, before
        if self.value(node.orelse) != kind:
            raise self.unknown(node, "records of different kinds")
        self.set_ = _both(after, self.set_)
        return kind

    def kind_of(self, node: ast.Name) -> Kind:
        """The kind of a variable. What is no variable must be a constant of the module."""
        if node.id in self.kinds:
            return self.kinds[node.id]
        known = self.function.__globals__.get(node.id)
        if isinstance(known, int) or (isinstance(known, tuple) and all(isinstance(item, int) for item in known)):
            return None
        raise self.unknown(node, f"{node.id} is no variable and no constant")

    def bind(self, node: Any, name: str, kind: Kind) -> None:
        """Give a variable its kind, which it keeps."""
        if self.kinds.setdefault(name, kind) != kind:
            raise self.unknown(node, f"{name} stands for records of different kinds")

    def field(self, node: ast.Subscript) -> str:
        """The full name of a field of a record."""
        kind = self.value(node.value)
        match node.slice:
            case ast.Constant(value=str(name)) if kind is not None and name in (DTYPES[kind].names or ()):
                if DTYPES[kind][name].names is None and DTYPES[kind][name].subdtype is None:
                    return f"{kind}.{name}"
        raise self.unknown(node, f"no field of a known record: {ast.unparse(node)}")

    def note_read(self, name: str) -> None:
        """A field is read."""
        if name.partition(".")[0] in STATELESS:
            return
        self.reads.add(name)
        if is_register(name) and self.set_ is not None and name not in self.set_:
            self.uses.add(name)

    def note_write(self, name: str) -> None:
        """A field is written."""
        if name.partition(".")[0] in STATELESS:
            return
        self.writes.add(name)
        if self.set_ is not None:
            self.set_ -= {TAKEN + name}
            if is_register(name):
                self.set_ |= {name}

    def note_taken(self, name: str) -> None:
        """A lock is taken: the actor's number + 1 is stored in it, or one more reader is counted."""
        if name.partition(".")[0] in SINGLE and self.set_ is not None:
            self.set_ |= {TAKEN + name}

    # --- calls ---

    def called(self, node: ast.Call) -> Any:
        """The function that a call names."""
        if not isinstance(node.func, ast.Name) or node.keywords or node.func.id in self.kinds:
            raise self.unknown(node, f"cannot tell what is called: {ast.unparse(node)}")
        builtins = self.function.__builtins__  # type: ignore[attr-defined]  # every function has them
        name = node.func.id
        found = self.function.__globals__.get(name, builtins.get(name))
        if found is None:
            raise self.unknown(node, f"no function {name!r}")
        return found

    def part_called(self, node: ast.expr) -> Any:
        """The part that an expression calls; None if it does something else."""
        if not isinstance(node, ast.Call):
            return None
        found = self.called(node)
        return None if found in HARMLESS or getter_kind(found) is not None else found

    def argument_kinds(self, node: Any) -> tuple[Kind, ...]:
        """The kinds of the arguments of a call, which have been walked already."""
        before = self.set_
        found = tuple(self.value(item) for item in node.args)
        self.set_ = before
        return found

    def call(self, node: ast.Call) -> Kind:
        """A getter of the world, a built-in function, or a part."""
        found = self.called(node)
        kinds = tuple(self.value(item) for item in node.args)
        if found in HARMLESS:
            if any(kind is not None for kind in kinds):
                raise self.unknown(node, "a record is computed with")
            return None
        getter = getter_kind(found)
        if getter is not None:
            if kinds[0] != HEADER_KIND or any(kind is not None for kind in kinds[1:]):
                raise self.unknown(node, "a getter takes the header and numbers")
            return OWN_TLB if getter == "tlbs" and self.is_own_tlb(node.args[1]) else getter
        try:
            inner = self.walks.of(found, kinds)
        except FootprintError as fault:
            raise self.unknown(node, str(fault)) from fault
        self.follow(inner)
        return inner.returns

    def is_own_tlb(self, index: ast.expr) -> bool:
        """Whether an index is one of the own actor's translations, as in `cached_pfn` of parts/gpa.py."""
        match index:
            case ast.BinOp(
                left=ast.BinOp(left=ast.Subscript() as number, op=ast.Mult(), right=size),
                op=ast.Add(),
                right=ast.BinOp(op=ast.BitAnd(), right=mask),
            ):
                own = self.field(number) == f"{SELF}.number"
                return own and ast.unparse(size) == "w['tlb_mask'] + 1" and ast.unparse(mask) == "w['tlb_mask']"
        return False

    def follow(self, inner: Summary) -> None:
        """Take over what a called part does."""
        self.reads |= inner.reads
        self.writes |= inner.writes
        if self.set_ is None:
            return
        self.uses |= inner.uses - self.set_
        ends = iter(names for _, names in inner.exits)
        self.set_ = self.set_ - {TAKEN + name for name in inner.writes} | _all(ends)


def _all(ends: Iterator[Names]) -> Names:
    """What is certain at all of some ends."""
    found: Names | None = None
    for names in ends:
        found = _both(found, names)
    return found or frozenset()
