"""The plain harness: one pyperf manager for each cell, which starts and calibrates its own worker processes.

For those who want pyperf as it is, with `--rigorous` and `--fast`. Cells are timed in blocks, one after the other, so
designs are compared across minutes: the interleaved harness is for comparing.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gmembench.benchmarks import child

PASSES_AT_MOST = 2_000
LIMIT_AT_LEAST_S = 600.0
"""pyperf's `--rigorous` has 41 processes, and calibrates for at least 0.1 s a value."""


def limit_s(pass_s: float) -> float:
    """Seconds after which the timing of a cell is ended. `pass_s`: what one pass may take."""
    return LIMIT_AT_LEAST_S + PASSES_AT_MOST * pass_s


def command(name: str, state: str, request: child.Request, options: Sequence[str], output: Path) -> list[str]:
    """The command of a pyperf manager for one cell."""
    words = [*child.module_command("gmembench.benchmarks.worker"), f"--cell={name}", f"--state={state}"]
    words += [*request.arguments(), *options, "--quiet", "--output", str(output)]
    return [*words, f"--inherit-environ={','.join(child.inherited_names())}"]


def timed(name: str, state: str, request: child.Request, options: Sequence[str], limit: float) -> str:
    """pyperf's JSON of one cell. Raises ChildFailed with the cause."""
    with tempfile.TemporaryDirectory(prefix="gmembench-") as folder:
        output = Path(folder, "result.json")
        with child.running(command(name, state, request, options, output)) as timing:
            try:
                timing.process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise child.ChildFailed(f"over its time limit of {limit:.0f} s") from None
            if timing.process.returncode or not output.exists():
                raise child.ChildFailed(timing.cause_of_end())
        return output.read_text(encoding="utf-8")
