"""Items of arrays without the questions that plain indexing asks."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gmembench.core.jit import INTERPRETED
from gmembench.core.views import Word


def _raw(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, index: ir.Value) -> ir.Value:
    """A pointer to an item of an array whose items lie behind one another."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _item_reader() -> Callable[[np.ndarray, int], Word]:
    if INTERPRETED:
        return lambda array, index: int(array.reshape(-1)[index])

    @intrinsic
    def read(typingctx: Any, array: Any, index: Any) -> Any:
        result = types.uint64 if array.dtype == types.uint64 else types.int64

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            value = builder.load(_raw(context, builder, signature.args[0], *args))
            return context.cast(builder, value, signature.args[0].dtype, result)

        return result(array, types.int64), codegen

    return cast(Callable[[np.ndarray, int], Word], read)


def _item_writer() -> Callable[[np.ndarray, int, Word], None]:
    if INTERPRETED:

        def put_view(array: np.ndarray, index: int, value: Word) -> None:
            array.reshape(-1)[index] = value

        return put_view

    @intrinsic
    def put(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            item = context.cast(builder, args[2], signature.args[2], signature.args[0].dtype)
            builder.store(item, _raw(context, builder, signature.args[0], *args[:2]))
            return context.get_dummy_value()

        return types.none(array, types.int64, value), codegen

    return cast(Callable[[np.ndarray, int, Word], None], put)


item = _item_reader()
"""A function (array of integers, index) -> the item there, counted from the first item of a whole array of any shape.

Plain indexing asks for negative indices first, and reads the shape from memory to do so: in a loop of a few
nanoseconds that costs a tenth.
"""

put_item = _item_writer()
"""A function (array of integers, index, value) that stores an item, counted as `item` does."""
