"""The only place that configures Numba: decorators and the cache folder.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import _dynfunc
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
from numba.core.untyped_passes import FixupArgs, GenericRewrites, IRProcessing, ReconstructSSA, TranslateByteCode

from gmembench.core.errors import UserError

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
IMPORTED = re.compile(r"^from gmembench\.core\.([\w.]+) import", re.MULTILINE)


def step_sources(folder: Path = CORE_FOLDER) -> list[Path]:
    """The sources that compiled steps depend on: those of steps and parts, and what these import, all the way."""
    found = [path for name in STEP_FOLDERS for path in source_files(folder / name)]
    seen = set(found)
    for path in found:
        names = IMPORTED.findall(path.read_text("utf-8"))
        for wanted in (folder.resolve() / f"{name.replace('.', '/')}.py" for name in names):
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
