"""Collapsed states: 16 lanes of 16 bits, one vector, which are masked, hashed, compared and changed as a whole."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

from gmembench.core.intrinsics.blocks import BLOCK, BLOCK_TYPE
from gmembench.core.intrinsics.words import ALL_ONES, fold_product, wide_product
from gmembench.core.jit import INTERPRETED, WORD
from gmembench.core.views import Word

STATE_WORDS = 4
"""Words of a collapsed state."""

LANES = 4 * STATE_WORDS

FREE = LANES - 2
"""The first of two lanes that are 0 in a state. What is looked up about a state has the move in the last one, and what
is found has in both what the move did."""

LAST = LANES - 1

MIX = 0x9E3779B97F4A7C15
"""Odd number from the golden ratio."""

NUMBERS = [(1 << 16) - 1] * FREE + [0] * (LANES - FREE)
"""Mask of the lanes that hold numbers."""

LANE = ir.IntType(16)
LANES_TYPE = ir.VectorType(LANE, LANES)
WORDS_TYPE = ir.VectorType(WORD, STATE_WORDS)


def _data(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, number: int) -> ir.Value:
    """A pointer to the items of an array among arguments."""
    return context.make_array(signature.args[number])(context, builder, args[number]).data


def _load(builder: ir.IRBuilder, words: ir.Value, at: ir.Value, form: ir.Type = LANES_TYPE) -> ir.Value:
    return builder.load(builder.bitcast(builder.gep(words, [at]), form.as_pointer()), align=8)


def _store(builder: ir.IRBuilder, lanes: ir.Value, words: ir.Value, at: ir.Value) -> None:
    builder.store(lanes, builder.bitcast(builder.gep(words, [at]), LANES_TYPE.as_pointer()), align=8)


def _with_last(builder: ir.IRBuilder, lanes: ir.Value, last: ir.Value) -> ir.Value:
    return builder.insert_element(lanes, builder.trunc(last, LANE), ir.IntType(32)(LAST))


def _seen(builder: ir.IRBuilder, words: ir.Value, at: ir.Value, sight: ir.Value, move: ir.Value) -> ir.Value:
    """The lanes of a state that a mask names, 0 in place of the others, and the move in the last one."""
    chosen = builder.bitcast(builder.trunc(sight, LANE), ir.VectorType(ir.IntType(1), LANES))
    kept = builder.select(chosen, _load(builder, words, at), ir.Constant(LANES_TYPE, [0] * LANES))
    return _with_last(builder, kept, move)


def _seen_view(states: np.ndarray, at: int, sight: int, move: int) -> np.ndarray:
    found = states[int(at) : int(at) + STATE_WORDS].view(np.uint16).copy()
    found[[lane for lane in range(LANES) if not int(sight) >> lane & 1]] = 0
    found[LAST] = move
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


def _state_hasher() -> Callable[[np.ndarray, int, np.ndarray], Word]:
    if INTERPRETED:

        def hash_view(states: np.ndarray, at: int, keys: np.ndarray) -> int:
            words = states[int(at) : int(at) + STATE_WORDS]
            halves = (keys[:STATE_WORDS], keys[STATE_WORDS : 2 * STATE_WORDS])
            return int(fold_product(*(_keyed_sum_view(words, half) for half in halves)))

        return hash_view

    @intrinsic
    def hashed(typingctx: Any, states: Any, at: Any, keys: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            words = _load(builder, _data(context, builder, signature, args, 0), args[1], WORDS_TYPE)
            key_words = _data(context, builder, signature, args, 2)
            sums = [
                _keyed_sum(builder, words, _load(builder, key_words, WORD(first), WORDS_TYPE))
                for first in (0, STATE_WORDS)
            ]
            return builder.xor(*wide_product(context, builder, sums))

        return types.uint64(states, types.int64, keys), codegen

    return cast(Callable[[np.ndarray, int, np.ndarray], Word], hashed)


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
            return bool((_seen_view(states, at, sight, move) == there).all())

        return compare_view

    @intrinsic
    def compare(typingctx: Any, states: Any, at: Any, sight: Any, move: Any, known: Any, where: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            seen = _seen(builder, _data(context, builder, signature, args, 0), *args[1:4])
            other = _load(builder, _data(context, builder, signature, args, 4), args[5])
            return _no_lane(builder, builder.icmp_unsigned("!=", seen, other))

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
            changed = states[at : at + STATE_WORDS] ^ changes[where : where + STATE_WORDS]
            changed.view(np.uint16)[FREE:] = 0
            made[to : to + STATE_WORDS] = changed

        return change_view

    @intrinsic
    def change(typingctx: Any, made: Any, to: Any, states: Any, at: Any, changes: Any, where: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            target, words, deltas = (_data(context, builder, signature, args, i) for i in (0, 2, 4))
            changed = builder.xor(_load(builder, words, args[3]), _load(builder, deltas, args[5]))
            _store(builder, builder.and_(changed, ir.Constant(LANES_TYPE, NUMBERS)), target, args[1])
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


state_hash = _state_hasher()
"""A function (u8 states, position, u8 keys, two for each word) -> a hash of a state, a u8. Positions are of words."""

seen_hash = _seen_hasher()
"""A function (u8 states, position, mask of lanes, move, u8 keys) -> a hash of what the mask leaves to see, and of the
move, a u8."""

seen_before = _seen_comparer()
"""A function (u8 states, position, mask of lanes, move, u8 known, position) -> whether what is left to see, and the
move, stand there."""

put_seen = _seen_putter()
"""A function (u8 known, position, u8 states, position, mask of lanes, move) that stores what is left to see."""

change_state = _state_changer()
"""A function (u8 made, position, u8 states, position, u8 changes, position) that writes a state with its changes, the
exclusive-or of both, and 0 in the two last lanes."""

copy_state = _state_copier()
"""A function (u8 target, position, u8 source, position) that copies a state."""

same_block = _block_comparer()
"""A function (u8 one, position, u8 other, position) -> whether two blocks of eight words are equal."""
