"""Commands that must compile first say so, once."""

from importlib import import_module
from pathlib import Path

import pytest

from gmembench.benchmarks.compiling import (
    COLLAPSED,
    COUNTING,
    SCHEDULES,
    SEARCH,
    STEPS,
    TEXT,
    must_compile,
    tell_compiling,
)
from gmembench.core import jit


@pytest.fixture(autouse=True)
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders without kernels, of a run that compiles."""
    monkeypatch.setattr(jit, "INTERPRETED", False)
    for name in ("STEPS_FOLDER", "CACHE_FOLDER"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(jit, name, tmp_path / name)


def test_without_kernels_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error; none with --quiet."""
    tell_compiling(SEARCH)
    assert capsys.readouterr() == ("", f"{TEXT}\n")
    tell_compiling(SEARCH, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_with_kernels_there_is_nothing_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    """The steps of small worlds and the search must be there; counting needs the steps of large ones alone."""
    (jit.STEPS_FOLDER / f"small-links-{jit.MACHINE}").touch()
    assert must_compile(SEARCH)
    drivers = jit.CACHE_FOLDER / "drivers_0"
    drivers.mkdir()
    (drivers / "search.search_on-1.py311.1.nbc").touch()
    assert not must_compile(SEARCH)
    assert must_compile(COLLAPSED)
    tell_compiling(SEARCH)
    assert capsys.readouterr().err == ""
    tell_compiling(SEARCH, COLLAPSED)
    assert capsys.readouterr().err == f"{TEXT}\n"
    assert must_compile(COUNTING)
    (jit.STEPS_FOLDER / f"links-{jit.MACHINE}").touch()
    assert not must_compile(COUNTING)


def test_interpreted_runs_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no kernels."""
    monkeypatch.setattr(jit, "INTERPRETED", True)
    assert not must_compile(SEARCH)


def test_kernels_that_are_named_are_there() -> None:
    """What is looked for are names of kernels, so that a renamed one is not looked for in vain."""
    for named in (SEARCH, COLLAPSED, SCHEDULES, STEPS):
        module, _, name = named.partition(".")
        assert callable(getattr(import_module(f"gmembench.core.drivers.{module}"), name))
