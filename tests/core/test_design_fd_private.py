"""fd-private: the presence rule, the callback under the page lock, and what was wrong with it."""

import numpy as np
import pytest
from fd_worlds import faults, fd_machine, fd_turns, folios, violations
from small_worlds import H0, H1, V0, V1, Machine

from gmembench.core.designs.fd_private import DESIGN, NOTIFY_BEFORE_LOCK, RFC_2021, UNREGISTERED
from gmembench.core.world import CONTENT_DATA, CONTENT_ZERO, PAGE_FREE, SPTE_HUGE, SPTE_PRESENT, World


def content(m: Machine, actor: int = V0) -> tuple[int, int]:
    """What an actor read last: kind, and the generation of data."""
    kind = int(m.actor(actor)["content"])
    return kind, int(m.actor(actor)["content_gen"]) if kind == CONTENT_DATA else 0


def backing(world: World) -> tuple[int, int, int]:
    """Private, shared and double backed pages."""
    return world["private_pages"], world["shared_pages"], world["double_backed_pages"]


def wrong(world: World, *, torn_down: bool = False) -> list[str]:
    """Faults of a world at rest; and the attribute of each gfn is whether its page is in the file."""
    present = (world.arrays["cache"]["pfn"] != 0).tolist()
    found = faults(world, torn_down=torn_down)
    if present != (world.arrays["frames"]["attr"] != 0).tolist():
        found.append(f"present {present}, attributes {world.arrays['frames']['attr']}")
    return found


def test_fallocate_makes_gfns_private_and_zaps_the_shared_copy() -> None:
    """To private: a page for each gfn, one callback for the range; the guest reads zeros, not its shared data."""
    m = fd_machine(DESIGN)
    m.do("access", V0, 0, 4, write=True)
    assert m.do("convert", H0, 1, 2, private=True) == "OK"
    assert (folios(m.world), m.mapped(1), m.mapped(2)) == ({1: 0, 2: 0}, 0, 0)
    assert (m.hits("convert.populate.lock_mmu"), m.hits("convert.populate.zap")) == (1, 2)
    assert (backing(m.world), m.world["zeroed_pages"]) == ((2, 4, 2), 4)
    m.do("access", V0, 1)
    assert (content(m), m.world["zeroed_pages"]) == ((CONTENT_ZERO, 0), 5)
    m.do("access", V0, 3)
    assert content(m) == (CONTENT_DATA, 1)
    assert wrong(m.world) == []


def test_a_private_fault_maps_under_the_page_lock_and_asks_no_sequence() -> None:
    """The page is locked before mmu_lock is taken and unlocked after it is dropped; no staleness test is run."""
    m = fd_machine(DESIGN)
    m.do("convert", H0, 3, private=True)
    m.do("access", V0, 3, write=True)
    order = [item.name for item in m.code.info]
    assert order.index("access.fd.lock_folio") < order.index("access.private.lock_mmu")
    assert order.index("access.private.unlock_mmu") < order.index("access.fd.unlock_folio")
    rows = m.rows_run()
    assert (rows["access.fd.unlock_folio"], rows["access.private.set_spte"]) == (1, 1)
    assert not [name for name in rows if "stale" in name or name.startswith("access.gup")]
    assert wrong(m.world) == []


def test_a_conversion_to_shared_is_a_punch() -> None:
    """The private page goes, called back page by page; the old shared copy is read again; back to private is zero."""
    m = fd_machine(DESIGN)
    m.do("access", V0, 2, write=True)
    m.do("convert", H0, 2, 2, private=True)
    for _ in range(3):
        m.do("access", V0, 2, 2, write=True)
    assert m.do("convert", H0, 2, 2) == "OK"
    assert (m.hits("convert.punch.notify.lock_mmu"), folios(m.world)) == (2, {})
    m.do("access", V0, 2)
    assert content(m) == (CONTENT_DATA, 1)
    m.do("convert", H0, 2, 2, private=True)
    m.do("access", V0, 2)
    assert content(m) == (CONTENT_ZERO, 0)
    assert wrong(m.world) == []


def test_punch_and_fallocate_convert_as_well() -> None:
    """There is no other record than the file: a bare punch makes a gfn shared, a bare fallocate private."""
    m = fd_machine(DESIGN)
    assert m.do("allocate", H0, 4, 3) == "OK"
    assert m.world.arrays["frames"]["attr"][3:8].tolist() == [0, 1, 1, 1, 0]
    assert m.do("punch", H0, 5) == "OK"
    assert m.world.arrays["frames"]["attr"][3:8].tolist() == [0, 1, 0, 1, 0]
    m.do("access", V0, 5, write=True)
    assert backing(m.world) == (2, 1, 0)
    assert wrong(m.world) == []


def test_a_fault_never_allocates_private_memory() -> None:
    """A private access whose page is gone exits; the VMM decides. In the RFC, KVM allocates."""
    t = fd_turns(DESIGN)
    t.do(H0, "convert", 2, private=True)
    t.start(V0, "access", 2)
    t.run(V0, "access.fd.lookup_private_slot")
    t.do(H0, "punch", 2)
    assert t.run(V0) == ""
    assert int(t.world.arrays["actors"]["result"][V0]) == 14
    assert "access.fd.alloc_folio" not in t.names
    assert wrong(t.world) == []


def test_a_shared_fault_that_meets_a_page_in_the_file_exits() -> None:
    """The access was told shared before the fallocate: presence says private, so it does not match."""
    t = fd_turns(DESIGN)
    t.start(V0, "access", 2)
    t.run(V0, "access.fd.check_absent")
    t.do(H0, "convert", 2, private=True)
    assert t.run(V0) == ""
    assert int(t.world.arrays["actors"]["result"][V0]) == 14
    assert backing(t.world) == (1, 0, 0)


def test_a_shared_fault_under_way_retries_by_the_sequence() -> None:
    """GUP was done before the fallocate; under mmu_lock the sequence has moved, and the next try is private."""
    t = fd_turns(DESIGN)
    t.start(V0, "access", 2)
    t.run(V0, "access.fault.lock_mmu")
    t.do(H0, "convert", 2, private=True)
    assert t.run(V0) == ""
    assert backing(t.world) == (1, 1, 1)
    assert wrong(t.world) == []


def test_a_punch_waits_for_a_fault_that_holds_the_page() -> None:
    """Between get_lock_pfn and put_unlock_pfn a punch waits; then it zaps what was mapped."""
    t = fd_turns(DESIGN)
    t.do(H0, "convert", 2, private=True)
    t.start(V0, "access", 2)
    t.run(V0, "access.private.lock_mmu")
    t.start(H0, "punch", 2)
    assert t.run(H0) == "punch.punch.lock_folio".removeprefix("punch.")
    t.run(V0, "access.guest.use")
    assert violations(t.world) == set()
    t.run(V0)
    assert t.run(H0) == ""
    assert (violations(t.world), folios(t.world)) == (set(), {})
    assert wrong(t.world) == []


def test_notify_before_lock_leaves_a_freed_page_mapped() -> None:
    """The mutant: the callback finds nothing to zap, the fault maps the page, and the page is freed."""
    for design, found in ((NOTIFY_BEFORE_LOCK, {"UAF-MAP"}), (DESIGN, set())):
        t = fd_turns(design)
        t.do(H0, "convert", 2, private=True)
        t.start(V0, "access", 2)
        t.run(V0, "access.private.lock_mmu")
        t.start(H0, "punch", 2)
        t.run(H0)
        assert t.row(H0) == "punch.lock_folio"
        t.run(V0, "access.enter.service_requests")
        pfn = int(t.world.arrays["cache"]["pfn"][2])
        assert t.run(H0) == ""
        assert t.world.arrays["pages"]["state"][pfn] == PAGE_FREE
        assert violations(t.world) == found


def test_the_owner_is_called_after_it_is_gone() -> None:
    """The predicted finding: at teardown the file goes after the VM and calls it. With registration it does not."""
    for design, found in ((DESIGN, {"OBJ"}), (UNREGISTERED, set())):
        t = fd_turns(design)
        t.do(H0, "convert", 2, private=True)
        t.do(V0, "access", 2)
        t.start(H0, "teardown")
        t.run(H0, "teardown.evict.notify.find_slot")
        assert violations(t.world) == found
        assert t.run(H0) == ""
        assert t.world["free_pages"] == len(t.world.arrays["pages"]) - 1
    assert "OBJ" in {finding.invariant for finding in DESIGN.findings}


def test_until_the_callback_the_shared_copy_stays_mapped() -> None:
    """The predicted finding: the first page makes its gfn private, the callback comes after the last one."""
    t = fd_turns(DESIGN)
    t.do(V0, "access", 0, 2)
    t.start(H0, "convert", 0, 2, private=True)
    t.run(H0, "convert.populate.call_owner")
    assert violations(t.world) == {"ALIAS"}
    assert t.run(H0) == ""
    assert violations(t.world) == set()
    assert "ALIAS" in {finding.invariant for finding in DESIGN.findings}


def test_a_callback_that_yields_lets_a_shared_entry_survive() -> None:
    """The predicted finding: mmu_lock is yielded between two zaps, before the sequence moves."""
    t = fd_turns(DESIGN)
    t.do(V1, "access", 1)
    t.start(V0, "access", 0)
    t.run(V0, "access.fault.lock_mmu")
    t.start(H0, "convert", 0, 2, private=True)
    t.run(H0, "convert.populate.zap")
    t.world.arrays["actors"]["yield_now"][H0] = 1
    t.step(H0)
    t.world.arrays["actors"]["yield_now"][H0] = 0
    t.run(H0, "convert.populate.yield_lock")
    assert t.row(H0) == "convert.populate.yield_lock"
    t.run(V0, "access.enter.service_requests")
    assert t.run(H0) == ""
    assert violations(t.world) == {"ALIAS"}


def test_a_huge_shared_page_is_mapped_small_beside_private_gfns() -> None:
    """The mixed flag follows presence: shared gfns of a region with a private one are mapped by 4K."""
    m = fd_machine(DESIGN, "2M")
    m.do("access", V0, 4)
    assert m.world.arrays["frames"]["spte"]["bits"][4, 0] == SPTE_PRESENT | SPTE_HUGE
    m.do("convert", H0, 6, private=True)
    m.do("access", V0, 4, 4, write=True)
    assert m.world.arrays["frames"]["spte"]["bits"][4:8, 0].tolist() == [SPTE_PRESENT] * 4
    assert (m.world.arrays["regions"]["mixed"][:4].tolist(), folios(m.world)) == ([0, 1, 0, 0], {6: 0})
    m.do("convert", H0, 6)
    m.do("access", V0, 6)
    assert m.world.arrays["frames"]["spte"]["bits"][4, 0] == SPTE_PRESENT | SPTE_HUGE
    assert wrong(m.world) == []


def test_a_conversion_without_memory_takes_back_what_it_added() -> None:
    """The pages that were added go again, with a callback each; those that were private stay so."""
    m = fd_machine(DESIGN, pages=4)
    m.do("convert", H0, 2, private=True)
    m.do("access", V0, 2, write=True)
    assert m.do("convert", H0, 0, 8, private=True) == "ENOMEM"
    assert (folios(m.world), m.hits("convert.undo.notify.lock_mmu")) == ({2: 0}, 3)
    m.do("access", V0, 2)
    assert content(m) == (CONTENT_DATA, 1)
    assert wrong(m.world) == []


def test_the_host_has_no_way_to_the_file() -> None:
    """The VMM and the NUMA scanner reach the shared copy only."""
    m = fd_machine(DESIGN)
    m.do("convert", H0, 2, private=True)
    m.do("access", V0, 2, write=True)
    assert m.do("host_access", H0, 2, write=True) == "OK"
    assert m.do("numa_zap", H1, 0, 4) == "OK"
    assert backing(m.world) == (1, 1, 1)
    m.do("access", V0, 2)
    assert content(m) == (CONTENT_DATA, 1)
    assert wrong(m.world) == []


def test_memslots_hold_the_file() -> None:
    """Closing the descriptor ends the VMM's calls, not the guest's memory; the last memslot takes the pages along."""
    m = fd_machine(DESIGN)
    m.do("convert", H0, 2, 2, private=True)
    m.do("access", V0, 2, write=True)
    assert (m.do("close", H0), folios(m.world)) == ("OK", {2: 0, 3: 0})
    assert (m.do("convert", H0, 2), m.do("punch", H0, 2), m.do("close", H0)) == ("EBADF",) * 3
    m.do("access", V1, 2)
    assert content(m, V1) == (CONTENT_DATA, 1)
    assert m.do("slot_delete", H0) == "OK"
    assert (folios(m.world), m.world["private_pages"]) == ({}, 0)
    assert m.do("slot_create", H0, 0, 16) == "EBADF"
    assert m.do("teardown", H0) == "OK"
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1


def test_a_memslot_keeps_what_is_private() -> None:
    """Deleted and made again, it finds the pages in the file."""
    m = fd_machine(DESIGN)
    m.do("convert", H0, 0, 3, private=True)
    m.do("access", V0, 1, write=True)
    assert (m.do("slot_delete", H0), m.do("slot_create", H0, 0, 16)) == ("OK", "OK")
    m.do("access", V0, 1)
    assert content(m) == (CONTENT_DATA, 1)
    assert wrong(m.world) == []


def test_in_the_rfc_kvm_allocates_and_slots_decide() -> None:
    """Without the presence rule a conversion allocates and frees nothing: data is found again."""
    m = fd_machine(RFC_2021)
    m.do("convert", H0, 0, 3, private=True)
    assert folios(m.world) == {}
    m.do("access", V0, 1, write=True)
    assert (folios(m.world), m.hits("access.fd.alloc_folio")) == ({1: 0}, 1)
    m.do("convert", H0, 1)
    m.do("access", V0, 1)
    assert content(m) == (CONTENT_ZERO, 0)
    m.do("convert", H0, 1, private=True)
    m.do("access", V0, 1)
    assert content(m) == (CONTENT_DATA, 1)
    assert faults(m.world) == []


def test_what_neither_series_had_is_named() -> None:
    """Prefault, populate and poison have reasons, and every other program of guest-memfd is there."""
    later = {"vmsa_load", "register_region", "unregister_region"}
    assert set(DESIGN.not_applicable) - later == {"prefault", "populate", "poison"}
    assert not DESIGN.not_applicable.keys() & DESIGN.programs.keys()


@pytest.mark.parametrize("size", ["4K", "2M"])
@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_keeps_the_account(size: str, seed: int) -> None:
    """After each of 60 random operations every page is accounted for, and presence is the attribute."""
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
            assert wrong(m.world) == []
            m.do("slot_create", H0, 6, 10, slot=1)
        assert wrong(m.world) == [], program
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
    assert wrong(m.world, torn_down=True) == []
