"""The model against the slow reference in naive.py, over random and hand-picked sequences of operations."""

from dataclasses import dataclass
from typing import Any

import consistency
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import NAIVE, UNCLEARED, ZERO, Content, Host, Shape
from small_worlds import (
    ALL_DESIGNS,
    EVERY_DESIGN_AND_SIZE,
    H0,
    H1,
    NOT_KEPT,
    V0,
    V1,
    VARIANTS,
    Machine,
    code_of,
    design_of,
    geometry,
    machine,
)

from gmembench.core.world import CONTENT_DATA, CONTENT_JUNK, CONTENT_ZERO, LIFE_READY, PG_UPTODATE

GFNS = 22
"""Five regions of four gfns and half a region."""

LAYOUTS = (
    ((0, GFNS),),
    ((0, 6), (6, 5), (14, 6)),
    ((1, 3), (4, 8), (13, 8)),
)
"""Memslots: all in one; with a hole and neighbours inside a region; unaligned, with ends of the guest uncovered."""

GFNS_1G = 38
"""Two regions of regions, and a part of a third."""

LAYOUTS_1G = (((0, GFNS_1G),), ((0, 16), (16, 5), (23, 15)), ((1, 18), (19, 16)))
"""The same of a guest with pages of 1G."""


def host_of(pages: int, region: int, folio: int) -> Host:
    """Pages 1 to `pages` of the host as blocks and singles: blocks are aligned, and page 0 is nobody's.

    Folios that are larger than a region are a pool, and the first pages of the host are for all else.
    """
    pool = (pages + 1) // folio - 1 if folio > region else 0
    rest = pages - pool * folio
    blocks = max(0, (rest + 1) // region - 1)
    return Host(blocks, rest - blocks * region, region, pool, folio)


class Twins:
    """A world and its naive twin. Every operation is done by both and compared."""

    def __init__(self, design: str, size: str, **changes: Any) -> None:
        shape = geometry(design, size, **changes)
        self.design = design
        self.machine = Machine(code_of(design), shape)
        pages = self.machine.world["free_pages"]
        region, folio = 1 << shape.region_shift, 1 << shape.private_order
        self.naive = NAIVE[design](
            Shape(
                gfns=shape.gfns,
                slots=shape.slots,
                slot_limit=len(shape.slots) + 1,
                host=host_of(pages, region, folio),
                region=region,
                private_region=folio,
                huge=size == "2M",
                pin_limit=shape.consumers,
                movable=shape.movable,
            )
        )
        self.pages = pages

    def do(
        self,
        program: str,
        actor: int = H0,
        gfn: int = 0,
        count: int = 1,
        *,
        write: bool = False,
        private: bool = False,
        long: bool = False,
        slot: int = 0,
    ) -> str:
        """Run an operation on both, compare everything, and return its result."""
        asked: dict[str, Any] = {"actor": actor, "gfn": gfn, "count": count}
        asked |= {"write": write, "private": private, "long": long, "slot": slot}
        expected = self.naive.run(program, **asked)
        assert self.machine.do(program, **asked) == expected
        if expected == "EAGAIN" and program in {"convert", "punch"}:
            assert self.machine.actor(actor)["done"] == self.naive.error_offset
        self.compare(torn_down=program == "teardown")
        return expected

    def compare(self, *, torn_down: bool) -> None:
        """Whatever both know must agree, and the world must be consistent."""
        world, naive = self.machine.world, self.naive
        assert consistency.faults(world, torn_down=torn_down, without=NOT_KEPT.get(self.design, frozenset())) == []
        assert np.flatnonzero(world.arrays["frames"]["attr"]).tolist() == sorted(naive.attributes)
        vma = contents(self.machine, consistency.in_vma(world), False)
        if naive.file:
            assert vma == naive.shared
            assert contents(self.machine, consistency.file_pages(world), True) == naive.private
        else:
            assert vma == naive.shared | naive.private
            assert naive.private.keys() == vma.keys() & naive.attributes
        assert consistency.in_host_table(world).keys() == naive.mapped
        slots = {
            int(world.arrays["slots"]["number"][number]): (base, end - base)
            for number, base, end in consistency.active_slots(world)
        }
        assert slots == naive.slots
        assert world["free_pages"] == naive.host.free
        peaks = {
            "private": "private_pages",
            "shared": "shared_pages",
            "all": "backing_pages",
            "double": "double_backed_pages",
        }
        assert {name: world[f"{field}_peak"] for name, field in peaks.items()} == naive.peaks
        for number, a in enumerate(world.arrays["actors"]):
            assert last_seen(a) == naive.seen.get(number, ZERO)

    def finish(self) -> None:
        """Tear the VM down: every page that is not broken must be free again."""
        self.do("teardown")
        assert self.machine.world["free_pages"] == self.pages - self.naive.host.lost
        assert not self.machine.world.arrays["frames"]["spte"]["bits"].any()
        assert not (self.machine.world.arrays["slots"]["life"] == LIFE_READY).any()


def content_of(kind: int, gfn: int, generation: int) -> Content:
    """What a page holds, in naive's words. Junk has none: it must never be seen."""
    if kind == CONTENT_ZERO:
        return ZERO
    assert kind == CONTENT_DATA, "somebody else's data is seen"
    return ("data", int(gfn), int(generation))


def last_seen(actor: np.void) -> Content:
    """What an actor read or wrote last."""
    return content_of(actor["content"], actor["content_gfn"], actor["content_gen"])


def contents(m: Machine, backing: dict[int, int], uptodate_only: bool) -> dict[int, Content]:
    """gfn -> content of its page; with `uptodate_only` pages that nobody cleared count as uncleared."""
    pages = m.world.arrays["pages"]
    found = {}
    for gfn, pfn in backing.items():
        p, head = pages[pfn], pages[consistency.head_of(m.world, pfn)]
        if uptodate_only and not head["flags"] & PG_UPTODATE:
            found[gfn] = UNCLEARED
        else:
            found[gfn] = content_of(p["content"], p["content_gfn"], p["content_gen"])
    return found


@dataclass(frozen=True)
class Asked:
    """One random operation."""

    program: str
    actor: int
    gfn: int
    count: int
    write: bool = False
    private: bool = False
    long: bool = False
    slot: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """Its flags and number, by keyword."""
        return {"write": self.write, "private": self.private, "long": self.long, "slot": self.slot}

    def on(self, twins: Twins) -> str:
        """Do it."""
        return twins.do(self.program, self.actor, self.gfn, self.count, **self.options)


@st.composite
def ranges(draw: st.DrawFn, gfns: int) -> tuple[int, int]:
    """(gfn, count) inside the guest; small ones and regions are likelier than chance."""
    gfn = draw(st.integers(0, gfns - 1))
    count = draw(st.one_of(st.just(1), st.sampled_from([2, 4]), st.integers(1, gfns)))
    if gfns == GFNS_1G and draw(st.booleans()):
        return gfn // 16 * 16, min(16, gfns - gfn // 16 * 16)
    return gfn, min(count, gfns - gfn)


COMMON = ("access",) * 5 + ("prefault", "convert", "convert", "punch", "allocate", "host_access", "numa_zap")
SLOTS = ("slot_create", "slot_delete", "slot_flags", "slot_move")
PAGES = ("host_pin", "host_pin", "host_unpin", "swap_out", "swap_out", "collapse", "migrate", "poison", "reuse")
RARE = ("kernel_access", "populate", "populate", "zap_gfn_range", "close")
UNSETTLED = {
    ("guest-memfd-inplace-1g", "1G"): frozenset({"poison"}),
}
"""Programs left out of a design with a page size: nobody says what a broken page makes of a folio of 1G."""


@st.composite
def operations(draw: st.DrawFn, design: str, size: str = "4K", without: frozenset[str] = frozenset()) -> Asked:
    """One operation that the design has, none of `without`."""
    d = design_of(design)
    left_out = without | UNSETTLED.get((design, size), frozenset())
    groups = (COMMON, COMMON, SLOTS, PAGES, RARE)
    choices = [[p for p in group if p in d.programs and p not in left_out] for group in groups]
    program = draw(st.sampled_from(draw(st.sampled_from([c for c in choices if c]))))
    actor = draw(st.sampled_from([V0, V1] if program in {"access", "prefault"} else [H0, H1]))
    gfn, count = draw(ranges(GFNS_1G if size == "1G" else GFNS))
    if program in {"punch", "allocate"} and d.file and draw(st.booleans()):
        count += draw(st.integers(0, 2))  # may leave the file
    write = program in {"access", "host_access", "host_unpin", "kernel_access"} and draw(st.booleans())
    private = program in {"convert", "poison"} and (d.file or program == "convert") and draw(st.booleans())
    long = program == "host_pin" and draw(st.booleans())
    slot = draw(st.integers(0, 3)) if program in SLOTS else 0
    return Asked(program, actor, gfn, count, write, private, long, slot)


def shapes(size: str = "4K") -> st.SearchStrategy[dict[str, Any]]:
    """Memslots, host pages, and what else a small world may differ in."""
    return st.fixed_dictionaries(
        {
            "slots": st.sampled_from(LAYOUTS_1G if size == "1G" else LAYOUTS),
            "pages": st.sampled_from([0, 0, 5, 11, 16, 27]),
            "tlb_entries": st.sampled_from([1, 4, 32]),
            "consumers": st.sampled_from([0, 2, 8]),
            "gfns": st.just(GFNS_1G if size == "1G" else GFNS),
        }
    )


@pytest.mark.parametrize(("design", "size"), [*EVERY_DESIGN_AND_SIZE, *((name, "4K") for name in VARIANTS)])
def test_every_operation_does_what_the_naive_twin_does(design: str, size: str) -> None:
    """Results, contents, backing, attributes, memslots and free pages agree after each of random operations."""

    @given(shapes(size), st.booleans(), st.lists(operations(design, size), min_size=15, max_size=25))
    def check(shape: dict[str, Any], movable: bool, asked: list[Asked]) -> None:
        twins = Twins(design, size, movable=movable and size == "4K", **shape)
        for one in asked:
            one.on(twins)
        twins.finish()

    check()


@pytest.mark.parametrize("design", [name for name, design in ALL_DESIGNS.items() if "4K" in design.sizes])
def test_migration_between_nodes_is_not_seen(design: str) -> None:
    """With two NUMA nodes pages move under NUMA hints, and nothing else differs from the naive twin."""

    @given(shapes(), st.lists(operations(design, without=frozenset({"migrate"})), min_size=1, max_size=25))
    def check(shape: dict[str, Any], asked: list[Asked]) -> None:
        twins = Twins(design, "4K", nodes=2, **shape)
        for one in asked:
            one.on(twins)
        twins.finish()

    check()


@pytest.mark.parametrize("design", [name for name, design in ALL_DESIGNS.items() if "2M" in design.sizes])
def test_the_guest_cannot_tell_the_page_size(design: str) -> None:
    """With memory to spare, results and what is read are the same with 4K and with 2M pages, on one node and on two."""
    asked_for = operations(design, without=frozenset({"migrate", "collapse", "poison"}))

    @given(st.sampled_from(LAYOUTS), st.lists(asked_for, min_size=1, max_size=20))
    def check(slots: tuple[tuple[int, int], ...], asked: list[Asked]) -> None:
        small = machine(design, "4K", gfns=GFNS, slots=slots, pages=500)
        large = machine(design, "2M", gfns=GFNS, slots=slots, pages=500, nodes=2)
        for one in asked:
            results = [m.do(one.program, one.actor, one.gfn, one.count, **one.options) for m in (small, large)]
            assert results[0] == results[1]
            assert consistency.faults(large.world) == []
            seen = [last_seen(m.actor(one.actor)) for m in (small, large)]
            assert seen[0] == seen[1]

    check()


both = pytest.mark.parametrize("size", ["4K", "2M"])


@both
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_access_stops_where_the_memslot_ends(design: str, size: str) -> None:
    """An access that runs over the end of the last memslot does what lies inside, then exits as MMIO."""
    twins = Twins(design, size, slots=((0, 6),))
    assert twins.do("access", V0, 3, 8, write=True) == "MMIO"
    assert twins.naive.seen[V0] == ("data", 5, 1)
    twins.finish()


@both
def test_access_to_a_private_hole_is_a_memory_fault(size: str) -> None:
    """A private gfn without a memslot exits with EFAULT; a prefault that did a page before it succeeds."""
    twins = Twins("guest-memfd", size, slots=((0, 6), (8, 8)))
    twins.do("convert", H0, 4, 6, private=True)
    assert twins.do("access", V0, 4, 6) == "EFAULT"
    assert twins.do("prefault", V0, 4, 6) == "OK"
    assert twins.do("prefault", V0, 6, 4) == "EFAULT"
    twins.finish()


@both
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_prefault_of_a_shared_hole_would_need_emulation(design: str, size: str) -> None:
    """A prefault whose first gfn has no memslot answers ENOENT; one that finished a page succeeds."""
    twins = Twins(design, size, slots=((0, 6),))
    assert twins.do("prefault", V0, 6, 2) == "ENOENT"
    assert twins.do("prefault", V0, 5, 2) == "OK"
    twins.finish()


@both
def test_convert_over_holes_stores_the_attribute_everywhere(size: str) -> None:
    """A conversion across a hole marks the hole too, and a memslot made there later starts private."""
    twins = Twins("guest-memfd", size, slots=((0, 4), (8, 8)))
    twins.do("convert", H0, 2, 8, private=True)
    assert twins.do("slot_create", H0, 4, 4, slot=2) == "OK"
    assert twins.do("access", V0, 4, 4, write=True) == "OK"
    assert twins.naive.backing()["private"] == 4
    twins.finish()


def test_a_memslot_made_over_mixed_attributes_gets_no_huge_entry() -> None:
    """Attributes set while no memslot was there keep a later huge page from being mapped over a private gfn."""
    twins = Twins("guest-memfd", "2M", slots=((8, 8),))
    twins.do("convert", H0, 0, 1, private=True)
    twins.do("slot_create", H0, 0, 8, slot=1)
    twins.do("access", V0, 1, 1, write=True)
    twins.do("access", V0, 0, 1)
    assert twins.naive.seen[V0] == ZERO
    twins.finish()


def test_a_memslot_made_over_equal_attributes_gets_a_huge_entry() -> None:
    """A region that was mixed when its memslot went, and is not when another comes, is mapped huge again."""
    twins = Twins("guest-memfd", "2M")
    twins.do("convert", H0, 0, 1, private=True)
    twins.do("slot_delete")
    twins.do("convert", H0, 0, 1)
    twins.do("slot_create", H0, 0, 16)
    twins.do("access", V0, 1, 1)
    assert consistency.translations(twins.machine.world, 0).keys() == {0, 1, 2, 3}
    twins.finish()


@both
def test_punch_needs_no_memslot(size: str) -> None:
    """Pages of the file are freed where no memslot is bound, before one comes and after it went."""
    twins = Twins("guest-memfd", size, slots=((0, 8),))
    twins.do("allocate", H0, 6, 4)
    assert twins.do("punch", H0, 8, 4) == "OK"
    twins.do("slot_delete")
    assert twins.do("punch", H0, 0, 16) == "OK"
    assert twins.naive.backing()["private"] == 0
    twins.finish()


@both
def test_punch_beyond_the_file_succeeds_and_allocation_does_not(size: str) -> None:
    """A punch over the end frees what is inside; an allocation over the end is EINVAL and allocates nothing."""
    twins = Twins("guest-memfd", size)
    assert twins.do("allocate", H0, 14, 3) == "EINVAL"
    twins.do("allocate", H0, 14, 2)
    assert twins.do("punch", H0, 15, 100) == "OK"
    assert twins.do("punch", H0, 16, 100) == "OK"
    assert twins.naive.private.keys() == {14}
    twins.finish()


@both
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_memslots_are_refused_as_the_kernel_does(design: str, size: str) -> None:
    """Overlap is EEXIST, a number in use or unknown EINVAL; the same memslot again is nothing to do for a VMA."""
    twins = Twins(design, size, slots=((0, 8),))
    assert twins.do("slot_create", H0, 7, 4, slot=1) == "EEXIST"
    assert twins.do("slot_create", H0, 8, 4, slot=0) == "EINVAL"
    assert twins.do("slot_create", H0, 0, 8, slot=0) == ("OK" if design == "legacy-vma" else "EINVAL")
    assert twins.do("slot_delete", slot=3) == "EINVAL"
    assert twins.do("slot_create", H0, 8, 4, slot=1) == "OK"
    assert twins.do("slot_create", H0, 12, 4, slot=2) == "ENOMEM"
    assert twins.do("slot_delete", slot=1) == "OK"
    assert twins.do("slot_delete", slot=0) == "OK"
    twins.finish()


@both
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_a_deleted_memslot_leaves_its_pages(design: str, size: str) -> None:
    """Deleting a memslot unmaps and frees nothing: a new one shows the old data."""
    twins = Twins(design, size)
    if design == "guest-memfd":
        twins.do("convert", H0, 0, 3, private=True)
    twins.do("access", V0, 0, 8, write=True)
    twins.do("slot_delete")
    assert twins.do("access", V1, 4) == "MMIO"
    twins.do("slot_create", H0, 0, 16)
    twins.do("access", V0, 2)
    assert twins.naive.seen[V0] == ("data", 2, 1)
    twins.finish()


def test_a_huge_fault_without_a_block_takes_small_pages() -> None:
    """When no block of the host is whole, a fault of a region that could be huge takes one small page."""
    twins = Twins("legacy-vma", "2M", pages=11)
    for gfn in (0, 4, 8):
        twins.do("access", V0, gfn, 1, write=True)
    assert twins.naive.huge_regions == {0, 4}
    twins.do("access", V0, 8, 3)
    assert twins.do("access", V0, 8, 4) == "EFAULT"
    twins.do("punch", H0, 0, 4)
    twins.do("access", V0, 12, 4)
    assert twins.naive.huge_regions == {4, 12}
    twins.finish()


def test_a_punch_that_cuts_a_huge_page_keeps_the_rest() -> None:
    """Punching a part of a huge page frees that part, and the other pages keep their data."""
    twins = Twins("legacy-vma", "2M")
    twins.do("access", V0, 0, 8, write=True)
    twins.do("access", V1, 0, 8)
    twins.do("punch", H0, 2, 4)
    assert sorted(twins.naive.shared) == [0, 1, 6, 7]
    twins.do("access", V1, 7)
    assert twins.naive.seen[V1] == ("data", 7, 1)
    twins.do("access", V1, 2)
    assert twins.naive.seen[V1] == ZERO
    twins.finish()


def test_converting_half_of_a_huge_entry_cuts_it_and_back_makes_it_huge() -> None:
    """A huge entry goes when part of its region turns private, and comes back when all of it is shared again."""
    twins = Twins("guest-memfd", "2M")
    twins.do("access", V0, 0, 4, write=True)
    assert len(consistency.translations(twins.machine.world, 0)) == 4
    twins.do("convert", H0, 0, 2, private=True)
    assert consistency.translations(twins.machine.world, 0) == {}
    twins.do("access", V0, 0, 4)
    assert twins.naive.backing()["double"] == 2
    twins.do("convert", H0, 0, 2)
    twins.do("access", V1, 0)
    assert twins.naive.seen[V1] == ("data", 0, 1)
    assert len(consistency.translations(twins.machine.world, 0)) == 4
    twins.finish()


@both
def test_prefault_of_private_and_shared_gfns(size: str) -> None:
    """A prefault across both kinds backs each gfn by its own kind, and the accesses after it fault no more."""
    twins = Twins("guest-memfd", size)
    twins.do("convert", H0, 2, 4, private=True)
    twins.do("prefault", V0, 0, 8)
    faults = twins.machine.hits("access.fault.classify")
    twins.do("access", V0, 0, 8, write=True)
    assert twins.machine.hits("access.fault.classify") == faults
    twins.finish()


@both
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_junk_of_other_processes_is_never_seen(design: str, size: str) -> None:
    """Whatever page comes back after another process wrote to all free ones, guest and VMM read zero."""
    twins = Twins(design, size, pages=24)
    twins.machine.world.arrays["pages"]["content"] = CONTENT_JUNK
    twins.machine.world.arrays["pages"]["content_gfn"] = 7
    if design == "guest-memfd":
        twins.do("allocate", H0, 0, 8)
        twins.do("convert", H0, 0, 8, private=True)
    twins.do("reuse")
    twins.do("access", V0, 0, 12)
    twins.do("host_access", H1, 12, 4)
    twins.finish()


def test_another_process_writes_to_the_page_it_takes() -> None:
    """A page that was free holds junk when its user gives it back, and zero once the guest has it."""
    twins = Twins("legacy-vma", "4K")
    twins.do("access", V0, 3, write=True)
    pfn = consistency.host_pages(twins.machine.world)[3]
    twins.do("punch", H0, 3)
    twins.do("reuse")
    assert twins.machine.world.arrays["pages"]["content"][pfn] == CONTENT_JUNK
    twins.do("access", V0, 3)
    assert consistency.host_pages(twins.machine.world)[3] == pfn
    assert twins.naive.seen[V0] == ZERO


@pytest.mark.parametrize("program", ["access", "prefault", "host_access"])
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_a_touch_from_another_node_moves_the_page(design: str, program: str) -> None:
    """After a NUMA scan the page goes, with its data, to the node of who touches it; a second touch finds no hint."""
    twins = Twins(design, "4K", nodes=2)
    world = twins.machine.world
    twins.do("access", V0, 3, 2, write=True)
    before = consistency.host_pages(world)
    twins.do("numa_zap", H0, 3, 1)
    away = H1 if program == "host_access" else V1
    twins.do(program, away, 3, 2)
    after = consistency.host_pages(world)
    assert after[3] != before[3]
    assert after[4] == before[4]
    assert world.arrays["pages"]["node"][after[3]] == 1
    twins.do("host_access", H0, 3)
    assert twins.naive.seen[H0] == ("data", 3, 1)
    assert consistency.host_pages(world) == after
    twins.finish()


@pytest.mark.parametrize("program", ["access", "host_access"])
def test_without_a_free_page_nothing_moves(program: str) -> None:
    """A migration that finds no page to move to leaves the page accessible where it is."""
    twins = Twins("legacy-vma", "4K", nodes=2, pages=2)
    twins.do("access", V0, 3, 2, write=True)
    twins.do("numa_zap", H0, 3, 1)
    twins.do(program, H1 if program == "host_access" else V1, 3)
    assert consistency.host_pages(twins.machine.world) == {3: 1, 4: 2}
    twins.finish()


def test_huge_pages_do_not_move() -> None:
    """A huge page stays on its node and is accessible again after the hint."""
    twins = Twins("legacy-vma", "2M", nodes=2)
    twins.do("access", V0, 3, write=True)
    before = consistency.host_pages(twins.machine.world)
    twins.do("numa_zap", H0, 0, 4)
    twins.do("access", V1, 3)
    assert consistency.host_pages(twins.machine.world) == before
    assert consistency.translations(twins.machine.world, 0).keys() == {0, 1, 2, 3}
    twins.finish()


@both
@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])
def test_teardown_of_a_full_guest_frees_everything(design: str, size: str) -> None:
    """With every gfn backed as often as it can be, a teardown leaves every page free and no entry."""
    twins = Twins(design, size, slots=((0, 6), (6, 10)))
    twins.do("host_access", H0, 0, 16, write=True)
    twins.do("allocate", H0, 0, 16)
    if design == "guest-memfd":
        twins.do("convert", H0, 3, 9, private=True)
    twins.do("access", V0, 0, 16, write=True)
    twins.finish()
    assert twins.machine.world["tables"] == 0
