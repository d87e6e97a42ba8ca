"""Steps a second of each driver."""

from functools import cache

import numpy as np
import pytest

from gmembench.benchmarks.kernel_counters import Kernel
from gmembench.benchmarks.peers.compare import code_of, fresh_world, population
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.exhaustive import REDUCTIONS, Explorer
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.sampling import STRATEGIES, Sampler
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.drivers.stepper import Stepper
from gmembench.inject.scenario import instance_of, load_scenarios

GFNS = 1 << 14
SCHEDULES = 500
PER_SECOND = ("steps", "steps")


@cache
def instance(scenario: str) -> Instance:
    """A scenario of exploration under guest-memfd, without memory encryption."""
    return instance_of(load_scenarios()[scenario], load_designs()["guest-memfd"], load_hardware()["none"])


@pytest.mark.parametrize("order", ["sequential", "random"])
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_sequential(kernel: Kernel, design: str, order: str) -> None:
    """A guest is populated, each gfn by a fault."""
    code = code_of(design)
    world = fresh_world(code, GFNS)
    pristine, todo = world.buffer.copy(), population(GFNS, order)

    def setup() -> tuple[tuple[Sequential], dict[str, object]]:
        np.copyto(world.buffer, pristine)
        return (Sequential(code, world),), {}

    def populate(driver: Sequential) -> Sequential:
        driver.run(todo)
        return driver

    def count(driver: Sequential) -> dict[str, int]:
        names = ("zeroed_pages", "private_pages", "shared_pages", "tables")
        return {"steps": int(driver.hits.sum()), **{name: world[name] for name in names}}

    kernel("sequential driver", populate, count, rate=PER_SECOND, setup=setup)


@pytest.mark.parametrize("scenario", ["fault-vs-punch", "fault-vs-convert"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_schedules(kernel: Kernel, strategy: str, scenario: str) -> None:
    """Schedules at random and by PCT, all invariants judged after each step."""
    sampler = Sampler(instance(scenario), strategy=strategy)  # type: ignore[arg-type] # one of STRATEGIES
    counted = ("schedules", "steps", "longest", "finished", "capped", "waits", "demotions")
    kernel(
        "drivers at random",
        lambda: sampler.run(SCHEDULES, seed=1),
        lambda run: {name: getattr(run, name) for name in counted},
        rate=PER_SECOND,
    )


@pytest.mark.parametrize("reductions", [(), REDUCTIONS], ids=["whole", "reduced"])
def test_exhaustive(kernel: Kernel, reductions: tuple[str, ...]) -> None:
    """All orders of a fault and a punch."""
    counted = ("states", "transitions", "moves", "finished", "table_bytes")
    kernel(
        "exhaustive driver",
        lambda explorer: explorer.run(),
        lambda found: {"verdict": found.verdict, **{name: getattr(found, name) for name in counted}},
        rate=("states", "states"),
        setup=lambda: ((Explorer(instance("fault-vs-punch"), reductions=reductions),), {}),
        rounds=5,
    )


def test_stepper(kernel: Kernel) -> None:
    """A schedule is replayed, one choice after the other: the actors in turn."""
    whole = instance("fault-vs-punch")
    first = Stepper.of(whole)
    while len(options := first.options()):
        number, kind = options[first.steps % len(options)]
        first.take(int(number), int(kind))

    def replay(stepper: Stepper) -> Stepper:
        for number, kind in first.choices:
            stepper.take(number, kind)
        return stepper

    def count(stepper: Stepper) -> dict[str, int]:
        return {"steps": stepper.steps, "blocked": stepper.blocked, "finished": int(stepper.finished)}

    kernel("stepper", replay, count, rate=PER_SECOND, setup=lambda: ((Stepper.of(whole),), {}))
