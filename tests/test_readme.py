"""The commands of the README work as written, in a fresh environment. Installs from the network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def commands() -> list[str]:
    """The lines of the README's first block of shell commands."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```(?:sh|shell|console|bash)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for line in blocks[0].splitlines() if line.strip()]


@pytest.mark.slow
def test_the_first_commands_work(tmp_path: Path) -> None:
    """In a copy of the checkout and a new environment, each of the first commands ends well and a report is there."""
    ignored = shutil.ignore_patterns(".git", ".tox", "__pycache__", "*.egg-info", "build", "out", ".*_cache")
    checkout = shutil.copytree(ROOT, tmp_path / "gmembench", symlinks=True, ignore=ignored)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "GMEMBENCH_CACHE_DIR": str(tmp_path / "cache")}
    variables.pop("PYTHONSAFEPATH", None)
    assert commands()
    for line in commands():
        done = subprocess.run(
            ["bash", "-ec", line], cwd=checkout, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert list(checkout.rglob("index.html"))
