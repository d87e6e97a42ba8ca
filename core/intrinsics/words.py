"""Words of 64 bits: loads and stores anywhere in a record, and arithmetic that wraps."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gmembench.core.intrinsics.records import byte_pointer
from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.views import Record, Word, load_word_view, store_word_view


def word_pointer(builder: ir.IRBuilder, record: ir.Value, at: ir.Value) -> ir.Value:
    """A pointer to the word at a distance in bytes."""
    return builder.bitcast(byte_pointer(builder, record, at), WORD.as_pointer())


def _word_loader() -> Callable[[Record, int], int]:
    if INTERPRETED:
        return load_word_view  # type: ignore[return-value]  # records of an interpreted run are Views

    @intrinsic
    def load(typingctx: Any, record: Any, at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.load(word_pointer(builder, *args), align=1)

        return types.uint64(record, types.int64), codegen

    return cast(Callable[[Record, int], int], load)


def _word_storer() -> Callable[[Record, int, int], None]:
    if INTERPRETED:
        return store_word_view  # type: ignore[return-value]  # records of an interpreted run are Views

    @intrinsic
    def store(typingctx: Any, record: Any, at: Any, value: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            builder.store(args[2], word_pointer(builder, *args[:2]), align=1)
            return context.get_dummy_value()

        return types.none(record, types.int64, types.uint64), codegen

    return cast(Callable[[Record, int, int], None], store)


load_word = _word_loader()
"""A function (record, distance in bytes) -> the eight bytes there, as a u8."""

store_word = _word_storer()
"""A function (record, distance in bytes, u8) that writes eight bytes there."""


def wide_product(context: Any, builder: ir.IRBuilder, args: Any) -> tuple[ir.Value, ir.Value]:
    """Low and high half of the 128-bit product of two u8."""
    double = ir.IntType(128)
    product = builder.mul(builder.zext(args[0], double), builder.zext(args[1], double))
    return builder.trunc(product, WORD), builder.trunc(builder.lshr(product, double(64)), WORD)


def _product_folder() -> Callable[[Word, Word], Word]:
    if INTERPRETED:
        return lambda a, b: (int(a) * int(b) ^ int(a) * int(b) >> 64) & ALL_ONES

    @intrinsic
    def fold(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.xor(*wide_product(context, builder, args))

        return types.uint64(types.uint64, types.uint64), codegen

    return cast(Callable[[Word, Word], Word], fold)


def _high_multiplier() -> Callable[[Word, Word], Word]:
    if INTERPRETED:
        return lambda a, b: int(a) * int(b) >> 64

    @intrinsic
    def high(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return wide_product(context, builder, args)[1]

        return types.uint64(types.uint64, types.uint64), codegen

    return cast(Callable[[Word, Word], Word], high)


ALL_ONES = (1 << 64) - 1

fold_product = _product_folder()
"""A function (u8, u8) -> the halves of their 128-bit product, exclusive-or of each other."""

high_product = _high_multiplier()
"""A function (u8, u8) -> the high half of their product: scales a fingerprint to a number below the second."""


def _wrapping_adder() -> Callable[[Word, Word], Word]:
    if INTERPRETED:
        return lambda a, b: int(a) + int(b) & ALL_ONES

    @intrinsic
    def add(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.add(*args)

        return types.uint64(types.uint64, types.uint64), codegen

    return cast(Callable[[Word, Word], Word], add)


add_words = _wrapping_adder()
"""A function (u8, u8) -> their sum, which wraps."""


def _wrapping_multiplier() -> Callable[[Word, Word], Word]:
    if INTERPRETED:
        return lambda a, b: int(a) * int(b) & ALL_ONES

    @intrinsic
    def multiply(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.mul(*args)

        return types.uint64(types.uint64, types.uint64), codegen

    return cast(Callable[[Word, Word], Word], multiply)


multiply_words = _wrapping_multiplier()
"""A function (u8, u8) -> the low half of their product."""
