"""Compiled kernels on disk: found by the next process, never stale after an edit, pruned by age.

A copy of the core with a few families of steps compiles in about a second.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gmembench.core import jit
from gmembench.core.steps import table

compiled_only = pytest.mark.skipif(jit.INTERPRETED, reason="nothing is compiled")

FAMILIES = ("__init__", "registry", "table", "inval", "mmu", "mn")
SCRIPT = """
import json
import numpy as np
from gmembench.core import jit
from gmembench.core.drivers import sequential
from gmembench.core.hardware.none import HARDWARE
from gmembench.core.operations import OPERATION, PROGRAM_NUMBER
from gmembench.core.programs import Design, Program, assemble, row
from gmembench.core.steps import table
from gmembench.core.world import Geometry, World

steps = ("mmu.lock", "inval.count_inc", "inval.range_add", "inval.seq_bump", "mmu.unlock")
punch = Program("punch", tuple(row(name) for name in steps))
world = World(Geometry(gfns=8))
driver = sequential.Sequential(assemble(Design("tiny", "7.3", "", {"punch": punch}), HARDWARE), world)
driver.run(np.array([(0, 0, 1, 0, PROGRAM_NUMBER["punch"], 1, 0, 0)], OPERATION))
stats = [f.stats for f in (sequential.run_operations, *table.TABLE_KERNELS)]
print(json.dumps({
    "seq": world["inval_seq"],
    "start": world["inval_start"],
    "digest": jit.DIGEST,
    "hits": sum(sum(s.cache_hits.values()) for s in stats),
    "misses": sum(sum(s.cache_misses.values()) for s in stats),
}))
"""


@dataclass(frozen=True)
class Tree:
    """A copy of the core with few steps: `core/`, and `gmembench/core` as a link to it; and its cache folder."""

    root: Path
    cache: Path

    @property
    def core(self) -> Path:
        """The folder with the sources."""
        return self.root / "core"

    def run(self) -> dict[str, Any]:
        """Run the script in a process of its own."""
        path = os.pathsep.join([str(self.root), *(p for p in sys.path if p.endswith("site-packages"))])
        environment = {**os.environ, "PYTHONPATH": path, "GMEMBENCH_CACHE_DIR": str(self.cache)}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=environment, cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]  # one object, see SCRIPT

    def cached_files(self) -> dict[str, int]:
        """Every file of the cache and when it was last written, in ns."""
        return {str(p.relative_to(self.cache)): p.stat().st_mtime_ns for p in self.cache.rglob("*") if p.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A fresh copy of the core, cut down, and an empty cache folder."""
    ours = Path(jit.__file__).resolve().parent
    shutil.copytree(ours, tmp_path / "core", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    steps = tmp_path / "core" / "steps"
    for path in steps.glob("*.py"):
        if path.stem not in FAMILIES:
            path.unlink()
    text, found = re.subn(r"^FUSED = \(\n.*?^\)\n", "FUSED = ()\n", (steps / "table.py").read_text(), flags=re.M | re.S)
    assert found == 1, "the table of fused steps names steps that this copy lacks"
    (steps / "table.py").write_text(text)
    (tmp_path / "gmembench").mkdir()
    (tmp_path / "gmembench" / "__init__.py").touch()
    (tmp_path / "gmembench" / "core").symlink_to(Path("..", "core"))
    return Tree(tmp_path, tmp_path / "cache")


def edit(path: Path, old: str, new: str) -> str:
    """Replace the one place where a file says `old`; return what the file said before."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return text


@compiled_only
def test_a_second_process_compiles_nothing_and_an_edit_is_seen_at_once(tree: Tree) -> None:
    """One cold run, one from the cache; an edited part is compiled anew although its users' files are the same.

    Reverting the edit finds the first kernels again.
    """
    first = tree.run()
    assert first["hits"] + first["misses"] == 1 + table.CHUNKS
    assert first["misses"] > 0
    assert (first["seq"], first["start"]) == (1, 0)
    files = tree.cached_files()
    second = tree.run()
    assert (second["hits"], second["misses"]) == (1 + table.CHUNKS, 0)
    assert tree.cached_files() == files

    widen = tree.core / "parts" / "invalidation.py"
    before = edit(
        widen, '        w["inval_valid"] = 1\n        w["inval_start"] = start\n', '        w["inval_start"] = 7\n'
    )
    edited = tree.run()
    assert edited["start"] == 7
    assert edited["digest"] != first["digest"]

    widen.write_text(before)
    reverted = tree.run()
    assert (reverted["start"], reverted["misses"]) == (0, 0)
    assert reverted["digest"] == first["digest"]


def test_the_digest_follows_the_link_to_the_core(tree: Tree) -> None:
    """The import name's link and the folder itself have one digest, and an edit of a step changes it."""
    linked = tree.root / "gmembench" / "core"
    before = jit.source_digest(tree.core)
    assert jit.source_digest(linked) == before
    edit(tree.core / "steps" / "mmu.py", 'w["mmu_writer"] = 0', 'w["mmu_writer"] = 0 + 0')
    assert jit.source_digest(linked) == jit.source_digest(tree.core) != before


def test_the_digest_knows_names_and_contents(tree: Tree) -> None:
    """A renamed file, a new file and an edit that keeps the size each change the digest; a cache of Python does not."""
    seen = {jit.source_digest(tree.core)}
    (tree.core / "steps" / "mmu.py").rename(tree.core / "steps" / "mmv.py")
    seen.add(jit.source_digest(tree.core))
    (tree.core / "steps" / "new.py").touch()
    seen.add(jit.source_digest(tree.core))
    edit(tree.core / "parts" / "stale.py", 'w["inval_count"] > 0', 'w["inval_count"] > 9')
    seen.add(jit.source_digest(tree.core))
    assert len(seen) == 4
    (tree.core / "__pycache__").mkdir(exist_ok=True)
    (tree.core / "__pycache__" / "stale.cpython-311.pyc").write_bytes(b"x")
    assert jit.source_digest(tree.core) in seen


def test_the_digest_is_that_of_the_running_sources() -> None:
    """The digest that names the cache folder is the one of the core that was imported."""
    assert jit.source_digest(Path(jit.__file__).parent) == jit.DIGEST
    assert jit.CACHE_FOLDER.name == jit.DIGEST


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GMEMBENCH_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/gmembench"),
        ({"HOME": "/c"}, "/c/.cache/gmembench"),
    ],
)
def test_where_the_cache_lies(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """GMEMBENCH_CACHE_DIR, else XDG_CACHE_HOME/gmembench, else ~/.cache/gmembench."""
    for name in ("GMEMBENCH_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(jit.cache_root()) == folder


def test_pruning_keeps_the_folders_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten cache folders the eight used last stay; files and folders that are no caches are left alone."""
    monkeypatch.setenv("GMEMBENCH_CACHE_DIR", str(tmp_path))
    for age in range(10):
        folder = tmp_path / f"{age:016x}"
        folder.mkdir()
        (folder / "kernel.nbc").touch()
        os.utime(folder, (1000 - age, 1000 - age))
    (tmp_path / "a-folder-of-the-user").mkdir()
    os.utime(tmp_path / "a-folder-of-the-user", (1, 1))
    (tmp_path / "note.txt").touch()
    removed = jit.prune_cache()
    assert sorted(p.name for p in removed) == [f"{age:016x}" for age in (8, 9)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *(f"{age:016x}" for age in range(8)),
        "a-folder-of-the-user",
        "note.txt",
    ]
    assert jit.prune_cache(keep=8) == []
