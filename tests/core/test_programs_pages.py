"""What the host does with pages behind the VMA: migration on request, swap, collapse; exact counts."""

import consistency
import pytest
from small_worlds import DESIGNS, H0, H1, V0, V1, Machine, code_of, code_of_programs, geometry, machine
from stepping import Turns

from gmembench.core.world import HPTE_HUGE, HPTE_PROTNONE, HPTE_RW, HPTE_SWAP

designs = pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])


def entries(m: Machine, gfns: int) -> list[int]:
    """Host page table entries of the first gfns."""
    return [int(e) for e in m.world.arrays["frames"]["hpte"][:gfns]]


@designs
def test_pages_go_to_the_node_that_is_named(design: str) -> None:
    """Each page that lies elsewhere is unmapped from the guest and copied once; a second request moves nothing."""
    m = machine(design, nodes=2)
    m.do("access", V0, 0, 3, write=True)
    assert m.do("migrate", H0, 0, 5, slot=1) == "OK"
    moved = consistency.host_pages(m.world)
    assert [int(m.world.arrays["pages"]["node"][moved[g]]) for g in range(3)] == [1, 1, 1]
    assert m.hits("migrate.mig.move.copy") == m.hits("migrate.mig.move.mn.start.count_inc") == 3
    assert m.hits("migrate.mig.find_page") == 5
    m.do("migrate", H0, 0, 5, slot=1)
    assert consistency.host_pages(m.world) == moved
    m.do("access", V1, 2)
    assert (m.actor(V1)["content"], m.actor(V1)["content_gfn"], m.actor(V1)["content_gen"]) == (1, 2, 1)


@designs
def test_a_pinned_page_does_not_move(design: str) -> None:
    """A pin makes migration put the page back and report EBUSY; after the unpin it moves."""
    m = machine(design, nodes=2)
    m.do("access", V0, 0, 2, write=True)
    m.do("host_pin", H1, 1)
    before = consistency.host_pages(m.world)
    assert m.do("migrate", H0, 0, 2, slot=1) == "EBUSY"
    after = consistency.host_pages(m.world)
    assert (after[0] != before[0], after[1]) == (True, before[1])
    m.do("host_unpin", H1, 1)
    assert m.do("migrate", H0, 0, 2, slot=1) == "OK"
    assert consistency.faults(m.world) == []


def test_a_page_of_the_file_never_moves() -> None:
    """Migration passes guest_memfd pages over with EOPNOTSUPP, without an invalidation."""
    m = machine("guest-memfd", nodes=2)
    m.do("convert", H0, 0, 1, private=True)
    m.do("access", V0, 0)
    before = consistency.file_pages(m.world)
    assert m.do("migrate", H0, 0, slot=1) == "EOPNOTSUPP"
    assert (consistency.file_pages(m.world), m.hits("migrate.mig.move.mn.active_inc")) == (before, 0)


@designs
def test_migration_without_memory_stops(design: str) -> None:
    """Without a page to move to, the first page that should move ends the call with ENOMEM."""
    m = machine(design, nodes=2, pages=2)
    m.do("access", V0, 0, 2)
    assert m.do("migrate", H0, 0, 2, slot=1) == "ENOMEM"
    assert m.hits("migrate.mig.find_page") == 1


@designs
def test_swap_frees_pages_and_brings_the_data_back(design: str) -> None:
    """Swapped pages are free for others; each touch brings one back, as it was written."""
    m = machine(design)
    m.do("access", V0, 0, 4, write=True)
    free = m.world["free_pages"]
    m.do("swap_out", H0, 0, 6)
    assert m.world["free_pages"] == free + 4
    assert entries(m, 5) == [HPTE_SWAP] * 4 + [0]
    assert m.hits("swap_out.swap.mn.start.count_inc") == m.hits("swap_out.swap.write_out") == 4
    m.do("reuse")
    m.do("access", V1, 3)
    assert (m.actor(V1)["content"], m.actor(V1)["content_gfn"], m.actor(V1)["content_gen"]) == (1, 3, 1)
    m.do("host_access", H1, 2)
    assert m.actor(H1)["content_gfn"] == 2
    assert entries(m, 4) == [HPTE_SWAP, HPTE_SWAP, HPTE_RW, HPTE_RW]
    m.do("punch", H0, 0, 4)
    assert consistency.faults(m.world) == []


@designs
def test_pinned_and_huge_pages_stay_in_memory(design: str) -> None:
    """Reclaim passes a pinned page and a huge page over and notifies nobody."""
    m = machine(design)
    m.do("host_pin", H1, 0)
    m.do("swap_out", H0, 0)
    assert entries(m, 1) == [HPTE_RW]
    huge = machine(design, "2M")
    huge.do("host_access", H0, 0)
    huge.do("swap_out", H0, 0, 4)
    assert entries(huge, 1) == [HPTE_RW | HPTE_HUGE]
    assert m.hits("swap_out.swap.mn.active_inc") == huge.hits("swap_out.swap.mn.active_inc") == 0


def test_a_page_that_somebody_takes_while_it_is_unmapped_stays() -> None:
    """A reference that turns up after the unmap makes reclaim map the page again."""
    swap = DESIGNS["legacy-vma"].programs["swap_out"]
    m = Machine(code_of_programs(swap, DESIGNS["legacy-vma"].programs["allocate"]), geometry("legacy-vma"))
    m.do("allocate", H0, 0)
    m.world.arrays["pages"]["refs"][consistency.host_pages(m.world)[0]] += 1
    m.do("swap_out", H0, 0)
    assert (entries(m, 1), m.hits("swap_out.swap.map_back")) == ([HPTE_RW], 1)


def test_a_collapse_makes_the_next_fault_huge() -> None:
    """Small pages and holes of a region become one huge page in one notification, data kept and holes zero."""
    m = machine("legacy-vma", "2M")
    m.do("access", V0, 0, 4, write=True)
    m.do("punch", H0, 1, 1)
    assert entries(m, 4) == [HPTE_RW, 0, HPTE_RW, HPTE_RW]
    assert m.do("collapse", H0, 0, 4) == "OK"
    assert entries(m, 4) == [HPTE_RW | HPTE_HUGE, 0, 0, 0]
    assert m.hits("collapse.col.mn.start.count_inc") == m.hits("collapse.col.copy") == 1
    m.do("access", V1, 3)
    assert consistency.translations(m.world, 0).keys() == {0, 1, 2, 3}
    assert m.actor(V1)["content_gfn"] == 3
    m.do("access", V1, 1)
    assert m.actor(V1)["content"] == 0


@designs
def test_a_collapse_leaves_a_huge_page_alone(design: str) -> None:
    """A region that is huge already counts as done, without a notification."""
    m = machine(design, "2M")
    m.do("host_access", H0, 0)
    assert m.do("collapse", H0, 0, 4) == "OK"
    assert m.hits("collapse.col.mn.active_inc") == 0


def test_a_collapse_is_refused() -> None:
    """Without huge pages, without a whole region, with a swapped page: EINVAL; with a pin: EAGAIN; all as before."""
    small, m = machine("legacy-vma"), machine("legacy-vma", "2M")
    small.do("access", V0, 0, 4)
    assert small.do("collapse", H0, 0, 4) == "EINVAL"
    m.do("access", V0, 0, 8, write=True)
    m.do("punch", H0, 1, 1)
    m.do("punch", H0, 5, 1)
    assert m.do("collapse", H0, 1, 4) == "EINVAL"
    m.do("swap_out", H0, 0)
    assert m.do("collapse", H0, 0, 4) == "EINVAL"
    m.do("host_pin", H1, 6)
    before = consistency.host_pages(m.world)
    assert m.do("collapse", H0, 4, 4) == "EAGAIN"
    assert consistency.host_pages(m.world) == before
    assert consistency.faults(m.world) == []


def test_a_hint_survives_reclaim_and_pins() -> None:
    """A NUMA hint does not keep a device from pinning, nor reclaim from swapping."""
    m = machine("legacy-vma")
    m.do("access", V0, 0, 2, write=True)
    m.do("numa_zap", H0, 0, 2)
    assert m.do("host_pin", H1, 0) == "OK"
    m.do("swap_out", H0, 0, 2)
    assert entries(m, 2) == [HPTE_PROTNONE, HPTE_SWAP]


@designs
def test_a_huge_page_does_not_replace_a_small_one(design: str) -> None:
    """Two vCPUs fault in one region and there is one block: who maps the small page first keeps it."""
    turns = Turns(code_of(design), geometry(design, "2M", gfns=2, slots=((0, 2),), region_gfns=2, pages=4))
    frames = turns.world.arrays["frames"]
    turns.start(V0, "access", 1, write=True)
    turns.run(V0, until="access.gup.zero")
    turns.do(V1, "access", 0, write=True)
    small = int(frames["hpfn"][0])
    assert int(frames["hpte"][0]) == HPTE_RW
    turns.run(V0)
    assert [int(e) for e in frames["hpte"]] == [HPTE_RW, HPTE_RW]
    assert int(frames["hpfn"][0]) == small
    assert consistency.faults(turns.world) == []
