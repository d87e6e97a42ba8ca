"""fd-restricted: exact rows and state of each program, huge folios, and the faults that the series had."""

import numpy as np
import pytest
from fd_worlds import faults, fd_machine, fd_turns, folios, violations
from small_worlds import H0, H1, V0, V1, Machine

from gmembench.core.designs.fd_restricted import AS_POSTED, DESIGN, RETRIES_WITHOUT_MEMORY
from gmembench.core.world import (
    CONTENT_DATA,
    CONTENT_JUNK,
    CONTENT_ZERO,
    PAGE_FREE,
    SPTE_HUGE,
    SPTE_PRESENT,
    World,
)

BOTH_SIZES = pytest.mark.parametrize("size", ["4K", "2M"])


def private_machine(size: str = "4K", **changes: object) -> Machine:
    """A world whose gfns are all private, none touched."""
    m = fd_machine(DESIGN, size, **changes)
    assert m.do("convert", H0, 0, 16, private=True) == "OK"
    return m


def entry(world: World, gfn: int) -> int:
    """Bits of the stage-2 entry that stands at a gfn."""
    return int(world.arrays["frames"]["spte"]["bits"][gfn, 0])


def content(m: Machine, actor: int = V0) -> tuple[int, int]:
    """What an actor read last: kind, and the generation of data."""
    kind = int(m.actor(actor)["content"])
    return kind, int(m.actor(actor)["content_gen"]) if kind == CONTENT_DATA else 0


def backing(m: Machine) -> tuple[int, int, int]:
    """Private, shared and double backed pages."""
    return m.world["private_pages"], m.world["shared_pages"], m.world["double_backed_pages"]


def test_a_private_fault_takes_a_folio_under_its_lock_and_maps_it() -> None:
    """First touch: one folio is found absent, added, cleared, marked, unlocked and mapped; GUP is not asked."""
    m = private_machine()
    assert m.do("access", V0, 3, write=True) == "OK"
    rows = m.rows_run()
    names = ("check_binding", "find_folio", "alloc_folio", "clear_folio", "mark_uptodate", "unlock_folio")
    assert [rows[f"access.rm.{name}"] for name in names] == [1] * 6
    assert not [name for name in rows if name.startswith("access.gup")]
    assert (backing(m), m.world["zeroed_pages"], entry(m.world, 3)) == ((1, 0, 0), 1, SPTE_PRESENT)
    assert faults(m.world) == []


def test_a_folio_that_is_there_is_not_cleared_again() -> None:
    """A zapped page is found in the page cache, uptodate, and keeps its data."""
    m = private_machine()
    m.do("access", V0, 3, write=True)
    m.do("slot_delete", H0)
    m.do("slot_create", H0, 0, 16)
    assert m.do("access", V0, 3) == "OK"
    assert (content(m), m.world["zeroed_pages"], m.hits("access.rm.alloc_folio")) == ((CONTENT_DATA, 1), 1, 1)


def test_a_shared_fault_goes_to_the_vma() -> None:
    """A shared gfn is backed by the VMA; the file stays empty."""
    m = fd_machine(DESIGN)
    assert m.do("access", V0, 3, write=True) == "OK"
    assert (backing(m), folios(m.world)) == ((0, 1, 0), {})


@BOTH_SIZES
def test_a_conversion_moves_and_frees_nothing(size: str) -> None:
    """Data is in the copy it was written to: shared, private, and shared again."""
    m = fd_machine(DESIGN, size)
    pages = 4 if size == "2M" else 1
    m.do("access", V0, 5, write=True)
    m.do("convert", H0, 4, 4, private=True)
    m.do("access", V0, 5)
    assert content(m) == (CONTENT_ZERO, 0)
    m.do("access", V0, 5, write=True)
    m.do("access", V0, 5, write=True)
    assert backing(m) == (pages, pages, pages)
    m.do("convert", H0, 4, 4)
    m.do("access", V0, 5)
    assert content(m) == (CONTENT_DATA, 1)
    m.do("convert", H0, 4, 4, private=True)
    m.do("access", V0, 5)
    assert content(m) == (CONTENT_DATA, 2)
    assert faults(m.world) == []


def test_a_huge_folio_is_allocated_and_mapped_at_once() -> None:
    """One touch of a private region takes one folio of 4 pages and one huge entry; the next gfns do not fault."""
    m = private_machine("2M")
    m.do("access", V0, 5, write=True)
    m.do("access", V0, 4, 4, write=True)
    assert (folios(m.world), m.hits("access.fault.set_spte")) == ({4: 2}, 1)
    assert entry(m.world, 4) == SPTE_PRESENT | SPTE_HUGE
    assert (backing(m), m.world["zeroed_pages"]) == ((4, 0, 0), 4)
    assert faults(m.world) == []


def test_without_a_huge_block_single_pages_are_taken() -> None:
    """Where no huge block is free, the folio is of one page."""
    m = private_machine("2M", pages=3)
    m.do("access", V0, 5, write=True)
    assert (folios(m.world), entry(m.world, 5)) == ({5: 0}, SPTE_PRESENT)


def test_a_huge_folio_is_mapped_small_where_the_memslot_cuts_it() -> None:
    """The folio covers the region; a memslot that ends inside it maps 4K pages of it, and its refs stay right."""
    m = private_machine("2M", slots=((0, 6), (6, 10)))
    m.do("access", V0, 5, 2, write=True)
    assert (folios(m.world), entry(m.world, 4)) == ({4: 2}, 0)
    assert (entry(m.world, 5), entry(m.world, 6)) == (SPTE_PRESENT, SPTE_PRESENT)
    assert faults(m.world) == []


def test_a_region_with_a_folio_gets_no_huge_one() -> None:
    """After a hole was punched into a region, only the hole is filled, by one page."""
    m = private_machine("2M")
    m.do("access", V0, 4, 4, write=True)
    m.do("punch", H0, 6, 1)
    m.do("access", V0, 6)
    assert (content(m), folios(m.world)) == ((CONTENT_ZERO, 0), {4: 0, 5: 0, 6: 0, 7: 0})
    assert faults(m.world) == []


def test_punching_a_part_of_a_huge_folio_clears_and_splits_it() -> None:
    """The part is cleared, the folio split, the part's page freed; the neighbours keep their data."""
    m = private_machine("2M")
    m.do("access", V0, 4, 4, write=True)
    cleared = m.world["zeroed_pages"]
    assert m.do("punch", H0, 5, 2) == "OK"
    assert (folios(m.world), m.world["zeroed_pages"] - cleared) == ({4: 0, 7: 0}, 2)
    assert m.hits("punch.split_folio", "punch.unlock_split") == 2
    assert m.hits("punch.remove_folio") == 2
    assert faults(m.world) == []
    m.do("access", V0, 7)
    assert content(m) == (CONTENT_DATA, 1)
    m.do("access", V0, 5)
    assert content(m) == (CONTENT_ZERO, 0)


def test_a_huge_folio_with_another_reference_stays_whole() -> None:
    """A partial punch of a folio that somebody holds clears the part and frees nothing."""
    m = private_machine("2M")
    m.do("access", V0, 4, 4, write=True)
    pfn = int(m.world.arrays["cache"]["pfn"][4])
    m.world.arrays["pages"]["refs"][pfn] += 1
    assert m.do("punch", H0, 5, 2) == "OK"
    assert (folios(m.world), m.world["private_pages"], m.hits("punch.remove_folio")) == ({4: 2}, 4, 0)
    m.world.arrays["pages"]["refs"][pfn] -= 1
    assert faults(m.world) == []
    for gfn, read in ((4, (CONTENT_DATA, 1)), (5, (CONTENT_ZERO, 0)), (7, (CONTENT_DATA, 1))):
        m.do("access", V0, gfn)
        assert content(m) == read


def test_punching_a_whole_huge_folio_gives_its_block_back() -> None:
    """A folio inside the range is removed in one piece, not split."""
    m = private_machine("2M")
    free = m.world["free_pages"]
    m.do("access", V0, 0, 16, write=True)
    assert m.do("punch", H0, 3, 9) == "OK"
    assert folios(m.world) == {0: 0, 1: 0, 2: 0, 12: 2}
    assert m.hits("punch.split_folio") == 1
    assert m.hits("punch.remove_folio") == 3
    assert m.world["free_pages"] == free - 7
    assert faults(m.world) == []


def test_converting_a_part_of_a_huge_folio_keeps_it() -> None:
    """The region becomes mixed: the folio stays whole and is mapped small, until it is all private again."""
    m = private_machine("2M")
    m.do("access", V0, 4, 4, write=True)
    m.do("convert", H0, 6)
    assert m.world.arrays["regions"]["mixed"][1] == 1
    m.do("access", V0, 4, 4, write=True)
    assert (folios(m.world), entry(m.world, 4)) == ({4: 2}, SPTE_PRESENT)
    assert backing(m) == (4, 4, 4)
    assert faults(m.world) == []
    m.do("convert", H0, 6, private=True)
    m.do("access", V0, 6)
    assert (content(m), entry(m.world, 4)) == ((CONTENT_DATA, 1), SPTE_PRESENT | SPTE_HUGE)
    assert faults(m.world) == []


def test_every_bound_memslot_is_told_by_a_call_of_its_own() -> None:
    """A punch over two memslots counts twice in and twice out; one that is not bound is not told."""
    m = private_machine(slots=((0, 6), (8, 8)))
    m.do("access", V0, 5, write=True)
    m.do("access", V0, 8, write=True)
    before = m.world["inval_seq"]
    assert m.do("punch", H0, 4, 6) == "OK"
    assert (m.hits("punch.start.count_inc"), m.hits("punch.start.flush_wait")) == (2, 2)
    assert m.world["inval_seq"] - before == 2
    assert (m.do("punch", H0, 6, 2), m.hits("punch.start.count_inc")) == ("OK", 2)
    assert (folios(m.world), m.world["inval_count"]) == ({}, 0)
    assert faults(m.world) == []


def test_a_punch_zaps_shared_entries_too() -> None:
    """One root holds both kinds of entries, so the guest loses its shared ones and faults again."""
    m = fd_machine(DESIGN)
    m.do("access", V0, 2, write=True)
    m.do("punch", H0, 2)
    assert (m.mapped(2), backing(m)) == (0, (0, 1, 0))
    m.do("access", V0, 2)
    assert content(m) == (CONTENT_DATA, 1)


def test_fallocate_takes_huge_folios_and_tells_nobody() -> None:
    """An allocation goes from folio to folio, clears nothing, and does not enter KVM."""
    m = fd_machine(DESIGN, "2M")
    assert m.do("allocate", H0, 2, 5) == "OK"
    assert (folios(m.world), m.hits("allocate.alloc_folio"), m.world["zeroed_pages"]) == ({0: 2, 4: 2}, 2, 0)
    assert m.do("allocate", H0, 0, 8) == "OK"
    assert (m.hits("allocate.alloc_folio"), m.hits("allocate.clear_folio"), m.world["zeroed_pages"]) == (2, 2, 8)
    assert faults(m.world) == []


def test_a_failed_fallocate_takes_back_what_it_added() -> None:
    """Without memory it fails, and the folios that it added are gone; those that hold data stay."""
    m = private_machine(pages=5)
    m.do("access", V0, 1, write=True)
    assert m.do("allocate", H0, 0, 8) == "ENOMEM"
    assert (folios(m.world), m.hits("allocate.undo.remove_folio")) == ({1: 0}, 4)
    assert faults(m.world) == []
    m.do("access", V0, 1)
    assert content(m) == (CONTENT_DATA, 1)
    assert m.do("allocate", H0, 12, 5) == "EINVAL"


def test_a_fault_without_memory_exits() -> None:
    """KVM_RUN fails with the errno of the allocation, as in guest_memfd."""
    m = private_machine(pages=1)
    m.do("access", V0, 1, write=True)
    assert m.do("access", V0, 2) == "ENOMEM"
    assert faults(m.world) == []


def test_a_memslot_is_bound_while_it_lives() -> None:
    """Deletion unbinds and keeps the folios; a new memslot finds them. A bound range is refused to another."""
    m = private_machine("2M")
    m.do("access", V0, 0, 8, write=True)
    assert m.do("slot_delete", H0) == "OK"
    assert not m.world.arrays["cache"]["slot"].any()
    assert (m.do("access", V0, 1), folios(m.world)) == ("EFAULT", {0: 2, 4: 2})
    assert m.do("slot_create", H0, 0, 16) == "OK"
    m.do("access", V0, 1)
    assert (content(m), entry(m.world, 0)) == ((CONTENT_DATA, 1), SPTE_PRESENT | SPTE_HUGE)
    assert m.hits("slot_create.bind.store") == 16
    assert faults(m.world) == []


@BOTH_SIZES
def test_the_host_side_is_that_of_the_vma(size: str) -> None:
    """The VMM touches, and NUMA scans, the shared copy; the private one is not there for them."""
    m = private_machine(size)
    m.do("access", V0, 2, write=True)
    assert m.do("host_access", H0, 2, write=True) == "OK"
    m.do("access", V0, 2)
    assert content(m) == (CONTENT_DATA, 1)
    assert m.do("numa_zap", H1, 0, 4) == "OK"
    assert (entry(m.world, 2), entry(m.world, 0)) == (0, 0)
    m.do("access", V1, 2)
    assert content(m, V1) == (CONTENT_DATA, 1)
    assert faults(m.world) == []


@BOTH_SIZES
def test_teardown_frees_every_page(size: str) -> None:
    """Private and shared pages are free at the end, huge folios in one piece."""
    m = fd_machine(DESIGN, size)
    m.do("convert", H0, 0, 9, private=True)
    m.do("access", V0, 0, 16, write=True)
    m.do("punch", H0, 1)
    assert m.do("teardown", H0) == "OK"
    assert (backing(m), m.world["free_pages"]) == ((0, 0, 0), len(m.world.arrays["pages"]) - 1)
    assert faults(m.world, torn_down=True) == []


@BOTH_SIZES
def test_memslots_hold_the_file(size: str) -> None:
    """Closing the descriptor ends the VMM's calls, not the guest's memory; the last memslot takes the folios along."""
    m = private_machine(size)
    m.do("access", V0, 2, write=True)
    held = folios(m.world)
    assert (m.do("close", H0), folios(m.world)) == ("OK", held)
    assert (m.do("punch", H0, 2), m.do("allocate", H0, 2), m.do("close", H0)) == ("EBADF",) * 3
    m.do("access", V1, 2)
    assert content(m, V1) == (CONTENT_DATA, 1)
    assert m.do("slot_delete", H0) == "OK"
    assert (folios(m.world), m.world["private_pages"]) == ({}, 0)
    assert m.do("slot_create", H0, 0, 16) == "EBADF"
    assert m.do("teardown", H0) == "OK"
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1


def test_closing_a_file_without_memslots_frees_its_folios() -> None:
    """No memslot holds the file: its folios go when the descriptor does."""
    m = private_machine("2M")
    m.do("access", V0, 0, 8, write=True)
    m.do("slot_delete", H0)
    assert (m.do("close", H0), m.hits("close.evict.remove_folio"), folios(m.world)) == ("OK", 3, {})


def test_a_poisoned_page_stays_mapped() -> None:
    """Of an error KVM learns with a signal only: the entry stays, and the guest reads on."""
    m = private_machine()
    m.do("access", V0, 2, write=True)
    pfn = m.mapped(2)
    assert m.do("poison", H0, 2, private=True) == "SIGBUS"
    assert (m.mapped(2), m.hits("poison.mf.error"), m.do("access", V0, 2)) == (pfn, 1, "OK")


def test_there_is_no_prefault_in_2022() -> None:
    """The program is missing with its reason; what guest-memfd has besides is there."""
    assert set(DESIGN.not_applicable) >= {"prefault"}
    assert not DESIGN.not_applicable.keys() & DESIGN.programs.keys()


def test_as_posted_the_guest_reads_what_another_process_left() -> None:
    """The series never clears the folio: the next user of a page sees its old content. DESIGN clears it."""
    for design, read in ((AS_POSTED, CONTENT_JUNK), (DESIGN, CONTENT_ZERO)):
        m = fd_machine(design)
        m.do("convert", H0, 0, 1, private=True)
        m.do("reuse", H1)
        m.do("access", V0, 0)
        assert content(m)[0] == read


def test_as_posted_a_fault_without_memory_never_ends() -> None:
    """Every 'no memory' is answered with a retry: the vCPU is back where it was, for ever."""
    for design, ends in ((RETRIES_WITHOUT_MEMORY, False), (DESIGN, True)):
        t = fd_turns(design, pages=1)
        t.do(H0, "convert", 0, 2, private=True)
        t.do(V0, "access", 0)
        t.start(V0, "access", 1)
        for _ in range(1000):
            if t.row(V0):
                t.step(V0)
        assert (t.row(V0) == "") is ends


def test_a_partial_punch_leaves_a_hole_that_a_neighbour_maps() -> None:
    """The predicted finding: a fault on a gfn outside the punched part maps the whole folio, then the part is freed."""
    t = fd_turns(DESIGN, "2M")
    t.do(H0, "convert", 0, 16, private=True)
    t.do(V0, "access", 0, 4, write=True)
    pfn = int(t.world.arrays["cache"]["pfn"][0])
    t.start(H0, "punch", 0)
    assert t.run(H0, "punch.lock_inode") == "punch.lock_inode"
    t.do(V0, "access", 1)
    assert entry(t.world, 0) == SPTE_PRESENT | SPTE_HUGE
    assert violations(t.world) == set()
    assert t.run(H0) == ""
    assert t.world.arrays["pages"]["state"][pfn] == PAGE_FREE
    assert DESIGN.findings[0].invariant == "UAF-MAP"
    assert "UAF-MAP" in violations(t.world)


def test_a_binding_is_there_before_the_memslot_is_ready() -> None:
    """The predicted finding: a punch while a memslot is being made meets an object that is not prepared."""
    t = fd_turns(DESIGN, slots=())
    t.start(H0, "slot_create", 0, 16)
    assert t.run(H0, "slot_create.slot.lock_arch") == "slot_create.slot.lock_arch"
    assert violations(t.world) == set()
    t.start(H1, "punch", 0)
    assert t.run(H1, "punch.start.zap") == "punch.start.zap"
    assert violations(t.world) == {"OBJ"}
    assert t.run(H1) == ""
    assert t.run(H0) == ""
    assert violations(t.world) == set()
    assert "OBJ" in {finding.invariant for finding in DESIGN.findings}


@BOTH_SIZES
@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_keeps_the_account(size: str, seed: int) -> None:
    """After each of 60 random operations every page is accounted for, and at the end all are free."""
    choice = np.random.default_rng(seed)
    m = fd_machine(DESIGN, size, slots=((0, 6), (6, 10)), pages=int(choice.choice([0, 9, 20])))
    for _ in range(60):
        program = str(choice.choice(["access", "access", "convert", "punch", "allocate", "host_access", "numa_zap"]))
        first = int(choice.integers(16))
        count = int(choice.integers(1, 17 - first))
        actor = int(choice.choice([V0, V1])) if program == "access" else int(choice.choice([H0, H1]))
        m.do(program, actor, first, count, write=bool(choice.integers(2)), private=bool(choice.integers(2)))
        if choice.integers(12) == 0:
            m.do("slot_delete", H0, slot=1)
            assert faults(m.world) == []
            m.do("slot_create", H0, 6, 10, slot=1)
        assert faults(m.world) == [], program
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
    assert faults(m.world, torn_down=True) == []
