"""Child processes of a run: what they are told, and how they are started and stopped.

Cells are counted and timed in children, so that a crash costs one cell, and so that Ctrl-C takes
effect at once although a kernel is running. A child leads its own process group: the terminal's
interrupt reaches only the command line, which then kills the group, the workers of pyperf included.
"""

import argparse
import contextlib
import json
import os
import signal
import site
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import gmembench
from gmembench.core.errors import UserError

CAUSE = "cause: "
"""Start of the line on standard error in which a child says why it failed."""

AT_ONCE = min(2, os.cpu_count() or 1)
"""Children that count, or get ready, beside each other. They are timed one after the other."""

BYTES_A_PROCESS = 180 << 20
"""Memory of a child before it has a world: Python, NumPy, and the kernels."""

BYTES_AN_OPERATION = 32
"""Memory of one operation of a scenario, for each cell of a child."""

INHERITED_PREFIXES = ("NUMBA_", "GMEMBENCH_")
INHERITED = ("XDG_CACHE_HOME", "TMPDIR", "LD_LIBRARY_PATH")


class ChildFailed(Exception):
    """A child ended without its result; the text is the cause, in one line."""


@dataclass(frozen=True)
class Request:
    """What every child of a run is told, besides the cell: where cells come from, and which sources to be."""

    size: str
    paths: tuple[Path, ...]
    trace: Path | None
    digest: str

    def arguments(self) -> list[str]:
        """The same, as command line arguments of a child."""
        words = [f"--size={self.size}", f"--digest={self.digest}", *(f"--path={path}" for path in self.paths)]
        return words + ([f"--trace={self.trace}"] if self.trace else [])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that `Request.arguments` writes."""
    parser.add_argument("--size", required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--path", type=Path, action="append", default=[])
    parser.add_argument("--trace", type=Path)


def request_from(arguments: argparse.Namespace) -> Request:
    """The request that was written by `Request.arguments`."""
    return Request(arguments.size, tuple(arguments.path), arguments.trace, arguments.digest)


def check_sources(expected: str) -> None:
    """Raise ChildFailed unless this process runs the sources of `core/` that the run was started from."""
    from gmembench.core import jit

    if expected != jit.DIGEST:
        raise ChildFailed(
            f"this process runs other sources ({jit.DIGEST} in {jit.CORE_FOLDER}) than the run was started from "
            f"({expected}); do not edit core/ during a run"
        )


def answer_of(text: bytes) -> dict[str, Any]:
    """A line that a child said. Raises ChildFailed if it is none of its answers: something prints."""
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        said = one_line(text.decode(errors="replace"))[:60]
        raise ChildFailed(f"said {said!r} on standard output, where answers go: print to standard error") from None
    return found


def one_line(text: str) -> str:
    """The text on one line, without characters that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def describe(error: BaseException) -> str:
    """An exception in one line: its type, its text and where it was raised."""
    if isinstance(error, (UserError, ChildFailed)):
        return one_line(str(error))
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return one_line(f"{type(error).__name__}: {error}{place}")


def die(error: BaseException) -> NoReturn:
    """End a child with its cause on standard error."""
    print(f"{CAUSE}{describe(error)}", file=sys.stderr, flush=True)
    sys.exit(1)


def module_command(module: str) -> list[str]:
    """The command that runs a module of this package; `-P` keeps the current folder out of the imports."""
    return [sys.executable, "-P", "-m", module]


def inherited_names() -> list[str]:
    """Environment variables that workers need as well: pyperf passes only a few."""
    return sorted(n for n in os.environ if n.startswith(INHERITED_PREFIXES) or n in INHERITED)


def environment() -> dict[str, str]:
    """This process's environment, from which a child imports the same gmembench.

    `-P` hides the folder that `python -m gmembench` puts on the path in a bare checkout, so that
    folder is named in PYTHONPATH. Installed packages are found anyway.
    """
    variables = dict(os.environ)
    root = str(Path(gmembench.__file__).parent.parent)
    known = {*site.getsitepackages(), site.getusersitepackages()}
    on_path = {str(Path(entry).absolute()) for entry in sys.path}
    if root in on_path and root not in known:
        old = variables.get("PYTHONPATH")
        variables["PYTHONPATH"] = root + (os.pathsep + old if old else "")
    return variables


@dataclass(frozen=True)
class Child:
    """A started child: its standard output to be read, and the file that takes its standard error."""

    process: subprocess.Popen[str]
    output: IO[str]
    errors: IO[str]

    def ask(self, text: str) -> None:
        """Write a line to its standard input. Raises BrokenPipeError if it has ended."""
        questions = cast(IO[str], self.process.stdin)
        questions.write(text + "\n")
        questions.flush()

    def cause_of_end(self) -> str:
        """Why it ended: the line in which it said so, else its signal, its last words or its exit status."""
        status = self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        for line in lines:
            if line.startswith(CAUSE):
                return one_line(line.removeprefix(CAUSE))
        if status < 0:
            return f"the process was ended by {signal.Signals(-status).name}"
        return one_line(lines[-1]) if lines else f"the process ended with status {status} without a word"


@contextlib.contextmanager
def running(command: Sequence[str], asked: bool = False) -> Iterator[Child]:
    """Start a child in its own process group; kill what is left of the group at the end. `asked`: it reads lines."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        try:
            yield Child(process, cast(IO[str], process.stdout), errors)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(BrokenPipeError):
                process.communicate()
