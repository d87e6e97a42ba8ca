"""The invalidation protocol, flushes, SRCU and unwinding: single phases of programs by hand, in any order.

The sequential driver runs every operation to its end. Here programs are cut: one operation runs the first
rows, another one goes on where it stopped, and between them other actors do what they want.
"""

from dataclasses import replace
from typing import Any

import consistency
import numpy as np
import pytest
from small_worlds import DESIGNS, H0, H1, V0, V1, Machine, code_of_programs, geometry, machine

from gmembench.core import blocks
from gmembench.core.drivers.sequential import Stuck
from gmembench.core.hardware.none import HARDWARE
from gmembench.core.programs import Program, assemble, row
from gmembench.core.world import (
    IN_GUEST,
    ORACLE_ZERO_PRIVATE,
    ORACLE_ZERO_SHARED,
    PG_POISONED,
    REQUEST_FREE_ROOTS,
    REQUEST_TLB_FLUSH,
)

PROGRAMS = DESIGNS["guest-memfd"].programs
NOTHING = "mn.invalidate_gpc"


def until(program: Program, name: str, called: str) -> Program:
    """The program, ended after one of its rows, started by another operation."""
    return replace(program.redirected(name, "next", "END"), name=called)


def onward(program: Program, name: str, called: str) -> Program:
    """The program from one of its rows on, started by another operation."""
    return Program(called, (row("go.on", {"next": name}, step=NOTHING), *program.rows))


def hand_made(*programs: Program, **changes: Any) -> Machine:
    """These programs on a small world with guest_memfd."""
    return Machine(code_of_programs(*programs), geometry("guest-memfd", **changes))


def invalidation(begin: str, end: str) -> tuple[Program, Program]:
    """An mmu_notifier's start as one operation and its end as another."""
    start = blocks.program(begin, blocks.notify_begin(), aside=blocks.beside_zap("mn.start"))
    return start, Program(end, blocks.notify_end())


def span(m: Machine) -> tuple[int, int]:
    """The range of the invalidations under way."""
    return m.world["inval_start"], m.world["inval_end"]


def test_the_range_is_a_union_until_the_count_is_zero() -> None:
    """A second invalidation widens the range, an end of either leaves it, and only a first one begins anew."""
    m = hand_made(*invalidation("numa_zap", "punch"))
    m.do("numa_zap", H0, 2, 3)
    m.do("numa_zap", H1, 9, 2)
    assert (m.world["inval_count"], span(m)) == (2, (2, 11))
    m.do("punch", H0, 2, 3)
    assert (m.world["inval_count"], span(m), m.world["inval_seq"]) == (1, (2, 11), 1)
    m.do("numa_zap", H0, 15, 1)
    assert (m.world["inval_count"], span(m)) == (2, (2, 16))
    m.do("punch", H0, 15, 1)
    m.do("punch", H1, 9, 2)
    assert (m.world["inval_count"], m.world["mn_active"], m.world["inval_seq"]) == (0, 0, 3)
    m.do("numa_zap", H0, 7, 1)
    assert span(m) == (7, 8)


def test_an_invalidation_counts_as_covering_everything_before_it_has_a_range() -> None:
    """Between the count and the first range every gfn's fault retries: nothing is known yet."""
    counted = Program("numa_zap", (row("inval.count_inc"), row("inval.range_reset")))
    check = Program("prefault", (row("fault.precheck_stale", {"stale": "END"}),))
    ranged = Program("punch", (row("inval.range_add"),))
    m = hand_made(counted, check, ranged)
    m.do("prefault", V0, 12)
    assert m.actor(V0)["stale"] == 0
    m.do("numa_zap", H0)
    m.do("prefault", V0, 12)
    assert m.actor(V0)["stale"] == 1
    m.actor(H0)["cursor"], m.actor(H0)["stop"], m.actor(V0)["stale"] = 4, 8, 0
    m.do("punch", H0)
    m.do("prefault", V0, 12)
    assert m.actor(V0)["stale"] == 0
    m.do("prefault", V0, 7)
    assert m.actor(V0)["stale"] == 1


@pytest.mark.parametrize(("gfn", "retries"), [(3, 0), (4, 1), (7, 1), (8, 0)])
def test_a_fault_retries_inside_the_range_only_while_it_is_invalidated(gfn: int, retries: int) -> None:
    """While an invalidation of gfns 4 to 7 is under way, faults in the range retry and others do not."""
    access = PROGRAMS["access"]
    prefault = replace(PROGRAMS["prefault"].redirected("prefault.check_result", "retry", "END"), name="prefault")
    m = hand_made(access, prefault, *invalidation("numa_zap", "punch"))
    m.do("numa_zap", H0, 4, 4)
    m.do("prefault", V0, gfn)
    assert m.actor(V0)["stale"] == retries
    assert (m.mapped(gfn) == 0) == bool(retries)


def test_a_snapshot_from_inside_the_window_is_stale_for_ever() -> None:
    """A fault that took its snapshot between start and end retries after the end too, by the sequence."""
    prefault = PROGRAMS["prefault"]
    first = until(prefault, "fault.snapshot_seq", "prefault")
    second = onward(prefault, "fault.check_attr", "access")
    m = hand_made(first, second, *invalidation("numa_zap", "punch"))
    m.do("numa_zap", H0, 4, 4)
    m.do("prefault", V0, 5)
    m.do("punch", H0, 4, 4)
    m.do("access", V0, 5)
    assert m.driver.taken[[i.name for i in m.code.info].index("access.fault.precheck_stale_1")].sum() == 1
    assert m.mapped(5) != 0


def test_the_sequence_also_protects_the_attribute() -> None:
    """A fault that read the old attribute before a conversion retries under mmu_lock and maps the other kind."""
    prefault = PROGRAMS["prefault"]
    first = until(prefault, "fault.precheck_stale_2", "access")
    second = onward(prefault, "fault.lock_mmu", "prefault")
    m = hand_made(first, second, PROGRAMS["convert"])
    m.do("access", V0, 5)
    m.do("convert", H0, 5, private=True)
    m.do("prefault", V0, 5)
    assert m.hits("prefault.check_result") == 2
    assert consistency.translations(m.world, 0) == {5: consistency.file_pages(m.world)[5]}


def test_a_fault_in_flight_refills_a_punched_hole() -> None:
    """A fault past its first test allocates in the hole that a conversion and a punch left, and the page stays.

    Neither the attribute nor the sequence is looked at between the first test and the allocation
    (guest_memfd.c:763-800); the fault retries afterwards and maps the shared page.
    """
    access = PROGRAMS["access"]
    first = until(access, "fault.precheck_stale_1", "prefault")
    m = hand_made(first, onward(access, "fault.choose_backing", "access"), PROGRAMS["convert"], PROGRAMS["punch"])
    m.do("convert", H0, 5, private=True)
    m.do("prefault", V0, 5, write=True)
    m.do("convert", H0, 5)
    m.do("punch", H0, 5)
    assert m.world["private_pages"] == 0
    assert m.do("access", V0, 5, write=True) == "OK"
    assert (m.world["private_pages"], m.world["double_backed_pages"]) == (1, 1)
    assert consistency.translations(m.world, 0) == {5: consistency.host_pages(m.world)[5]}
    assert consistency.faults(m.world) == []


def test_a_numa_scan_zaps_private_entries_without_separate_roots() -> None:
    """One root holds both kinds, so the filter is ignored (tdp_mmu.h:35); the private page itself stays."""
    m = machine("guest-memfd")
    m.do("convert", H0, 4, 2, private=True)
    m.do("access", V0, 4, 4, write=True)
    before = consistency.file_pages(m.world)
    m.do("numa_zap", H0, 4, 4)
    assert consistency.translations(m.world, 0) == {}
    assert consistency.file_pages(m.world) == before
    m.do("access", V0, 4)
    assert consistency.translations(m.world, 0) == {4: before[4]}
    assert [m.actor(V0)[name] for name in ("content", "content_gfn", "content_gen")] == [1, 4, 1]


@pytest.mark.parametrize(("program", "left"), [("numa_zap", 1), ("punch", 0)])
def test_with_separate_roots_a_zap_obeys_its_filter(program: str, left: int) -> None:
    """Hardware with separate roots keeps private entries under a NUMA scan and shared ones under a punch."""
    hardware = replace(HARDWARE, separate_roots=True)
    shape = geometry("guest-memfd", separate_roots=True)
    m = Machine(assemble(DESIGNS["guest-memfd"], hardware), shape)
    m.do("access", V0, 0)
    m.do("convert", H0, 1, private=True)
    m.do("access", V0, 1)
    m.do(program, H0, 0, 4)
    assert [len(consistency.translations(m.world, root)) for root in (0, 1)] == [1 - left, left]


def test_a_zap_that_yields_gives_up_mmu_lock_between_gfns() -> None:
    """With the driver's choice to yield, a zap of four gfns flushes and unlocks three times, and zaps as much."""
    m = machine("guest-memfd")
    m.do("access", V0, 0, 6)
    m.actor(H0)["yield_now"] = 1
    m.do("convert", H0, 0, 4, private=True)
    assert m.hits("convert.pre.zap") == 4
    assert m.hits("convert.pre.yield_unlock") == m.hits("convert.pre.yield_lock") == 3
    assert m.hits("convert.pre.count_inc") == 1
    assert consistency.translations(m.world, 0).keys() == {4, 5}
    assert consistency.faults(m.world) == []


def test_a_flush_is_a_request_that_the_next_entry_serves() -> None:
    """After a zap a vCPU is outside the guest with a request; its TLB is flushed when it enters, not before."""
    m = machine("guest-memfd")
    m.do("access", V0, 4, write=True)
    generation = int(m.actor(V0)["tlb_generation"])
    m.do("convert", H0, 4, private=True)
    assert (m.actor(V0)["mode"], m.actor(V0)["requests"], m.actor(V0)["kicked"]) == (0, REQUEST_TLB_FLUSH, 0)
    assert m.actor(V0)["tlb_generation"] == generation
    m.do("access", V0, 4)
    assert (m.actor(V0)["requests"], m.actor(V0)["tlb_generation"]) == (0, generation + 1)
    assert m.actor(V0)["content"] == 0


def test_only_vcpus_in_the_guest_are_kicked() -> None:
    """Every vCPU gets the request, but only one that runs the guest costs an IPI; without a zap there is neither."""
    m = machine("guest-memfd")
    m.do("convert", H0, 8, private=True)
    assert [int(m.actor(v)["requests"]) for v in (V0, V1)] == [0, 0]
    m.do("access", V0, 4)
    m.do("convert", H0, 4, private=True)
    assert m.world["ipis"] == 1
    assert [int(m.actor(v)["requests"]) for v in (V0, V1)] == [REQUEST_TLB_FLUSH, REQUEST_TLB_FLUSH]


def test_the_flush_waits_for_a_vcpu_that_stays_in_the_guest() -> None:
    """The wait ends when each kicked vCPU has left the guest, whoever was never there."""
    m = hand_made(Program("numa_zap", (row("flush.wait"),)), Program("access", (row("enter.set_outside"),)))
    m.actor(V0)["mode"], m.actor(V0)["kicked"] = IN_GUEST, 1
    m.do("numa_zap", H0)
    assert (m.actor(V0)["mode"], m.world["ipis"]) == (0, 1)


def test_a_request_between_service_and_entry_cancels_the_entry() -> None:
    """The second look at the requests, after the mode is published, sends the vCPU back before the guest runs."""
    access = PROGRAMS["access"]
    m = hand_made(until(access, "enter.service_requests", "prefault"), onward(access, "enter.load_root", "access"))
    m.do("prefault", V0, 4)
    m.actor(V0)["requests"] |= REQUEST_TLB_FLUSH
    generation = int(m.actor(V0)["tlb_generation"])
    assert m.do("access", V0, 4) == "OK"
    assert m.hits("access.cancel.set_outside") == 1
    assert m.actor(V0)["tlb_generation"] == generation + 1
    assert m.actor(V0)["srcu"] == 0


SRCU = (
    Program("access", (row("srcu.lock"),)),
    Program("prefault", (row("srcu.unlock"),)),
    Program("slot_create", (row("srcu.start_gp"),)),
    Program("slot_delete", (row("srcu.wait_gp"),)),
)
"""Enter and leave a read-side section, begin a grace period and wait for its end, as four operations."""


def test_a_grace_period_waits_for_the_readers_inside_at_its_start() -> None:
    """A reader that comes later is not waited for, and one that left and came back has left."""
    m = hand_made(*SRCU)
    m.do("access", V0)
    m.do("slot_create", H0)
    m.do("access", V1)
    with pytest.raises(Stuck, match=r"srcu\.wait_gp waits"):
        m.do("slot_delete", H0)
    m.do("prefault", V0)
    m.do("access", V0)
    m.do("slot_delete", H0)
    assert [int(m.actor(v)["srcu"]) for v in (V0, V1)] == [1, 1]
    assert m.world["gp_waiting"] == 0


def test_a_grace_period_waits_for_the_outermost_unlock() -> None:
    """A nested read-side section ends with its outer one."""
    m = hand_made(*SRCU)
    m.do("access", V0)
    m.do("access", V0)
    m.do("slot_create", H0)
    m.do("prefault", V0)
    with pytest.raises(Stuck):
        m.do("slot_delete", H0)
    m.do("prefault", V0)
    m.do("slot_delete", H0)
    assert m.world["gp_waiting"] == 0


def test_a_retry_of_an_access_leaves_srcu_and_one_of_a_prefault_does_not() -> None:
    """A normal retry goes back to the guest and drops SRCU; the prefault's loop keeps it (mmu.c:5063-5072)."""
    for name, locks in (("access", 1), ("prefault", 0)):
        program = PROGRAMS[name]
        first = until(program, "fault.snapshot_seq", "numa_zap")
        m = hand_made(first, onward(program, "fault.check_attr", name), PROGRAMS["convert"])
        m.do("numa_zap", V0, 5)
        m.do("convert", H0, 4, 4, private=True)
        m.do("convert", H0, 4, 4)
        m.driver.hits[:] = 0
        assert m.do(name, V0, 5) == "OK"
        again = [n for rows, n in m.rows_run().items() if rows.endswith("srcu_lock") and not rows.startswith("numa")]
        assert sum(again) == locks
        assert m.actor(V0)["srcu"] == 0


def test_a_prefault_of_an_invalid_memslot_answers_eagain() -> None:
    """While its memslot is being deleted a prefault gives up, so that the deletion need not wait for it (7.3)."""
    delete = PROGRAMS["slot_delete"]
    m = hand_made(until(delete, "slot.publish_invalid", "slot_delete"), PROGRAMS["prefault"])
    m.do("slot_delete", H0)
    assert m.do("prefault", V0, 5) == "EAGAIN"
    assert m.actor(V0)["srcu"] == 0


def test_a_memslot_waits_for_notifications_under_way() -> None:
    """Between start and end of a notification the set of memslots does not change."""
    m = hand_made(*invalidation("numa_zap", "punch"), PROGRAMS["slot_delete"])
    m.do("numa_zap", H0, 0, 4)
    with pytest.raises(Stuck, match=r"slot\.wait_mn_idle_1 waits"):
        m.do("slot_delete", H1)
    assert m.world["mn_active"] == 1


def test_deleting_a_memslot_of_the_default_vm_invalidates_the_root() -> None:
    """Every vCPU is asked to let go of its root, and loads the other one when it enters again."""
    m = machine("legacy-vma", slots=((0, 8), (8, 8)))
    m.do("access", V0, 1)
    m.do("access", V0, 9)
    m.do("slot_delete", H0, slot=1)
    assert (m.world["root"], m.world["root_valid_0"], m.world["root_valid_1"]) == (1, 0, 1)
    assert [int(m.actor(v)["requests"]) for v in (V0, V1)] == [REQUEST_FREE_ROOTS, REQUEST_FREE_ROOTS]
    assert not m.world.arrays["frames"]["spte"]["bits"].any()
    m.do("access", V0, 1)
    assert m.actor(V0)["root"] == 1


def test_a_root_is_zapped_below_only_when_no_writer_holds_mmu_lock() -> None:
    """The late zap of an invalid root takes mmu_lock for reading: a writer keeps it out."""
    m = hand_made(Program("slot_delete", (row("root.lock_read"),)))
    m.world.header["mmu_writer"] = 5
    with pytest.raises(Stuck):
        m.do("slot_delete", H0)
    assert m.world["mmu_readers"] == 0


def test_a_fault_on_an_invalid_root_retries() -> None:
    """A fault that loaded its root before a memslot was deleted sees under mmu_lock that the root is invalid."""
    legacy = DESIGNS["legacy-vma"]
    access = legacy.programs["access"]
    first, second = until(access, "fault.precheck_stale_1", "prefault"), onward(access, "gup.fast", "access")
    mutant = replace(
        legacy, programs={"prefault": first, "access": second, "slot_delete": legacy.programs["slot_delete"]}
    )
    m = Machine(assemble(mutant, HARDWARE), geometry("legacy-vma", slots=((0, 8), (8, 8))))
    m.do("prefault", V0, 1)
    m.do("prefault", V0, 1)
    srcu = int(m.actor(V0)["srcu"])
    m.actor(V0)["srcu"] = 0  # the fault holds SRCU: a deletion would wait for it, so let that test pass by
    m.do("slot_delete", H0, slot=1)
    m.actor(V0)["srcu"] = srcu
    m.do("access", V0, 1)
    row_number = [item.name for item in m.code.info].index("access.fault.recheck_root")
    assert m.driver.taken[row_number].sum() == 1
    assert consistency.translations(m.world, 1).keys() == {1}


def test_a_poisoned_page_is_not_handed_out() -> None:
    """The exit is EHWPOISON, and folio lock, reference, file and SRCU are given back on the way."""
    m = machine("guest-memfd")
    m.do("convert", H0, 5, private=True)
    m.do("allocate", H0, 5)
    pfn = consistency.file_pages(m.world)[5]
    m.world.arrays["pages"]["flags"][pfn] |= PG_POISONED
    assert m.do("access", V0, 5) == "EHWPOISON"
    assert consistency.faults(m.world) == []


def test_a_binding_of_another_memslot_is_an_io_error() -> None:
    """When the file is not bound to the memslot at the index, the exit is EIO and the file is let go."""
    m = machine("guest-memfd")
    m.do("convert", H0, 5, private=True)
    m.world.arrays["cache"]["slot"][5] = 0
    assert m.do("access", V0, 5) == "EIO"
    m.world.arrays["cache"]["slot"][5] = 1
    assert consistency.faults(m.world) == []


def test_a_dying_file_is_a_memory_fault() -> None:
    """After the last descriptor is closed private faults exit with EFAULT, and calls on it answer EBADF."""
    m = machine("guest-memfd")
    m.do("convert", H0, 5, private=True)
    m.world.arrays["files"]["life"] = 1
    assert m.do("access", V0, 5) == "EFAULT"
    assert m.do("punch", H0, 5) == "EBADF"
    assert m.do("allocate", H0, 5) == "EBADF"
    m.world.arrays["files"]["life"] = 0
    assert consistency.faults(m.world) == []


def test_a_truncated_folio_is_let_go_by_its_waiter() -> None:
    """Who waited for the lock of a folio that is truncated meanwhile looks it up again and takes the new one."""
    access = PROGRAMS["access"]
    first = until(access, "gmem.lock_folio", "prefault")
    programs = (first, onward(access, "gmem.recheck_mapping", "access"), PROGRAMS["convert"], PROGRAMS["allocate"])
    m = hand_made(*programs)
    m.do("convert", H0, 5, private=True)
    m.do("allocate", H0, 5)
    m.do("prefault", V0, 5)
    pfn = int(m.actor(V0)["pfn"])
    m.world.arrays["cache"]["pfn"][5] = 0  # the truncation: out of the file, the file's reference dropped
    m.world.arrays["pages"]["flags"][pfn] = 0
    m.world.arrays["pages"]["refs"][pfn] = 1
    m.do("access", V0, 5)
    row_number = [item.name for item in m.code.info].index("access.gmem.recheck_mapping")
    assert m.driver.taken[row_number].sum() == 1
    assert m.world.arrays["pages"]["lock"][pfn] == 0
    assert m.hits("access.gmem.alloc_folio") == 1


def test_a_punch_waits_for_a_locked_folio() -> None:
    """Truncation takes the folio lock that a fault holds while it clears the page (truncate.c:402-410)."""
    first = until(PROGRAMS["access"], "gmem.lock_folio", "prefault")
    m = hand_made(first, PROGRAMS["convert"], PROGRAMS["allocate"], PROGRAMS["punch"])
    m.do("convert", H0, 5, private=True)
    m.do("allocate", H0, 5)
    m.do("prefault", V0, 5)
    with pytest.raises(Stuck, match=r"punch\.lock_folio waits"):
        m.do("punch", H0, 5)
    assert m.world["private_pages"] == 1


def test_a_memslot_on_a_bound_range_is_unwound() -> None:
    """A range of the file that is bound already refuses the memslot, and nothing of it is left."""
    m = machine("guest-memfd", slots=((0, 8),))
    m.world.arrays["cache"]["slot"][9] = 1
    assert m.do("slot_create", H0, 8, 4, slot=1) == "EEXIST"
    m.world.arrays["cache"]["slot"][9] = 0
    assert consistency.faults(m.world) == []
    assert m.do("slot_create", H0, 8, 4, slot=1) == "OK"


def test_a_memslot_of_a_dying_file_is_refused() -> None:
    """A file descriptor that is closed already cannot be bound."""
    m = machine("guest-memfd", slots=((0, 8),))
    m.world.arrays["files"]["life"] = 1
    assert m.do("slot_create", H0, 8, 4, slot=1) == "EBADF"
    m.world.arrays["files"]["life"] = 0
    assert consistency.faults(m.world) == []


@pytest.mark.parametrize(("design", "zero"), [("legacy-vma", ORACLE_ZERO_SHARED), ("guest-memfd", ORACLE_ZERO_PRIVATE)])
def test_the_oracle_knows_what_a_punch_emptied(design: str, zero: int) -> None:
    """A completed punch is told to the oracle for each gfn, a write after it takes that back."""
    m = machine(design)
    if design == "guest-memfd":
        m.do("convert", H0, 0, 16, private=True)
    m.do("punch", H0, 4, 3)
    assert np.flatnonzero(m.world.arrays["frames"]["oracle"] & zero).tolist() == [4, 5, 6]
    m.do("access", V0, 5, write=True)
    assert np.flatnonzero(m.world.arrays["frames"]["oracle"] & zero).tolist() == [4, 6]
