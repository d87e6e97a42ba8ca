"""TDX: states of the secure EPT, epochs, owners of pages, and the rules about several CPUs."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import consistency
import numpy as np
import pytest
from encrypted import any_operation, encrypted_code, expanded, hardware, on_hardware, owned, sept_faults
from small_worlds import H0, H1, V0, V1, Machine
from stepper import Stepper

from gmembench.core.errno import EIO, VM_DEAD
from gmembench.core.judges import SHIPPED, Panel, check_world
from gmembench.core.programs import Program, assemble
from gmembench.core.world import (
    CONTENT_ZERO,
    IN_GUEST,
    PG_KEY_DIRTY,
    SEPT_BLOCKED,
    SEPT_FREE,
    SEPT_MAPPED,
    SEPT_PENDING,
    SEPT_PENDING_BLOCKED,
    SPTE_FROZEN,
)

SEAMCALLS = ("aug", "accept", "block", "track", "remove", "writeback")
"""Rows of the hardware that must run once a page."""


def calls(m: Machine) -> Counter[str]:
    """How often each of SEAMCALLS ran, over all programs."""
    made: Counter[str] = Counter()
    for name, count in m.rows_run().items():
        last = name.rpartition(".")[2]
        if last in SEAMCALLS and not name.startswith("punch.punch"):
            made[last] += count
    return made


def private_world(gfns: int = 4, **changes: Any) -> Machine:
    """Gfns 0 .. gfns - 1 private and written by V0."""
    m = on_hardware("tdx", **changes)
    m.do("convert", H0, 0, gfns, private=True)
    assert m.do("access", V0, 0, gfns, write=True) == "OK"
    return m


def edited(program: str, edit: Callable[[Program], Program]) -> Machine:
    """guest-memfd on TDX with the rows of one program, those of the hardware too, edited."""
    d = expanded("guest-memfd", "tdx")
    changed = d.edited("mutant", **{program: edit(d.programs[program])})
    return on_hardware("tdx", code=assemble(changed, hardware("tdx")))


def state(m: Machine, gfn: int) -> int:
    """State of the secure EPT entry of a gfn."""
    return int(m.world.arrays["septs"]["state"][gfn])


def test_a_private_page_is_added_pending_and_accepted_once() -> None:
    """A first private access maps the mirror, adds the page, and the guest accepts it: each once a page."""
    m = private_world(4)
    assert calls(m) == {"aug": 4, "accept": 4}
    assert [state(m, gfn) for gfn in range(5)] == [SEPT_MAPPED] * 4 + [SEPT_FREE]
    assert len(owned(m.world)) == 4
    m.do("access", V1, 0, 4)
    assert calls(m) == {"aug": 4, "accept": 4}
    assert sept_faults(m.world) == []


def test_a_prefault_adds_pages_that_the_guest_has_yet_to_accept() -> None:
    """KVM_PRE_FAULT_MEMORY leaves the entry pending; the first access only accepts."""
    m = on_hardware("tdx")
    m.do("convert", H0, 0, 2, private=True)
    assert m.do("prefault", V0, 0, 2) == "OK"
    assert [state(m, gfn) for gfn in range(2)] == [SEPT_PENDING] * 2
    assert m.do("access", V1, 0, 2) == "OK"
    assert calls(m) == {"aug": 2, "accept": 2}
    assert m.hits("access.fault.classify") == 0


def test_shared_gfns_stay_out_of_the_secure_ept() -> None:
    """A shared access uses the direct root: no mirror, no SEAMCALL, no owner."""
    m = on_hardware("tdx")
    m.do("access", V0, 0, 3, write=True)
    assert len(consistency.translations(m.world, 0)) == 3
    assert consistency.translations(m.world, 1) == {}
    assert calls(m) == {}
    assert owned(m.world) == set()
    m.do("numa_zap", H0, 0, 3)
    assert calls(m) == {}


@pytest.mark.parametrize("program", ["convert", "punch", "slot_delete"])
def test_a_zap_of_a_private_page_blocks_tracks_and_removes_it_once(program: str) -> None:
    """Each private page costs one BLOCK, TRACK, REMOVE and writeback and one epoch; its owner is the host again."""
    m = private_world(4)
    m.do(program, H0, 0, 4)
    assert calls(m) == dict.fromkeys(SEAMCALLS, 4)
    assert m.world["tdx_epoch"] == 4
    assert [state(m, gfn) for gfn in range(4)] == [SEPT_FREE] * 4
    assert owned(m.world) == set()
    assert sept_faults(m.world) == []
    assert consistency.faults(m.world) == []


def test_a_conversion_there_and_back_loses_the_content() -> None:
    """The page stays in the file, but REMOVE destroys what it holds: the guest accepts zeros."""
    m = private_world(2)
    pages = consistency.file_pages(m.world)
    m.do("convert", H0, 0, 2)
    m.do("access", V0, 0, 2, write=True)
    m.do("convert", H0, 0, 2, private=True)
    m.do("access", V1, 1, 1)
    assert consistency.file_pages(m.world) == pages
    assert m.actor(V1)["content"] == CONTENT_ZERO
    assert (m.world["double_backed_pages"], calls(m)["aug"]) == (2, 3)


def test_a_numa_scan_and_a_punch_obey_the_kind() -> None:
    """Roots are separate: a NUMA scan leaves private gfns, a punch shared ones."""
    m = private_world(2)
    m.do("access", V0, 2, 2, write=True)
    m.do("numa_zap", H0, 0, 4)
    assert [len(consistency.translations(m.world, root)) for root in (0, 1)] == [0, 2]
    m.do("access", V0, 2, 2)
    m.do("punch", H0, 0, 4)
    assert [len(consistency.translations(m.world, root)) for root in (0, 1)] == [2, 0]


def test_teardown_leaves_every_page_with_the_host() -> None:
    """After the end of the VM no page is the TD's and the secure EPT is empty, without one SEAMCALL of a zap."""
    m = private_world(4)
    m.do("convert", H0, 2)
    m.do("prefault", V0, 5)
    m.do("teardown", H0)
    assert owned(m.world) == set()
    assert not m.world.arrays["septs"]["state"].any()
    assert calls(m)["remove"] == 1
    assert sept_faults(m.world) == []
    assert consistency.faults(m.world, torn_down=True) == []


def test_what_the_guest_takes_a_gfn_for_is_its_own_business() -> None:
    """An access of the wrong kind leaves for the VMM, whatever the other root maps; the TLB keeps kinds apart."""
    m = private_world(1)
    s = Stepper(m)
    s.start("access", V0, 0, kind="shared")
    s.finish(V0)
    assert m.actor(V0)["result"] != 0
    assert m.actor(V0)["is_private"] == 0
    s.start("access", V0, 0, kind="private")
    s.finish(V0)
    assert (m.actor(V0)["result"], m.actor(V0)["content_gen"]) == (0, 1)


def test_an_access_before_accept_kills_the_vm() -> None:
    """A guest that touches a pending page without accepting it: the VM is dead, for all of its vCPUs."""
    d = expanded("guest-memfd", "tdx")
    access = d.programs["access"].redirected("guest.translate", "pending", "L_killed")
    m = on_hardware("tdx", code=assemble(d.edited("careless", access=access), hardware("tdx")))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0)
    assert (m.actor(V0)["result"], m.world["vm_dead"]) == (VM_DEAD, 1)
    m.do("access", V1, 4)
    assert m.actor(V1)["result"] == VM_DEAD
    assert m.actor(V1)["srcu"] == 0


def test_a_new_epoch_flushes_a_tlb_at_the_next_entry() -> None:
    """TRACK alone makes the module flush: a vCPU that enters in a new epoch begins with an empty TLB, once."""
    m = private_world(1)
    generation = int(m.actor(V1)["tlb_generation"])
    m.world.header["tdx_epoch"] += 1
    m.do("access", V1, 0)
    assert m.actor(V1)["tlb_generation"] == generation + 1
    assert m.actor(V1)["entered_epoch"] == 1
    m.do("access", V1, 0)
    assert m.actor(V1)["tlb_generation"] == generation + 1


# --- rules about two CPUs ---


def zapper_at(s: Stepper, row: str) -> None:
    """H0 punches gfn 0 and stands before a row of the zap."""
    s.start("punch", H0, 0)
    s.until(H0, row)


def test_the_mirror_entry_goes_before_the_modules_own() -> None:
    """Between the two a fault finds nothing mapped, while the guest still has the page."""
    m = private_world(1)
    s = Stepper(m)
    zapper_at(s, "punch.start.block")
    assert consistency.translations(m.world, 1) == {}
    assert state(m, 0) == SEPT_MAPPED
    assert s.step(H0) == "next"
    assert state(m, 0) == SEPT_BLOCKED
    s.finish(H0)
    assert state(m, 0) == SEPT_FREE


def test_a_pending_page_is_blocked_as_pending() -> None:
    """A page that was never accepted can be blocked and removed too."""
    m = on_hardware("tdx")
    m.do("convert", H0, 0, private=True)
    m.do("prefault", V0, 0)
    s = Stepper(m)
    zapper_at(s, "punch.start.track")
    assert state(m, 0) == SEPT_PENDING_BLOCKED
    s.finish(H0)
    assert owned(m.world) == set()


def test_track_is_refused_while_a_vcpu_of_the_epoch_before_is_in_the_guest() -> None:
    """Epoch N + 1 cannot begin with a vCPU still in from N - 1: that is a bug, and the VM is dead."""
    m = private_world(2)
    assert m.actor(V0)["mode"] == IN_GUEST
    m.world.header["tdx_epoch"] += 1
    s = Stepper(m)
    zapper_at(s, "punch.start.track")
    assert s.step(H0) == "refused"
    s.finish(H0)
    assert (m.world["vm_dead"], m.world["warns"], m.world["tdx_epoch"]) == (1, 1, 1)


def test_track_passes_with_a_vcpu_of_this_epoch_and_remove_waits_for_it_to_leave() -> None:
    """TRACK needs no vCPU to leave; the kick after it does, and only then REMOVE runs."""
    m = private_world(1)
    s = Stepper(m)
    zapper_at(s, "punch.start.kick_wait")
    assert m.world["tdx_epoch"] == 1
    assert s.step(H0) == "blocked"
    assert s.exit_kicked() == 1
    s.finish(H0)
    assert m.world["vm_dead"] == 0
    assert owned(m.world) == set()


@pytest.mark.parametrize("left_out", ["kick", "track", "block"])
def test_each_part_of_a_removal_is_needed(left_out: str) -> None:
    """Without BLOCK, TRACK or the kick the module refuses a later SEAMCALL; the page stays the TD's."""
    m = edited("punch", lambda p: p.without(f"punch.start.{left_out}"))
    m.do("convert", H0, 0, 2, private=True)
    m.do("access", V0, 0, 2, write=True)
    m.do("punch", H0, 0)
    assert (m.world["vm_dead"], len(owned(m.world))) == (1, 2)
    assert m.hits("punch.start.remove_bug") == 1


def test_remove_before_track_is_refused() -> None:
    """The order of B04: REMOVE exchanged with TRACK."""
    m = edited("punch", lambda p: p.swapped("punch.start.track", "punch.start.remove"))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    m.do("punch", H0, 0)
    assert m.world["vm_dead"] == 1


def test_without_the_writeback_cache_lines_stay_dirty() -> None:
    """The page is free and its lines would still be written over what the host puts there."""
    m = edited("punch", lambda p: p.without("punch.start.writeback"))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    m.do("punch", H0, 0)
    pages = m.world.arrays["pages"]
    assert ((pages["flags"] & PG_KEY_DIRTY) != 0).sum() == 1
    assert sept_faults(m.world) == ["cache lines are dirty under the key of the TD"]


def zero_step(m: Machine, number: int) -> Stepper:
    """The vCPU has come back with the same private fault so often that its next entry takes the tree lock."""
    s = Stepper(m)
    m.actor(number)["same_faults"] = 2
    s.start("access", number, 3, kind="private")
    s.until(number, "guest.translate")
    assert m.world["tdx_tree_lock"] == number + 1
    return s


def test_repeated_private_faults_arm_zero_step_mitigation() -> None:
    """Two faults of a gfn that stays unmapped arm it; an access that succeeds disarms it."""
    m = private_world(1)
    s = Stepper(m)
    m.world.header["inval_count"] = 1  # an invalidation under way: no fault gets through
    s.start("access", V1, 2, kind="private")
    m.world.arrays["frames"]["attr"][2] = 1
    m.world.arrays["slots"]["life"][0] = 3  # INVALID: the local loop lets go every time
    for count in (1, 2, 2):
        s.until(V1, "exit.set_outside")
        assert m.actor(V1)["same_faults"] == count
        s.until(V1, "enter.service_requests")
    s.until(V1, "guest.translate")
    assert m.world["tdx_tree_lock"] == V1 + 1
    m.world.header["inval_count"] = 0
    m.world.arrays["slots"]["life"][0] = 2
    s.finish(V1)
    assert (m.actor(V1)["same_faults"], m.world["tdx_tree_lock"]) == (0, 0)


def test_a_busy_seamcall_is_tried_once_more_with_all_vcpus_out() -> None:
    """B05: BLOCK meets the tree lock, stops entries, kicks, and succeeds; entries are allowed again."""
    m = private_world(1)
    s = zero_step(m, V1)
    zapper_at(s, "punch.start.block")
    assert s.step(H0) == "busy"
    s.until(H0, "block_kick_wait")
    assert m.world["tdx_zap_wait"] == 1
    assert s.step(H0) == "blocked"
    assert s.exit_kicked() == 2
    s.start("access", V0, 0)
    s.until(V0, "enter.service_requests")
    assert s.step(V0) == "blocked"
    s.finish(H0)
    assert (m.world["vm_dead"], m.world["tdx_zap_wait"], owned(m.world)) == (0, 0, set())
    m.do("convert", H1, 3, private=True)
    s.finish(V0, V1)
    assert (m.actor(V0)["result"], sept_faults(m.world)) == (0, [])


def test_an_entry_under_way_is_given_up_when_a_zap_wants_all_vcpus_out() -> None:
    """V0 has published its mode before the zap looks at it: the zap waits, V0 sees the flag and turns back."""
    m = private_world(1)
    s = zero_step(m, V1)
    m.actor(V0)["mode"] = 0
    s.start("access", V0, 0, kind="private")
    s.until(V0, "enter.recheck_requests")
    zapper_at(s, "punch.start.block")
    assert s.step(H0) == "busy"
    s.until(H0, "block_kick_wait")
    assert s.step(V0) == "pending"
    assert s.row(V0) == "access.cancel.set_outside"
    assert s.step(H0) == "blocked"
    s.step(V0)
    s.finish(H0)
    assert (m.world["vm_dead"], m.world["tdx_zap_wait"]) == (0, 0)
    m.do("convert", H1, 3, private=True)
    s.finish(V0, V1)
    assert sept_faults(m.world) == []


def test_busy_ignored_leaves_the_secure_ept_without_a_mirror() -> None:
    """The mutant of B05: busy counted as done, and the entries no longer agree."""
    m = edited("punch", lambda p: p.redirected("punch.start.block", "busy", "punch.start.track"))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    s = zero_step(m, V1)
    s.start("punch", H0, 0)
    s.finish(H0)
    assert "the mirror is not what the secure EPT is" in sept_faults(m.world)


def test_a_busy_aug_unfreezes_the_mirror_and_the_fault_retries() -> None:
    """AUG meets the tree lock of another vCPU: the entry is as before, and the fault is tried again and passes."""
    m = on_hardware("tdx")
    m.do("convert", H0, 0, 4, private=True)
    s = zero_step(m, V1)
    s.start("access", V0, 0)
    s.until(V0, "fault.aug")
    assert m.world.arrays["frames"]["spte"]["bits"][0, 1] == SPTE_FROZEN
    assert s.step(V0) == "busy"
    s.until(V0, "fault.retry_locally")
    assert m.world.arrays["frames"]["spte"]["bits"][0, 1] == 0
    s.finish(V1, V0)
    assert (state(m, 0), state(m, 3), sept_faults(m.world)) == (SEPT_MAPPED, SEPT_MAPPED, [])


def test_two_faults_on_one_gfn_add_its_page_once() -> None:
    """The second finds the mirror entry frozen, retries, and then finds it mapped."""
    m = on_hardware("tdx")
    m.do("convert", H0, 0, private=True)
    s = Stepper(m)
    s.start("access", V0, 0, write=True)
    s.start("access", V1, 0)
    s.until(V1, "fault.link_table")
    s.until(V0, "fault.aug")
    s.until(V1, "fault.freeze_spte")
    assert s.step(V1) == "lost"
    s.finish(V1, V0)
    assert len(owned(m.world)) == 1
    assert sept_faults(m.world) == []
    assert [int(m.actor(v)["result"]) for v in (V0, V1)] == [0, 0]


def invalid_slot(m: Machine) -> Stepper:
    """H0 deletes the memslot and waits for readers; V0 is in a fault that began before."""
    m.do("convert", H0, 4, private=True)
    s = Stepper(m)
    s.start("access", V0, 4, kind="private")
    s.until(V0, "fault.classify")
    s.start("slot_delete", H0, 0)
    s.until(H0, "slot.srcu_wait_1")
    assert s.step(H0) == "blocked"
    return s


def test_a_fault_on_a_memslot_that_is_deleted_lets_go_of_srcu() -> None:
    """The local loop ends at an INVALID memslot, so the deletion can end."""
    m = private_world(4)
    s = invalid_slot(m)
    s.finish(V0, H0)
    assert (m.actor(V0)["result"] != 0, s.row(H0)) == (True, "END")


def test_a_local_loop_without_that_check_waits_for_ever() -> None:
    """A18: the fault keeps SRCU and the deletion waits for it."""
    m = edited("access", lambda p: p.redirected("fault.check_invalid_slot", "invalid", "HEAD"))
    s = invalid_slot(m)
    with pytest.raises(AssertionError, match="no end after"):
        s.finish(V0, H0)
    assert s.row(H0) == "slot_delete.slot.srcu_wait_1"


def test_a_prefault_of_a_dead_vm_ends() -> None:
    """The loop of a prefault looks for a dead VM, or it would try for ever."""
    m = on_hardware("tdx")
    m.do("convert", H0, 0, private=True)
    m.world.header["vm_dead"] = 1
    m.do("prefault", V0, 0)
    assert m.actor(V0)["result"] == EIO


def test_unblock_waits_for_track_and_keeps_the_content() -> None:
    """B03: UNBLOCK says pending until TRACK is done; then the page is the guest's again with its data."""
    m = private_world(1)
    d = expanded("guest-memfd", "tdx")
    unblock = hardware("tdx").hooks["unblock"]
    assert {r.step for r in unblock} == {"sept.unblock", "tdx.bug"}
    to = {"pending": "END", "busy": "END", "refused": "END", "next": "END"}
    program = Program("reuse", (unblock[0].__class__("fault.unblock", "sept.unblock", to),))
    m = on_hardware("tdx", code=assemble(d.edited("unblocking", reuse=program), hardware("tdx")))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    s = Stepper(m)
    zapper_at(s, "punch.start.track")
    s.start("reuse", H1, 0)
    assert s.step(H1) == "pending"
    s.until(H0, "punch.start.kick_wait")
    s.start("reuse", H1, 0)
    assert s.step(H1) == "pending"
    s.exit_kicked()
    s.start("reuse", H1, 0)
    assert s.step(H1) == "next"
    assert state(m, 0) == SEPT_MAPPED
    assert m.world.arrays["pages"]["content_gen"][m.world.arrays["septs"]["pfn"][0]] == 1


# --- any sequence ---


@pytest.mark.parametrize("seed", range(12))
def test_after_any_operations_the_owner_table_and_the_tables_agree(seed: int) -> None:
    """Mirror, secure EPT, file and owner table agree after each of 60 operations, and all is the host's at the end."""
    m, random = on_hardware("tdx"), np.random.default_rng(seed)
    for number in range(60):
        name = any_operation(m, random)
        found = sept_faults(m.world) + consistency.faults(m.world)
        assert found == [], f"after operation {number}, {name}"
    counted = calls(m)
    held = int((m.world.arrays["septs"]["state"] != SEPT_FREE).sum())
    assert counted["aug"] == counted["remove"] + held
    assert counted["block"] == counted["track"] == counted["remove"] == counted["writeback"] == m.world["tdx_epoch"]
    assert (m.world["vm_dead"], m.world["warns"]) == (0, 0)
    m.do("teardown", H0)
    assert owned(m.world) == set()
    assert sept_faults(m.world) == []


def test_the_rows_are_those_of_no_encryption_and_the_hooks() -> None:
    """The hardware adds rows and takes none away."""
    plain = {i.name for i in encrypted_code("guest-memfd", "none").info}
    assert plain < {i.name for i in encrypted_code("guest-memfd", "tdx").info}


def test_the_invariant_of_the_owner_table_holds_but_for_mutants() -> None:
    """HW: never wrong in a removal, row by row; wrong once a page is freed that REMOVE was refused for."""
    owners = Panel({"HW": SHIPPED["HW"]})
    m = private_world(1)
    s = Stepper(m)
    s.start("punch", H0, 0)
    while s.row(H0) != "END":
        if s.step(H0) == "blocked":
            s.exit_kicked()
        assert [found for found in check_world(m.world, owners) if found.when == "state"] == [], s.row(H0)
    m = edited("punch", lambda p: p.without("punch.start.track"))
    m.do("convert", H0, 0, private=True)
    m.do("access", V0, 0, write=True)
    pfn = int(m.world.arrays["cache"]["pfn"][0])
    m.do("punch", H0, 0)
    assert [found.index for found in check_world(m.world, owners) if found.when == "state"] == [pfn]
