"""Collapsed states: four words, which are masked, hashed, compared and changed as one vector.

The first three hold the numbers of up to twelve blocks, a lane of 16 bits each; the last one is the fingerprint. In
what is looked up about a state, that one has the move in its lowest lane; the lanes above it are not compared.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from gmembench.core.intrinsics.blocks import BLOCK, BLOCK_TYPE
from gmembench.core.intrinsics.words import ALL_ONES
from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.views import Word

STATE_WORDS = 4
"""Words of a collapsed state."""

PRINT = STATE_WORDS - 1
"""The word of a state that is its fingerprint."""

LANES = 4 * STATE_WORDS

MOST_BLOCKS = 4 * PRINT
"""Of a state: the lanes before its fingerprint."""

MOVE_LANE = MOST_BLOCKS

MIX = 0x9E3779B97F4A7C15
"""Odd number from the golden ratio."""

COMPARED = [(1 << 16) - 1] * (MOVE_LANE + 1) + [0] * (LANES - MOVE_LANE - 1)
"""Mask of the lanes of what is looked up that are compared."""

LANE = ir.IntType(16)
LANES_TYPE = ir.VectorType(LANE, LANES)
WORDS_TYPE = ir.VectorType(WORD, STATE_WORDS)


def _data(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, number: int) -> ir.Value:
    """A pointer to the items of an array among arguments."""
    return context.make_array(signature.args[number])(context, builder, args[number]).data


def _load(builder: ir.IRBuilder, words: ir.Value, at: ir.Value, form: ir.Type = LANES_TYPE) -> ir.Value:
    return builder.load(builder.bitcast(builder.gep(words, [at]), form.as_pointer()), align=8)


def _store(builder: ir.IRBuilder, lanes: ir.Value, words: ir.Value, at: ir.Value) -> None:
    builder.store(lanes, builder.bitcast(builder.gep(words, [at]), lanes.type.as_pointer()), align=8)


def _seen(builder: ir.IRBuilder, words: ir.Value, at: ir.Value, sight: ir.Value, move: ir.Value) -> ir.Value:
    """The lanes of a state that a mask names, 0 in place of the others, and the move behind them."""
    chosen = builder.bitcast(builder.trunc(sight, LANE), ir.VectorType(ir.IntType(1), LANES))
    kept = builder.select(chosen, _load(builder, words, at), ir.Constant(LANES_TYPE, [0] * LANES))
    return builder.insert_element(kept, builder.trunc(move, LANE), ir.IntType(32)(MOVE_LANE))


def _seen_view(states: np.ndarray, at: int, sight: int, move: int) -> np.ndarray:
    found = states[int(at) : int(at) + STATE_WORDS].view(np.uint16).copy()
    found[[lane for lane in range(LANES) if not int(sight) >> lane & 1]] = 0
    found[MOVE_LANE] = move
    return found


def _keyed_sum(builder: ir.IRBuilder, words: ir.Value, keys: ir.Value) -> ir.Value:
    """The sum of the products of the two halves of each word, a key added to each half without carry."""
    halves = ir.VectorType(ir.IntType(32), 2 * STATE_WORDS)
    keyed = builder.bitcast(builder.add(builder.bitcast(words, halves), builder.bitcast(keys, halves)), WORDS_TYPE)
    low = builder.and_(keyed, ir.Constant(WORDS_TYPE, [(1 << 32) - 1] * STATE_WORDS))
    products = builder.mul(low, builder.lshr(keyed, ir.Constant(WORDS_TYPE, [32] * STATE_WORDS)))
    form = ir.FunctionType(WORD, [WORDS_TYPE])
    reduce = get_or_insert_function(builder.module, form, f"llvm.vector.reduce.add.v{STATE_WORDS}i64")
    return builder.call(reduce, [products])


def _keyed_sum_view(words: np.ndarray, keys: np.ndarray) -> int:
    keyed = (words.view(np.uint32) + keys.view(np.uint32)).astype(np.uint64)
    return int((keyed[::2] * keyed[1::2]).sum(dtype=np.uint64))


def _seen_hasher() -> Callable[[np.ndarray, int, int, int, np.ndarray], Word]:
    if INTERPRETED:

        def hash_view(states: np.ndarray, at: int, sight: int, move: int, keys: np.ndarray) -> int:
            words = _seen_view(states, at, sight, move).view(np.uint64)
            return _keyed_sum_view(words, keys[:STATE_WORDS]) * MIX & ALL_ONES

        return hash_view

    @intrinsic
    def hashed(typingctx: Any, states: Any, at: Any, sight: Any, move: Any, keys: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            seen = _seen(builder, _data(context, builder, signature, args, 0), *args[1:4])
            key_words = _load(builder, _data(context, builder, signature, args, 4), WORD(0), WORDS_TYPE)
            return builder.mul(_keyed_sum(builder, builder.bitcast(seen, WORDS_TYPE), key_words), WORD(MIX))

        return types.uint64(states, types.int64, types.int64, types.int64, keys), codegen

    return cast(Callable[[np.ndarray, int, int, int, np.ndarray], Word], hashed)


def _no_lane(builder: ir.IRBuilder, apart: ir.Value) -> ir.Value:
    """Whether none of a vector of bits is set."""
    form = ir.IntType(apart.type.count)
    return builder.icmp_unsigned("==", builder.bitcast(apart, form), form(0))


def _seen_comparer() -> Callable[[np.ndarray, int, int, int, np.ndarray, int], bool]:
    if INTERPRETED:

        def compare_view(states: np.ndarray, at: int, sight: int, move: int, known: np.ndarray, where: int) -> bool:
            there = known[int(where) : int(where) + STATE_WORDS].view(np.uint16)
            return bool((_seen_view(states, at, sight, move) == there & np.array(COMPARED, np.uint16)).all())

        return compare_view

    @intrinsic
    def compare(typingctx: Any, states: Any, at: Any, sight: Any, move: Any, known: Any, where: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            seen = _seen(builder, _data(context, builder, signature, args, 0), *args[1:4])
            other = _load(builder, _data(context, builder, signature, args, 4), args[5])
            compared = builder.and_(other, ir.Constant(LANES_TYPE, COMPARED))
            return _no_lane(builder, builder.icmp_unsigned("!=", seen, compared))

        return types.boolean(states, types.int64, types.int64, types.int64, known, types.int64), codegen

    return cast(Callable[[np.ndarray, int, int, int, np.ndarray, int], bool], compare)


def _seen_putter() -> Callable[[np.ndarray, int, np.ndarray, int, int, int], None]:
    if INTERPRETED:

        def put_view(known: np.ndarray, where: int, states: np.ndarray, at: int, sight: int, move: int) -> None:
            known[int(where) : int(where) + STATE_WORDS] = _seen_view(states, at, sight, move).view(np.uint64)

        return put_view

    @intrinsic
    def put(typingctx: Any, known: Any, where: Any, states: Any, at: Any, sight: Any, move: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            seen = _seen(builder, _data(context, builder, signature, args, 2), *args[3:6])
            _store(builder, seen, _data(context, builder, signature, args, 0), args[1])
            return context.get_dummy_value()

        return types.none(known, types.int64, states, types.int64, types.int64, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int, int, int], None], put)


def _state_changer() -> Callable[[np.ndarray, int, np.ndarray, int, np.ndarray, int], None]:
    if INTERPRETED:

        def change_view(
            made: np.ndarray, to: int, states: np.ndarray, at: int, changes: np.ndarray, where: int
        ) -> None:
            made[to : to + STATE_WORDS] = states[at : at + STATE_WORDS] ^ changes[where : where + STATE_WORDS]

        return change_view

    @intrinsic
    def change(typingctx: Any, made: Any, to: Any, states: Any, at: Any, changes: Any, where: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            target, words, deltas = (_data(context, builder, signature, args, i) for i in (0, 2, 4))
            changed = builder.xor(_load(builder, words, args[3]), _load(builder, deltas, args[5]))
            _store(builder, changed, target, args[1])
            return context.get_dummy_value()

        return types.none(made, types.int64, states, types.int64, changes, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int, np.ndarray, int], None], change)


def _state_copier() -> Callable[[np.ndarray, int, np.ndarray, int], None]:
    if INTERPRETED:

        def copy_view(target: np.ndarray, to: int, source: np.ndarray, at: int) -> None:
            target[to : to + STATE_WORDS] = source[at : at + STATE_WORDS]

        return copy_view

    @intrinsic
    def copy(typingctx: Any, target: Any, to: Any, source: Any, at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            lanes = _load(builder, _data(context, builder, signature, args, 2), args[3])
            _store(builder, lanes, _data(context, builder, signature, args, 0), args[1])
            return context.get_dummy_value()

        return types.none(target, types.int64, source, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int], None], copy)


def _block_comparer() -> Callable[[np.ndarray, int, np.ndarray, int], bool]:
    if INTERPRETED:
        return lambda one, at, other, where: bool((one[at : at + BLOCK] == other[where : where + BLOCK]).all())

    @intrinsic
    def compare(typingctx: Any, one: Any, at: Any, other: Any, where: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            blocks = [
                _load(builder, _data(context, builder, signature, args, i), args[i + 1], BLOCK_TYPE) for i in (0, 2)
            ]
            return _no_lane(builder, builder.icmp_unsigned("!=", *blocks))

        return types.boolean(one, types.int64, other, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int], bool], compare)


def _part_comparer() -> Callable[[np.ndarray, int, np.ndarray, int, np.ndarray, int], bool]:
    if INTERPRETED:
        return lambda one, at, other, where, masks, mask_at: bool(
            ((one[at : at + BLOCK] ^ other[where : where + BLOCK]) & masks[mask_at : mask_at + BLOCK] == 0).all()
        )

    @intrinsic
    def compare(typingctx: Any, one: Any, at: Any, other: Any, where: Any, masks: Any, mask_at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            blocks = [
                _load(builder, _data(context, builder, signature, args, i), args[i + 1], BLOCK_TYPE) for i in (0, 2, 4)
            ]
            apart = builder.and_(builder.xor(*blocks[:2]), blocks[2])
            return _no_lane(builder, builder.icmp_unsigned("!=", apart, ir.Constant(BLOCK_TYPE, [0] * BLOCK)))

        return types.boolean(one, types.int64, other, types.int64, masks, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int, np.ndarray, int], bool], compare)


def _block_masker() -> Callable[[np.ndarray, int, np.ndarray, int, np.ndarray, int], None]:
    if INTERPRETED:

        def mask_view(
            target: np.ndarray, to: int, source: np.ndarray, at: int, masks: np.ndarray, mask_at: int
        ) -> None:
            target[to : to + BLOCK] = source[at : at + BLOCK] & masks[mask_at : mask_at + BLOCK]

        return mask_view

    @intrinsic
    def mask(typingctx: Any, target: Any, to: Any, source: Any, at: Any, masks: Any, mask_at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            blocks = [
                _load(builder, _data(context, builder, signature, args, i), args[i + 1], BLOCK_TYPE) for i in (2, 4)
            ]
            _store(builder, builder.and_(*blocks), _data(context, builder, signature, args, 0), args[1])
            return context.get_dummy_value()

        return types.none(target, types.int64, source, types.int64, masks, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int, np.ndarray, int], None], mask)


def _block_joiner() -> Callable[[np.ndarray, int, np.ndarray, int], None]:
    if INTERPRETED:

        def join_view(target: np.ndarray, to: int, source: np.ndarray, at: int) -> None:
            target[to : to + BLOCK] |= source[at : at + BLOCK]

        return join_view

    @intrinsic
    def join(typingctx: Any, target: Any, to: Any, source: Any, at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            data = [_data(context, builder, signature, args, i) for i in (0, 2)]
            blocks = [_load(builder, data[i], args[2 * i + 1], BLOCK_TYPE) for i in (0, 1)]
            _store(builder, builder.or_(*blocks), data[0], args[1])
            return context.get_dummy_value()

        return types.none(target, types.int64, source, types.int64), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray, int], None], join)


seen_hash = _seen_hasher()
"""A function (u8 states, position, mask of lanes, move, u8 keys, one for each word) -> a hash of what the mask leaves
to see, and of the move, a u8. Positions are of words."""

seen_before = _seen_comparer()
"""A function (u8 states, position, mask of lanes, move, u8 known, position) -> whether what is left to see, and the
move, stand there."""

put_seen = _seen_putter()
"""A function (u8 known, position, u8 states, position, mask of lanes, move) that stores what is left to see."""

change_state = _state_changer()
"""A function (u8 made, position, u8 states, position, u8 changes, position) that writes a state with its changes: the
exclusive-or of both."""

copy_state = _state_copier()
"""A function (u8 target, position, u8 source, position) that copies a state."""

same_block = _block_comparer()
"""A function (u8 one, position, u8 other, position) -> whether two blocks of eight words are equal."""

same_part = _part_comparer()
"""A function (u8 one, position, u8 other, position, u8 masks, position) -> whether two blocks are equal in the bits of
a mask."""

mask_block = _block_masker()
"""A function (u8 target, position, u8 source, position, u8 masks, position) that copies the bits of a block that a mask
has, and writes 0 for the others."""

join_block = _block_joiner()
"""A function (u8 target, position, u8 source, position) that adds the bits of a block to another."""
