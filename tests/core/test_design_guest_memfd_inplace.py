"""guest_memfd with in-place conversion: the file's attributes, reference checks, data kept across conversions."""

import random
from dataclasses import replace
from typing import Any

import pytest
from file_worlds import account, content, file_of, guest_of, host_of, machine_of, turns_of
from small_worlds import H0, H1, V0, V1, Machine

from gmembench.core.catalog import load_designs
from gmembench.core.designs.guest_memfd_inplace import DESIGN, INIT_SHARED
from gmembench.core.errno import EAGAIN, EBUSY, EFAULT, EHWPOISON, EINVAL, ENOMEM, EOPNOTSUPP, OK, SIGBUS
from gmembench.core.hardware.none import HARDWARE
from gmembench.core.programs import Design, Program, assemble, row
from gmembench.core.world import ATTR_PRIVATE, PG_LRU_BATCH, PG_UPTODATE

ZERO = ("zero", 0, 0)


def attributes(m: Any) -> list[int]:
    """The attribute of every gfn."""
    return [int(a) & ATTR_PRIVATE for a in m.world.arrays["frames"]["attr"]]


def host(m: Machine, gfn: int, *, write: bool = False) -> tuple[str, int, int] | str:
    """What the VMM reads at a gfn (or overwrites it with), or the result if it gets nothing."""
    result = m.do("host_access", H0, gfn, write=write)
    return content(m.world, H0) if result == "OK" else result


def guest(m: Machine, gfn: int, *, write: bool = False) -> tuple[str, int, int] | str:
    """What the guest reads at a gfn (or overwrites it with), or the result."""
    result = m.do("access", V0, gfn, write=write)
    return content(m.world, V0) if result == "OK" else result


def data(gfn: int, generation: int) -> tuple[str, int, int]:
    """Data of a gfn."""
    return ("data", gfn, generation)


def test_it_is_a_design_with_a_reason_for_what_it_lacks() -> None:
    """It is found by its file; each program is there or not applicable with a reason."""
    assert load_designs()["guest-memfd-inplace"] is DESIGN
    assert not set(DESIGN.programs) & set(DESIGN.not_applicable)
    assert (DESIGN.one_copy, DESIGN.init_private, INIT_SHARED.init_private) == (True, True, False)


def test_init_private_keeps_data_through_conversions() -> None:
    """guest_memfd_conversions_test, item 1: private, to shared with the data kept, and back to private."""
    m = machine_of(DESIGN)
    assert (host(m, 0, write=True), guest(m, 0), guest(m, 0, write=True)) == ("SIGBUS", ZERO, data(0, 1))
    assert host(m, 0) == "SIGBUS"
    assert m.do("convert", H0, 0) == "OK"
    assert (host(m, 0), host(m, 0, write=True)) == (data(0, 1), data(0, 2))
    assert (guest(m, 0), guest(m, 0, write=True), host(m, 0)) == (data(0, 2), data(0, 3), data(0, 3))
    assert m.do("convert", H0, 0, private=True) == "OK"
    assert (host(m, 0), guest(m, 0), host(m, 0, write=True)) == ("SIGBUS", data(0, 3), "SIGBUS")
    assert (m.world["private_pages"], m.world["zeroed_pages"]) == (1, 1)
    assert account(m.world) == []


def test_init_shared_keeps_data_through_conversions() -> None:
    """guest_memfd_conversions_test, item 2: shared, to private with the data kept, and back to shared."""
    m = machine_of(INIT_SHARED)
    assert (host(m, 0), host(m, 0, write=True), guest(m, 0)) == (ZERO, data(0, 1), data(0, 1))
    guest(m, 0, write=True)
    m.do("convert", H0, 0, private=True)
    assert (host(m, 0), guest(m, 0), guest(m, 0, write=True)) == ("SIGBUS", data(0, 2), data(0, 3))
    m.do("convert", H0, 0)
    assert (host(m, 0), host(m, 0, write=True), guest(m, 0)) == (data(0, 3), data(0, 4), data(0, 4))
    assert account(m.world) == []


@pytest.mark.parametrize("converted", range(4))
def test_converting_one_page_leaves_the_others(converted: int) -> None:
    """guest_memfd_conversions_test, item 3: indexing; the other three pages stay shared with their data."""
    m = machine_of(INIT_SHARED, gfns=4)
    for gfn in range(4):
        host(m, gfn, write=True)
    assert m.do("convert", H0, converted, private=True) == "OK"
    assert attributes(m) == [int(gfn == converted) for gfn in range(4)]
    for gfn in range(4):
        assert host(m, gfn) == ("SIGBUS" if gfn == converted else data(gfn, 1))
        assert guest(m, gfn) == data(gfn, 1)
    assert account(m.world) == []


@pytest.mark.parametrize("design", [DESIGN, INIT_SHARED], ids=lambda d: d.name)
def test_a_conversion_before_any_allocation_is_remembered(design: Design) -> None:
    """guest_memfd_conversions_test, item 4: attributes exist where there is no page; the page reads 0."""
    m = machine_of(design)
    m.do("convert", H0, 2, private=not design.init_private)
    assert m.world["private_pages"] == 0
    assert host(m, 2) == (ZERO if design.init_private else "SIGBUS")
    assert guest(m, 2) == ZERO
    assert account(m.world) == []


@pytest.mark.parametrize("present", [(0,), (3,), (7,), (0, 1), (2, 5)])
def test_a_range_with_few_pages_converts_whole(present: tuple[int, ...]) -> None:
    """guest_memfd_conversions_test, item 5: one or two of eight pages present; they keep data, the rest reads 0."""
    m = machine_of(INIT_SHARED)
    for gfn in present:
        host(m, gfn, write=True)
    assert m.do("convert", H0, 0, 8, private=True) == "OK"
    for gfn in range(8):
        assert (host(m, gfn), guest(m, gfn)) == ("SIGBUS", data(gfn, 1) if gfn in present else ZERO)
    for gfn in range(8):
        assert m.do("convert", H0, gfn) == "OK"
        assert host(m, gfn) == (data(gfn, 1) if gfn in present else ZERO)
    assert account(m.world) == []


@pytest.mark.parametrize("private", [False, True])
def test_a_punch_keeps_the_attribute(private: bool) -> None:
    """guest_memfd_conversions_test, item 6: after a punch the status is as before and the data is 0."""
    m = machine_of(replace(DESIGN, init_private=private))
    guest(m, 3, write=True)
    if not private:
        host(m, 3)
    assert m.do("punch", H0, 3) == "OK"
    assert (m.world["private_pages"], attributes(m)[3]) == (0, int(private))
    assert host(m, 3) == ("SIGBUS" if private else ZERO)
    assert guest(m, 3) == ZERO
    assert account(m.world) == []


def test_both_processes_that_map_the_page_lose_it() -> None:
    """guest_memfd_conversions_test, item 7: two threads used the page while it was shared; both get SIGBUS after."""
    m = machine_of(INIT_SHARED)
    assert [m.do("host_access", h, 1, write=True) for h in (H0, H1)] == ["OK", "OK"]
    assert m.do("convert", H0, 1, private=True) == "OK"
    assert [m.do("host_access", h, 1) for h in (H0, H1)] == ["SIGBUS", "SIGBUS"]
    assert account(m.world) == []


@pytest.mark.parametrize(("pinned", "count"), [(2, 1), (5, 1), (2, 4), (0, 8)])
def test_a_pinned_page_refuses_the_conversion_and_names_its_offset(pinned: int, count: int) -> None:
    """A pin holds a reference: EAGAIN with the offset of the first such page, and nothing is half converted (A26)."""
    m = machine_of(INIT_SHARED)
    for gfn in range(8):
        host(m, gfn, write=True)
    assert m.do("host_pin", H1, pinned, count) == "OK"
    assert m.do("convert", H0, 0, 8, private=True) == "EAGAIN"
    assert m.actor(H0)["done"] == pinned
    assert attributes(m) == [0] * 8
    assert m.world["inval_count"] == 0
    assert host(m, pinned, write=True) == data(pinned, 2)
    assert m.do("host_unpin", H1, pinned, count) == "OK"
    assert m.do("convert", H0, 0, 8, private=True) == "OK"
    assert attributes(m) == [1] * 8
    assert guest(m, pinned) == data(pinned, 2)
    assert account(m.world) == []


def test_a_pin_outside_the_range_does_not_matter() -> None:
    """Only folios of the range are looked at."""
    m = machine_of(INIT_SHARED)
    m.do("host_pin", H1, 4)
    assert m.do("convert", H0, 0, 4, private=True) == "OK"
    assert m.do("convert", H0, 3, 2, private=True) == "EAGAIN"
    assert m.actor(H0)["done"] == 4


def test_a_pin_of_a_private_page_is_refused() -> None:
    """The VMM has no way to a private page: pinning it and KVM's own access fail with EFAULT."""
    m = machine_of(DESIGN)
    guest(m, 1, write=True)
    assert m.do("host_pin", H0, 1) == "EFAULT"
    assert m.do("kernel_access", V1, 1) == "EFAULT"
    assert (m.world["mmap_readers"], m.world.arrays["files"][0]["inval_readers"]) == (0, 0)
    assert account(m.world) == []


def test_a_fresh_folio_in_a_batch_is_drained_once() -> None:
    """A folio's reference in a per-CPU LRU batch is no user: the conversion drains it and goes on (A27)."""
    m = machine_of(INIT_SHARED)
    for gfn in range(4):
        host(m, gfn, write=True)
    flags = m.world.arrays["pages"]["flags"]
    assert all(flags[pfn] & PG_LRU_BATCH for pfn in file_of(m.world).values())
    assert m.do("convert", H0, 0, 4, private=True) == "OK"
    assert (m.hits("convert.drain_lru"), m.hits("convert.eagain")) == (1, 0)
    assert not any(flags[pfn] & PG_LRU_BATCH for pfn in file_of(m.world).values())
    m.do("convert", H0, 0, 4)
    m.do("convert", H0, 0, 4, private=True)
    assert m.hits("convert.drain_lru") == 1
    assert account(m.world) == []


def test_without_the_drain_a_fresh_folio_never_converts() -> None:
    """Control: leave the drain out, and every attempt is refused because of a reference that nobody drops."""
    convert = DESIGN.programs["convert"].redirected("convert.check_refs", "busy", "X_eagain")
    m = machine_of(replace(INIT_SHARED, programs={**INIT_SHARED.programs, "convert": convert}))
    host(m, 0, write=True)
    assert [m.do("convert", H0, 0, private=True) for _ in range(3)] == ["EAGAIN"] * 3


CONVERT = DESIGN.programs["convert"]
UNCHECKED = {
    "left out": CONVERT.without("convert.check_refs"),
    "before the unmap": CONVERT.moved("convert.check_refs", before="convert.unmap.mn.active_inc"),
}


@pytest.mark.parametrize("convert", UNCHECKED.values(), ids=UNCHECKED)
def test_without_the_check_in_its_place_a_pin_reaches_private_memory(convert: Program) -> None:
    """Control: check_refs left out, or moved before the unmap: the pinned page becomes private (A26)."""
    m = machine_of(replace(INIT_SHARED, programs={**INIT_SHARED.programs, "convert": convert}))
    m.do("host_pin", H1, 0)
    assert m.do("convert", H0, 0, private=True) == "OK"
    assert m.world.arrays["pages"]["pins"][file_of(m.world)[0]] == 1
    assert attributes(m)[0] == 1


def test_a_conversion_to_what_it_is_already_does_nothing() -> None:
    """The no-op test comes first: nothing is unmapped, nothing invalidated."""
    m = machine_of(INIT_SHARED)
    host(m, 0, write=True)
    assert m.do("convert", H0, 0, 4) == "OK"
    assert (m.world["inval_seq"], len(host_of(m.world))) == (0, 1)


def test_a_conversion_to_private_costs_two_invalidations_and_to_shared_one() -> None:
    """To private the host's mapping goes first, with a notification of its own; to shared there is none."""
    m = machine_of(INIT_SHARED)
    host(m, 0, write=True)
    m.do("convert", H0, 0, 2, private=True)
    assert m.world["inval_seq"] == 2
    m.do("convert", H0, 0, 2)
    assert m.world["inval_seq"] == 3
    assert m.hits("convert.unmap.clear_pte") == 2
    assert m.hits("convert.unmap.flush_host_tlb") == 1


def test_a_host_fault_in_flight_refuses_the_conversion() -> None:
    """The fault let the invalidate_lock go but holds a reference: EAGAIN at its page, and none when it is done."""
    t = turns_of(INIT_SHARED)
    t.start(H0, "host_access", 2, write=True)
    t.run(H0, "host_access.host.set_pte")
    assert t.do(H1, "convert", 0, 4, private=True) == EAGAIN
    assert t.world.arrays["actors"]["done"][H1] == 2
    t.run(H0)
    assert content(t.world, H0) == data(2, 1)
    assert t.do(H1, "convert", 0, 4, private=True) == OK
    assert account(t.world) == []


def test_a_host_fault_waits_while_attributes_change() -> None:
    """A conversion holds the invalidate_lock: the fault asks for the attribute after it, and gets SIGBUS."""
    t = turns_of(INIT_SHARED)
    t.start(H1, "convert", 2, private=True)
    t.run(H1, "convert.store_attr")
    t.start(H0, "host_access", 2)
    assert t.run(H0) == "host_access.host.lock_inval"
    t.run(H1)
    assert t.run(H0) == ""
    assert t.world.arrays["actors"]["result"][H0] == SIGBUS
    assert account(t.world) == []


def test_the_guests_fault_keeps_no_reference_and_the_sequence_protects_it() -> None:
    """A fault that has its pfn meets a punch: the page is gone, the fault retries and gets another, cleared one."""
    t = turns_of(DESIGN)
    t.do(V0, "access", 2, write=True)
    t.do(H1, "numa_zap", 0, 8)
    t.start(V1, "prefault", 2)
    t.run(V1, "prefault.fault.lock_mmu")
    pfn = file_of(t.world)[2]
    assert (t.world.arrays["pages"]["refs"][pfn], t.world.arrays["pages"]["flags"][pfn] & PG_LRU_BATCH) == (
        2,
        PG_LRU_BATCH,
    )
    t.do(H0, "punch", 2)
    assert t.world["private_pages"] == 0
    assert t.run(V1) == ""
    assert file_of(t.world)[2] == guest_of(t.world)[2]
    assert t.world.arrays["actors"]["result"][V1] == OK
    assert account(t.world) == []


def test_a_fault_across_a_conversion_exits() -> None:
    """A fault that was private when it began, and whose gfn is shared at the retry, is a memory fault."""
    t = turns_of(DESIGN)
    t.start(V0, "access", 2, write=True)
    t.run(V0, "access.fault.snapshot_seq")
    t.do(H0, "convert", 2)
    assert t.run(V0) == ""
    assert t.world.arrays["actors"]["result"][V0] == EFAULT
    assert guest_of(t.world) == {}
    assert account(t.world) == []


def test_the_attribute_that_a_fault_read_is_protected_by_the_sequence() -> None:
    """A fault past its attribute check maps nothing when the gfn was converted before it took mmu_lock."""
    t = turns_of(DESIGN)
    t.start(V0, "prefault", 2)
    t.run(V0, "prefault.fault.lock_mmu")
    t.do(H0, "convert", 2)
    t.run(V0, "prefault.check_result")
    assert guest_of(t.world) == {}
    assert t.run(V0) == ""
    assert guest_of(t.world) == file_of(t.world)
    assert account(t.world) == []


def test_a_conversion_waits_for_the_folio_in_a_guests_fault() -> None:
    """The fault holds the invalidate_lock shared until it has its pfn: the conversion waits, then refuses nothing."""
    t = turns_of(INIT_SHARED)
    t.start(V0, "access", 2, write=True)
    t.run(V0, "access.gmem.unlock_folio")
    t.start(H0, "convert", 2, private=True)
    assert t.run(H0) == "convert.lock_inval"
    t.run(V0, "access.fault.lock_mmu")
    assert t.run(H0) == ""
    assert t.world.arrays["actors"]["result"][H0] == OK
    assert account(t.world) == []


def test_the_hardware_takes_every_present_folio_back_before_the_attribute_changes() -> None:
    """The hook make_shared runs once for each folio of the range, with its pfn, and not on the way to private."""
    asked = replace(HARDWARE, hooks={"make_shared": (row("ask", step="mn.invalidate_gpc"),)})
    t = turns_of(DESIGN, asked)
    t.do(V0, "access", 1, 3, write=True)
    t.start(H0, "convert", 0, 8)
    seen = []
    while t.run(H0, "convert.ask") != "":
        a = t.world.arrays["actors"][H0]
        assert attributes(t) == [1] * 8
        assert (t.world["inval_count"], guest_of(t.world)) == (1, {})
        seen.append((int(a["index"]), int(a["pfn"])))
        t.step(H0)
    assert dict(seen) == file_of(t.world)
    t.start(H0, "convert", 0, 8, private=True)
    assert t.run(H0, "convert.ask") == ""


def test_only_private_indexes_are_given_to_the_guest_by_the_hardware() -> None:
    """The hook assign is passed for a shared index, and runs under the folio lock for a private one."""
    asked = replace(HARDWARE, hooks={"assign": (row("ask", {"nomem": "@fail"}, step="bind.store"),)})
    names = [item.name for item in assemble(DESIGN, asked).info]
    assert names.index("access.gmem.check_index") + 1 == names.index("access.hw.ask")
    t = turns_of(INIT_SHARED, asked)
    t.start(V0, "access", 2)
    assert t.run(V0, "access.hw.ask") == ""


def test_a_hole_punched_in_a_batch_frees_the_page() -> None:
    """Whoever truncates drains the batch before the folio is let go: nothing stays behind."""
    m = machine_of(DESIGN)
    m.do("access", V0, 0, 8, write=True)
    m.do("allocate", H0, 0, 8)
    m.do("punch", H0, 0, 8)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
    assert account(m.world) == []


def test_regions_are_marked_mixed_as_attributes_say() -> None:
    """After every conversion a region is mixed exactly if its gfns differ: 2M regions of 2 gfns, 1G ones of 4."""
    m = machine_of(DESIGN)
    flags = m.world.arrays["regions"]["mixed"]
    m.do("convert", H0, 1)
    assert flags[:6].tolist() == [1, 0, 0, 0, 1, 0]
    m.do("convert", H0, 0)
    assert flags[:6].tolist() == [0, 0, 0, 0, 1, 0]
    m.do("convert", H0, 2, 2)
    assert flags[:6].tolist() == [0, 0, 0, 0, 0, 0]


def test_a_poisoned_page_leaves_the_host_and_stays_in_the_file() -> None:
    """The host's entry goes, the guest's too; both learn of it at the next fault; a punch gets rid of it."""
    m = machine_of(INIT_SHARED)
    host(m, 2, write=True)
    guest(m, 2)
    m.do("poison", H1, 2, private=True)
    assert (host_of(m.world), guest_of(m.world), len(file_of(m.world))) == ({}, {}, 1)
    assert (host(m, 2), guest(m, 2)) == ("SIGBUS", "EHWPOISON")
    assert m.do("punch", H0, 2) == "OK"
    assert m.world["private_pages"] == 0


def test_close_unmaps_the_file_and_frees_it() -> None:
    """munmap() and close(): no page is left, the guest's faults fail, and so does the VMM's access."""
    m = machine_of(INIT_SHARED)
    host(m, 0, write=True)
    m.do("access", V0, 0, 4)
    assert m.do("close", H0) == "OK"
    assert (m.world["private_pages"], host_of(m.world), guest_of(m.world)) == (0, {}, {})
    assert (guest(m, 0), host(m, 0)) == ("EFAULT", "SIGBUS")
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1


def test_khugepaged_leaves_the_file_alone() -> None:
    """MADV_COLLAPSE on the mapping is refused with EINVAL (guest_memfd_test, item 12; B16)."""
    m = machine_of(INIT_SHARED)
    m.do("host_access", H0, 0, 8, write=True)
    before = file_of(m.world)
    assert m.do("collapse", H1, 0, 8) == "EINVAL"
    assert file_of(m.world) == before


def test_teardown_frees_everything() -> None:
    """Private, shared, mapped and batched pages are all free at the end."""
    m = machine_of(DESIGN)
    m.do("convert", H0, 0, 4)
    m.do("host_access", H0, 0, 3, write=True)
    m.do("access", V0, 2, 5)
    m.do("host_pin", H1, 1)
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1
    assert (m.world["private_pages"], m.world["tables"]) == (0, 0)


@pytest.mark.parametrize("seed", range(12))
def test_random_operations_keep_data_and_attributes(seed: int) -> None:
    """Any sequence: attributes are those set last, data those written last, refusals exactly where a pin is."""
    rng, m = random.Random(seed), machine_of(DESIGN, gfns=6)
    private, written, pins = [True] * 6, [0] * 6, [0] * 6
    generations = [0] * 6
    for _ in range(150):
        gfn = rng.randrange(6)
        count = rng.randint(1, 6 - gfn)
        gfns = range(gfn, gfn + count)
        kind = rng.choice(["access", "host_access", "host_access", "convert", "convert", "punch", "host_pin", "unpin"])
        if kind in ("access", "host_access"):
            write, who = rng.random() < 0.5, V0 if kind == "access" else H0
            result = m.do(kind, who, gfn, write=write)
            assert result == ("SIGBUS" if kind == "host_access" and private[gfn] else "OK")
            if result == "OK":
                if write:
                    generations[gfn] += 1
                    written[gfn] = generations[gfn]
                assert content(m.world, who) == (data(gfn, written[gfn]) if written[gfn] else ZERO)
        elif kind == "convert":
            to_private = rng.random() < 0.5
            busy = [g for g in gfns if pins[g]]
            noop = all(private[g] == to_private for g in gfns)
            result = m.do("convert", H0, gfn, count, private=to_private)
            assert result == ("EAGAIN" if to_private and busy and not noop else "OK")
            if result == "EAGAIN":
                assert m.actor(H0)["done"] == busy[0]
            else:
                private = [to_private if g in gfns else private[g] for g in range(6)]
        elif kind == "punch" and not any(pins[g] for g in gfns):
            m.do("punch", H0, gfn, count)
            written = [0 if g in gfns else written[g] for g in range(6)]
        elif kind == "host_pin" and sum(pins) < 6:
            assert m.do("host_pin", H1, gfn) == ("EFAULT" if private[gfn] else "OK")
            pins[gfn] += int(not private[gfn])
        elif kind == "unpin":
            assert m.do("host_unpin", H1, gfn) == ("OK" if pins[gfn] else "EINVAL")
            pins[gfn] -= int(pins[gfn] > 0)
        assert attributes(m) == [int(p) for p in private]
        assert account(m.world) == []
    m.do("teardown", H0)
    assert m.world["free_pages"] == len(m.world.arrays["pages"]) - 1


@pytest.mark.parametrize("seed", range(12))
def test_random_turns_never_let_the_host_at_private_memory(seed: int) -> None:
    """Four actors whose rows interleave: no host entry, TLB entry in use, or pin ever names a private page."""
    rng, t = random.Random(seed), turns_of(replace(DESIGN, init_private=bool(seed % 2)), gfns=4, pages=32)
    turns = [rng.randrange(4) for _ in range(2500)] + [0, 1, 2, 3] * 1500
    for moment, number in enumerate(turns):
        if t.row(number) == "":
            if moment >= 2500:
                continue
            kinds = ["access", "prefault"] if number < 2 else ["host_access", "convert", "convert", "punch", "host_pin"]
            if number >= 2:
                kinds += ["host_unpin", "numa_zap", "allocate"]
            gfn = rng.randrange(4)
            flags = {"write": rng.random() < 0.5, "private": rng.random() < 0.5}
            t.start(number, rng.choice(kinds), gfn, rng.randint(1, 4 - gfn), **flags)
        t.step(number)
        private = attributes(t)
        assert not any(private[gfn] for gfn in host_of(t.world))
        pinned = {int(c["pfn"]) for c in t.world.arrays["consumers"] if c["kind"]}
        assert not any(private[i] and pfn in pinned for i, pfn in file_of(t.world).items())
    assert [t.row(number) for number in range(4)] == [""] * 4
    results = set(t.world.arrays["actors"]["result"].tolist())
    assert results <= {OK, EAGAIN, EFAULT, SIGBUS, EINVAL, EBUSY, ENOMEM, EOPNOTSUPP, EHWPOISON}
    for number in (H0, H1):
        while t.do(number, "host_unpin", 0, 4) == OK:
            pass
    assert account(t.world) == []


def test_uptodate_is_set_only_after_clearing() -> None:
    """A folio that fallocate() made is neither cleared nor uptodate until somebody gets it (A30)."""
    m = machine_of(DESIGN)
    m.do("allocate", H0, 0)
    assert m.world.arrays["pages"]["flags"][file_of(m.world)[0]] & PG_UPTODATE == 0
    m.do("access", V0, 0)
    assert m.world.arrays["pages"]["flags"][file_of(m.world)[0]] & PG_UPTODATE
