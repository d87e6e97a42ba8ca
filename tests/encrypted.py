"""Small worlds on hardware that encrypts memory, and what must hold in them between operations."""

from functools import cache
from typing import Any

import numpy as np
from small_worlds import ALL_DESIGNS, H0, H1, V0, Machine, geometry

from gmembench.core.catalog import load_hardware
from gmembench.core.programs import Code, Design, Hardware, assemble, with_hardware
from gmembench.core.world import HW_OWNED, PG_KEY_DIRTY, SEPT_FREE, SPTE_PRESENT, World


@cache
def hardware(kind: str) -> Hardware:
    """A kind of hardware by its name."""
    return load_hardware()[kind]


@cache
def encrypted_code(design: str, kind: str) -> Code:
    """The rows of a shipped design on a kind of hardware."""
    return assemble(ALL_DESIGNS[design], hardware(kind))


def on_hardware(kind: str, design: str = "guest-memfd", code: Code | None = None, **changes: Any) -> Machine:
    """A shipped design on a small world of a kind of hardware; `code`: another design's rows."""
    h = hardware(kind)
    shape = geometry(design, hardware=h.number, separate_roots=h.separate_roots, sept=h.sept, **changes)
    return Machine(code or encrypted_code(design, kind), shape)


def expanded(design: str, kind: str) -> Design:
    """A design whose programs have the hardware's rows already, to be edited."""
    d = ALL_DESIGNS[design]
    return d.edited(d.name, **{name: with_hardware(p, hardware(kind)) for name, p in d.programs.items()})


def owned(world: World) -> set[int]:
    """Pages that the owner table gives to the VM."""
    return {int(pfn) for pfn in np.flatnonzero(world.arrays["pages"]["hw"] & HW_OWNED)}


def sept_faults(world: World) -> list[str]:
    """Where the secure EPT, its mirror, the file and the owner table do not agree, in words."""
    septs, mirror = world.arrays["septs"], world.arrays["frames"]["spte"][:, 1]
    held = septs["state"] != SEPT_FREE
    present = (mirror["bits"] & SPTE_PRESENT) != 0
    found = []
    if (held != present).any() or (septs["pfn"][held] != mirror["pfn"][held]).any():
        found.append("the mirror is not what the secure EPT is")
    if sorted(septs["pfn"][held]) != sorted(owned(world)):
        found.append("the pages of the TD are not those of its secure EPT")
    if held.any() and (septs["pfn"][held] != world.arrays["cache"]["pfn"][: len(held)][held]).any():
        found.append("a page of the TD is not the file's")
    if (world.arrays["pages"]["flags"] & PG_KEY_DIRTY).any():
        found.append("cache lines are dirty under the key of the TD")
    return found


ANY = ("access", "prefault", "convert", "punch", "allocate", "host_access", "numa_zap", "slot", "reuse")


def any_operation(m: Machine, random: np.random.Generator) -> str:
    """Run one operation of any program of guest-memfd on any gfns; its name."""
    name = str(random.choice(ANY))
    gfn, count = int(random.integers(0, 12)), int(random.integers(1, 5))
    flags = {"write": bool(random.integers(2)), "private": bool(random.integers(2))}
    vcpu, host = int(random.integers(V0, H0)), int(random.integers(H0, H1 + 1))
    if name == "slot":
        m.do("slot_delete", host)
        m.do("slot_create", host, 0, 16)
    else:
        m.do(name, vcpu if name in ("access", "prefault") else host, gfn, count, **flags)
    return name
