"""Compiled kernels belong to the sources: compiled once, found by the next process, compiled anew after an edit."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gmembench.benchmarks.cells import list_cells
from gmembench.core import jit

CELL = next(cell.name for cell in list_cells("small", (), None) if cell.reason is None)

pytestmark = pytest.mark.skipif(jit.INTERPRETED, reason="nothing is compiled")


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> (size, time of the last write in ns) of all files."""
    found = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


def counted(python: Path, environment: dict[str, str], folder: Path) -> dict[str, Any]:
    """Count one small cell with an installation; its metadata."""
    result = folder / f"result{len(list(folder.glob('result*')))}.json"
    words = ["run", "--quick", "--counted", "--quiet", "--cells", CELL, "-o", str(result)]
    command = [str(python), "-P", "-m", "gmembench", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(result.read_text())
    return {**loaded["metadata"], **loaded["benchmarks"][0].get("metadata", {})}


@pytest.mark.cold
def test_kernels_follow_the_sources(
    tmp_path: Path, copy_tree: Callable[[Path], Path], python_with: Callable[..., Path]
) -> None:
    """In an editable install: the first run compiles, the second compiles nothing, and an edit is seen at once.

    The edit is in a function that steps in other files call: Numba by itself would not notice it.
    """
    tree = copy_tree(tmp_path / "tree")
    python = python_with(tmp_path / "environment", install=["--editable", str(tree)])
    cache = tmp_path / "cache"
    environment = {name: text for name, text in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    environment["GMEMBENCH_CACHE_DIR"] = str(cache)

    first = counted(python, environment, tmp_path)
    compiled = files_below(cache)
    second = counted(python, environment, tmp_path)
    assert (first["jit.state"], second["jit.state"]) == ("cold", "cached")
    assert compiled
    assert files_below(cache) == compiled

    pool = tree / "core" / "parts" / "pool.py"
    text = pool.read_text()
    line = 'w["zeroed_pages"] += 1 << order'
    assert text.count(line) == 1
    pool.write_text(text.replace(line, 'w["zeroed_pages"] += 2 << order'))
    third = counted(python, environment, tmp_path)
    assert third["jit.state"] == "cold"
    assert third["gmembench.digest"] != first["gmembench.digest"]
    assert third["count.zeroed_pages"] == 2 * first["count.zeroed_pages"] > 0
