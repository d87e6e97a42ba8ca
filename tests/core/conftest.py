"""What the tests of the core share: how many examples hypothesis tries, and how golden data are written."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir()) / "gmembench-hypothesis"))

SLOW_BUT_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "compiled", max_examples=80, deadline=None, derandomize=True, suppress_health_check=SLOW_BUT_FINE
)
settings.register_profile(
    "interpreted", max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW_BUT_FINE
)
settings.load_profile("interpreted" if os.environ.get("NUMBA_DISABLE_JIT") == "1" else "compiled")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/core/test_golden.py --regenerate-golden` writes tests/data/golden.json anew."""
    parser.addoption("--regenerate-golden", action="store_true", help="write tests/data/golden.json anew")
