"""How golden data are written."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/core/test_golden.py --regenerate-golden` writes tests/data/golden.json anew."""
    parser.addoption("--regenerate-golden", action="store_true", help="write tests/data/golden.json anew")
