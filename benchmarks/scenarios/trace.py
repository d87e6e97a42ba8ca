"""A trace of a real kernel: its faults, conversions, punches and allocations, in their order.

Without `--trace` it is the kernel's own selftest of conversions, recorded on Linux 7.3.4. Operations
that a design does not have are left out and counted as not applicable.
"""

from pathlib import Path

from gmembench.benchmarks.scenario import Parameters, Scenario, Workload
from gmembench.core.trace import operations, read_events

SHIPPED = Path(__file__).resolve().parents[1] / "traces" / "kvm-7.3.4-private_mem_conversions_test.trace.xz"


def build(parameters: Parameters) -> Workload:
    """The operations of the trace, at most `operations` of them (0: all)."""
    read = operations(read_events(Path(str(parameters.get("trace", SHIPPED)))))
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
)
