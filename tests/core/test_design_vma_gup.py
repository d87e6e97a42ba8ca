"""vma-gup: guest pages behind a VMA, pinned, zapped without being let go, found again."""

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import ALL_DESIGNS, H0, H1, V0, V1, Machine, geometry, machine

from gmembench.core.hardware.none import HARDWARE
from gmembench.core.judges import check_world
from gmembench.core.programs import Program, assemble
from gmembench.core.world import (
    CONTENT_ZERO,
    HPTE_GUEST,
    HPTE_NONE,
    HPTE_PROTNONE,
    HPTE_RW,
    HPTE_STATE,
    HPTE_SWAP,
    PAGE_ANON,
    PAGE_FREE,
    PG_GUEST,
    SPTE_PRESENT,
    SPTE_ZAPPED,
)

NAME = "vma-gup"


def mutant(**programs: Program) -> Machine:
    """A world of the design with some programs edited."""
    return Machine(assemble(ALL_DESIGNS[NAME].edited("mutant", **programs), HARDWARE), geometry(NAME))


def private_world(count: int = 1, **changes: int) -> Machine:
    """A world whose first gfns are private and untouched."""
    m = machine(NAME, **changes)
    assert m.do("convert", H0, 0, count, private=True) == "OK"
    return m


def state(m: Machine, gfn: int = 0) -> tuple[int, int]:
    """Bits and page of the stage-2 entry of a gfn."""
    entry = m.world.arrays["frames"]["spte"][gfn, 0]
    return int(entry["bits"]), int(entry["pfn"])


def page_of(m: Machine, pfn: int) -> tuple[int, int, int]:
    """State, references and pins of a page."""
    p = m.world.arrays["pages"][pfn]
    return int(p["state"]), int(p["refs"]), int(p["pins"])


def host_entry(m: Machine, gfn: int = 0) -> tuple[int, int]:
    """Host PTE and its page of a gfn."""
    f = m.world.arrays["frames"][gfn]
    return int(f["hpte"]), int(f["hpfn"])


def everything_free(m: Machine) -> None:
    """No page is used, referenced or pinned."""
    pages = m.world.arrays["pages"]
    assert m.world["free_pages"] == len(pages) - 1
    assert not pages["pins"].any()
    assert not pages["refs"].any()
    assert (m.world["private_pages"], m.world["shared_pages"]) == (0, 0)


def test_a_private_page_is_mapped_pinned_and_out_of_the_hosts_reach() -> None:
    """EMPTY to MAPPED: a guest page with a PROT_NONE entry; one reference of the PTE, one with the pin."""
    m = private_world()
    assert m.do("access", V0, 0, write=True) == "OK"
    bits, pfn = state(m)
    assert bits == SPTE_PRESENT
    assert page_of(m, pfn) == (PAGE_ANON, 2, 1)
    assert m.world.arrays["pages"]["flags"][pfn] & PG_GUEST
    assert host_entry(m) == (HPTE_PROTNONE | HPTE_GUEST, pfn)
    assert (m.world["private_pages"], m.world["shared_pages"]) == (1, 0)


def test_a_shared_page_is_neither_pinned_nor_guest() -> None:
    """A shared gfn is ordinary memory: one reference, no pin, the VMM reads what the guest wrote."""
    m = machine(NAME)
    assert m.do("access", V0, 0, write=True) == "OK"
    assert page_of(m, state(m)[1]) == (PAGE_ANON, 1, 0)
    assert m.do("host_access", H0, 0) == "OK"
    assert int(m.actor(H0)["content_gen"]) == 1
    assert m.hits("access.fault.pin_page") == 1
    assert m.hits("access.fault.require_page_guest") == 1


def test_a_numa_scan_blocks_a_private_entry_and_the_fault_finds_the_page_again() -> None:
    """MAPPED to ZAPPED with the pfn kept, a second scan skips it, and back to MAPPED: the pin count stays 1."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    _, pfn = state(m)
    assert m.do("numa_zap", H0, 0) == "OK"
    assert state(m) == (SPTE_ZAPPED, pfn)
    assert page_of(m, pfn) == (PAGE_ANON, 2, 1)
    m.do("numa_zap", H0, 0)
    assert m.hits("numa_zap.mn.start.mark_zapped") == 1
    assert m.hits("numa_zap.mn.start.flush_wait") == 1, "the second had nothing to flush"
    assert m.do("access", V0, 0) == "OK"
    assert state(m) == (SPTE_PRESENT, pfn)
    assert page_of(m, pfn) == (PAGE_ANON, 2, 1)
    assert (m.hits("access.fault.pin_page"), m.hits("access.fault.unzap_spte")) == (1, 1)
    assert int(m.actor(V0)["content_gen"]) == 1, "the data are still there"


def test_a_numa_scan_removes_a_shared_entry() -> None:
    """A shared entry goes as usual, and its PTE becomes a hint."""
    m = machine(NAME)
    m.do("access", V0, 0)
    m.do("numa_zap", H0, 0)
    assert state(m) == (0, 0)
    assert host_entry(m)[0] == HPTE_PROTNONE
    assert m.do("access", V0, 0) == "OK"
    assert host_entry(m)[0] == HPTE_RW


def test_a_private_fault_takes_no_numa_hint() -> None:
    """The PTE of a guest page is PROT_NONE always: the guest page is told first and never migrates."""
    m = private_world(nodes=2)
    m.do("access", V0, 0)
    m.do("numa_zap", H0, 0)
    assert m.do("access", V1, 0) == "OK"
    assert m.hits("access.gup.mig.check_node") == 0
    assert m.hits("access.gup.check_page_guest") == 2, "once a fault"
    assert m.hits("access.gup.check_protnone") == 0


def test_a_shared_page_still_migrates_on_a_hint() -> None:
    """NUMA balancing of shared memory works as before."""
    m = machine(NAME, nodes=2)
    m.do("access", V0, 0, write=True)
    before = state(m)[1]
    m.do("numa_zap", H0, 0)
    assert m.do("access", V1, 0) == "OK"
    assert state(m)[1] != before
    assert int(m.actor(V1)["content_gen"]) == 1


def test_the_host_cannot_touch_a_private_page() -> None:
    """The VMM's load is SIGBUS, whether the guest has touched the page or not; no lock stays."""
    m = private_world(2)
    m.do("access", V0, 0, write=True)
    assert m.do("host_access", H0, 0) == "SIGBUS"
    assert m.do("host_access", H0, 1) == "SIGBUS"
    assert m.world["mmap_readers"] == 0
    assert host_entry(m, 1)[0] == HPTE_PROTNONE | HPTE_GUEST, "the fault made a guest page"


def test_conversion_to_shared_gives_the_private_page_back() -> None:
    """The entry is dropped with its pin, the page freed, and the next page of the gfn is another one, zeroed."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    _, pfn = state(m)
    assert m.do("convert", H0, 0) == "OK"
    assert state(m) == (0, 0)
    assert host_entry(m) == (HPTE_NONE, 0)
    assert page_of(m, pfn) == (PAGE_FREE, 0, 0)
    everything_free(m)
    assert m.do("access", V0, 0) == "OK"
    assert int(m.actor(V0)["content"]) == CONTENT_ZERO
    assert m.do("host_access", H0, 0) == "OK"


def test_conversion_to_private_frees_the_shared_page() -> None:
    """The shared page goes when the range is marked, so memory is never needed twice."""
    m = machine(NAME)
    m.do("host_access", H0, 0, write=True)
    assert m.do("convert", H0, 0, private=True) == "OK"
    everything_free(m)
    assert m.do("access", V0, 0) == "OK"
    assert int(m.actor(V0)["content"]) == CONTENT_ZERO
    assert (m.world["backing_pages_peak"], m.world["double_backed_pages_peak"]) == (1, 0)


def test_conversion_leaves_alone_what_is_of_the_wanted_kind() -> None:
    """Only parts of the range that change are unmapped: a private page between shared ones keeps its data."""
    m = machine(NAME)
    m.do("convert", H0, 1, private=True)
    m.do("access", V0, 0, 3, write=True)
    _, pfn = state(m, 1)
    assert m.do("convert", H0, 0, 3, private=True) == "OK"
    assert m.hits("convert.mprotect.set_vma") == 3, "one VMA the first time, two the second"
    assert state(m, 1) == (SPTE_PRESENT, pfn)
    assert m.do("convert", H0, 0, 3, private=True) == "OK"
    assert m.hits("convert.mprotect.set_vma") == 3
    assert m.world.arrays["frames"]["attr"][:4].tolist() == [1, 1, 1, 0]
    m.do("access", V0, 1)
    assert int(m.actor(V0)["content_gen"]) == 1


def test_punching_shared_memory_frees_it() -> None:
    """MADV_DONTNEED on a shared gfn works as for ordinary memory."""
    m = machine(NAME)
    m.do("access", V0, 0, write=True)
    assert m.do("punch", H0, 0) == "OK"
    everything_free(m)
    m.do("access", V0, 0)
    assert int(m.actor(V0)["content"]) == CONTENT_ZERO


def test_finding_a_punch_leaves_the_private_page_pinned() -> None:
    """Predicted finding: DONTNEED looks like NUMA, so the entry stays zapped and the page pinned, in no mapping."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    _, pfn = state(m)
    assert m.do("punch", H0, 0) == "OK"
    assert state(m) == (SPTE_ZAPPED, pfn)
    assert host_entry(m) == (HPTE_NONE, 0)
    assert page_of(m, pfn) == (PAGE_ANON, 1, 1)
    assert m.world["private_pages"] == 0
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 2
    assert [found.invariant for found in check_world(m.world)] == ["2X"]


def test_finding_the_next_fault_brings_another_page() -> None:
    """Predicted finding: after the punch GUP brings another pfn: one WARN a fault, EFAULT, until the gfn converts."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    _, pfn = state(m)
    m.do("punch", H0, 0)
    assert m.do("access", V0, 0) == "EFAULT"
    assert m.do("access", V1, 0) == "EFAULT"
    assert m.world["warns"] == 2
    assert state(m) == (SPTE_ZAPPED, pfn)
    assert page_of(m, host_entry(m)[1]) == (PAGE_ANON, 1, 0), "the fault let its reference go"
    assert (m.world["mmu_writer"], m.world["mmap_readers"]) == (0, 0)
    assert m.do("convert", H0, 0) == "OK"
    everything_free(m)
    assert m.do("access", V0, 0) == "OK"
    assert m.world["warns"] == 2


def test_the_design_ships_both_findings() -> None:
    """What the two tests above see is told by the design: a leaked page, and a WARN."""
    assert [f.invariant for f in ALL_DESIGNS[NAME].findings] == ["2X", "CNT"]


def test_deleting_a_memslot_drops_mapped_and_zapped_entries() -> None:
    """Both states are dropped and unpinned; the pages stay with the mapping, and come back with their data."""
    m = private_world(2)
    m.do("access", V0, 0, 2, write=True)
    m.do("numa_zap", H0, 0)
    pages = [state(m, gfn)[1] for gfn in (0, 1)]
    assert [state(m, gfn)[0] for gfn in (0, 1)] == [SPTE_ZAPPED, SPTE_PRESENT]
    assert m.do("slot_delete", H0) == "OK"
    assert [state(m, gfn) for gfn in (0, 1)] == [(0, 0), (0, 0)]
    assert [page_of(m, pfn) for pfn in pages] == [(PAGE_ANON, 1, 0)] * 2
    assert m.hits("slot_delete.slot.unpin") == 2
    assert m.do("slot_create", H0, 0, 16) == "OK"
    assert m.do("access", V0, 0, 2) == "OK"
    assert [state(m, gfn)[1] for gfn in (0, 1)] == pages
    assert int(m.actor(V0)["content_gen"]) == 1


def test_deleting_a_memslot_drops_entries_that_were_all_zapped_before() -> None:
    """With nothing left to flush the zapped entries still go."""
    m = private_world()
    m.do("access", V0, 0)
    m.do("numa_zap", H0, 0)
    m.do("slot_delete", H0)
    assert m.hits("slot_delete.slot.flush_wait") == 0
    assert m.hits("slot_delete.slot.unpin") == 1
    assert state(m) == (0, 0)


@pytest.mark.parametrize("before", [(), ("numa_zap",), ("punch",)])
def test_teardown_frees_and_unpins_everything(before: tuple[str, ...]) -> None:
    """Whatever state its private entries are in, a VM that ends leaves no page and no pin."""
    m = private_world(4)
    m.do("access", V0, 0, 8, write=True)
    for program in before:
        m.do(program, H0, 1, 6)
    assert m.do("teardown", H0) == "OK"
    everything_free(m)
    assert not m.world.arrays["frames"]["spte"]["bits"].any()
    assert m.world["tables"] == 0


def test_a_fault_of_the_other_kind_drops_the_alias_first() -> None:
    """A zapped private entry in the way of a shared fault is dropped and unpinned, a shared one zapped and flushed."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    _, old = state(m)
    m.do("punch", H0, 0)
    m.world.arrays["frames"]["attr"][0] = 0
    assert m.do("access", V0, 0) == "OK"
    assert page_of(m, old) == (PAGE_FREE, 0, 0)
    assert state(m)[0] == SPTE_PRESENT
    assert (m.hits("access.alias.unpin"), m.hits("access.alias.mark_zapped")) == (1, 0)


@pytest.mark.parametrize("private", [False, True])
def test_an_alias_that_is_present_is_flushed(private: bool) -> None:
    """With roots of their own a gfn could be mapped both ways: the present entry of the other kind goes first."""
    code = assemble(ALL_DESIGNS[NAME], replace(HARDWARE, separate_roots=True))
    m = Machine(code, geometry(NAME, separate_roots=True))
    frames = m.world.arrays["frames"]
    frames["attr"][0] = int(private)
    m.do("access", V0, 0)
    frames["attr"][0] = int(not private)
    frames["hpte"][0] = HPTE_NONE
    m.actor(V1)["is_private"] = int(not private)  # the root that the guest of V1 walks
    assert m.do("access", V1, 0) == "OK"
    bits = frames["spte"]["bits"][0].tolist()
    assert bits == ([SPTE_PRESENT, 0] if private else [0, SPTE_PRESENT])
    assert m.hits("access.alias.unpin", "access.alias.mark_zapped") == 2 * int(private)
    assert m.hits("access.alias.flush_wait") == int(private), "a flush waited for V0"
    assert m.hits("access.alias.shared_wait") == int(not private)


def test_allocation_serves_both_kinds() -> None:
    """Backing can be made ahead for private and shared gfns: nothing is pinned, nothing allocated later."""
    m = private_world(2)
    assert m.do("allocate", H0, 0, 4) == "OK"
    assert (m.world["private_pages"], m.world["shared_pages"]) == (2, 2)
    assert not m.world.arrays["pages"]["pins"].any()
    m.do("access", V0, 0, 4)
    assert m.hits("access.gup.alloc") == 0


def test_without_memory_a_private_fault_fails() -> None:
    """EFAULT, and no lock or page is left in the fault's hands."""
    m = private_world(16, pages=1)
    assert [m.do("access", V0, gfn) for gfn in (0, 1)] == ["OK", "EFAULT"]
    assert (m.world["mmap_readers"], m.actor(V0)["srcu"]) == (0, 0)


def test_mutant_set_instead_of_unzap_pins_twice() -> None:
    """A refault that sets the entry anew takes a second pin, which no drop ever pays back (bug B02)."""
    access = ALL_DESIGNS[NAME].programs["access"].redirected("fault.read_state", "zapped_entry", "L_set")
    m = mutant(access=access)
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0)
    for _ in range(2):
        m.do("numa_zap", H0, 0)
        m.do("access", V0, 0)
    assert page_of(m, state(m)[1]) == (PAGE_ANON, 4, 3)
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 2


def test_mutant_hint_before_guest_page_opens_it_to_the_host() -> None:
    """Taking PROT_NONE for a NUMA hint first makes the guest page accessible: the VMM reads it (bug B10)."""
    access = ALL_DESIGNS[NAME].programs["access"].swapped("gup.check_page_guest", "gup.check_protnone")
    m = mutant(access=access)
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    assert m.do("host_access", H0, 0) == "OK"
    assert int(m.actor(H0)["content_gen"]) == 1


def test_mutant_without_the_pfn_comparison_maps_a_freed_page() -> None:
    """Without the comparison the entry comes back with the page that the mapping let go."""
    m = mutant(access=ALL_DESIGNS[NAME].programs["access"].without("fault.check_same_pfn"))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    _, old = state(m)
    m.do("punch", H0, 0)
    assert m.do("access", V0, 0) == "OK"
    assert state(m)[1] == old != host_entry(m)[1]
    assert m.world["warns"] == 0


def test_nobody_without_the_flag_gets_a_guest_page() -> None:
    """Pins of devices and KVM's own reads of private memory fail with EFAULT, touched or not, and leave nothing."""
    m = private_world(2)
    m.do("access", V0, 0, write=True)
    for gfn in (0, 1):
        assert m.do("host_pin", H0, gfn) == "EFAULT"
        assert m.do("kernel_access", V1, gfn) == "EFAULT"
    assert m.world.arrays["pages"]["pins"].sum() == 1, "KVM's own"
    assert not m.world.arrays["consumers"]["kind"].any()
    explained(m)


def test_shared_memory_can_be_pinned_and_read_by_kvm() -> None:
    """The flag is needed for guest pages only."""
    m = machine(NAME)
    m.do("access", V0, 0, write=True)
    assert m.do("host_pin", H0, 0) == "OK"
    assert m.do("kernel_access", V1, 0) == "OK"
    assert int(m.actor(V1)["content_gen"]) == 1
    assert m.do("host_unpin", H0, 0) == "OK"
    explained(m)


def test_the_pin_refuses_a_migration_and_the_entry_waits_zapped() -> None:
    """The page stays, its PTE is PROT_NONE again and not the VMM's, and the next fault finds the same pfn."""
    m = private_world(nodes=2)
    m.do("access", V0, 0, write=True)
    _, pfn = state(m)
    assert m.do("migrate", H0, 0, slot=1) == "EBUSY"
    assert (state(m), host_entry(m)) == ((SPTE_ZAPPED, pfn), (HPTE_PROTNONE | HPTE_GUEST, pfn))
    assert m.do("host_access", H0, 0) == "SIGBUS"
    assert m.do("access", V0, 0) == "OK"
    assert state(m) == (SPTE_PRESENT, pfn)
    assert m.world["warns"] == 0


def test_a_guest_page_that_was_never_mapped_may_move() -> None:
    """Without a pin nothing holds it; where it goes it is a guest page again."""
    m = private_world(nodes=2)
    m.do("allocate", H0, 0)
    _, old = host_entry(m)
    assert m.do("migrate", H0, 0, slot=1) == "OK"
    assert host_entry(m)[1] != old
    assert m.do("host_access", H0, 0) == "SIGBUS"
    assert m.do("access", V0, 0) == "OK"
    explained(m)


def test_guest_pages_are_not_swapped() -> None:
    """Reclaim passes over private pages, pinned or not, and takes shared ones."""
    m = private_world(2)
    m.do("access", V0, 0, write=True)
    m.do("allocate", H0, 1)
    m.do("access", V0, 2, write=True)
    m.do("swap_out", H0, 0, 3)
    assert (m.world["private_pages"], m.world["shared_pages"]) == (2, 0)
    assert m.do("access", V0, 0, 3) == "OK"
    assert int(m.actor(V0)["content_gen"]) == 1


def explained(m: Machine) -> None:
    """Every page is free, or its references and pins are those of its PTE and of its entry, exactly."""
    w = m.world
    frames, pages = w.arrays["frames"], w.arrays["pages"]
    refs, pins = np.zeros(len(pages), int), np.zeros(len(pages), int)
    private = shared = 0
    for c in w.arrays["consumers"]:
        if c["kind"]:
            refs[c["pfn"]], pins[c["pfn"]] = refs[c["pfn"]] + 1, pins[c["pfn"]] + 1
    for gfn, f in enumerate(frames):
        hpfn, guest = int(f["hpfn"]), bool(f["attr"])
        if f["hpte"] not in {HPTE_NONE, HPTE_SWAP}:
            refs[hpfn] += 1
            private, shared = private + guest, shared + (not guest)
            assert bool(pages["flags"][hpfn] & PG_GUEST) == guest
            assert bool(f["hpte"] & HPTE_GUEST) == guest
            assert not guest or f["hpte"] & HPTE_STATE == HPTE_PROTNONE
        entry = f["spte"][0]
        bits, pfn = int(entry["bits"]), int(entry["pfn"])
        assert bits in {0, SPTE_PRESENT, SPTE_ZAPPED}
        assert bits or pfn == 0
        if bits and pages["flags"][pfn] & PG_GUEST:
            refs[pfn], pins[pfn] = refs[pfn] + 1, pins[pfn] + 1
            assert guest
        else:
            assert bits != SPTE_ZAPPED
        if bits == SPTE_PRESENT:
            assert pfn == hpfn, f"gfn {gfn} maps page {pfn}, the mapping has {hpfn}"
    assert pages["refs"].tolist() == refs.tolist()
    assert pages["pins"].tolist() == pins.tolist()
    assert ((pages["state"] == PAGE_ANON) == (refs > 0)).all()
    assert w["free_pages"] == len(pages) - 1 - np.count_nonzero(refs)
    assert (w["private_pages"], w["shared_pages"]) == (private, shared)
    held = ("mmu_writer", "mmu_readers", "mmap_writer", "mmap_readers", "slots_lock", "inval_count", "mn_active")
    assert {name: w[name] for name in held} == dict.fromkeys(held, 0)
    assert not w.arrays["actors"]["srcu"].any()


OF_VCPU = ("access", "access", "access", "access", "kernel_access")
OF_HOST: tuple[str, ...] = (
    "convert",
    "convert",
    "punch",
    "allocate",
    "host_access",
    "host_pin",
    "host_unpin",
    "numa_zap",
    "migrate",
)
OF_HOST = (*OF_HOST, "swap_out", "reuse")


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_operations_leaves_every_page_explained(seed: int) -> None:
    """Seeded sequences of all operations: after each one the books balance, and after the end nothing is left."""
    random = np.random.default_rng(seed)
    m = machine(NAME, nodes=2, pages=40, slots=((0, 12), (12, 4)))
    for _ in range(150):
        program = str(random.choice(OF_VCPU + OF_HOST))
        actor = int(random.choice([V0, V1] if program in OF_VCPU else [H0, H1]))
        gfn = int(random.integers(16))
        count = int(random.integers(1, 17 - gfn))
        write, private, node = (bool(n) for n in random.integers(2, size=3))
        m.do(program, actor, gfn, count, write=write, private=private, slot=int(node))
        if random.random() < 0.05:
            m.do("slot_delete", H0, slot=0)
            explained(m)
            m.do("slot_create", H0, 0, 12, slot=0)
        explained(m)
    assert m.hits("access.fault.pin_page") > 0, "private entries were set"
    for host in (H0, H1):
        for _ in range(len(m.world.arrays["consumers"])):
            m.do("host_unpin", host, 0, 16)
    m.do("teardown", H0)
    everything_free(m)


def test_a_gfn_keeps_its_data_while_nothing_empties_it() -> None:
    """NUMA scans and memslot changes of a private gfn never lose what the guest wrote."""
    m = private_world(4)
    m.do("access", V0, 0, 4, write=True)
    for _ in range(3):
        m.do("numa_zap", H0, 0, 4)
        m.do("slot_delete", H0)
        m.do("slot_create", H0, 0, 16)
        m.do("numa_zap", H0, 0, 4)
        for gfn in range(4):
            assert m.do("access", V1, gfn) == "OK"
            assert (int(m.actor(V1)["content_gfn"]), int(m.actor(V1)["content_gen"])) == (gfn, 1)
    assert m.world["warns"] == 0


def test_every_program_of_the_design_is_told_from_the_missing() -> None:
    """A program is there, or a sentence says why not, never both."""
    design = ALL_DESIGNS[NAME]
    assert not design.programs.keys() & design.not_applicable.keys()
    assert replace(design).sizes == ("4K",)
