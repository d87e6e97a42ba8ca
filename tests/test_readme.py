"""The commands of the README work as written, in a fresh environment. Installs from the network."""

import os
import re
import shutil
import subprocess
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
    """In a copy of the checkout, without compiled kernels, the first commands end well and make a report."""
    ignored = shutil.ignore_patterns(".git", ".tox", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build", "out")
    checkout = shutil.copytree(ROOT, tmp_path / "gmembench", symlinks=True, ignore=ignored)
    variables = {name: text for name, text in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    variables["GMEMBENCH_CACHE_DIR"] = str(tmp_path / "cache")
    assert commands()
    for line in commands():
        done = subprocess.run(
            ["bash", "-ec", line], cwd=checkout, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert (checkout / "out" / "index.html").is_file()
