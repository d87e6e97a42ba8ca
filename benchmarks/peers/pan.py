"""SPIN's verifier of a Promela file: building it, and running it without reduction."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

FLAGS = ("-O3", "-march=native", "-DNOREDUCE", "-DSAFETY", "-DNOFAIR")
"""How pan is compiled: all states, safety only."""

DEPTH = 1_000_000
"""Steps that its depth-first search may be deep; a run that needed more is refused."""

FEWEST_SLOTS_LOG2 = 20


class NoSpinError(Exception):
    """There is no spin, or no gcc, on this host."""


@dataclass(frozen=True)
class Run:
    """What pan printed.

    `transitions`: without the one that it counts for the first state. `failed`: an assertion or a deadlock, "" if it
    found none. `seconds`: of processor time.
    """

    states: int
    transitions: int
    failed: str
    seconds: float


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NoSpinError(f"no {name} on this host")
    return found


def spin_version() -> str:
    """What `spin -V` says, and the compiler. Raises NoSpinError if one of them is missing."""
    gcc = subprocess.run([_tool("gcc"), "--version"], capture_output=True, text=True, check=True).stdout
    spin = subprocess.run([_tool("spin"), "-V"], capture_output=True, text=True, check=True).stdout
    return f"{spin.strip()}, {gcc.splitlines()[0]}"


@contextmanager
def built(path: Path, macros: Sequence[str]) -> Iterator[Path]:
    """pan, compiled from a Promela file in a folder that is removed afterwards. Raises NoSpinError."""
    gcc, spin = _tool("gcc"), _tool("spin")
    with tempfile.TemporaryDirectory() as folder:
        defined = [f"-D{macro}" for macro in macros]
        _checked([spin, *defined, "-a", str(path)], folder)
        _checked([gcc, *FLAGS, "-w", "-o", "pan", "pan.c"], folder)
        yield Path(folder, "pan")


def _checked(words: Sequence[str], folder: str) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")


def _processor_seconds() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(pan: Path, states: int = 0) -> Run:
    """Let pan search all states, with a hash table of a size that suits as many as are expected."""
    slots = max(FEWEST_SLOTS_LOG2, states.bit_length())
    before = _processor_seconds()
    done = subprocess.run(
        [str(pan), f"-m{DEPTH}", f"-w{slots}", "-n"], cwd=pan.parent, capture_output=True, text=True, check=True
    )
    seconds = _processor_seconds() - before
    if "max search depth too small" in done.stdout or "out of memory" in done.stdout:
        raise RuntimeError(f"{pan} did not finish: {done.stdout}")
    return parsed(done.stdout, seconds)


def parsed(text: str, seconds: float) -> Run:
    """What pan printed, as numbers."""
    failed = re.search(r"^pan:\d+: (.*) \(at depth", text, re.MULTILINE)
    states = re.search(r"^\s*(\d+) states, stored", text, re.MULTILINE)
    transitions = re.search(r"^\s*(\d+) transitions", text, re.MULTILINE)
    if states is None or transitions is None:
        raise RuntimeError(f"pan printed no counts: {text}")
    return Run(int(states[1]), int(transitions[1]) - 1, failed[1] if failed else "", seconds)
