"""The C twin: building it with gcc, and running it on the buffer of a world."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gmembench.benchmarks.peers.generate import c_source
from gmembench.core.drivers.sequential import Stuck
from gmembench.core.errno import RESULTS
from gmembench.core.jit import CACHE_FOLDER
from gmembench.core.operations import OPERATION, PROGRAM_NUMBER
from gmembench.core.outcomes import OUTCOMES
from gmembench.core.programs import Code
from gmembench.core.world import World

FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC")


class NoCompilerError(Exception):
    """There is no gcc on this host."""


def _compiler() -> str:
    gcc = shutil.which("gcc")
    if gcc is None:
        raise NoCompilerError("no gcc on this host")
    return gcc


def compiler_version() -> str:
    """First line of `gcc --version`. Raises NoCompilerError if there is none."""
    shown = subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()[0]


def build(code: Code, program: str) -> Path:
    """Compile the twin of a program of `code`; return the shared object.

    It is kept with the compiled kernels, named by its source and how it was made. Raises NoCompilerError.
    """
    source = c_source(code, program)
    digest = hashlib.blake2b("\0".join((source, compiler_version(), *FLAGS)).encode(), digest_size=8).hexdigest()
    built = CACHE_FOLDER / f"twin-{digest}.so"
    if not built.exists():
        CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE_FOLDER) as aside:
            text, made = Path(aside, "twin.c"), Path(aside, "twin.so")
            text.write_text(source, encoding="utf-8")
            subprocess.run([_compiler(), *FLAGS, str(text), "-o", str(made)], check=True)
            made.rename(built)
    return built


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@dataclass
class Twin:
    """The C twin of a `Sequential` driver: it runs one program on a world and keeps the same counters.

    `program`: the one that it runs. `ahead`: it fetches memory this many operations ahead, as the driver does; 0 never.
    `hits`: i8 array, times a row ran. `taken`: i8 array (row, outcome). `results`: i8 array, times an
    operation ended with this result.
    """

    code: Code
    world: World
    ahead: int = 0
    program: str = "access"
    hits: np.ndarray = field(init=False)
    taken: np.ndarray = field(init=False)
    results: np.ndarray = field(init=False)
    _run: Any = field(init=False)

    def __post_init__(self) -> None:
        self.hits = np.zeros(len(self.code.rows), np.int64)
        self.taken = np.zeros((len(self.code.rows), len(OUTCOMES)), np.int64)
        self.results = np.zeros(RESULTS, np.int64)
        self._run = ctypes.CDLL(str(build(self.code, self.program))).twin_run
        self._run.restype = ctypes.c_int64

    def run(self, operations: np.ndarray) -> None:
        """Run all operations (OPERATION records), each of its program.

        Raises ValueError for other programs, Stuck if a step waits for ever.
        """
        if operations.dtype != OPERATION or (operations["program"] != PROGRAM_NUMBER[self.program]).any():
            raise ValueError(f"this twin runs the program {self.program!r} only")
        ended = self._run(
            _address(self.world.buffer),
            _address(operations),
            ctypes.c_int64(len(operations)),
            ctypes.c_int64(self.ahead),
            _address(self.hits),
            _address(self.taken),
            _address(self.results),
        )
        if ended >= 0:
            raise Stuck(f"{self.code.info[ended].name} waits, and nothing else will run")
