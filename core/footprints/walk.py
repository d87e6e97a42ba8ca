"""The walk over the source of a step: which fields it may read and write, and which registers it sets first.

Steps are written in a small part of Python, so the walk knows every form that occurs and refuses the rest: a footprint
is right or it is not there. Calls of parts are followed; a part is walked once for each kind of records that it is
given. Reads and writes are collected from all paths. What is set on every path is followed path by path. Where the
operands of a row are known, or constants of the world, ways that they close are left out.
"""

import ast
import builtins
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

from gmembench.core.footprints.kinds import (
    DTYPES,
    HEADER_KIND,
    OWN_TLB,
    ROW_KIND,
    SELF,
    SINGLE,
    STATELESS,
    Kind,
    RowOf,
    getter_kind,
)
from gmembench.core.footprints.numbers import compared, computed, joined
from gmembench.core.footprints.source import FootprintError, plain, tree_of

Names = frozenset[str]

TAKEN = "+"
"""Stands before the name of a lock that is taken."""


class Done(NamedTuple):
    """What was done on the ways to a point.

    `surely`, on all of them: registers set, and locks taken, these with TAKEN before their names. `perhaps`, on some:
    fields written.
    """

    surely: Names = frozenset()
    perhaps: Names = frozenset()

    def and_written(self, name: str) -> "Done":
        """And then a field is written; if it is a lock, that is surely taken no longer."""
        surely = self.surely - {TAKEN + name}
        return Done(surely | {name} if is_register(name) else surely, self.perhaps | {name})

    def and_taken(self, name: str) -> "Done":
        """And then a lock is taken."""
        return Done(self.surely | {TAKEN + name}, self.perhaps)

    def and_perhaps(self, names: Iterable[str]) -> "Done":
        """And then these fields are written, or are not."""
        return Done(self.surely - {TAKEN + name for name in names}, self.perhaps.union(names))

    def or_(self, other: "Done | None") -> "Done":
        """Where two ways meet; None is a way that nobody comes."""
        return self if other is None else Done(self.surely & other.surely, self.perhaps | other.perhaps)

    def then(self, other: "Done") -> "Done":
        """And then all that."""
        return Done(self.and_perhaps(other.perhaps).surely | other.surely, self.perhaps | other.perhaps)


class Exit(NamedTuple):
    """One way out of a function: the number that it returns, if it is known, and what was done by then."""

    number: int | None
    done: Done


HARMLESS = (min, max, range, int, abs)
"""Built-in functions that steps may call."""


@dataclass(frozen=True)
class Summary:
    """What a function does, given records of some kinds.

    `reads`, `writes`: fields. `uses`: registers of the own actor that may be read before they are set here. `exits`:
    ways out. `returns`: what it returns. `asks`: fields that its
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
    """Everything walked so far, by function and kinds of its arguments. `known`: fields of the header -> constant."""

    known: Mapping[str, int] = field(default_factory=dict)
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
            try:
                self.done[key] = _Walk(self, source, kinds).summary()
            finally:
                self.under_way.remove(source)
        return self.done[key]


def is_register(name: str) -> bool:
    """Whether a field is one register of the own actor: of its translations a step sets one of many."""
    return name.startswith(f"{SELF}.") and not name.startswith(f"{OWN_TLB}.")


def is_record(kind: Kind) -> bool:
    """Whether a value is a record."""
    return isinstance(kind, str | RowOf)


def _either_way(one: Done | None, other: Done | None) -> Done | None:
    return other if one is None else one.or_(other)


class _Walk:
    """One function, given records of some kinds. `done`: on the ways to the point in hand; None if there are none."""

    def __init__(self, walks: Walks, function: FunctionType, kinds: tuple[Kind, ...]) -> None:
        self.walks, self.function, self.tree = walks, function, tree_of(function)
        names = [item.arg for item in self.tree.args.args]
        if len(names) != len(kinds):
            raise self.unknown(self.tree, f"{len(kinds)} arguments for {len(names)}")
        self.stores = _stores(self.tree)
        given = zip(names, kinds, strict=True)
        self.kinds: dict[str, Kind] = {n: k if is_record(k) or self.stores[n] == 0 else None for n, k in given}
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.uses: set[str] = set()
        self.asks: set[str] = set()
        self.exits: list[Exit] = []
        self.returned: set[Kind] = set()
        self.tells = False
        self.done: Done | None = Done()

    def unknown(self, node: Any, what: str) -> FootprintError:
        """An error at a place of the source."""
        return FootprintError(f"{self.function.__code__.co_filename}:{node.lineno}: {what}")

    def summary(self) -> Summary:
        """Walk it all."""
        self.block(self.tree.body)
        if self.done is not None:
            self.exits.append(Exit(None, self.done))
        kinds = {kind for kind in self.returned if is_record(kind)}
        if len(kinds) > 1 or (kinds and len(self.returned) > 1):
            raise self.unknown(self.tree, f"returns records of different kinds: {self.returned}")
        reads, writes, uses, asks = (frozenset(item) for item in (self.reads, self.writes, self.uses, self.asks))
        kind = self.returned.pop() if len(self.returned) == 1 else None
        return Summary(reads, writes, uses, tuple(self.exits), kind, asks, self.tells)

    # --- statements ---

    def block(self, body: list[ast.stmt]) -> None:
        """Statements one after the other, as far as anybody comes."""
        for statement in body:
            if self.done is None:
                return
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        """One statement."""
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                pass  # a docstring
            case ast.Expr(value=value):
                self.value(value)
            case ast.Assign(targets=targets, value=value):
                self.assign(targets, value)
            case ast.AugAssign():
                self.augment(node)
            case ast.Return(value=value):
                self.leave(value)
            case ast.If():
                self.branch(node)
            case ast.Continue() | ast.Break():
                self.done = None
            case _:
                self.repeated(node)

    def repeated(self, node: ast.stmt) -> None:
        """A loop. One over an empty range that is known is left out, and one whose condition is known to fail."""
        match node:
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args), orelse=[]):
                limits = self.numbers(args)
                self.bind(node, name, None)
                if None in limits or len(range(*limits)) > 0:  # type: ignore[arg-type]  # None is looked for first
                    self.loop(node.body)
            case ast.While(orelse=[]):
                if self.number(node.test) != 0:
                    self.loop(node.body)
            case _:
                raise self.unknown(node, f"{type(node).__name__}: {ast.unparse(node)}")

    def branch(self, node: ast.If) -> None:
        """Two ways that meet again, or one if the test is known."""
        test, before = self.number(node.test), self.done
        after: Done | None = None
        if test != 0:
            self.block(node.body)
            after, self.done = self.done, before
        if test is None or test == 0:
            self.block(node.orelse)
            after = _either_way(after, self.done)
        self.done = after

    def loop(self, body: list[ast.stmt]) -> None:
        """A body that may run any number of times, also not at all; a first walk tells what an earlier run may do."""
        before, writes, exits = self.done or Done(), self.writes, list(self.exits)
        self.writes = set()
        self.block(body)
        inside, self.writes, self.exits = self.writes, self.writes | writes, exits
        earlier = before.and_perhaps(inside)
        self.done = earlier
        self.block(body)
        self.done = earlier

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
                if is_record(kind):
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

    def augment(self, node: ast.AugAssign) -> None:
        """`x += ...`: of a field both a read and a write, though one that decides nothing."""
        added = self.number(node.value)
        if isinstance(node.target, ast.Subscript):
            name = self.field(node.target)
            self.note_read(name)
            self.note_write(name)
            if added == 1 and isinstance(node.op, ast.Add):
                self.note_taken(name)
        elif not isinstance(node.target, ast.Name) or is_record(self.kind_of(node.target)):
            raise self.unknown(node, f"cannot change {ast.unparse(node.target)} in place")

    def leave(self, value: ast.expr | None) -> None:
        """A return."""
        if value is None:
            self.exits.append(Exit(None, self.done or Done()))
        else:
            self.tells = True
            self.returning(value)
        self.done = None

    def returning(self, value: ast.expr) -> None:
        """Note the exits of a returned value, and what it is."""
        if isinstance(value, ast.IfExp):
            test, before = self.number(value.test), self.done
            if test != 0:
                self.returning(value.body)
                self.done = before
            if test is None or test == 0:
                self.returning(value.orelse)
            return
        before = self.done
        kind = self.value(value)
        self.returned.add(kind)
        called = self.part_called(value)
        if called is not None and before is not None:
            inner = self.walks.of(called, self.argument_kinds(value))
            self.exits += [Exit(one.number, before.then(one.done)) for one in inner.exits]
        elif self.done is not None:
            self.exits.append(Exit(kind if isinstance(kind, int) else None, self.done))

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
                return self.loaded(node)
        return self.result(node)

    def loaded(self, node: ast.Subscript) -> int | None:
        """The value of a field, if it is known."""
        name = self.field(node)
        kind, _, short = name.rpartition(".")
        if kind == ROW_KIND:
            row = self.value(node.value)
            return row.operand(short) if isinstance(row, RowOf) else None
        if name in self.walks.known:
            return self.walks.known[name]
        self.note_read(name)
        self.asks.add(name)
        return None

    def result(self, node: ast.expr) -> int | None:
        """The value of an expression that is no record, if it is known."""
        match node:
            case ast.Constant(value=int(number)):
                return int(number)
            case ast.BoolOp(op=op, values=values):
                return self.all_or_any(op, values)
            case ast.BinOp(left=left, op=op, right=right):
                return computed(op, *self.numbers([left, right]))
            case ast.UnaryOp(op=op, operand=operand):
                return computed(op, self.number(operand))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                first = self.number(left)
                return compared(
                    op, first, self.numbers(right.elts) if isinstance(right, ast.Tuple) else self.number(right)
                )
        raise self.unknown(node, f"{type(node).__name__}: {ast.unparse(node)}")

    def number(self, node: ast.expr) -> int | None:
        """The value of an expression that must not be a record, if it is known."""
        kind = self.value(node)
        if is_record(kind):
            raise self.unknown(node, f"a record is computed with: {ast.unparse(node)}")
        return kind if isinstance(kind, int) else None

    def numbers(self, nodes: list[ast.expr]) -> list[int | None]:
        """Expressions that must not be records."""
        return [self.number(node) for node in nodes]

    def aside(self, nodes: list[ast.expr]) -> list[int | None]:
        """Expressions that may not be evaluated at all."""
        before = self.done
        found = self.numbers(nodes)
        self.done = _either_way(before, self.done)
        return found

    def all_or_any(self, op: ast.boolop, values: list[ast.expr]) -> int | None:
        """`and`, `or`: what comes after a value that decides is not evaluated."""
        found: list[int | None] = []
        for value in values:
            unsure = None in found
            found += self.aside([value]) if unsure else [self.number(value)]
            if found[-1] is not None and bool(found[-1]) == isinstance(op, ast.Or):
                break
        return joined(op, found)

    def either(self, node: ast.IfExp) -> Kind:
        """`x if t else y`."""
        test, before = self.number(node.test), self.done
        if test is not None:
            return self.value(node.body if test != 0 else node.orelse)
        kind = self.value(node.body)
        after, self.done = self.done, before
        other = self.value(node.orelse)
        if is_record(kind) != is_record(other) or (is_record(kind) and other != kind):
            raise self.unknown(node, "records of different kinds")
        self.done = _either_way(after, self.done)
        return kind if other == kind else None

    def kind_of(self, node: ast.Name) -> Kind:
        """What a variable stands for. What is no variable must be a constant of the module."""
        if node.id in self.kinds:
            return self.kinds[node.id]
        known = self.function.__globals__.get(node.id)
        if isinstance(known, int):
            return int(known)
        if isinstance(known, tuple) and all(isinstance(item, int) for item in known):
            return None
        raise self.unknown(node, f"{node.id} is no variable and no constant")

    def bind(self, node: Any, name: str, kind: Kind) -> None:
        """Give a variable what it stands for, which it keeps; a number is known if it is the only one ever stored."""
        if not is_record(kind):
            known = self.stores[name] == 1 and not isinstance(node, ast.For)
            kind = self.kinds.get(name, kind if known else None)
        if self.kinds.setdefault(name, kind) != kind:
            raise self.unknown(node, f"{name} stands for records of different kinds")

    def field(self, node: ast.Subscript) -> str:
        """The full name of a field of a record."""
        found = self.value(node.value)
        kind = ROW_KIND if isinstance(found, RowOf) else found
        match node.slice:
            case ast.Constant(value=str(name)) if isinstance(kind, str) and name in (DTYPES[kind].names or ()):
                if DTYPES[kind][name].names is None and DTYPES[kind][name].subdtype is None:
                    return f"{kind}.{name}"
        raise self.unknown(node, f"no field of a known record: {ast.unparse(node)}")

    def note_read(self, name: str) -> None:
        """A field is read."""
        if name.partition(".")[0] in STATELESS:
            return
        self.reads.add(name)
        if is_register(name) and self.done is not None and name not in self.done.surely:
            self.uses.add(name)

    def note_write(self, name: str) -> None:
        """A field is written."""
        if name.partition(".")[0] in STATELESS:
            return
        self.writes.add(name)
        if self.done is not None:
            self.done = self.done.and_written(name)

    def note_taken(self, name: str) -> None:
        """A lock is taken: the actor's number + 1 is stored in it, or one more reader is counted."""
        if name.partition(".")[0] in SINGLE and self.done is not None:
            self.done = self.done.and_taken(name)

    # --- calls ---

    def called(self, node: ast.Call) -> Any:
        """The function that a call names."""
        if not isinstance(node.func, ast.Name) or node.keywords or node.func.id in self.kinds:
            raise self.unknown(node, f"cannot tell what is called: {ast.unparse(node)}")
        name = node.func.id
        found = self.function.__globals__.get(name, getattr(builtins, name, None))
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
        """The arguments of a call, which have been walked already."""
        before = self.done
        found = tuple(self.value(item) for item in node.args)
        self.done = before
        return found

    def call(self, node: ast.Call) -> Kind:
        """A getter of the world, a built-in function, or a part."""
        found = self.called(node)
        if found in HARMLESS:
            self.numbers(node.args)
            return None
        kinds = tuple(self.value(item) for item in node.args)
        getter = getter_kind(found)
        if getter is not None:
            if kinds[0] != HEADER_KIND or any(is_record(kind) for kind in kinds[1:]):
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
        if self.done is None:
            return
        self.uses |= inner.uses - self.done.surely
        ended: Done | None = None
        for one in inner.exits:
            ended = _either_way(ended, one.done)
        self.done = self.done.then(ended or Done())


@cache
def _stores(tree: ast.FunctionDef) -> Counter[str]:
    """How often the text stores into each variable; `x += 1` counts twice, as it reads what was stored before.

    Kept: a function is walked once for each kind of arguments, and looking through its text took half of that.
    """
    found = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    found.update(n.target.id for n in ast.walk(tree) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name))
    return found
