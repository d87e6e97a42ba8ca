"""The commands of the README work as written, in a fresh environment. Installs from the network."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def commands() -> list[str]:
    """The README's shell commands, one a block: the first runs the main job, the second passes the tests."""
    text = (ROOT / "README.md").read_text()
    return [block.strip() for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


@pytest.mark.slow
def test_both_commands_work(tmp_path: Path) -> None:
    """In a copy of the checkout, without compiled kernels, both commands end well and the first makes a report.

    The second would run this test again, so only its fastest environment is asked for.
    """
    ignored = shutil.ignore_patterns(".git", ".tox", ".venv", ".*_cache", "__pycache__", "*.egg-info", "build", "out")
    checkout = shutil.copytree(ROOT, tmp_path / "gmembench", symlinks=True, ignore=ignored)
    variables = {name: text for name, text in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    variables["GMEMBENCH_CACHE_DIR"] = str(tmp_path / "cache")
    main_job, tests = commands()
    assert tests.endswith("/tox")
    for line in (main_job, f"{tests} run -e lint"):
        done = subprocess.run(
            ["bash", "-ec", line], cwd=checkout, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert (checkout / "out" / "index.html").is_file()
