"""A trace of a real kernel: its faults, conversions, punches and allocations, in their order.

Without `--trace` it is the kernel's own selftest of conversions, recorded on Linux 7.3.4. Operations
that a design does not have are left out and counted as not applicable.
"""

from functools import lru_cache
from pathlib import Path

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload
from gmembench.core.trace import Events, TraceOperations, operations, read_events

SHIPPED = Path(__file__).resolve().parents[1] / "traces" / "kvm-7.3.4-private_mem_conversions_test.trace.xz"


@lru_cache(maxsize=1)
def events_of(trace: Path) -> Events:
    """The events of a trace; the last one read is kept, because several cells in a row use it."""
    return read_events(trace)


@lru_cache(maxsize=1)
def operations_of(trace: Path) -> TraceOperations:
    """The operations of a trace; the last one is kept."""
    return operations(events_of(trace))


def build(parameters: Parameters) -> Workload:
    """The operations of the trace, at most `operations` of them (0: all)."""
    read = operations_of(Path(str(parameters.get("trace", SHIPPED))))
    most = int(parameters["operations"])
    chosen = read.operations[:most] if most else read.operations
    slots = tuple((world_gfn, count) for _, count, world_gfn in read.slots)
    return Workload(chosen, sum(count for _, count in slots), slots, read.vcpus, 1)


SCENARIO = Scenario(
    name="trace",
    doc=(__doc__ or "").strip(),
    sizes={"small": {"operations": 40_000}, "full": {"operations": 0}},
    build=build,
    traced=True,
    fixed=dict.fromkeys(
        ("guest", "vcpus", "conversion", "punch", "numa"), "a trace says what was done, by whom and in what pieces"
    ),
)
