"""Steps as machine code: tables of their addresses, and functions that run one row or a chain of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gmembench.core.intrinsics.records import byte_pointer, field_pointer, read_field, step_types
from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.layouts import Layout
from gmembench.core.rows import BRANCH, LEAVE, ROW
from gmembench.core.views import Record


def call_compiled(context: Any, builder: ir.IRBuilder, step: Any, signature: Any, args: list[ir.Value]) -> ir.Value:
    """Emit a call of a compiled step, and link its machine code."""
    step.compile(signature.args)
    compiled = step.overloads[signature.args]
    context.active_code_library.add_linking_library(compiled.library)
    # Steps raise nothing, so the status is dropped: the wrapper has no exception argument to hand on.
    _status, outcome = context.call_internal_no_propagate(builder, compiled.fndesc, signature, args)
    return outcome


def _count(builder: ir.IRBuilder, record: ir.Value, dtype: np.dtype, name: str) -> None:
    field = field_pointer(builder, record, dtype, name)
    builder.store(builder.add(builder.load(field, align=1), WORD(1)), field, align=1)


def _jump(builder: ir.IRBuilder, link: ir.Function, row: ir.Value, distance: ir.Value) -> None:
    """Go on with the row at this distance in bytes from `row`. A tail call: the stack does not grow."""
    header, actor, _ = link.args
    there = builder.bitcast(byte_pointer(builder, row, distance), row.type)
    address = builder.inttoptr(read_field(builder, there, ROW, "address"), link.type)
    builder.ret(builder.call(address, (header, actor, there), tail="musttail"))


def _branch(builder: ir.IRBuilder, link: ir.Function, row: ir.Value, outcome: ir.Value) -> None:
    """Count a branch of the row and take it."""
    start = builder.add(read_field(builder, row, ROW, "branches"), builder.mul(outcome, WORD(BRANCH.itemsize)))
    branch = builder.inttoptr(start, row.type)
    _count(builder, branch, BRANCH, "taken")
    way = read_field(builder, branch, BRANCH, "way")
    leave = builder.append_basic_block()
    go_on = builder.append_basic_block()
    builder.cbranch(builder.icmp_unsigned("==", way, WORD(LEAVE)), leave, go_on)
    builder.position_at_end(go_on)
    _jump(builder, link, row, way)
    builder.position_at_end(leave)
    position = read_field(builder, row, ROW, "position")
    builder.ret(builder.or_(builder.shl(position, WORD(OUTCOME_BITS)), outcome))


def _fill_link(context: Any, link: ir.Function, steps: Sequence[Any], signature: Any) -> None:
    """Emit the body of a link: for each row count it and run its step, then go on with the row that follows."""
    link.args[2].add_attribute("noalias")  # rows are no part of a world
    builder = ir.IRBuilder(link.append_basic_block())
    for number, step in enumerate(steps):
        row = builder.bitcast(byte_pointer(builder, link.args[2], WORD(number * ROW.itemsize)), link.args[2].type)
        _count(builder, row, ROW, "hits")
        outcome = leaves = call_compiled(context, builder, step, signature, [*link.args[:2], row])
        if number == len(steps) - 1:
            leaves = builder.or_(outcome, read_field(builder, row, ROW, "jump"))
        below = builder.append_basic_block()
        elsewhere = builder.append_basic_block()
        builder.cbranch(builder.icmp_unsigned("!=", leaves, WORD(0)), elsewhere, below)
        builder.position_at_end(elsewhere)
        _branch(builder, link, row, outcome)
        builder.position_at_end(below)
    _jump(builder, link, row, WORD(ROW.itemsize))


def code_size(function: Any) -> int:
    """Size of a step's Python code: about what compiling it costs."""
    return len(getattr(function, "py_func", function).__code__.co_code)


def link_filler(links: Mapping[int, Sequence[Any]], layout: Layout) -> Any:
    """An intrinsic that stores the addresses of links in an i8 array, each at its number.

    A link is the machine code `i64 link(header, actor, row)` of one step, or of the steps of adjacent
    rows of which none but the last has `jump` set. It counts each row, runs its step and jumps to the link
    of the row that follows, so that rows run as one chain, without a loop, until a branch leads back to the
    driver. All links are emitted into the library of the kernel that uses the intrinsic, so they are
    compiled, cached and loaded together. The kernel must be a module-level function that names the
    intrinsic as a global: closures over it would never hit the disk cache.
    """
    types_of = step_types(layout)
    step_signature = types.int64(*types_of)

    @intrinsic
    def fill(typingctx: Any, table: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            link_type = ir.FunctionType(WORD, [context.get_value_type(t) for t in types_of])
            array = context.make_array(signature.args[0])(context, builder, args[0])
            for number, steps in links.items():
                link = ir.Function(builder.module, link_type, f"gmembench_{layout.name}_{number}")
                link.linkage = "internal"
                _fill_link(context, link, steps, step_signature)
                builder.store(builder.ptrtoint(link, WORD), builder.gep(array.data, [WORD(number)]))
            return context.get_dummy_value()

        return types.none(table), codegen

    return fill


def step_filler(steps: Mapping[int, Any], layout: Layout) -> Any:
    """An intrinsic that stores the addresses of steps in an i8 array, each at its number.

    The machine code at an address is `i64 step(header, actor, row)`, which returns the outcome: for drivers that
    decide after every step and count for themselves.
    """
    types_of = step_types(layout)
    step_signature = types.int64(*types_of)

    @intrinsic
    def fill(typingctx: Any, table: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            form = ir.FunctionType(WORD, [context.get_value_type(t) for t in types_of])
            array = context.make_array(signature.args[0])(context, builder, args[0])
            for number, step in steps.items():
                made = ir.Function(builder.module, form, f"gmembench_step_{number}")
                made.linkage = "internal"
                inner = ir.IRBuilder(made.append_basic_block())
                inner.ret(call_compiled(context, inner, step, step_signature, list(made.args)))
                builder.store(builder.ptrtoint(made, WORD), builder.gep(array.data, [WORD(number)]))
            return context.get_dummy_value()

        return types.none(table), codegen

    return fill


StepRunner = Callable[[Record, Record, np.ndarray, int], int]


def step_runner(steps: Sequence[Any], layout: Layout) -> StepRunner:
    """A function (header, actor, rows, position) -> outcome of the row's step. Rows hold addresses of `step_filler`."""
    if INTERPRETED:
        return lambda header, actor, rows, position: int(steps[rows[position]["step"]](header, actor, rows[position]))
    types_of = step_types(layout)
    rows_type = types.Array(types_of[2], 1, "C", aligned=False)

    @intrinsic
    def run(typingctx: Any, header: Any, actor: Any, rows: Any, position: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            pointers = [context.get_value_type(t) for t in types_of]
            data = context.make_array(signature.args[2])(context, builder, args[2]).data
            there = byte_pointer(builder, data, builder.mul(args[3], WORD(ROW.itemsize)))
            address = builder.inttoptr(
                read_field(builder, there, ROW, "address"), ir.FunctionType(WORD, pointers).as_pointer()
            )
            return builder.call(address, (args[0], args[1], builder.bitcast(there, pointers[2])))

        return types.int64(types_of[0], types_of[1], rows_type, types.int64), codegen

    return cast(StepRunner, run)


OUTCOME_BITS = 8
"""A chain of rows returns the position of its last row, shifted by this, and the outcome of that row."""

Runner = Callable[[Record, Record, np.ndarray, np.ndarray, int], int]


def chain_runner(steps: Sequence[Any], layout: Layout) -> Runner:
    """A function (header, actor, rows, branches, position) -> position << OUTCOME_BITS | outcome.

    It runs rows from `position` on until a branch leads back to the driver, and says which. `rows` is a
    ROW array, `branches` a BRANCH array (row, outcome). A driver that decides after every step sets
    `jump` in all rows and LEAVE in all branches. Interpreted it calls the Python functions that the
    rows' field `step` numbers.
    """
    if INTERPRETED:
        return _interpreted_runner(steps)
    types_of = step_types(layout)
    rows_type = types.Array(types_of[2], 1, "C", aligned=False)
    branches_type = types.Array(numba.from_dtype(BRANCH), 2, "C", aligned=False)

    @intrinsic
    def run(typingctx: Any, header: Any, actor: Any, rows: Any, branches: Any, position: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            pointers = [context.get_value_type(t) for t in types_of]
            data = context.make_array(signature.args[2])(context, builder, args[2]).data
            there = byte_pointer(builder, data, builder.mul(args[4], WORD(ROW.itemsize)))
            link_type = ir.FunctionType(WORD, pointers).as_pointer()
            link = builder.inttoptr(read_field(builder, there, ROW, "address"), link_type)
            return builder.call(link, (args[0], args[1], builder.bitcast(there, pointers[2])))

        return types.int64(types_of[0], types_of[1], rows_type, branches_type, types.int64), codegen

    return cast(Runner, run)


def _interpreted_runner(steps: Sequence[Any]) -> Runner:
    def run(header: Record, actor: Record, rows: np.ndarray, branches: np.ndarray, position: int) -> int:
        while True:
            row = rows[position]
            row["hits"] += 1
            outcome = int(steps[row["step"]](header, actor, row))
            if outcome == 0 and row["jump"] == 0:
                position += 1
                continue
            branch = branches[position, outcome]
            branch["taken"] += 1
            if branch["way"] == LEAVE:
                return position << OUTCOME_BITS | outcome
            position += int(branch["way"]) // ROW.itemsize

    return run
