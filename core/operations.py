"""Operations: what a scenario or a trace asks the actors to do, as one record array.

An operation names a program, the actor that runs it, and a range of gfns. Scenarios build these
arrays, the trace importer reads them from a file, and every driver takes them.
"""

import numpy as np

from gmembench.core.errors import UserError

PROGRAMS = (
    "access",
    "prefault",
    "convert",
    "punch",
    "allocate",
    "populate",
    "host_access",
    "host_pin",
    "host_unpin",
    "kernel_access",
    "numa_zap",
    "migrate",
    "collapse",
    "swap_out",
    "poison",
    "zap_gfn_range",
    "slot_create",
    "slot_delete",
    "slot_flags",
    "slot_move",
    "close",
    "teardown",
    "reuse",
    "oom_reap",
    "vmsa_load",
    "register_region",
    "unregister_region",
    "vm_create",
)
"""Names of the programs that an operation can start; the index is the number in `program`."""

PROGRAM_NUMBER = {name: number for number, name in enumerate(PROGRAMS)}

WRITE = 1
"""Flag of access, prefault, host_access, host_pin and kernel_access: the access writes."""

PRIVATE = 2
"""Flag of convert: the range becomes private (without it: shared)."""

AS_SHARED = 4
"""Flag of access: the guest takes the gfn for shared, whatever its attribute says (hardware that asks the guest)."""

AS_PRIVATE = 8
"""Flag of access: the guest takes the gfn for private."""

LONG = 16
"""Flag of host_pin: the pin is for long (FOLL_LONGTERM)."""

NOT_NOW = 32
"""Flag of oom_reap: another subscriber of the mmu_notifier cannot take its lock without sleeping."""

OPERATION = np.dtype(
    [
        ("time_ns", "i8"),  # nanoseconds since the first event of the trace; 0 if generated
        ("gfn", "i8"),  # first gfn of the range; slot_create, slot_move: of the memslot; slot_delete: ignored
        ("count", "i8"),  # gfns in the range, at least 1
        ("line", "i4"),  # line of the trace it came from; 0 if generated
        ("program", "u1"),  # index in PROGRAMS
        ("actor", "u1"),  # vCPUs first (0 .. vcpus - 1), then host actors
        ("flags", "u1"),  # WRITE | PRIVATE | ...
        ("slot", "u1"),  # memslot number, for slot_*; NUMA node, for migrate
    ]
)
"""One operation, 32 bytes."""

OF_VCPUS = ("access", "prefault", "vmsa_load")
"""Programs that only a vCPU runs."""

OF_HOST = (
    "host_access",
    "host_pin",
    "host_unpin",
    "numa_zap",
    "reuse",
    "teardown",
    "oom_reap",
    "register_region",
    "unregister_region",
    "vm_create",
)
"""Programs that only a host actor runs."""


def _numbers(names: tuple[str, ...]) -> list[int]:
    return [PROGRAM_NUMBER[name] for name in names]


def check_operations(operations: np.ndarray, where: str, *, gfns: int, vcpus: int, actors: int) -> None:
    """Refuse operations that a world of this size cannot run: compiled steps check no bounds.

    Raises UserError that names the first bad operation.
    """
    program, actor = operations["program"], operations["actor"]
    end = operations["gfn"] + operations["count"]
    faults = {
        f"a program that is none of {len(PROGRAMS)}": program >= len(PROGRAMS),
        f"an actor that is none of {actors}": actor >= actors,
        f"a range that is empty or leaves the guest's {gfns} gfns": (operations["count"] < 1)
        | (operations["gfn"] < 0)
        | (end > gfns),
        "a host actor in a vCPU's program": np.isin(program, _numbers(OF_VCPUS)) & (actor >= vcpus),
        "a vCPU in a host actor's program": np.isin(program, _numbers(OF_HOST)) & (actor < vcpus),
    }
    for what, bad in faults.items():
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise UserError(f"operation {first} has {what}", where, "mend what makes the operations")
