"""Records of a world as compiled code sees them: pointers, with fields and elements by name."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing import signature as numba_signature
from numba.core.typing.templates import AbstractTemplate, infer
from numba.extending import intrinsic, lower_builtin, models, register_model

from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.layouts import NESTED, NOWHERE, OUTSIDE, Layout
from gmembench.core.rows import ROW
from gmembench.core.views import Record, element_view, header_at_view, header_view, nested_view


def byte_pointer(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value) -> ir.Value:
    """A pointer to the byte at a distance."""
    return builder.gep(builder.bitcast(base, ir.IntType(8).as_pointer()), [offset])


class Packed(types.Type):  # type: ignore[misc]  # Numba has no types
    """A pointer to a record whose fields are narrow in memory and 64 bits wide when they are read.

    Numba reads a one-byte field as a one-byte integer: then a part is compiled once for each mix of widths that it is
    called with, and unsigned arithmetic wraps where interpreted code does not.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        super().__init__(name=f"Packed({dtype.descr})")

    def field(self, name: str) -> tuple[int, ir.Type, bool]:
        """Distance in bytes, LLVM type, and whether it has a sign."""
        form, offset = self.dtype.fields[name][:2]  # type: ignore[index]
        return int(offset), ir.IntType(8 * form.itemsize), form.kind == "i"


@register_model(Packed)
class PackedModel(models.PrimitiveModel):  # type: ignore[misc]  # Numba has no types
    """A byte pointer."""

    def __init__(self, manager: Any, packed: Packed) -> None:
        super().__init__(manager, packed, ir.IntType(8).as_pointer())


@infer
class ReadPacked(AbstractTemplate):  # type: ignore[misc]  # Numba has no types
    """A field is read as an int64."""

    key = "static_getitem"

    def generic(self, args: Any, kws: Any) -> Any:
        """The signature of reading a field by name."""
        record, name = args
        return numba_signature(types.int64, *args) if isinstance(record, Packed) and isinstance(name, str) else None


@infer
class WritePacked(AbstractTemplate):  # type: ignore[misc]  # Numba has no types
    """A field is written from an int64."""

    key = "static_setitem"

    def generic(self, args: Any, kws: Any) -> Any:
        """The signature of writing a field by name."""
        record, name, _value = args
        fits = isinstance(record, Packed) and isinstance(name, str)
        return numba_signature(types.void, record, types.literal(name), types.int64) if fits else None


@lower_builtin("static_getitem", Packed, types.StringLiteral)
def _read_packed(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    offset, form, signed = signature.args[0].field(_literal(signature.args[1], args[1]))
    there = builder.bitcast(byte_pointer(builder, args[0], WORD(offset)), form.as_pointer())
    value = builder.load(there, align=1)
    return builder.sext(value, WORD) if signed else builder.zext(value, WORD)


@lower_builtin("static_setitem", Packed, types.StringLiteral, types.Any)
def _write_packed(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    offset, form, _signed = signature.args[0].field(_literal(signature.args[1], args[1]))
    there = builder.bitcast(byte_pointer(builder, args[0], WORD(offset)), form.as_pointer())
    value = context.cast(builder, args[2], signature.args[2], types.int64)
    builder.store(builder.trunc(value, form), there, align=1)
    return context.get_dummy_value()


def _literal(name_type: Any, name: Any) -> str:
    return name if isinstance(name, str) else str(name_type.literal_value)


def record_type(layout: Layout, dtype: np.dtype) -> Any:
    """The Numba type of a record of a layout."""
    return numba.from_dtype(dtype) if layout.name == "wide" else Packed(dtype)


def step_types(layout: Layout) -> tuple[Any, Any, Any]:
    """Types of a step's arguments: header, actor, row."""
    actors = layout.arrays["actors"]
    return record_type(layout, layout.header), record_type(layout, actors), numba.from_dtype(ROW)


def layout_of(layouts: Sequence[Layout], header: Any) -> Layout:
    """The layout that a header's type belongs to."""
    for layout in layouts:
        if header == record_type(layout, layout.header):
            return layout
    raise TypeError(f"{header} is no header")


def _element(builder: ir.IRBuilder, args: Sequence[ir.Value], owner: np.dtype, field: str, item_bytes: int) -> ir.Value:
    """Byte pointer to element args[1] of the array whose distance is in a field of the header args[0]."""
    header, index = args
    start = read_field(builder, header, owner, field)
    return byte_pointer(builder, header, builder.add(start, builder.mul(index, WORD(item_bytes))))


def _inside(  # noqa: PLR0913, PLR0917 - operands of machine code
    builder: ir.IRBuilder,
    header: ir.Value,
    layout: Layout,
    pointer: ir.Value,
    index: ir.Value,
    length: ir.Value,
    code: int,
) -> ir.Value:
    """The pointer to an element; in a small world a pointer to nowhere, if the index lies outside.

    `code`: what the header then says beside the index. Records in a wide world are used unasked, for asking costs time,
    and only plans of the package are edited there.
    """
    if OUTSIDE not in (layout.header.names or ()):
        return pointer
    asked = builder.basic_block
    with builder.if_then(builder.icmp_unsigned(">=", index, length), likely=False):
        told = builder.or_(builder.shl(index, WORD(8)), WORD(code))
        field = field_pointer(builder, header, layout.header, OUTSIDE)
        builder.store(builder.trunc(told, ir.IntType(32)), field, align=1)
        nowhere = byte_pointer(builder, header, WORD(int(layout.header.fields[NOWHERE][1])))  # type: ignore[index]
        noted = builder.basic_block
    found = builder.phi(pointer.type)  # a jump, which is foreseen: a select would keep the next load waiting
    found.add_incoming(pointer, asked)
    found.add_incoming(nowhere, noted)
    return found


def _asked_element(builder: ir.IRBuilder, args: Sequence[ir.Value], layout: Layout, array: str) -> ir.Value:
    """Byte pointer to element args[1] of an array of the world with header args[0], if it is there."""
    pointer = _element(builder, args, layout.header, f"{array}_at", layout.arrays[array].itemsize)
    length = read_field(builder, args[0], layout.header, f"{array}_n")
    return _inside(builder, args[0], layout, pointer, args[1], length, list(layout.arrays).index(array) + 1)


def element_getter(layouts: Sequence[Layout], array: str, *, known: bool = False) -> Callable[[Record, int], Record]:
    """A function (world header, index) -> record `index` of an array of the world, as a pointer.

    The header's field `<array>_at` holds the array's distance in bytes from the header itself. `known`: no program can
    have an index that lies outside, so that compiled code does not ask.
    """
    if INTERPRETED:
        return element_view(array)

    @intrinsic
    def get(typingctx: Any, header: Any, index: Any) -> Any:
        layout = layout_of(layouts, header)
        element, element_type = layout.arrays[array], record_type(layout, layout.arrays[array])

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            if known:
                pointer = _element(builder, args, layout.header, f"{array}_at", element.itemsize)
            else:
                pointer = _asked_element(builder, args, layout, array)
            return builder.bitcast(pointer, context.get_value_type(element_type))

        return element_type(header, types.int64), codegen

    return cast(Callable[[Record, int], Record], get)


def element_prefetcher(layout: Layout, array: str) -> Callable[[Record, int], None]:
    """A function (world header, index) that has the processor fetch an element ahead of its use.

    The index may lie outside the array: nothing is read.
    """
    if INTERPRETED:
        return lambda header, index: None
    element = layout.arrays[array]

    @intrinsic
    def fetch(typingctx: Any, header: Any, index: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            emit_prefetch(builder, _element(builder, args, layout.header, f"{array}_at", element.itemsize))
            return context.get_dummy_value()

        return types.none(record_type(layout, layout.header), types.int64), codegen

    return cast(Callable[[Record, int], None], fetch)


def emit_prefetch(builder: ir.IRBuilder, pointer: ir.Value) -> None:
    """Have the processor fetch the line of a byte pointer, to write it."""
    flag = ir.IntType(32)
    prefetch_type = ir.FunctionType(ir.VoidType(), [pointer.type, flag, flag, flag])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], prefetch_type)
    builder.call(prefetch, [pointer, flag(1), flag(3), flag(1)])


def nested_getter(layouts: Sequence[Layout], array: str, field: str) -> Callable[[Record, int, int], Record]:
    """A function (world header, index, k) -> record `k` of the array field `field` of element `index`."""
    if INTERPRETED:
        return nested_view(array, field)

    @intrinsic
    def get(typingctx: Any, header: Any, index: Any, k: Any) -> Any:
        layout = layout_of(layouts, header)
        element = layout.arrays[array]
        inner, inside = element[field].base, int(element.fields[field][1])  # type: ignore[index]
        inner_type = record_type(layout, inner)

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            pointer = _asked_element(builder, args[:2], layout, array)
            offset = builder.add(WORD(inside), builder.mul(args[2], WORD(inner.itemsize)))
            pointer, length = byte_pointer(builder, pointer, offset), WORD(element[field].shape[0])
            pointer = _inside(builder, args[0], layout, pointer, args[2], length, NESTED)
            return builder.bitcast(pointer, context.get_value_type(inner_type))

        return inner_type(header, types.int64, types.int64), codegen

    return cast(Callable[[Record, int, int], Record], get)


def header_getter(layout: Layout) -> Callable[[np.ndarray], Record]:
    """A function (u1 array: the buffer of a world) -> its header record."""
    if INTERPRETED:
        return header_view(layout)
    header_type = record_type(layout, layout.header)

    @intrinsic
    def head(typingctx: Any, buffer: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            return builder.bitcast(array.data, context.get_value_type(header_type))

        return header_type(buffer), codegen

    return cast(Callable[[np.ndarray], Record], head)


def header_at_getter(layout: Layout) -> Callable[[np.ndarray, int], Record]:
    """A function (u1 array: buffers of worlds, distance in bytes) -> the header record there."""
    if INTERPRETED:
        return header_at_view(layout)
    header_type = record_type(layout, layout.header)

    @intrinsic
    def head_at(typingctx: Any, buffers: Any, at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            return builder.bitcast(byte_pointer(builder, array.data, args[1]), context.get_value_type(header_type))

        return header_type(buffers, types.int64), codegen

    return cast(Callable[[np.ndarray, int], Record], head_at)


def field_pointer(builder: ir.IRBuilder, record: ir.Value, dtype: np.dtype, name: str) -> ir.Value:
    """A pointer to a field of a record."""
    field, offset = dtype.fields[name][:2]  # type: ignore[index]
    return builder.bitcast(byte_pointer(builder, record, WORD(offset)), ir.IntType(8 * field.itemsize).as_pointer())


def read_field(builder: ir.IRBuilder, record: ir.Value, dtype: np.dtype, name: str) -> ir.Value:
    """Emit a load of a field, as a word."""
    value = builder.load(field_pointer(builder, record, dtype, name), align=1)
    return value if value.type == WORD else builder.zext(value, WORD)
