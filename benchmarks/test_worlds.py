"""Copying a world, and telling whether two are the same."""

import hashlib

import numpy as np
import pytest

from gmembench.benchmarks.kernel_counters import Kernel
from gmembench.benchmarks.peers.compare import code_of, fresh_world, population
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.world import World
from gmembench.inject.scenario import instance_of, load_scenarios

GFNS = 1 << 14
FINGERPRINTS = 1000


@pytest.fixture
def world() -> World:
    """A guest, populated."""
    code = code_of("guest-memfd")
    made = fresh_world(code, GFNS)
    Sequential(code, made).run(population(GFNS, "sequential"))
    return made


def test_snapshot(kernel: Kernel, world: World) -> None:
    """A snapshot is taken and put back."""
    aside = world.buffer.copy()

    def copy() -> int:
        np.copyto(aside, world.buffer)
        np.copyto(world.buffer, aside)
        return aside.nbytes

    kernel("state", copy, lambda copied: {"bytes": copied}, rate=("bytes", "bytes"))


def test_digest(kernel: Kernel, world: World) -> None:
    """The digest by which a timed pass is compared with the one that was counted."""
    kernel(
        "state",
        lambda: hashlib.sha256(world.buffer.data).hexdigest(),
        lambda digest: {"bytes": world.buffer.nbytes, "digest": digest[:16]},
        rate=("bytes", "bytes"),
    )


def test_fingerprint(kernel: Kernel) -> None:
    """The fingerprint by which a search knows a state."""
    designs, kinds = load_designs(), load_hardware()
    stepper = Stepper.of(instance_of(load_scenarios()["fault-vs-punch"], designs["guest-memfd"], kinds["none"]))

    def fingerprints() -> set[int]:
        return {stepper.state() for _ in range(FINGERPRINTS)}

    kernel(
        "state",
        fingerprints,
        lambda found: {"fingerprints": FINGERPRINTS, "states": len(found), "words": stepper.prepared.words},
        rate=("fingerprints", "fingerprints"),
    )
