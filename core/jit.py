"""The only place that configures Numba: decorators, the cache folder, record pointers and the step table.

Compiled kernels see records as bare pointers: no array structure is passed, nothing is reference
counted, and a step is called with three pointers. The addresses of all steps lie in one table that
is compiled once, so a driver costs little to compile and never recompiles a step.

With NUMBA_DISABLE_JIT=1 the same functions run as plain Python over `View` objects.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gmembench.core.views import Record, element_view, header_view, nested_view

F = TypeVar("F", bound=Callable[..., Any])

WORD = ir.IntType(64)

CORE_FOLDER = Path(__file__).resolve().parent
CACHES_KEPT = 4
"""Compiled kernels of this many source states are kept; older folders are removed."""


def source_files(folder: Path) -> list[Path]:
    """All Python files below a folder, sorted. `folder` is resolved first: links are not walked by `rglob`."""
    return sorted(folder.resolve().rglob("*.py"))


def source_digest(folder: Path = CORE_FOLDER) -> str:
    """Digest (16 hex digits) of the sources below `core/`, by relative path and content.

    Numba's disk cache does not notice a change in another file's function, so the digest names the
    cache folder, and managers and workers compare it.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in source_files(folder):
        digest.update(str(path.relative_to(folder.resolve())).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_root() -> Path:
    """The folder that holds one cache folder for each state of the sources."""
    named = os.environ.get("GMEMBENCH_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gmembench"


DIGEST = source_digest()
CACHE_FOLDER = cache_root() / DIGEST


def _use_cache_folder() -> None:
    CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    os.utime(CACHE_FOLDER)
    numba.config.CACHE_DIR = str(CACHE_FOLDER)


def prune_cache(keep: int = CACHES_KEPT) -> list[Path]:
    """Remove all but the `keep` most recently used cache folders; return what was removed."""
    folders = sorted((p for p in cache_root().glob("*") if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
    return folders[keep:]


INTERPRETED = bool(numba.config.DISABLE_JIT)
if not INTERPRETED:
    _use_cache_folder()


def kernel(function: F) -> F:
    """Compile a function of records, scalars and arrays; cached on disk.

    `error_model="numpy"` and no bounds checks: a kernel raises nothing.
    """
    return cast(F, numba.njit(cache=True, error_model="numpy")(function))


def part(function: F) -> F:
    """Compile a step, or what steps share. Not cached by itself: it ends up in the step table, which is."""
    return cast(F, numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))


def _byte_pointer(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value) -> ir.Value:
    return builder.gep(builder.bitcast(base, ir.IntType(8).as_pointer()), [offset])


def element_getter(owner: np.dtype, array: str, element: np.dtype) -> Callable[[Record, int], Record]:
    """A function (world header, index) -> record `index` of an array of the world, as a pointer.

    The header's i8 field `<array>_at` holds the array's distance in bytes from the header itself.
    """
    if INTERPRETED:
        return element_view(array, element)
    owner_type, element_type = numba.from_dtype(owner), numba.from_dtype(element)
    field_offset = int(owner.fields[f"{array}_at"][1])  # type: ignore[index]

    @intrinsic
    def get(typingctx: Any, header: Any, index: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            field = builder.bitcast(_byte_pointer(builder, args[0], WORD(field_offset)), WORD.as_pointer())
            start = builder.load(field, align=1)
            offset = builder.add(start, builder.mul(args[1], WORD(element.itemsize)))
            return builder.bitcast(_byte_pointer(builder, args[0], offset), context.get_value_type(element_type))

        return element_type(owner_type, types.int64), codegen

    return cast(Callable[[Record, int], Record], get)


def nested_getter(
    owner: np.dtype, array: str, element: np.dtype, field: str
) -> Callable[[Record, int, int], Record]:
    """A function (world header, index, k) -> record `k` of the array field `field` of element `index`."""
    inner = cast(np.dtype, element[field].base)
    inside = int(element.fields[field][1])  # type: ignore[index]
    if INTERPRETED:
        return nested_view(array, element, field)
    outer = element_getter(owner, array, element)
    element_type, inner_type = numba.from_dtype(element), numba.from_dtype(inner)

    @intrinsic
    def pick(typingctx: Any, record: Any, k: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            offset = builder.add(WORD(inside), builder.mul(args[1], WORD(inner.itemsize)))
            return builder.bitcast(_byte_pointer(builder, args[0], offset), context.get_value_type(inner_type))

        return inner_type(element_type, types.int64), codegen

    def get(header: Record, index: int, k: int) -> Record:
        return pick(outer(header, index), k)  # type: ignore[no-any-return]  # compiled: an intrinsic

    return part(get)


def header_getter(owner: np.dtype) -> Callable[[np.ndarray], Record]:
    """A function (u1 array: the buffer of a world) -> its header record."""
    if INTERPRETED:
        return header_view(owner)
    owner_type = numba.from_dtype(owner)

    @intrinsic
    def head(typingctx: Any, buffer: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            return builder.bitcast(array.data, context.get_value_type(owner_type))

        return owner_type(buffer), codegen

    return cast(Callable[[np.ndarray], Record], head)


def _call_compiled(context: Any, builder: ir.IRBuilder, step: Any, signature: Any, args: list[ir.Value]) -> ir.Value:
    step.compile(signature.args)
    compiled = step.overloads[signature.args]
    context.active_code_library.add_linking_library(compiled.library)
    # Steps raise nothing, so the status is dropped: the wrapper has no exception argument to hand on.
    _status, outcome = context.call_internal_no_propagate(builder, compiled.fndesc, signature, args)
    return outcome


def step_filler(steps: Sequence[Any], arguments: tuple[np.dtype, ...]) -> Any:
    """An intrinsic that fills an i8 array with the address of every step, in registry order.

    One wrapper `i64 step(pointer, ...)` a step is emitted into the library of the kernel that uses the
    intrinsic, so all steps are compiled, cached and loaded together. The kernel must be a module-level
    function that names the intrinsic as a global: closures over it would never hit the disk cache.
    """
    types_of = tuple(numba.from_dtype(dtype) for dtype in arguments)
    step_signature = types.int64(*types_of)

    @intrinsic
    def fill(typingctx: Any, table: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            wrapper_type = ir.FunctionType(WORD, [context.get_value_type(t) for t in types_of])
            array = context.make_array(signature.args[0])(context, builder, args[0])
            for number, step in enumerate(steps):
                wrapper = ir.Function(builder.module, wrapper_type, f"gmembench_step_{number}")
                wrapper.linkage = "internal"
                inner = ir.IRBuilder(wrapper.append_basic_block())
                inner.ret(_call_compiled(context, inner, step, step_signature, list(wrapper.args)))
                builder.store(builder.ptrtoint(wrapper, WORD), builder.gep(array.data, [WORD(number)]))
            return context.get_dummy_value()

        return types.none(table), codegen

    return fill


def step_invoker(steps: Sequence[Any], arguments: tuple[np.dtype, ...]) -> Callable[[Record, Record, Record], int]:
    """A function (header, actor, row) -> outcome: calls the step at the row's field `address`.

    Interpreted it calls the Python function that the row's field `step` numbers.
    """
    if INTERPRETED:
        return lambda header, actor, row: int(steps[row["step"]](header, actor, row))
    types_of = tuple(numba.from_dtype(dtype) for dtype in arguments)
    address_offset = int(arguments[2].fields["address"][1])  # type: ignore[index]

    @intrinsic
    def invoke(typingctx: Any, header: Any, actor: Any, row: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            step_type = ir.FunctionType(WORD, [context.get_value_type(t) for t in types_of])
            field = builder.bitcast(_byte_pointer(builder, args[2], WORD(address_offset)), WORD.as_pointer())
            address = builder.inttoptr(builder.load(field, align=1), step_type.as_pointer())
            return builder.call(address, args)

        return types.int64(*types_of), codegen

    return cast(Callable[[Record, Record, Record], int], invoke)
