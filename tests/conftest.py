"""What tests of several folders share, and how many examples hypothesis tries."""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parent))  # naive, small_worlds.py, consistency.py

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "gmembench-hypothesis"))

SLOW_BUT_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "compiled", max_examples=40, deadline=None, derandomize=True, suppress_health_check=SLOW_BUT_FINE
)
settings.register_profile(
    "interpreted", max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW_BUT_FINE
)
settings.load_profile("interpreted" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "compiled")

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "core", "inject", "reports", "gmembench")
FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "tox.ini")


@pytest.fixture(scope="session")
def copy_tree() -> Callable[[Path], Path]:
    """A function that copies what is packaged, links included, to a new folder."""

    def copy(target: Path) -> Path:
        target.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in FOLDERS:
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=ignored)
        for name in FILES:
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, target)
        return target

    return copy


def pip_offline(*words: str) -> None:
    """Run pip without network and without build isolation."""
    command = [sys.executable, "-m", "pip", *words, "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, copy_tree: Callable[[Path], Path]) -> Path:
    """The wheel, built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip_offline("wheel", str(copy_tree(folder / "tree")), "--wheel-dir", str(folder))
    return next(folder.glob("gmembench-*.whl"))


def link_dependencies(target: Path) -> None:
    """Fill a folder with links to the packages that this process can import, except gmembench."""
    target.mkdir()
    for site in (path for path in map(Path, sys.path) if path.name == "site-packages"):
        for entry in site.iterdir():
            ours = "gmembench" in entry.name.lower() or entry.suffix == ".pth"
            if not ours and not (target / entry.name).exists():
                (target / entry.name).symlink_to(entry)


@pytest.fixture(scope="session")
def python_with() -> Callable[..., Path]:
    """A function that makes an environment in `folder` with this one's packages and installs gmembench; its python."""

    def make(folder: Path, install: list[str]) -> Path:
        venv.create(folder, symlinks=True, with_pip=False)
        python = folder / "bin" / "python"
        link_dependencies(folder / "dependencies")
        own = next(folder.glob("lib/python*/site-packages"))
        (own / "dependencies.pth").write_text(f"{folder / 'dependencies'}\n")
        pip_offline("--python", str(python), "install", *install)
        return python

    return make
