"""vma-encrypted: markers of one VMA in place of mappings, pages in the file, an overlay bit a gfn."""

from typing import Any

import numpy as np
import pytest
from small_worlds import ALL_DESIGNS, H0, H1, V0, V1, Machine, geometry, machine

from gmembench.core.catalog import load_hardware
from gmembench.core.judges import check_world
from gmembench.core.programs import Design, assemble
from gmembench.core.world import CONTENT_DATA, CONTENT_ZERO, HPTE_NONE, PAGE_FILE, PG_GUEST, SPTE_PRESENT

NAME = "vma-encrypted"


def on_tdx(design: Design) -> Machine:
    """A small world of a TD."""
    tdx = load_hardware()["tdx"]
    parts: dict[str, Any] = {"hardware": tdx.number, "separate_roots": tdx.separate_roots, "sept": tdx.sept}
    return Machine(assemble(design, tdx), geometry(NAME, **parts))


def private_world(count: int = 1) -> Machine:
    """A world whose first gfns are private and untouched."""
    m = machine(NAME)
    assert m.do("convert", H0, 0, count, private=True) == "OK"
    return m


def marked(m: Machine) -> list[int]:
    """Gfns whose page has its marker in the page table."""
    pfns = m.world.arrays["cache"]["pfn"]
    return [g for g, pfn in enumerate(pfns.tolist()) if pfn and m.world.arrays["pages"]["flags"][pfn] & PG_GUEST]


def balanced(m: Machine) -> None:
    """All invariants of a world at rest hold, no page is pinned but by devices, and all pages are free or backing."""
    w = m.world
    assert check_world(w) == []
    backing = w["private_pages"] + w["shared_pages"]
    assert w["free_pages"] == len(w.arrays["pages"]) - 1 - backing
    assert int((w.arrays["cache"]["pfn"] != 0).sum()) == w["private_pages"]
    held = ("mmu_writer", "mmu_readers", "mmap_writer", "mmap_readers", "slots_lock", "inval_count", "mn_active")
    assert {name: w[name] for name in held} == dict.fromkeys(held, 0)
    assert w.arrays["files"]["inval_readers"][0] == w.arrays["files"]["inval_writer"][0] == 0


def test_a_private_fault_sets_a_marker_and_pins_nothing() -> None:
    """EMPTY to MAPPED: one page of the file, with one reference, its marker set, nothing in the ordinary mapping."""
    m = private_world()
    assert m.do("access", V0, 0, write=True) == "OK"
    pfn = m.mapped(0)
    p = m.world.arrays["pages"][pfn]
    assert (int(p["state"]), int(p["refs"]), int(p["pins"]), int(p["lock"])) == (PAGE_FILE, 1, 0, 0)
    assert marked(m) == [0]
    assert m.world.arrays["frames"]["hpte"][0] == HPTE_NONE
    assert (m.world["private_pages"], m.world["shared_pages"]) == (1, 0)
    balanced(m)


def test_a_numa_scan_leaves_the_marker_and_the_next_fault_finds_the_page() -> None:
    """With one root the entry goes as collateral; the marker brings the same page, without the file's lock."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    pfn = m.mapped(0)
    m.do("numa_zap", H0, 0)
    assert (m.mapped(0), marked(m)) == (0, [0])
    assert m.do("access", V0, 0) == "OK"
    assert (m.mapped(0), int(m.actor(V0)["content_gen"])) == (pfn, 1)
    assert m.hits("access.enc.lock_inval") == 1, "only the first fault looked into the file"


def test_a_numa_scan_keeps_a_private_page_of_a_td() -> None:
    """On TDX the filter of the event keeps the mirror entry: nothing is removed, the data stay."""
    m = on_tdx(ALL_DESIGNS[NAME])
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    m.do("numa_zap", H0, 0)
    assert m.world.arrays["frames"]["spte"]["bits"][0, 1] == SPTE_PRESENT
    m.do("access", V1, 0)
    assert int(m.actor(V1)["content"]) == CONTENT_DATA


def test_mutant_without_the_event_check_loses_a_page_of_a_td() -> None:
    """A scan that zaps private entries too removes the page from the TD: the guest accepts zeros."""
    d = ALL_DESIGNS[NAME]
    m = on_tdx(d.edited("mutant", numa_zap=d.programs["numa_zap"].with_operand("mn.start.zap", kind=0)))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    m.do("numa_zap", H0, 0)
    m.do("access", V1, 0)
    assert int(m.actor(V1)["content"]) == CONTENT_ZERO


def test_the_host_meets_a_marker() -> None:
    """SIGBUS for the VMM, EFAULT for pins and KVM, touched or not; nothing is allocated by that."""
    m = private_world(2)
    m.do("access", V0, 0, write=True)
    for gfn in (0, 1):
        assert m.do("host_access", H0, gfn) == "SIGBUS"
        assert m.do("host_pin", H0, gfn) == "EFAULT"
        assert m.do("kernel_access", V1, gfn) == "EFAULT"
    assert (m.world["private_pages"], m.world["shared_pages"]) == (1, 0)
    balanced(m)


def test_conversion_moves_the_overlay_and_keeps_both_pages() -> None:
    """To shared the gfn is backed by ordinary memory, back to private by its old page, data and all."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    pfn = m.mapped(0)
    assert m.do("convert", H0, 0) == "OK"
    assert m.mapped(0) == 0
    assert m.do("access", V0, 0) == "OK"
    assert int(m.actor(V0)["content"]) == CONTENT_ZERO
    assert m.do("host_access", H0, 0) == "OK"
    assert m.world["double_backed_pages"] == 1
    assert m.do("convert", H0, 0, private=True) == "OK"
    assert m.do("access", V0, 0) == "OK"
    assert (m.mapped(0), int(m.actor(V0)["content_gen"])) == (pfn, 1)
    balanced(m)


def test_a_punch_takes_marker_entry_and_page() -> None:
    """After fallocate nothing of the page is left, and the next fault brings a zeroed one."""
    m = private_world()
    m.do("access", V0, 0, write=True)
    assert m.do("punch", H0, 0) == "OK"
    assert (m.mapped(0), marked(m), m.world["private_pages"]) == (0, [], 0)
    balanced(m)
    m.do("access", V0, 0)
    assert int(m.actor(V0)["content"]) == CONTENT_ZERO


def test_allocated_pages_get_their_marker_at_the_first_fault() -> None:
    """A page that fallocate made has no marker; the fault finds it in the file and sets one."""
    m = private_world(2)
    assert m.do("allocate", H0, 0, 2) == "OK"
    assert (marked(m), m.world["private_pages"]) == ([], 2)
    m.do("access", V0, 0)
    assert (marked(m), m.world["private_pages"]) == ([0], 2)


def test_without_memory_a_private_fault_leaves_no_lock() -> None:
    """ENOMEM of the file is the result, and every lock of the way is free again."""
    m = machine(NAME, pages=1)
    m.do("convert", H0, 0, 16, private=True)
    assert [m.do("access", V0, gfn) for gfn in (0, 1)] == ["OK", "ENOMEM"]
    assert m.actor(V0)["srcu"] == 0
    balanced(m)


OF_VCPU = ("access", "access", "access", "access", "kernel_access")
OF_HOST = ("convert", "convert", "punch", "allocate", "host_access", "host_pin", "host_unpin", "numa_zap", "migrate")
OF_HOST += ("swap_out", "reuse")


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_operations_leaves_a_balanced_world(seed: int) -> None:
    """Seeded sequences of all operations: after each one the invariants hold, after the end every page is free."""
    random = np.random.default_rng(seed)
    m = machine(NAME, nodes=2, slots=((0, 12), (12, 4)), consumers=64)
    for _ in range(60):
        program = str(random.choice(OF_VCPU + OF_HOST))
        actor = int(random.choice([V0, V1] if program in OF_VCPU else [H0, H1]))
        gfn = int(random.integers(16))
        count = int(random.integers(1, 17 - gfn))
        write, private, node = (bool(n) for n in random.integers(2, size=3))
        m.do(program, actor, gfn, count, write=write, private=private, slot=int(node))
        assert check_world(m.world) == []
        if random.random() < 0.05:
            m.do("slot_delete", H0, slot=0)
            m.do("slot_create", H0, 0, 12, slot=0)
    for host in (H0, H1):
        for _ in range(64):
            m.do("host_unpin", host, 0, 16)
    balanced(m)
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
    assert not m.world.arrays["pages"]["refs"].any()
