"""Blocks of eight words at a time: copies, hashes and comparisons of states, each one vector instruction or a few."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from gmembench.core.intrinsics.records import byte_pointer, emit_prefetch
from gmembench.core.intrinsics.words import fold_product, wide_product, word_pointer
from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.views import Record, View, Word


def _item_prefetcher() -> Callable[[np.ndarray, int], None]:
    if INTERPRETED:
        return lambda array, index: None

    @intrinsic
    def fetch(typingctx: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            distance = builder.mul(args[1], WORD(signature.args[0].dtype.bitwidth // 8))
            emit_prefetch(builder, byte_pointer(builder, data, distance))
            return context.get_dummy_value()

        return types.none(array, types.int64), codegen

    return cast(Callable[[np.ndarray, int], None], fetch)


prefetch_item = _item_prefetcher()
"""A function (array of numbers, index) that has the processor fetch an item ahead of its use."""


BLOCK = 8
"""Words of a block, 64 bytes: states and actors of small worlds are a multiple of it."""

BLOCK_TYPE = ir.VectorType(WORD, BLOCK)


def _word_copier() -> Callable[[np.ndarray, int, np.ndarray, int, int], None]:
    if INTERPRETED:

        def copy_view(target: np.ndarray, to: int, source: np.ndarray, at: int, words: int) -> None:
            target[to : to + words] = source[at : at + words]

        return copy_view

    @intrinsic
    def copy(typingctx: Any, target: Any, to: Any, source: Any, at: Any, words: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            pointers = [
                builder.gep(context.make_array(signature.args[i])(context, builder, args[i]).data, [args[i + 1]])
                for i in (0, 2)
            ]
            _copy_words(builder, pointers[0], pointers[1], args[4])
            return context.get_dummy_value()

        return types.none(target, types.int64, source, types.int64, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int, int], None], copy)


def _block(builder: ir.IRBuilder, words: ir.Value, at: ir.Value) -> ir.Value:
    """A pointer to a block as one vector, at a distance in words."""
    return builder.bitcast(builder.gep(words, [at]), BLOCK_TYPE.as_pointer())


def _copy_words(builder: ir.IRBuilder, target: ir.Value, source: ir.Value, words: ir.Value) -> None:
    """Copy words, a block at a time: states are too short for memcpy()."""
    start, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.phi(WORD)
    i.add_incoming(WORD(0), start)
    builder.store(builder.load(_block(builder, source, i), align=8), _block(builder, target, i), align=8)
    following = builder.add(i, WORD(BLOCK))
    i.add_incoming(following, body)
    builder.cbranch(builder.icmp_unsigned("<", following, words), body, after)
    builder.position_at_end(after)


copy_words = _word_copier()
"""A function (u8 target, position, u8 source, position, words) that copies whole blocks of words, at least one."""


def _byte_keeper() -> Callable[[Record, np.ndarray, np.ndarray, int], None]:
    if INTERPRETED:

        def keep_view(record: View, kept: np.ndarray, neutral: np.ndarray, row: int) -> None:
            masks = np.ascontiguousarray(kept[row]).view(np.uint8)
            there = record.buffer[record.start : record.start + len(neutral)]
            there[:] = np.where(np.unpackbits(masks, bitorder="little"), there, neutral)

        return keep_view  # type: ignore[return-value]  # records of an interpreted run are Views

    @intrinsic
    def keep(typingctx: Any, record: Any, kept: Any, neutral: Any, row: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            arrays = [context.make_array(signature.args[i])(context, builder, args[i]) for i in (1, 2)]
            count = builder.extract_value(arrays[0].shape, 1)
            masks = builder.gep(arrays[0].data, [builder.mul(args[3], count)])
            _keep_bytes(builder, word_pointer(builder, args[0], WORD(0)), masks, arrays[1].data, count)
            return context.get_dummy_value()

        return types.none(record, kept, neutral, types.int64), codegen

    return cast(Callable[[Record, np.ndarray, np.ndarray, int], None], keep)


def _keep_bytes(builder: ir.IRBuilder, record: ir.Value, masks: ir.Value, neutral: ir.Value, count: ir.Value) -> None:
    """Choose between the bytes of two places, a block at a time: one mask of 64 bits for each."""
    form = ir.VectorType(ir.IntType(8), 8 * BLOCK)
    bits = ir.VectorType(ir.IntType(1), 8 * BLOCK)
    start, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.phi(WORD)
    i.add_incoming(WORD(0), start)
    places = [builder.bitcast(place, form.as_pointer()) for place in (record, neutral)]
    there, other = (builder.gep(place, [i]) for place in places)
    mask = builder.bitcast(builder.load(builder.gep(masks, [i])), bits)
    builder.store(builder.select(mask, builder.load(there, align=1), builder.load(other, align=1)), there, align=1)
    following = builder.add(i, WORD(1))
    i.add_incoming(following, body)
    builder.cbranch(builder.icmp_unsigned("<", following, count), body, after)
    builder.position_at_end(after)


keep_bytes = _byte_keeper()
"""A function (record, u8 masks (n, blocks), u1 neutral, row) that leaves of a record the bytes whose bits are set, and
sets the others to those of `neutral`: whole blocks of 64 bytes."""


def _word_hasher() -> Callable[[Record, int, np.ndarray], Word]:
    if INTERPRETED:

        def hash_view(record: View, at: int, keys: np.ndarray) -> int:
            count = len(keys) // 2
            start = record.start + int(at)
            words = record.buffer[start : start + 8 * count].view(np.uint32)
            sums = []
            for half in (keys[:count], keys[count:]):
                keyed = (words + half.view(np.uint32)).astype(np.uint64)
                sums.append(int((keyed[::2] * keyed[1::2]).sum(dtype=np.uint64)))
            return fold_product(*sums)

        return hash_view  # type: ignore[return-value]  # records of an interpreted run are Views

    @intrinsic
    def hashed(typingctx: Any, record: Any, at: Any, keys: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            array = context.make_array(signature.args[2])(context, builder, args[2])
            words = word_pointer(builder, args[0], args[1])
            count = builder.lshr(builder.extract_value(array.shape, 0), WORD(1))
            sums = _hash_words(builder, words, array.data, count)
            return builder.xor(*wide_product(context, builder, sums))

        return types.uint64(record, types.int64, keys), codegen

    return cast(Callable[[Record, int, np.ndarray], Word], hashed)


def _keyed_products(builder: ir.IRBuilder, block: ir.Value, keys: ir.Value) -> ir.Value:
    """The products of the two halves of each word, a key added to each half without carry."""
    halves = ir.VectorType(ir.IntType(32), 2 * BLOCK)
    keyed = builder.bitcast(builder.add(builder.bitcast(block, halves), builder.bitcast(keys, halves)), BLOCK_TYPE)
    low = builder.and_(keyed, ir.Constant(BLOCK_TYPE, [(1 << 32) - 1] * BLOCK))
    return builder.mul(low, builder.lshr(keyed, ir.Constant(BLOCK_TYPE, [32] * BLOCK)))


def _hash_words(builder: ir.IRBuilder, words: ir.Value, keys: ir.Value, count: ir.Value) -> list[ir.Value]:
    """Two sums of products of the halves of words, with keys of their own."""
    start, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(body)
    builder.position_at_end(body)
    i, one, other = builder.phi(WORD), builder.phi(BLOCK_TYPE), builder.phi(BLOCK_TYPE)
    i.add_incoming(WORD(0), start)
    block = builder.load(_block(builder, words, i), align=8)
    sums = []
    for total, first in ((one, i), (other, builder.add(i, count))):
        total.add_incoming(ir.Constant(BLOCK_TYPE, [0] * BLOCK), start)
        products = _keyed_products(builder, block, builder.load(_block(builder, keys, first), align=8))
        sums.append(builder.add(total, products))
        total.add_incoming(sums[-1], body)
    following = builder.add(i, WORD(BLOCK))
    i.add_incoming(following, body)
    builder.cbranch(builder.icmp_unsigned("<", following, count), body, after)
    builder.position_at_end(after)
    form = ir.FunctionType(WORD, [BLOCK_TYPE])
    reduce = get_or_insert_function(builder.module, form, f"llvm.vector.reduce.add.v{BLOCK}i64")
    return [builder.call(reduce, [total]) for total in sums]


hash_words = _word_hasher()
"""A function (record, distance in bytes, u8 keys) -> a hash of half as many words as there are keys, a u8.

Whole blocks are hashed. It is NH of UMAC on words of 32 bits, twice with keys of their own, and the folded product of
both: a multiplication of the processor makes eight products.
"""


LANES = 8
"""Fingerprints that are compared at a time: one cache line."""


def _line_comparer() -> Callable[[np.ndarray, int, int], int]:
    if INTERPRETED:

        def compare_view(table: np.ndarray, at: int, value: int) -> int:
            line = [int(item) for item in table[at : at + LANES]]
            same = sum(1 << lane for lane, item in enumerate(line) if item == int(value))
            return same | sum(1 << LANES + lane for lane, item in enumerate(line) if item == 0)

        return compare_view

    @intrinsic
    def compare(typingctx: Any, table: Any, at: Any, value: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            form = ir.VectorType(WORD, LANES)
            line = builder.load(builder.bitcast(builder.gep(data, [args[1]]), form.as_pointer()), align=8)
            first = builder.insert_element(ir.Constant(form, ir.Undefined), args[2], ir.IntType(32)(0))
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            spread = builder.shuffle_vector(first, ir.Constant(form, ir.Undefined), lanes)
            same, none = (
                builder.zext(builder.bitcast(builder.icmp_unsigned("==", line, other), ir.IntType(LANES)), WORD)
                for other in (spread, ir.Constant(form, [0] * LANES))
            )
            return builder.or_(same, builder.shl(none, WORD(LANES)))

        return types.int64(table, types.int64, types.uint64), codegen

    return cast(Callable[[np.ndarray, int, int], int], compare)


compare_line = _line_comparer()
"""A function (u8 array, position, u8 value) -> which of eight items there are the value, and << LANES, which are 0."""


def _zero_counter() -> Callable[[int], int]:
    if INTERPRETED:
        return lambda bits: (int(bits) & -int(bits)).bit_length() - 1

    @intrinsic
    def count(typingctx: Any, bits: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.cttz(args[0], ir.IntType(1)(1))

        return types.int64(types.int64), codegen

    return cast(Callable[[int], int], count)


lowest_bit = _zero_counter()
"""A function (int that is not 0) -> the number of its lowest bit that is set."""


def _ones_counter() -> Callable[[int], int]:
    if INTERPRETED:
        return lambda bits: int(bits).bit_count()

    @intrinsic
    def count(typingctx: Any, bits: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.ctpop(args[0])

        return types.int64(types.int64), codegen

    return cast(Callable[[int], int], count)


count_ones = _ones_counter()
"""A function (int that is not negative) -> how many of its bits are set."""
