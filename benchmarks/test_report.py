"""How long a report takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from gmembench.benchmarks.kernel_counters import Kernel
from gmembench.reports.build import make_files
from gmembench.reports.inputs import read_inputs

CELLS = "boot-populate/*"
ROUNDS = 3


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result file of some cells, counted."""
    path = tmp_path_factory.mktemp("report") / "result.json"
    words = ["run", "--quick", "--counted", "--quiet", "--cells", CELLS, "-o", str(path)]
    subprocess.run([sys.executable, "-P", "-m", "gmembench", *words], check=True, stdout=subprocess.DEVNULL)
    return path


def test_report(kernel: Kernel, result: Path) -> None:
    """A result file is read, its figures are drawn and its page is written."""
    results = read_inputs([result]).results

    def count(files: set[str]) -> dict[str, int]:
        return {"files": len(files), "cells": len(results.cells), "reports": 1}

    kernel(
        "report",
        lambda: set(make_files(read_inputs([result])).others),
        count,
        rate=("reports", "reports"),
        rounds=ROUNDS,
    )
