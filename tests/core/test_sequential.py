"""The sequential driver: exact rows of tiny cases, its counters, and what it refuses."""

import numpy as np
import pytest
from small_worlds import H0, H1, V0, V1, machine, operation

from gmembench.core.drivers.sequential import Stuck
from gmembench.core.operations import OPERATION, PROGRAM_NUMBER
from gmembench.core.outcomes import CODE

ENTRY = (
    "run.resume",
    "run.srcu_lock",
    "enter.service_requests",
    "enter.load_root",
    "enter.set_in_guest",
    "enter.srcu_unlock",
    "enter.recheck_requests",
)
EXIT = ("exit.set_outside", "exit.srcu_lock", "exit.decode")
HEAD = (
    "fault.classify",
    "fault.lookup_slot",
    "fault.try_fast",
    "fault.topup_caches",
    "fault.snapshot_seq",
    "fault.check_slot",
    "fault.precheck_stale_1",
)
GUP = ("gup.fast", "gup.lock_mmap", "gup.find_vma", "gup.walk", "gup.walk", "gup.take_ref", "gup.unlock_mmap")
GUP_ALLOCATION = ("gup.alloc", "gup.zero", "gup.set_pte")
GMEM = (
    "fault.check_attr",
    "fault.choose_backing",
    "gmem.get_file",
    "gmem.check_file",
    "gmem.check_binding",
    "gmem.find_folio",
    "gmem.alloc_folio",
    "gmem.check_poison",
    "gmem.clear_page",
    "gmem.mark_uptodate",
    "gmem.unlock_folio",
    "gmem.put_file",
)
MAP = (
    "fault.precheck_stale_2",
    "fault.lock_mmu",
    "fault.recheck_root",
    "fault.recheck_stale",
    "fault.choose_level",
    *["fault.link_table"] * 4,
    "fault.set_spte",
    "fault.release_page",
    "fault.unlock_mmu",
)
AGAIN = (
    "enter.service_requests",
    "enter.load_root",
    "enter.set_in_guest",
    "enter.srcu_unlock",
    "enter.recheck_requests",
    "guest.translate",
    "guest.use",
)


def counted(program: str, *rows: str) -> dict[str, int]:
    """How often each of these rows occurs, by full name."""
    return {f"{program}.{name}": rows.count(name) for name in rows}


def test_the_first_fault_of_ordinary_memory_runs_exactly_these_rows() -> None:
    """Entry, fault, GUP with an allocation, three page tables, entry again, use: each row as often as written here."""
    m = machine("legacy-vma")
    m.do("access", V0, 5)
    expected = counted("access", *ENTRY, "guest.translate", *EXIT, *HEAD, *GUP, *GUP_ALLOCATION, *MAP, *AGAIN)
    assert m.rows_run() == expected


def test_the_first_private_fault_runs_exactly_these_rows() -> None:
    """The same with the file's rows in place of GUP, and the test of the attribute."""
    m = machine("guest-memfd")
    m.do("convert", H0, 5, private=True)
    m.driver.hits[:] = 0
    m.do("access", V0, 5)
    expected = counted("access", *ENTRY, "guest.translate", *EXIT, *HEAD, *GMEM, *MAP, *AGAIN)
    assert m.rows_run() == expected


def test_a_translation_in_the_tlb_costs_three_rows() -> None:
    """A vCPU that is in the guest and knows the translation only resumes, translates and uses."""
    m = machine("legacy-vma")
    m.do("access", V0, 5)
    m.driver.hits[:] = 0
    m.do("access", V0, 5)
    assert m.rows_run() == counted("access", "run.resume", "guest.translate", "guest.use")


def test_the_vmm_touches_a_page_that_it_knows_in_two_rows() -> None:
    """A host thread finds its own translation until somebody flushes it."""
    m = machine("guest-memfd")
    m.do("host_access", H0, 5, write=True)
    m.driver.hits[:] = 0
    m.do("host_access", H0, 5)
    assert m.rows_run() == counted("host_access", "host.lookup_tlb", "host.use")
    m.do("numa_zap", H1, 5)
    m.do("host_access", H0, 5)
    assert m.hits("host_access.host.fill_tlb") == 1


def test_a_conversion_of_mapped_gfns_runs_one_zap_and_one_store_a_gfn() -> None:
    """Converting three mapped gfns: three reservations, three zaps, three stores, one flush with its wait."""
    m = machine("guest-memfd")
    m.do("access", V0, 4, 3)
    m.driver.hits[:] = 0
    m.do("convert", H0, 4, 3, private=True)
    assert m.rows_run() == counted(
        "convert",
        "lock_slots",
        "check_noop",
        *["reserve"] * 3,
        "pre.find_slot",
        "pre.lock_mmu",
        "pre.count_inc",
        "pre.range_reset",
        "pre.range_add",
        *["pre.range_add_huge"] * 5,
        *["pre.zap"] * 3,
        "pre.flush_request",
        "pre.flush_kick",
        "pre.flush_wait",
        "pre.unlock_mmu",
        *["store_attr"] * 3,
        "post.find_slot",
        "post.lock_mmu",
        "post.seq_bump",
        "post.count_dec",
        *["post.update_mixed"] * 2,
        "post.unlock_mmu",
        "unlock_slots",
    )


def test_a_conversion_that_changes_nothing_runs_three_rows() -> None:
    """A range that has the attribute already costs the lock and the test."""
    m = machine("guest-memfd")
    m.do("convert", H0, 0, 16)
    assert m.rows_run() == counted("convert", "lock_slots", "check_noop", "unlock_slots")
    assert m.world["inval_seq"] == 0


def test_a_conversion_without_memslots_counts_no_invalidation() -> None:
    """Where no memslot intersects, neither start nor end of an invalidation runs, but attributes are stored."""
    m = machine("guest-memfd", slots=((0, 8),))
    m.do("convert", H0, 8, 4, private=True)
    assert m.hits("convert.pre.count_inc", "convert.post.seq_bump") == 0
    assert m.hits("convert.store_attr") == 4


def test_a_punch_without_bindings_counts_no_invalidation() -> None:
    """Folios go without a notification where the file is bound nowhere."""
    m = machine("guest-memfd", slots=((0, 8),))
    m.do("allocate", H0, 10, 2)
    m.do("punch", H0, 8, 8)
    assert m.hits("punch.start.count_inc", "punch.end.seq_bump") == 0
    assert m.hits("punch.remove_folio") == 2


def test_a_walk_enters_each_memslot_once() -> None:
    """A conversion over three memslots and a hole adds three ranges in one invalidation."""
    m = machine("guest-memfd", slots=((0, 4), (4, 4), (12, 4)))
    m.do("convert", H0, 2, 12, private=True)
    assert m.hits("convert.pre.range_add") == 3
    assert m.hits("convert.pre.count_inc") == 1
    assert (m.world["inval_start"], m.world["inval_end"]) == (0, 16)


def test_taken_counts_the_outcomes_that_lead_elsewhere() -> None:
    """`taken` has the outcomes that are no plain *next*: one absent translation, two repetitions of the table walk."""
    m = machine("legacy-vma")
    m.do("access", V0, 5)
    row = {item.name: i for i, item in enumerate(m.code.info)}
    taken = m.driver.taken
    assert taken[row["access.guest.translate"], CODE["absent"]] == 1
    assert taken[row["access.fault.link_table"], CODE["again"]] == 3
    assert taken[row["access.guest.use"], CODE["done"]] == 1
    assert taken[row["access.enter.load_root"]].sum() == 0


def test_results_are_counted_by_program() -> None:
    """Each operation adds one to its program's result, MMIO exits too."""
    m = machine("guest-memfd", slots=((0, 8),))
    m.do("convert", H0, 8, 1, private=True)
    for gfn in (1, 8, 9, 10):
        m.do("access", V0, gfn)
    m.do("reuse")
    results = m.driver.results
    assert results[PROGRAM_NUMBER["access"], [0, 14, 134]].tolist() == [1, 1, 2]
    assert results.sum() == 6
    assert results[PROGRAM_NUMBER["reuse"], 0] == 1


def test_a_wait_for_a_kicked_vcpu_is_counted_once() -> None:
    """The waiting row counts once however often it is asked, and each vCPU that left the guest is an IPI."""
    m = machine("guest-memfd")
    m.do("access", V0, 0)
    m.do("access", V1, 0)
    m.do("convert", H0, 0, private=True)
    assert m.hits("convert.pre.flush_wait") == 1
    assert m.world["ipis"] == 2
    assert [int(m.actor(v)["mode"]) for v in (V0, V1)] == [0, 0]


def test_a_wait_without_end_is_reported_with_its_row() -> None:
    """A lock that nobody will drop stops the run: operation and row are named, and nothing has changed."""
    m = machine("guest-memfd")
    m.world.header["slots_lock"] = 9
    before = m.world.buffer.copy()
    operations = np.concatenate([operation("reuse"), operation("convert", H0, 0, 4, private=True)])
    with pytest.raises(Stuck, match=r"operation 1: convert\.lock_slots waits"):
        m.driver.run(operations)
    assert m.world.arrays["frames"]["attr"].tolist() == [0] * 16
    m.world.header["slots_lock"] = 0
    m.driver.run(operations, 1)
    assert before.shape == m.world.buffer.shape
    assert m.world.arrays["frames"]["attr"].tolist() == [1] * 4 + [0] * 12


def test_a_program_that_the_design_lacks_is_named() -> None:
    """Ordinary memory has no conversion: asking for one stops the run at that operation."""
    m = machine("legacy-vma")
    with pytest.raises(ValueError, match="operation 1: legacy-vma has no program 'convert'"):
        m.driver.run(np.concatenate([operation("reuse"), operation("convert")]))


def test_operations_of_another_dtype_are_refused() -> None:
    """An array that is not of OPERATION records never reaches compiled code."""
    with pytest.raises(ValueError, match="not OPERATION"):
        machine("legacy-vma").driver.run(np.zeros(1, np.int64))


def test_start_and_stop_choose_operations() -> None:
    """run(operations, start, stop) runs that slice only, and slices add up to the whole."""
    operations = np.concatenate([operation("access", V0, gfn, write=True) for gfn in range(8)])
    parts, whole = machine("legacy-vma"), machine("legacy-vma")
    parts.driver.run(operations, 0, 3)
    assert parts.world["shared_pages"] == 3
    parts.driver.run(operations, 3)
    whole.driver.run(operations)
    assert np.array_equal(parts.world.buffer, whole.world.buffer)
    assert np.array_equal(parts.driver.hits, whole.driver.hits)


def test_no_operations_are_no_rows() -> None:
    """An empty array of operations does nothing."""
    m = machine("guest-memfd")
    m.driver.run(np.zeros(0, OPERATION))
    assert m.rows_run() == {}
