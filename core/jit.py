"""The only place that configures Numba: decorators, the cache folder, record pointers and the step table.

Compiled kernels see records as bare pointers: no array structure is passed, nothing is reference
counted, and a step is called with three pointers. The addresses of all steps lie in one table that
is compiled once, so a driver costs little to compile and never recompiles a step. The machine code of
a step ends in a jump to that of the next row (threaded code), so a driver is called back only where it
has something to decide.

With NUMBA_DISABLE_JIT=1 the same functions run as plain Python over `View` objects.
"""

import gc
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import _dynfunc, types
from numba.core.cgutils import get_or_insert_function
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import (
    AnnotateTypes,
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import signature as numba_signature
from numba.core.typing.templates import AbstractTemplate, infer
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode
from numba.extending import intrinsic, lower_builtin, models, register_model

from gmembench.core.errors import UserError
from gmembench.core.layouts import Layout
from gmembench.core.rows import BRANCH, LEAVE, ROW
from gmembench.core.views import (
    Record,
    View,
    Word,
    element_view,
    header_at_view,
    header_view,
    load_word_view,
    nested_view,
    store_word_view,
)

F = TypeVar("F", bound=Callable[..., Any])

WORD = ir.IntType(64)

CORE_FOLDER = Path(__file__).resolve().parent
CACHES_KEPT = 8
"""Compiled kernels of this many source states are kept; older folders are removed."""


def source_files(folder: Path) -> list[Path]:
    """All Python files below a folder, sorted. `folder` is resolved first: links are not walked by `rglob`."""
    return sorted(folder.resolve().rglob("*.py"))


def source_digest(folder: Path = CORE_FOLDER) -> str:
    """Digest (16 hex digits) of the sources below `core/`, by relative path and content.

    Numba's disk cache does not notice a change in another file's function, so the digest names the
    cache folder, and managers and workers compare it.
    """
    return files_digest(source_files(folder), folder)


def files_digest(paths: Sequence[Path], folder: Path) -> str:
    """Digest (16 hex digits) of files, by their path relative to a folder and their content."""
    digest = hashlib.blake2b(digest_size=8)
    for path in paths:
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


STEP_FOLDERS = ("parts", "steps")
IMPORTED = re.compile(r"^from gmembench\.core\.(\w+)", re.MULTILINE)


def step_sources(folder: Path = CORE_FOLDER) -> list[Path]:
    """The sources that compiled steps depend on: those of steps and parts, and what these import, all the way."""
    found = [path for name in STEP_FOLDERS for path in source_files(folder / name)]
    seen = set(found)
    for path in found:
        names = IMPORTED.findall(path.read_text("utf-8"))
        for wanted in (folder.resolve() / f"{name}.py" for name in names):
            if wanted not in seen and wanted.exists():
                seen.add(wanted)
                found.append(wanted)
    return sorted(found)


DIGEST = source_digest()
CACHE_FOLDER = cache_root() / DIGEST
STEPS_FOLDER = cache_root() / files_digest(step_sources(), CORE_FOLDER)
"""Steps take a minute to compile, and most edits concern other sources: they have a folder of their own."""
MACHINE = f"{numba.__version__}-{llvm.get_host_cpu_name()}"
"""What compiled kernels depend on beside the sources."""


def _use_cache_folders() -> None:
    for folder in (STEPS_FOLDER, CACHE_FOLDER):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"the folder for compiled kernels cannot be made ({error.strerror})"
            raise UserError(what, str(folder), "name another in GMEMBENCH_CACHE_DIR") from error
        os.utime(folder)
    numba.config.CACHE_DIR = str(CACHE_FOLDER)


def prune_cache(keep: int = CACHES_KEPT) -> list[Path]:
    """Remove all but the `keep` most recently used cache folders; return what was removed.

    Only folders named by a digest are ours: the user may have named a folder that holds other things.
    """
    named = (p for p in cache_root().glob("[0-9a-f]" * len(DIGEST)) if p.is_dir() and not p.is_symlink())
    folders = sorted(named, key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
    return folders[keep:]


INTERPRETED = bool(numba.config.DISABLE_JIT)
numba.config.LOOP_VECTORIZE = 0
"""Loops here run over a few records or words. Made for long ones, they gathered and scattered: 25 % of a search."""
if not INTERPRETED:
    _use_cache_folders()


def kernel(function: F) -> F:
    """Compile a function of records, scalars and arrays; cached on disk.

    `error_model="numpy"` and no bounds checks: a kernel raises nothing.
    """
    return cast(F, numba.njit(cache=True, error_model="numpy")(function))


def step_kernel(function: F) -> F:
    """Compile a function that makes a table of steps, cached on disk beside no other kernels."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(STEPS_FOLDER)
    try:
        return kernel(function)
    finally:
        numba.config.CACHE_DIR = before


def lean_kernel(function: F) -> F:
    """Compile a function of arrays that makes none and counts no references to any: for loops over states.

    Counting references of the arrays that a part is given cost 25 times the part's own work.
    """
    return cast(F, numba.njit(cache=True, error_model="numpy", _nrt=False)(function))


def uncached_kernel(function: F) -> F:
    """Compile a function that closes over compiled ones: the disk cache cannot hold it."""
    return cast(F, numba.njit(error_model="numpy")(function))


@contextmanager
def compiling() -> Iterator[None]:
    """Pause garbage collection: the compiler makes millions of objects and little garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@register_pass(mutates_CFG=True, analysis_only=False)
class LoweringWithoutCode(NativeLowering):  # type: ignore[misc]  # Numba has no types
    """Lower to LLVM code, and tell Numba a function that must never be called in place of the machine code."""

    _name = "lowering_without_code"

    def run_pass(self, state: Any) -> bool:
        """Lower one function."""
        state.flags.no_compile = True
        super().run_pass(state)
        lowered, library = state.cr, state.library
        fndesc = lowered.fndesc
        module = fndesc.lookup_module()
        never = _dynfunc.make_function(module, fndesc.qualname, "", NEVER_CALLED, lowered.env, (library,))
        state.targetctx.insert_user_function(never, fndesc, [library])
        state.reload_init.extend(library._reload_init)  # noqa: SLF001 - as NativeLowering does it
        state.cr = lowered._replace(cfunc=never)
        return True


NEVER_CALLED = 1
"""Stands for the address of machine code: parts are only called from compiled code."""


class PartCompiler(CompilerBase):  # type: ignore[misc]  # Numba has no types
    """Numba's pipeline for plain functions of integers and records, down to LLVM code and no further.

    Left out are passes for what parts do not have (closures, generators, literals, array expressions), and
    machine code: a part is only ever code inside a step table or a driver. Half of a cold start was these.
    """

    def define_pipelines(self) -> list[PassManager]:
        """The one list of passes."""
        passes = PassManager("part")
        for item in PART_PASSES:
            passes.add_pass(item, item.__name__)
        passes.finalize()
        return [passes]


PART_PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    GenericRewrites,
    ReconstructSSA,
    NopythonTypeInference,
    PreLowerStripPhis,
    IRLegalization,
    AnnotateTypes,
    LoweringWithoutCode,
    NoPythonBackend,
)


def part(function: F, *, inlined: bool = False) -> F:
    """Compile a step, or what steps share. Not cached by itself: it ends up in the step table, which is.

    `inlined`: LLVM must inline it where it is called.
    """
    options = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return cast(F, numba.njit(**options, forceinline=inlined, pipeline_class=PartCompiler)(function))


def inlined_part(function: F) -> F:
    """Compile a part that takes arrays: LLVM must inline it, for an array is handed over as seven arguments."""
    return part(function, inlined=True)


def _byte_pointer(builder: ir.IRBuilder, base: ir.Value, offset: ir.Value) -> ir.Value:
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
    there = builder.bitcast(_byte_pointer(builder, args[0], WORD(offset)), form.as_pointer())
    value = builder.load(there, align=1)
    return builder.sext(value, WORD) if signed else builder.zext(value, WORD)


@lower_builtin("static_setitem", Packed, types.StringLiteral, types.Any)
def _write_packed(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
    offset, form, _signed = signature.args[0].field(_literal(signature.args[1], args[1]))
    there = builder.bitcast(_byte_pointer(builder, args[0], WORD(offset)), form.as_pointer())
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


def _layout_of(layouts: Sequence[Layout], header: Any) -> Layout:
    """The layout that a header's type belongs to."""
    for layout in layouts:
        if header == record_type(layout, layout.header):
            return layout
    raise TypeError(f"{header} is no header")


def _element(builder: ir.IRBuilder, args: Sequence[ir.Value], owner: np.dtype, field: str, item_bytes: int) -> ir.Value:
    """Byte pointer to element args[1] of the array whose distance is in a field of the header args[0]."""
    header, index = args
    start = _read(builder, header, owner, field)
    return _byte_pointer(builder, header, builder.add(start, builder.mul(index, WORD(item_bytes))))


def element_getter(layouts: Sequence[Layout], array: str) -> Callable[[Record, int], Record]:
    """A function (world header, index) -> record `index` of an array of the world, as a pointer.

    The header's field `<array>_at` holds the array's distance in bytes from the header itself.
    """
    if INTERPRETED:
        return element_view(array)

    @intrinsic
    def get(typingctx: Any, header: Any, index: Any) -> Any:
        layout = _layout_of(layouts, header)
        element, element_type = layout.arrays[array], record_type(layout, layout.arrays[array])

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            pointer = _element(builder, args, layout.header, f"{array}_at", element.itemsize)
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
        layout = _layout_of(layouts, header)
        element = layout.arrays[array]
        inner, inside = element[field].base, int(element.fields[field][1])  # type: ignore[index]
        inner_type = record_type(layout, inner)

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            pointer = _element(builder, args[:2], layout.header, f"{array}_at", element.itemsize)
            offset = builder.add(WORD(inside), builder.mul(args[2], WORD(inner.itemsize)))
            return builder.bitcast(_byte_pointer(builder, pointer, offset), context.get_value_type(inner_type))

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
            return builder.bitcast(_byte_pointer(builder, array.data, args[1]), context.get_value_type(header_type))

        return header_type(buffers, types.int64), codegen

    return cast(Callable[[np.ndarray, int], Record], head_at)


def _word_pointer(builder: ir.IRBuilder, record: ir.Value, at: ir.Value) -> ir.Value:
    return builder.bitcast(_byte_pointer(builder, record, at), WORD.as_pointer())


def _word_loader() -> Callable[[Record, int], int]:
    if INTERPRETED:
        return load_word_view  # type: ignore[return-value]  # records of an interpreted run are Views

    @intrinsic
    def load(typingctx: Any, record: Any, at: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return builder.load(_word_pointer(builder, *args), align=1)

        return types.uint64(record, types.int64), codegen

    return cast(Callable[[Record, int], int], load)


def _word_storer() -> Callable[[Record, int, int], None]:
    if INTERPRETED:
        return store_word_view  # type: ignore[return-value]  # records of an interpreted run are Views

    @intrinsic
    def store(typingctx: Any, record: Any, at: Any, value: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            builder.store(args[2], _word_pointer(builder, *args[:2]), align=1)
            return context.get_dummy_value()

        return types.none(record, types.int64, types.uint64), codegen

    return cast(Callable[[Record, int, int], None], store)


load_word = _word_loader()
"""A function (record, distance in bytes) -> the eight bytes there, as a u8."""

store_word = _word_storer()
"""A function (record, distance in bytes, u8) that writes eight bytes there."""


def _wide_product(context: Any, builder: ir.IRBuilder, args: Any) -> tuple[ir.Value, ir.Value]:
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
            return builder.xor(*_wide_product(context, builder, args))

        return types.uint64(types.uint64, types.uint64), codegen

    return cast(Callable[[Word, Word], Word], fold)


def _high_multiplier() -> Callable[[Word, Word], Word]:
    if INTERPRETED:
        return lambda a, b: int(a) * int(b) >> 64

    @intrinsic
    def high(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            return _wide_product(context, builder, args)[1]

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


def _item_prefetcher() -> Callable[[np.ndarray, int], None]:
    if INTERPRETED:
        return lambda array, index: None

    @intrinsic
    def fetch(typingctx: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            distance = builder.mul(args[1], WORD(signature.args[0].dtype.bitwidth // 8))
            emit_prefetch(builder, _byte_pointer(builder, data, distance))
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
            _keep_bytes(builder, _word_pointer(builder, args[0], WORD(0)), masks, arrays[1].data, count)
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
            words = _word_pointer(builder, args[0], args[1])
            count = builder.lshr(builder.extract_value(array.shape, 0), WORD(1))
            sums = _hash_words(builder, words, array.data, count)
            return builder.xor(*_wide_product(context, builder, sums))

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


def _call_compiled(context: Any, builder: ir.IRBuilder, step: Any, signature: Any, args: list[ir.Value]) -> ir.Value:
    step.compile(signature.args)
    compiled = step.overloads[signature.args]
    context.active_code_library.add_linking_library(compiled.library)
    # Steps raise nothing, so the status is dropped: the wrapper has no exception argument to hand on.
    _status, outcome = context.call_internal_no_propagate(builder, compiled.fndesc, signature, args)
    return outcome


def _field(builder: ir.IRBuilder, record: ir.Value, dtype: np.dtype, name: str) -> ir.Value:
    field, offset = dtype.fields[name][:2]  # type: ignore[index]
    return builder.bitcast(_byte_pointer(builder, record, WORD(offset)), ir.IntType(8 * field.itemsize).as_pointer())


def _read(builder: ir.IRBuilder, record: ir.Value, dtype: np.dtype, name: str) -> ir.Value:
    value = builder.load(_field(builder, record, dtype, name), align=1)
    return value if value.type == WORD else builder.zext(value, WORD)


def _count(builder: ir.IRBuilder, record: ir.Value, dtype: np.dtype, name: str) -> None:
    field = _field(builder, record, dtype, name)
    builder.store(builder.add(builder.load(field, align=1), WORD(1)), field, align=1)


def _jump(builder: ir.IRBuilder, link: ir.Function, row: ir.Value, distance: ir.Value) -> None:
    """Go on with the row at this distance in bytes from `row`. A tail call: the stack does not grow."""
    header, actor, _ = link.args
    there = builder.bitcast(_byte_pointer(builder, row, distance), row.type)
    address = builder.inttoptr(_read(builder, there, ROW, "address"), link.type)
    builder.ret(builder.call(address, (header, actor, there), tail="musttail"))


def _branch(builder: ir.IRBuilder, link: ir.Function, row: ir.Value, outcome: ir.Value) -> None:
    """Count a branch of the row and take it."""
    start = builder.add(_read(builder, row, ROW, "branches"), builder.mul(outcome, WORD(BRANCH.itemsize)))
    branch = builder.inttoptr(start, row.type)
    _count(builder, branch, BRANCH, "taken")
    way = _read(builder, branch, BRANCH, "way")
    leave = builder.append_basic_block()
    go_on = builder.append_basic_block()
    builder.cbranch(builder.icmp_unsigned("==", way, WORD(LEAVE)), leave, go_on)
    builder.position_at_end(go_on)
    _jump(builder, link, row, way)
    builder.position_at_end(leave)
    position = _read(builder, row, ROW, "position")
    builder.ret(builder.or_(builder.shl(position, WORD(OUTCOME_BITS)), outcome))


def _fill_link(context: Any, link: ir.Function, steps: Sequence[Any], signature: Any) -> None:
    """Emit the body of a link: for each row count it and run its step, then go on with the row that follows."""
    link.args[2].add_attribute("noalias")  # rows are no part of a world
    builder = ir.IRBuilder(link.append_basic_block())
    for number, step in enumerate(steps):
        row = builder.bitcast(_byte_pointer(builder, link.args[2], WORD(number * ROW.itemsize)), link.args[2].type)
        _count(builder, row, ROW, "hits")
        outcome = leaves = _call_compiled(context, builder, step, signature, [*link.args[:2], row])
        if number == len(steps) - 1:
            leaves = builder.or_(outcome, _read(builder, row, ROW, "jump"))
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
                inner.ret(_call_compiled(context, inner, step, step_signature, list(made.args)))
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
            there = _byte_pointer(builder, data, builder.mul(args[3], WORD(ROW.itemsize)))
            address = builder.inttoptr(
                _read(builder, there, ROW, "address"), ir.FunctionType(WORD, pointers).as_pointer()
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
            there = _byte_pointer(builder, data, builder.mul(args[4], WORD(ROW.itemsize)))
            link_type = ir.FunctionType(WORD, pointers).as_pointer()
            link = builder.inttoptr(_read(builder, there, ROW, "address"), link_type)
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


NUMBER_SHIFT = 40
"""A judge returns the number of the rule that found something, shifted by this, and what the rule returned."""

Judge = Callable[[int, Record, Record, int], int]


def judge_of(rules: Sequence[Any], arguments: int, layouts: Sequence[Layout]) -> Judge:
    """A function (mask, header, actor, program) that runs rules in order until one returns something else than 0.

    Rule i is left out unless bit i of the mask is set. Each takes the first `arguments` of (header, actor, program).
    Returns 0, or i << NUMBER_SHIFT | what rule i returned. A kernel must name it as a global to be cached on disk.
    """
    if INTERPRETED:
        return _interpreted_judge(rules, arguments)

    @intrinsic
    def judge(typingctx: Any, mask: Any, header: Any, actor: Any, program: Any) -> Any:
        all_types = (*step_types(_layout_of(layouts, header))[:2], types.int64)
        rule_signature = types.int64(*all_types[:arguments])

        def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            found = builder.alloca(WORD)
            builder.store(WORD(0), found)
            end = builder.append_basic_block()
            for number, rule in enumerate(rules):
                asked, hit, following = (builder.append_basic_block() for _ in range(3))
                bit = builder.and_(builder.lshr(args[0], WORD(number)), WORD(1))
                builder.cbranch(builder.icmp_unsigned("!=", bit, WORD(0)), asked, following)
                builder.position_at_end(asked)
                answer = _call_compiled(context, builder, rule, rule_signature, list(args[1 : 1 + arguments]))
                builder.cbranch(builder.icmp_unsigned("!=", answer, WORD(0)), hit, following)
                builder.position_at_end(hit)
                builder.store(builder.or_(answer, WORD(number << NUMBER_SHIFT)), found)
                builder.branch(end)
                builder.position_at_end(following)
            builder.branch(end)
            builder.position_at_end(end)
            return builder.load(found)

        return types.int64(types.int64, *all_types), codegen

    return cast(Judge, judge)


def _interpreted_judge(rules: Sequence[Any], arguments: int) -> Judge:
    def judge(mask: int, header: Record, actor: Record, program: int) -> int:
        for number, rule in enumerate(rules):
            if mask >> number & 1:
                answer = int(rule(*(header, actor, program)[:arguments]))
                if answer != 0:
                    return number << NUMBER_SHIFT | answer
        return 0

    return judge
