"""guest_memfd that the VMM maps: one backing, host faults, nested invalidation, NUMA policy."""

import random

import pytest
from file_worlds import account, content, file_of, guest_of, host_of, machine_of, turns_of
from small_worlds import H0, H1, V0, V1

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.designs.guest_memfd_mmap import DESIGN, MMAP_ONLY
from gmembench.core.errno import EBUSY, EINVAL, ENOMEM, EOPNOTSUPP, OK
from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAMS
from gmembench.core.world import HPTE_PROTNONE, HPTE_RW, PG_POISONED, REQUEST_TLB_FLUSH, Geometry


def test_it_is_a_design_with_a_reason_for_what_it_lacks() -> None:
    """It is found by its file; conversion and hardware with private memory are refused with a reason."""
    assert load_designs()["guest-memfd-mmap"] is DESIGN
    assert "kvm_main.c:2458-2464" in DESIGN.not_applicable["convert"]
    assert DESIGN.not_on.keys() >= {"tdx", "snp"}
    assert not set(DESIGN.programs) & set(DESIGN.not_applicable)
    assert set(DESIGN.programs) <= set(PROGRAMS)
    assert {"none"} <= set(load_hardware())


def test_guest_and_host_see_the_same_page() -> None:
    """The host's data is what the guest reads, and the other way round: one page a gfn, counted once.

    guest_memfd_test, item 17: 0xaa by the host, read and overwritten by the guest, read by the host.
    """
    m = machine_of(DESIGN)
    assert m.do("host_access", H0, 0, 8, write=True) == "OK"
    for gfn in range(8):
        assert m.do("access", V0, gfn) == "OK"
        assert content(m.world, V0) == ("data", gfn, 1)
    m.do("access", V1, 0, 8, write=True)
    for gfn in range(8):
        assert m.do("host_access", H1, gfn) == "OK"
        assert content(m.world, H1) == ("data", gfn, 2)
    assert file_of(m.world) == host_of(m.world) == guest_of(m.world)
    assert (m.world["private_pages_peak"], m.world["backing_pages_peak"], m.world["zeroed_pages"]) == (8, 8, 8)
    assert account(m.world) == []


def test_whoever_comes_first_allocates() -> None:
    """A guest's fault on an empty index reads zero, and so does the host's; the second finds the folio."""
    m = machine_of(DESIGN)
    m.do("access", V0, 3)
    m.do("host_access", H0, 3)
    m.do("host_access", H0, 5)
    m.do("access", V0, 5)
    assert content(m.world, H0) == content(m.world, V0) == ("zero", 0, 0)
    allocated = m.hits("access.gmem.alloc_folio"), m.hits("host_access.host.alloc_folio")
    assert allocated == (1, 1)
    assert account(m.world) == []


def test_a_page_that_was_only_allocated_is_cleared_by_the_first_who_gets_it() -> None:
    """fallocate() neither clears nor marks uptodate: junk of another process is never seen (A30)."""
    m = machine_of(DESIGN, pages=2)
    m.do("reuse", H0)
    m.do("reuse", H0)
    m.do("allocate", H0, 4, 2)
    assert m.world["zeroed_pages"] == 0
    m.do("host_access", H0, 4)
    assert content(m.world, H0) == ("zero", 0, 0)
    m.do("access", V0, 5)
    assert content(m.world, V0) == ("zero", 0, 0)
    assert m.world["zeroed_pages"] == 2


def test_a_punched_page_reads_zero_and_the_rest_stays() -> None:
    """guest_memfd_test, item 8: punch page 0; it reads 0, the rest keeps its pattern; it can be written again."""
    m = machine_of(DESIGN)
    m.do("host_access", H0, 0, 4, write=True)
    m.do("punch", H0, 0)
    assert m.world["private_pages"] == 3
    m.do("host_access", H0, 0)
    assert content(m.world, H0) == ("zero", 0, 0)
    for gfn in (1, 2, 3):
        m.do("host_access", H0, gfn)
        assert content(m.world, H0) == ("data", gfn, 1)
    m.do("host_access", H0, 0, write=True)
    m.do("access", V0, 0)
    assert content(m.world, V0) == ("data", 0, 2)
    assert account(m.world) == []


def test_an_access_behind_the_file_is_sigbus() -> None:
    """A mapping may be longer than the file: an access behind its end is SIGBUS, what comes before keeps its data.

    guest_memfd_test, item 9.
    """
    m = machine_of(DESIGN)
    m.world.header["cache_n"] = 4
    m.do("host_access", H0, 0, 4, write=True)
    assert m.do("host_access", H0, 4) == "SIGBUS"
    assert m.do("host_access", H0, 3, 2, write=True) == "SIGBUS"
    m.do("host_access", H0, 3)
    assert content(m.world, H0) == ("data", 3, 2)
    assert (m.world["private_pages"], m.world["mmap_readers"]) == (4, 0)


def test_without_init_shared_the_vmm_may_map_but_not_touch() -> None:
    """guest_memfd_test, item 7: writing and reading are SIGBUS; the guest uses the file all the same."""
    m = machine_of(MMAP_ONLY)
    assert [m.do("host_access", H0, 0, write=w) for w in (True, False)] == ["SIGBUS", "SIGBUS"]
    assert m.do("access", V0, 0, write=True) == "OK"
    assert (host_of(m.world), m.world["private_pages"]) == ({}, 1)
    assert account(m.world) == []


def test_a_poisoned_page_is_sigbus_for_the_vmm() -> None:
    """The host's fault on a poisoned folio ends in SIGBUS, the guest's in EHWPOISON; no reference is left."""
    m = machine_of(DESIGN)
    m.do("allocate", H0, 2)
    m.world.arrays["pages"]["flags"][file_of(m.world)[2]] |= PG_POISONED
    assert m.do("host_access", H0, 2) == "SIGBUS"
    assert m.do("access", V0, 2) == "EHWPOISON"
    assert account(m.world) == []


def test_without_memory_the_vmm_gets_enomem() -> None:
    """A host fault that finds no page fails, lets everything go, and a page freed by a punch serves the next."""
    m = machine_of(DESIGN, pages=1)
    assert m.do("host_access", H0, 0, write=True) == "OK"
    assert m.do("host_access", H0, 1) == "ENOMEM"
    m.do("punch", H0, 0)
    assert m.do("host_access", H0, 1) == "OK"
    assert account(m.world) == []


def test_punching_a_mapped_folio_nests_an_invalidation() -> None:
    """Unmapping the folio from the host notifies KVM inside the punch's own invalidation: the count reaches 2."""
    t = turns_of(DESIGN)
    t.do(H0, "host_access", 2, write=True)
    t.do(V0, "access", 2)
    t.start(H1, "punch", 2)
    t.run(H1, "punch.unmap.mn.start.range_reset")
    assert (t.world["inval_count"], t.world["mn_active"]) == (2, 1)
    t.run(H1, "punch.unmap.clear_pte")
    assert (t.world["inval_count"], guest_of(t.world), len(host_of(t.world))) == (2, {}, 1)
    t.run(H1, "punch.unmap.flush_host_tlb")
    assert (t.world["inval_count"], t.world["inval_seq"], host_of(t.world)) == (1, 1, {})
    assert t.run(H1) == ""
    assert (t.world["inval_count"], t.world["inval_seq"], t.world["private_pages"]) == (0, 2, 0)
    assert account(t.world) == []


def test_a_folio_that_is_not_mapped_is_not_unmapped() -> None:
    """Only folios in a host page table cost a notification: two of four here."""
    m = machine_of(DESIGN)
    m.do("access", V0, 0, 4, write=True)
    m.do("host_access", H0, 1, 2)
    m.do("punch", H0, 0, 8)
    assert m.hits("punch.unmap.check_mapped") == 4
    assert m.hits("punch.unmap.mn.active_inc") == m.hits("punch.unmap.clear_pte") == 2
    assert m.hits("punch.unmap.flush_host_tlb") == 2
    assert m.world["inval_seq"] == 3
    assert account(m.world) == []


def test_a_host_thread_does_not_reach_a_punched_page() -> None:
    """The host's TLB is flushed before the folio leaves the file, also under a thread that just looked it up."""
    t = turns_of(DESIGN)
    t.do(H0, "host_access", 2, write=True)
    t.start(H0, "host_access", 2)
    t.run(H0, "host_access.host.use")
    t.do(H1, "punch", 2)
    assert t.run(H0) == ""
    assert content(t.world, H0) == ("zero", 0, 0)
    assert account(t.world) == []


def test_a_host_fault_waits_for_the_truncation_of_its_folio() -> None:
    """The folio lock keeps a host fault from mapping a folio that is leaving; then it allocates another one."""
    t = turns_of(DESIGN)
    t.do(V0, "access", 2, write=True)
    t.start(H1, "punch", 2)
    t.run(H1, "punch.remove_folio")
    t.start(H0, "host_access", 2)
    assert t.run(H0) == "host_access.host.lock_folio"
    t.run(H1)
    assert t.run(H0) == ""
    assert content(t.world, H0) == ("zero", 0, 0)
    assert account(t.world) == []


def test_a_truncation_waits_for_a_host_fault_and_finds_it_mapped() -> None:
    """The folio stays locked until its PTE is set: the punch unmaps it and the thread faults again."""
    t = turns_of(DESIGN)
    t.do(V0, "access", 2, write=True)
    t.start(H0, "host_access", 2)
    t.run(H0, "host_access.host.set_pte")
    t.start(H1, "punch", 2)
    assert t.run(H1) == "punch.lock_folio"
    t.run(H0, "host_access.host.walk")
    assert t.run(H1) == ""
    assert host_of(t.world) == {}
    assert t.run(H0) == ""
    assert content(t.world, H0) == ("zero", 0, 0)
    assert account(t.world) == []


def test_two_host_threads_fault_on_one_page() -> None:
    """The second finds the PTE set and gives its reference back."""
    t = turns_of(DESIGN)
    t.start(H0, "host_access", 2, write=True)
    t.run(H0, "host_access.host.check_size")
    t.do(H1, "host_access", 2, write=True)
    assert t.run(H0) == ""
    assert content(t.world, H0) == ("data", 2, 2)
    assert account(t.world) == []


def test_a_numa_scan_zaps_the_guest_and_the_migration_is_refused() -> None:
    """A mapping without a policy is scanned: the hva notifier zaps the guest, the hint is restored.

    The page of a guest_memfd file cannot move: the attempt ends at the mapping, after another notification.
    """
    m = machine_of(DESIGN, nodes=2)
    m.do("host_access", H0, 0, 4, write=True)
    m.do("access", V0, 0, 4)
    before = file_of(m.world)
    m.do("numa_zap", H0, 0, 4)
    assert guest_of(m.world) == {}
    assert m.world.arrays["frames"]["hpte"][:4].tolist() == [HPTE_PROTNONE] * 4
    m.do("access", V0, 0, 4)
    assert (file_of(m.world), guest_of(m.world)) == (before, before)
    m.do("host_access", H1, 0, 4)
    assert m.world.arrays["frames"]["hpte"][:4].tolist() == [HPTE_RW] * 4
    assert m.hits("host_access.host.mig.check_mapping") == 4
    assert m.hits("host_access.host.mig.freeze_refs", "host_access.host.mig.copy") == 0
    assert (file_of(m.world), guest_of(m.world), content(m.world, H1)) == (before, {}, ("data", 3, 1))
    assert account(m.world) == []


@pytest.mark.parametrize(("policy", "nodes"), [("default", [0, 0, 1, 1]), ("interleave", [0, 1, 0, 1])])
def test_pages_land_by_the_policy(policy: str, nodes: list[int]) -> None:
    """Without a policy the node of whoever touches first, else by index; allocated, by the guest or the host.

    guest_memfd_test, item 11.
    """
    m = machine_of(DESIGN, nodes=2, policy=policy)
    m.do("host_access", H0, 0, write=True)
    m.do("access", V0, 1)
    m.do("host_access", H1, 2)
    m.do("access", V1, 3)
    table = m.world.arrays["pages"]
    assert [int(table["node"][file_of(m.world)[i]]) for i in range(4)] == nodes


def test_pages_land_on_the_bound_node_and_stay_there_until_punched() -> None:
    """Every page is allocated on the bound node; one that is there already moves only by a punch."""
    m = machine_of(DESIGN, nodes=2, policy="bind:1")
    m.do("access", V0, 0, 2)
    m.world.header["policy_node"] = 0
    m.do("punch", H0, 1)
    m.do("host_access", H1, 0, 2)
    table = m.world.arrays["pages"]
    assert [int(table["node"][file_of(m.world)[i]]) for i in range(2)] == [1, 0]


def test_a_mapping_with_a_policy_is_not_scanned() -> None:
    """mbind() sets no MPOL_F_MOF, so NUMA balancing leaves the mapping alone."""
    m = machine_of(DESIGN, nodes=2, policy="bind:1")
    m.do("host_access", H0, 0, write=True)
    m.do("access", V0, 0)
    m.do("numa_zap", H0, 0, 8)
    assert guest_of(m.world) == file_of(m.world)
    assert m.world["inval_seq"] == 0


@pytest.mark.parametrize("policy", ["", "bind", "bind:2", "bind:x", "interleave:1", "local"])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    """A policy that is none, or names a node that is not there, is refused with what may be chosen."""
    with pytest.raises(UserError, match="choose default, interleave, or bind:0 to bind:1"):
        Geometry(gfns=8, nodes=2, policy=policy)


def test_a_created_memslot_takes_every_page_from_the_file() -> None:
    """KVM marks the memslot of a file that can be mapped: it stays so when it is deleted and created."""
    m = machine_of(DESIGN)
    m.do("host_access", H0, 0, write=True)
    assert m.do("slot_delete", H0) == "OK"
    assert m.do("slot_create", H0, 0, 8) == "OK"
    active = m.world.arrays["slots"][m.world.arrays["slots"]["active"] == 1]
    assert active["gmem_only"].tolist() == [1]
    m.do("access", V0, 0)
    assert content(m.world, V0) == ("data", 0, 1)
    assert account(m.world) == []


def test_teardown_frees_everything() -> None:
    """Mapped, allocated and hinted pages are all free at the end; every page was freed once."""
    m = machine_of(DESIGN, nodes=2)
    m.do("host_access", H0, 0, 4, write=True)
    m.do("access", V0, 2, 5)
    m.do("allocate", H0, 7)
    m.do("numa_zap", H0, 0, 2)
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
    assert (m.world["private_pages"], m.world["tables"]) == (0, 0)
    assert account(m.world) == []


class Expected:
    """What the pages of a gfn must hold, told by the test alone."""

    def __init__(self, gfns: int) -> None:
        self.data = dict.fromkeys(range(gfns), 0)
        self.writes = dict.fromkeys(range(gfns), 0)

    def write(self, gfn: int) -> None:
        """The next generation of data."""
        self.writes[gfn] += 1
        self.data[gfn] = self.writes[gfn]

    def reads(self, gfn: int) -> tuple[str, int, int]:
        """What a read must give."""
        return ("data", gfn, self.data[gfn]) if self.data[gfn] else ("zero", 0, 0)


@pytest.mark.parametrize("seed", range(12))
def test_random_operations_keep_data_and_pages(seed: int) -> None:
    """Any sequence of operations leaves every page accounted for, and every read gives what was written last."""
    rng, m, expected = random.Random(seed), machine_of(DESIGN, nodes=2), Expected(8)
    for _ in range(120):
        gfn, write = rng.randrange(8), rng.random() < 0.5
        count = rng.randint(1, 8 - gfn)
        kind = rng.choice(["access", "access", "host_access", "host_access", "punch", "allocate", "numa_zap", "reuse"])
        if kind in ("access", "host_access"):
            who = rng.choice([V0, V1] if kind == "access" else [H0, H1])
            if write:
                expected.write(gfn)
            assert m.do(kind, who, gfn, write=write) == "OK"
            assert content(m.world, who) == expected.reads(gfn)
        else:
            m.do(kind, H0, gfn, 1 if kind == "reuse" else count)
        if kind == "punch":
            expected.data |= dict.fromkeys(range(gfn, gfn + count), 0)
        assert account(m.world) == []
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1


@pytest.mark.parametrize("seed", range(12))
def test_random_turns_end_in_a_world_without_faults(seed: int) -> None:
    """Four actors whose rows interleave at random: all come to an end, and every page is accounted for."""
    rng, t = random.Random(seed), turns_of(DESIGN, nodes=2, gfns=4, pages=32)
    for _ in range(2500):
        number = rng.randrange(4)
        if t.row(number) == "":
            kinds = (
                ["access", "prefault", "kernel_access"]
                if number < 2
                else ["host_access", "host_access", "punch", "numa_zap", "migrate", "host_pin", "host_unpin"]
            )
            gfn = rng.randrange(4)
            t.start(number, rng.choice(kinds), gfn, rng.randint(1, 4 - gfn), write=rng.random() < 0.5)
        t.step(number)
    for _ in range(4000):
        for number in range(4):
            if t.row(number) != "":
                t.step(number)
    assert [t.row(number) for number in range(4)] == [""] * 4
    assert set(t.world.arrays["actors"]["result"].tolist()) <= {OK, EOPNOTSUPP, EBUSY, EINVAL, ENOMEM}
    for number in (H0, H1):
        while t.do(number, "host_unpin", 0, 4) == OK:
            pass
    if not any(v["requests"] & REQUEST_TLB_FLUSH for v in t.world.arrays["actors"][:2]):
        assert guest_of(t.world).items() <= file_of(t.world).items()
    assert account(t.world) == []


def test_a_pin_and_kvm_itself_reach_the_file_through_the_mapping() -> None:
    """A device's pin and KVM's own access fault the file in like the VMM; the pin holds the page over a punch."""
    m = machine_of(DESIGN)
    assert m.do("kernel_access", V0, 1, write=True) == "OK"
    assert m.do("host_pin", H0, 1, 2) == "OK"
    assert file_of(m.world) == host_of(m.world)
    assert content(m.world, V0) == ("data", 1, 1)
    assert account(m.world) == []
    pinned = file_of(m.world)[2]
    m.do("punch", H1, 2)
    assert (m.world["private_pages"], m.world.arrays["pages"]["refs"][pinned]) == (1, 1)
    m.do("host_unpin", H0, 1, 2)
    assert account(m.world) == []


def test_a_pin_behind_the_file_is_efault() -> None:
    """No signal reaches a system call: pinning and KVM's access behind the end of the file fail with EFAULT."""
    m = machine_of(DESIGN)
    m.world.header["cache_n"] = 4
    assert m.do("host_pin", H0, 4) == "EFAULT"
    assert m.do("kernel_access", V0, 4) == "EFAULT"
    assert m.world["mmap_readers"] == 0


def test_pages_of_the_file_do_not_move_on_request() -> None:
    """move_pages() unmaps the page, finds that the file may not be read by the host, and maps it again."""
    m = machine_of(DESIGN, nodes=2)
    m.do("host_access", H0, 0, 2, write=True)
    m.do("access", V0, 0, 2)
    before = file_of(m.world)
    assert m.do("migrate", H0, 0, 2, slot=1) == "EOPNOTSUPP"
    assert (file_of(m.world), host_of(m.world), guest_of(m.world)) == (before, before, {})
    assert account(m.world) == []
