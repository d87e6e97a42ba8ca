"""Small worlds of designs whose private memory is a shmem file, and their pages counted from outside."""

from collections.abc import Iterator
from typing import Any

import consistency
import numpy as np
from small_worlds import Machine
from stepping import Turns

from gmembench.core.hardware.none import HARDWARE
from gmembench.core.judges import check_world
from gmembench.core.programs import Design, assemble
from gmembench.core.world import PAGE_ANON, PAGE_FILE, PAGE_FREE, PG_IN_MAPPING, Geometry, World

SHIFT = 2
"""Regions of these worlds have 4 gfns."""


def shape(design: Design, size: str = "4K", **changes: Any) -> Geometry:
    """Two vCPUs, two host threads, 16 gfns in regions of 4, one memslot. `size` is that of VMA pages and folios."""
    order = SHIFT if size == "2M" else 0
    parts: dict[str, Any] = {
        "gfns": 16,
        "vcpus": 2,
        "host_actors": 2,
        "slots": ((0, 16),),
        "region_gfns": 1 << SHIFT,
        "file": True,
        "private_memory": True,
        "shared_order": order,
        "private_order": order if size in design.private_sizes else 0,
    }
    return Geometry(**(parts | changes))


def fd_machine(design: Design, size: str = "4K", **changes: Any) -> Machine:
    """A design that runs operation by operation."""
    return Machine(assemble(design, HARDWARE), shape(design, size, **changes))


def fd_turns(design: Design, size: str = "4K", **changes: Any) -> Turns:
    """A design whose actors take turns."""
    return Turns(assemble(design, HARDWARE), shape(design, size, **changes))


def violations(world: World) -> set[str]:
    """Names of the invariants that a state breaks while actors are under way."""
    return {found.invariant for found in check_world(world) if found.when == "state"}


def folios(world: World) -> dict[int, int]:
    """Index of the first page of each folio in the page cache -> its order."""
    cached, pages = world.arrays["cache"]["pfn"], world.arrays["pages"]
    found: dict[int, int] = {}
    index = 0
    while index < len(cached):
        if cached[index]:
            found[index] = int(pages["order"][cached[index]])
            index += 1 << found[index]
        else:
            index += 1
    return found


def faults(world: World, *, torn_down: bool = False) -> list[str]:
    """What is wrong with a world at rest: the checks of `consistency`, with folios that may be huge."""
    checks = [consistency.locks, page_faults, consistency.stage2, consistency.tables, consistency.bindings]
    if not torn_down:
        checks += [consistency.tlbs, consistency.mixed]
    return [fault for check in checks for fault in check(world)]


def page_faults(world: World) -> Iterator[str]:
    """Every page is free, or in the file, or behind the VMA, and its references say just that."""
    free, host, private = consistency.free_list(world), consistency.host_pages(world), consistency.file_pages(world)
    if sorted([*free, *host.values(), *private.values()]) != list(range(1, len(world.arrays["pages"]))):
        yield f"a page is lost or used twice: free {free}, VMA {host}, file {private}"
    if len(free) != world["free_pages"]:
        yield f"{len(free)} pages are free, {world['free_pages']} are counted"
    pages = world.arrays["pages"]
    for pfn in free:
        if pages["state"][pfn] != PAGE_FREE or pages["refs"][pfn]:
            yield f"free page {pfn}: {pages[pfn]}"
    for first, order in folios(world).items():
        h = pages[private[first]]
        if (h["state"], h["refs"], h["index"]) != (PAGE_FILE, 1, first) or not h["flags"] & PG_IN_MAPPING:
            yield f"folio at index {first}: {h}"
        if [private.get(first + i) for i in range(1 << order)] != [private[first] + i for i in range(1 << order)]:
            yield f"the folio at index {first}, order {order}, is not in one piece: {private}"
    for gfn in np.flatnonzero(world.arrays["frames"]["hpte"]).tolist():
        p = pages[world.arrays["frames"]["hpfn"][gfn]]
        if (p["state"], p["refs"]) != (PAGE_ANON, 1):
            yield f"page of the VMA at gfn {gfn}: {p}"
    yield from consistency.counters(world, len(private), len(host), len(private.keys() & host.keys()))
