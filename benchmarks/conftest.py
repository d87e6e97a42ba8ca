"""Fixtures and options of the suite of our own kernels: `pytest benchmarks`."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gmembench.benchmarks import kernel_pool
from gmembench.benchmarks.kernel_counters import REGENERATE, STORED, Arguments, Counts, Kernel, KernelCounters
from gmembench.core.errors import UserError

ROUNDS = 15
COUNTERS = pytest.StashKey[KernelCounters]()
TOLD = pytest.StashKey[list[str]]()
MEDIANS = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kernels")
    group.addoption(
        "--counters", metavar="FILE", type=Path, help=f"Compare counters with those of FILE. Default: {STORED}."
    )
    group.addoption("--write-counters", action="store_true", help="Store the counters of this run instead.")
    group.addoption(
        "--pool",
        action="store_true",
        help="Judge times by all runs in the storage of pytest-benchmark; fail if a kernel is slower.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the stored counters."""
    path = config.getoption("counters") or config.rootpath / STORED
    try:
        config.stash[COUNTERS] = KernelCounters(path)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[TOLD], config.stash[MEDIANS] = [], {}


@pytest.fixture
def kernel(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Kernel:
    """A function that times some work and compares what it counts.

    kernel(group, work, count, rate=(unit, counter), setup=None, rounds=ROUNDS): `setup` makes the arguments of each
    call of `work`; `count` makes the counters out of what `work` returned. `rate`: what is told per second.
    """

    def run(
        group: str,
        work: Callable[..., Any],
        count: Callable[[Any], Counts],
        *,
        rate: tuple[str, str],
        setup: Callable[[], Arguments] | None = None,
        rounds: int = ROUNDS,
    ) -> None:
        benchmark.group = group
        pedantic: Callable[..., Any] = benchmark.pedantic  # it has no types
        counts = count(pedantic(work, setup=setup, rounds=rounds, warmup_rounds=1))
        benchmark.extra_info["counters"] = dict(counts)
        config = request.config
        if benchmark.stats is not None:
            median = benchmark.stats.stats.median
            benchmark.extra_info[f"{rate[0]}_per_second"] = counts[rate[1]] / median
            config.stash[MEDIANS][benchmark.fullname] = median
        different = config.stash[COUNTERS].note(f"{request.node.path.name}::{request.node.name}", counts)
        if different and not config.getoption("write_counters"):
            pytest.fail(f"{'; '.join(different)}. If that is meant: {REGENERATE}", pytrace=False)

    return run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Store the counters if that was asked for; judge times before pytest-benchmark puts this run into the pool."""
    config = session.config
    counters, told = config.stash[COUNTERS], config.stash[TOLD]
    if counters.found and config.getoption("write_counters"):
        counters.save()
        told.append(f"counters: those of {len(counters.found)} kernels are stored in {counters.path}")
    elif counters.found:
        told.append(counters.summary())
    if config.getoption("pool"):
        told += judge(session)
    return (yield)


def judge(session: pytest.Session) -> list[str]:
    """Judge the times; what came out. The session fails if a kernel is slower."""
    plugin = session.config._benchmarksession  # type: ignore[attr-defined]  # noqa: SLF001 - it has no other way
    stored = [data for _, data in plugin.storage.load()]
    runs, others = kernel_pool.pooled(stored, plugin.get_machine_info())
    judged = kernel_pool.verdicts(runs, session.config.stash[MEDIANS])
    if any(verdict.slower for verdict in judged):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return kernel_pool.lines(judged, len(runs), others)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was compared."""
    for line in config.stash[TOLD]:
        terminalreporter.write_line(line)
