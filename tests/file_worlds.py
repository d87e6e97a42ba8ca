"""Small worlds of designs whose file is mapped by the VMM, and an account of their pages from outside."""

from typing import Any

import numpy as np
from small_worlds import Machine
from stepping import Turns

from gmembench.core.hardware.none import HARDWARE
from gmembench.core.programs import Design, Hardware, assemble
from gmembench.core.world import (
    CONTENT_DATA,
    CONTENT_ZERO,
    HPTE_PROTNONE,
    HPTE_RW,
    PAGE_FILE,
    PAGE_FREE,
    PG_LRU_BATCH,
    SPTE_GIGANTIC,
    SPTE_HUGE,
    SPTE_PRESENT,
    Geometry,
    World,
)


def shape_of(design: Design, **changes: Any) -> Geometry:
    """Two vCPUs, two host threads, 8 gfns in regions of 2, one memslot; `changes` replace parts of it."""
    parts: dict[str, Any] = {
        "gfns": 8,
        "vcpus": 2,
        "host_actors": 2,
        "region_gfns": 2,
        "file": design.file,
        "private_memory": design.private_memory,
        "one_backing": design.one_backing,
        "one_copy": design.one_copy,
        "gmem_only": design.gmem_only,
        "init_private": design.init_private,
        "private_order": 2 if design.private_sizes == ("1G",) else 0,
    }
    parts |= changes
    return Geometry(**{"slots": ((0, parts["gfns"]),)} | parts)


def machine_of(design: Design, hardware: Hardware = HARDWARE, **changes: Any) -> Machine:
    """A design under the sequential driver."""
    return Machine(assemble(design, hardware), shape_of(design, **changes))


def turns_of(design: Design, hardware: Hardware = HARDWARE, **changes: Any) -> Turns:
    """A design whose actors take turns."""
    return Turns(assemble(design, hardware), shape_of(design, **changes))


def content(world: World, actor: int) -> tuple[str, int, int]:
    """What an actor read or overwrote last: zero, or the gfn and generation of data."""
    a = world.arrays["actors"][actor]
    if a["content"] == CONTENT_ZERO:
        return ("zero", 0, 0)
    assert a["content"] == CONTENT_DATA
    return ("data", int(a["content_gfn"]), int(a["content_gen"]))


def file_of(world: World) -> dict[int, int]:
    """index -> page of the page cache."""
    pfns = world.arrays["cache"]["pfn"]
    return {i: int(pfns[i]) for i in np.flatnonzero(pfns).tolist()}


def host_of(world: World) -> dict[int, int]:
    """gfn -> page of the host page table."""
    frames = world.arrays["frames"]
    return {g: int(frames["hpfn"][g]) for g in np.flatnonzero(frames["hpte"]).tolist()}


def guest_of(world: World) -> dict[int, int]:
    """gfn -> page of the stage-2 tables."""
    entries, shift = world.arrays["frames"]["spte"][:, 0], world["region_shift"]
    found: dict[int, int] = {}
    for gfn in np.flatnonzero(entries["bits"] & SPTE_PRESENT).tolist():
        bits = int(entries["bits"][gfn])
        level = 2 if bits & SPTE_GIGANTIC else 1 if bits & SPTE_HUGE else 0
        for i in range(1 << shift * level):
            assert gfn + i not in found, f"gfn {gfn + i} lies in two entries"
            found[gfn + i] = int(entries["pfn"][gfn]) + i
    return found


def free_of(world: World) -> list[int]:
    """Every free page, as often as it is listed."""
    index, shift = world.arrays["pages"]["index"], world["region_shift"]
    found = [*range(world["fresh_page"], world["fresh_end"]), *range(world["fresh_block"], world["fresh_blocks_end"])]
    for field, order in (("free_page", 0), ("free_huge", shift), ("free_gigantic", world["private_order"])):
        pfn = world[field]
        while pfn != 0:
            found += range(pfn, pfn + (1 << order))
            pfn = int(index[pfn])
    return found


def pages_of(world: World) -> int:
    """Pages that can be allocated at all: page 0 is none, and behind a pool of 1G one is left over."""
    return len(world.arrays["pages"]) - 1 - int(world["private_order"] > world["region_shift"])


def account(world: World) -> list[str]:
    """What is wrong with the pages of a world at rest; empty if nothing is. Pins are told by their count."""
    wrong: list[str] = []
    table, file, host, guest, free = (
        world.arrays["pages"],
        file_of(world),
        host_of(world),
        guest_of(world),
        free_of(world),
    )
    if sorted([*free, *file.values()]) != list(range(1, pages_of(world) + 1)):
        wrong.append(f"a page is lost or used twice: free {sorted(free)}, file {file}")
    if len(free) != world["free_pages"]:
        wrong.append(f"{len(free)} pages are free, {world['free_pages']} are counted")
    if (world["private_pages"], world["shared_pages"], world["double_backed_pages"]) != (len(file), 0, 0):
        wrong.append(f"{world['private_pages']} pages in the file are counted, {len(file)} are there")
    wrong += [f"free page {pfn}: {table[pfn]}" for pfn in free if table["state"][pfn] != PAGE_FREE]
    for index, pfn in file.items():
        tail = index & ((1 << _order(world, pfn)) - 1)
        p, head = table[pfn], table[pfn - tail]
        refs = 1 + (index in host) + int(p["flags"] & PG_LRU_BATCH != 0) + int(head["pins"])
        if (head["state"], int(head["refs"]), head["lock"], head["index"]) != (PAGE_FILE, refs, 0, index - tail):
            wrong.append(f"page {pfn} of index {index}, {refs} references expected: {p}")
    wrong += [f"the host maps {pfn} at {gfn}" for gfn, pfn in host.items() if file.get(gfn) != pfn]
    wrong += [f"the guest maps {pfn} at {gfn}" for gfn, pfn in guest.items() if file.get(gfn) != pfn]
    states = set(world.arrays["frames"]["hpte"].tolist())
    if not states <= {0, HPTE_RW, HPTE_PROTNONE}:
        wrong.append(f"states of host entries: {states}")
    at_rest = ("mmu_writer", "mmu_readers", "slots_lock", "mmap_writer", "mmap_readers", "inval_count", "mn_active")
    wrong += [f"{name} is {world[name]}" for name in at_rest if world[name] != 0]
    f = world.arrays["files"][0]
    if f["inval_writer"] or f["inval_readers"] or f["refs"] > 1:
        wrong.append(f"file: {f}")
    return wrong


def _order(world: World, pfn: int) -> int:
    """Order of the folio that holds a page."""
    order = world["private_order"]
    if order and world.arrays["pages"]["order"][pfn >> order << order]:
        return order
    return 0
