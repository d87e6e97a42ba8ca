"""The state: its size, its layout, and which geometries are refused."""

from typing import Any

import consistency
import numpy as np
import pytest
from small_worlds import DESIGNS, H0, V0, Machine, code_of, geometry, machine, operation

from gmembench.core.errors import UserError
from gmembench.core.world import ARRAYS, HEADER, MAX_GFNS, Geometry, World


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gfns": 0}, "0 gfns"),
        ({"gfns": MAX_GFNS}, "gfns"),
        ({"vcpus": 0}, "0 vCPUs"),
        ({"vcpus": 254}, "254 actors"),
        ({"host_actors": -1}, "-1 host actors"),
        ({"tlb_entries": 0}, "power of two"),
        ({"tlb_entries": 12}, "power of two"),
        ({"region_gfns": 1024}, "regions of 1024 gfns"),
        ({"region_gfns": 6}, "regions of 6 gfns"),
        ({"shared_order": 1}, "pages of order 1"),
        ({"gfns": 600, "slots": tuple((2 * i, 1) for i in range(254))}, "254 memslots"),
        ({"nodes": 0}, "0 NUMA nodes"),
        ({"nodes": 17}, "17 NUMA nodes"),
        ({"slots": ((0, 0),)}, "memslot of 0 gfns"),
        ({"slots": ((0, 4), (3, 4))}, "memslot of 4 gfns at gfn 3"),
        ({"slots": ((8, 4), (0, 4))}, "at gfn 0"),
        ({"slots": ((-1, 4),)}, "at gfn -1"),
        ({"slots": ((12, 5),)}, "leaves the guest"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    """A wrong size, count or memslot is a user's mistake, told in one line with its mend."""
    with pytest.raises(UserError, match=message) as caught:
        geometry("guest-memfd", **changes)
    assert "\n" not in str(caught.value)
    assert caught.value.mend


def test_a_world_too_large_for_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the buffer cannot be allocated, the message says how many bytes were wanted."""

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "zeros", no_memory)
    with pytest.raises(UserError, match="bytes of state do not fit"):
        World(geometry("legacy-vma"))


@pytest.mark.parametrize(("design", "limit"), [("legacy-vma", 48), ("guest-memfd", 72)])
@pytest.mark.parametrize("size", ["4K", "2M"])
def test_a_gfn_costs_few_bytes(design: str, limit: int, size: str) -> None:
    """A large world keeps at most 48 bytes a gfn with one backing and 72 with two, everything counted."""
    gfns = 1 << 18
    world = World(geometry(design, size, gfns=gfns, slots=((0, gfns),), region_gfns=512))
    assert world.state_bytes / gfns <= limit
    assert world.bytes_per_gfn <= limit


def test_bytes_per_gfn_is_the_slope_of_the_size() -> None:
    """Twice the guest costs what `bytes_per_gfn` says, to within rounding of the arrays."""
    small, large = (World(geometry("guest-memfd", gfns=n, slots=((0, n),))) for n in (1 << 14, 1 << 15))
    slope = (large.state_bytes - small.state_bytes) / (1 << 14)
    assert slope == pytest.approx(large.bytes_per_gfn, abs=0.1)


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_the_arrays_share_one_buffer(design: str) -> None:
    """Header and arrays lie apart in one buffer, in order, where the header says."""
    world = World(geometry(design))
    reached = HEADER.itemsize
    for name, dtype in ARRAYS.items():
        array = world.arrays[name]
        start, count = world[f"{name}_at"], world[f"{name}_n"]
        assert len(array) == count
        assert start >= reached
        assert array.size == 0 or np.shares_memory(array, world.buffer[start : start + count * dtype.itemsize])
        reached = start + count * dtype.itemsize
    assert reached <= world.state_bytes


def test_a_new_world_holds_its_memslots_and_nothing_else() -> None:
    """Memslots are active and bound, every page is free, nothing is mapped, no attribute is set."""
    world = World(geometry("guest-memfd", slots=((0, 4), (6, 4))))
    assert world.arrays["cache"]["slot"].tolist() == [1] * 4 + [0] * 2 + [2] * 4 + [0] * 6
    assert world.arrays["slots"]["active"].tolist() == [1, 1, 0, 0]
    assert world["free_pages"] == len(world.arrays["pages"]) - 1
    assert not world.arrays["frames"].view(np.uint8).any()


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_a_snapshot_is_a_copy_of_the_buffer(design: str) -> None:
    """A world's copied buffer goes on exactly as the world does, wherever the copy lies."""
    first, second = machine(design), machine(design)
    first.do("access", V0, 2, 5, write=True)
    second.world.buffer[:] = first.world.buffer
    for m in (first, second):
        m.driver.run(operation("numa_zap", H0, 0, 8))
        m.driver.run(operation("access", V0, 0, 8))
    assert np.array_equal(first.world.buffer, second.world.buffer)


@pytest.mark.parametrize("pages", [1, 2, 3, 4, 7, 8, 9, 40])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_every_page_can_be_taken_once(pages: int, shift: int) -> None:
    """However pages fall into blocks, exactly as many gfns can be backed as there are pages."""
    m = Machine(
        code_of("legacy-vma"), geometry("legacy-vma", gfns=48, slots=((0, 48),), pages=pages, region_gfns=1 << shift)
    )
    assert m.do("allocate", H0, 0, 48) == "ENOMEM"
    assert m.world["free_pages"] == 0
    assert m.world["shared_pages"] == pages
    used = m.world.arrays["frames"]["hpfn"]
    assert sorted(used[used > 0].tolist()) == list(range(1, pages + 1))


def test_the_most_memslots_that_fit_can_be_used() -> None:
    """253 memslots have objects, one more can be made, and each finds its pages in the file."""
    slots = tuple((2 * i, 1) for i in range(253))
    m = machine("guest-memfd", gfns=600, slots=slots)
    m.do("convert", H0, 0, 600, private=True)
    assert m.do("access", V0, 504, write=True) == "OK"
    assert m.do("slot_create", H0, 550, slot=253) == "OK"
    assert m.do("access", V0, 550) == "OK"
    assert m.do("slot_delete", slot=252) == "OK"
    assert m.do("access", V0, 504) == "EFAULT"
    assert consistency.faults(m.world) == []


def test_a_world_of_one_gfn_works() -> None:
    """The smallest guest can be written, read and torn down."""
    m = Machine(code_of("guest-memfd"), Geometry(gfns=1, slots=((0, 1),), file=True, private_memory=True))
    assert m.do("convert", 1, private=True) == "OK"
    assert m.do("access", V0, write=True) == "OK"
    assert m.do("teardown", 1) == "OK"
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
