"""What a world takes: bytes a gfn under every design and hardware, and the life of a large guest."""

import json
import subprocess
import sys

import pytest

from gmembench.benchmarks import memory
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.hardware import none
from gmembench.core.programs import assemble
from gmembench.core.world import SEPT, World

ONE_BACKING, TWO_BACKINGS = 48, 72
"""The most bytes of records that a gfn and its pages may take."""

REGIONS = 0.01
"""Bytes a gfn that its share of the regions may take beside."""

DESIGNS = load_designs()


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_a_gfn_takes_few_bytes(design: str) -> None:
    """A gfn takes at most 48 bytes where it never has two pages, else 72.

    A table of the hardware's own fits in too, except beside a file that is the only backing.
    """
    alone = DESIGNS[design].one_backing or not DESIGNS[design].file
    for name, size in memory.bytes_per_gfn([design])[design].items():
        most = ONE_BACKING if alone else TWO_BACKINGS
        if alone and DESIGNS[design].file and load_hardware()[name].sept:
            most += SEPT.itemsize
        assert size <= most + REGIONS, name


def test_the_bytes_told_are_those_of_the_buffer() -> None:
    """Doubling a guest makes its state larger by the bytes told, for every further gfn."""
    gfns = memory.PIECE_GFNS
    geometry = [memory.guest(DESIGNS["guest-memfd"], none.HARDWARE, count) for count in (gfns, 2 * gfns)]
    small, large = (World(one) for one in geometry)
    assert (large.state_bytes - small.state_bytes) / gfns == pytest.approx(large.bytes_per_gfn, abs=0.01)


@pytest.mark.parametrize("design", sorted(name for name, one in DESIGNS.items() if "4K" in one.sizes))
def test_a_guest_lives_and_ends(design: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Populated in pieces every gfn is backed; torn down nothing is, under every design with small pages."""
    monkeypatch.setattr(memory, "PIECE_GFNS", 30)
    found = memory.run_guest(design, 70, populate_only=False)
    backed = [phase["backed_pages"] for phase in found["phases"].values()]
    assert list(found["phases"]) == ["populate", "convert", "teardown"]
    assert backed[0] >= 70
    assert backed[-1] == 0


def test_populating_only() -> None:
    """Only populated, a guest is neither converted nor torn down."""
    found = memory.run_guest("guest-memfd", 8, populate_only=True)
    assert {name: phase["backed_pages"] for name, phase in found["phases"].items()} == {"populate": 8}


def test_a_populated_guest_is_private() -> None:
    """Where a design has private memory, that is what is populated."""
    code = assemble(DESIGNS["guest-memfd"], none.HARDWARE)
    driver = Sequential(code, World(memory.guest(code.design, code.hardware, 16)))
    memory.populate(driver, 16)
    assert (driver.world["private_pages"], driver.world["shared_pages"]) == (16, 0)


def test_the_command_prints_json() -> None:
    """The command prints one JSON value with the sizes and the guest of the design asked for."""
    command = [
        sys.executable,
        "-m",
        "gmembench.benchmarks.memory",
        "--design",
        "guest-memfd",
        "--gfns",
        "600",
        "--json",
    ]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert list(report["bytes_per_gfn"]) == list(report["guests"]) == ["guest-memfd"]
    peaks = [phase["peak_bytes"] for phase in report["guests"]["guest-memfd"]["phases"].values()]
    assert 1 << 20 < peaks[0] <= peaks[1] <= peaks[2]


def test_bad_usage_is_one_line() -> None:
    """A design that does not exist is told in one line, with exit code 2."""
    command = [sys.executable, "-m", "gmembench.benchmarks.memory", "--design", "nobodys"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
