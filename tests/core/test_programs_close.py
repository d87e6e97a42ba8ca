"""Closing the file, populating it, and changes of memslots; exact counts."""

import consistency
from small_worlds import DESIGNS, H0, H1, V0, V1, Machine, code_of_programs, geometry, machine

from gmembench.core.hardware.none import HARDWARE
from gmembench.core.programs import assemble
from gmembench.core.world import FILE_FREED, FILE_LIVE, SLOT_LOG_DIRTY


def test_close_unmaps_and_frees_in_one_invalidation() -> None:
    """All memslots lose the file, one invalidation covers both, and then the inode's pages are free."""
    m = machine("guest-memfd", slots=((0, 4), (8, 4)))
    m.do("convert", H0, 0, 16, private=True)
    m.do("access", V0, 0, 4, write=True)
    m.do("access", V0, 8, 4, write=True)
    assert m.do("close", H0) == "OK"
    assert m.hits("close.rel.start.count_inc") == m.hits("close.rel.end.count_dec") == 1
    assert m.hits("close.evict.put_folio") == 8
    assert (m.world["private_pages"], m.world["vm_refs"]) == (0, 1)
    assert m.world.arrays["slots"]["file"].tolist() == [-1] * 4
    assert consistency.faults(m.world) == []


def test_after_close_every_way_to_the_file_is_shut() -> None:
    """A private access fails with EFAULT on the memslot that is still there, calls on the descriptor with EBADF."""
    m = machine("guest-memfd")
    m.do("convert", H0, 0, 4, private=True)
    m.do("access", V0, 0)
    m.do("close")
    assert [m.do("access", V0, 0), m.do("prefault", V0, 0), m.do("populate", H0, 0)] == ["EFAULT"] * 3
    assert [m.do("punch"), m.do("allocate"), m.do("close")] == ["EBADF"] * 3
    assert m.do("access", V0, 8, write=True) == "OK"
    assert [m.do("slot_flags"), m.do("slot_create", H0, 0, 16)] == ["EINVAL", "EINVAL"]
    assert (m.do("slot_delete"), m.do("slot_create", H0, 0, 16)) == ("OK", "EBADF")
    m.do("teardown")
    assert m.world["free_pages"] == 32


def test_the_release_waits_for_the_last_reference() -> None:
    """While a call holds the file, a closed one still lives: its release begins when the call is over."""
    close = DESIGNS["guest-memfd"].programs["close"]
    begun = close.redirected("file.put", "next", "END")
    m = Machine(code_of_programs(begun), geometry("guest-memfd"))
    file = m.world.arrays["files"]
    file["refs"] += 1
    m.do("close")
    assert (file["life"][0], file["refs"][0], file["closed"][0]) == (FILE_LIVE, 1, 1)
    whole = machine("guest-memfd")
    whole.do("close")
    assert whole.world.arrays["files"]["life"][0] == FILE_FREED


def test_a_dying_file_still_loses_its_bindings() -> None:
    """Deleting a memslot of a dying file erases its bindings without the lock; the edit of the bug leaves them."""
    base = DESIGNS["guest-memfd"]
    leaves = base.programs["slot_delete"].redirected("bind.get_file", "dying", "L_free")
    for design, left in ((base, 0), (base.edited("mutant", slot_delete=leaves), 16)):
        m = Machine(assemble(design, HARDWARE), geometry("guest-memfd"))
        m.world.arrays["files"]["refs"], m.world.arrays["files"]["life"] = 0, FILE_LIVE + 1
        m.do("slot_delete")
        assert int((m.world.arrays["cache"]["slot"] != 0).sum()) == left


def test_populate_copies_the_vmms_page_once() -> None:
    """The guest reads what the VMM had written; a page that is in use is EEXIST, a shared gfn EINVAL."""
    m = machine("guest-memfd")
    m.do("convert", H0, 0, 4, private=True)
    m.do("host_access", H0, 0, 4, write=True)
    assert m.do("populate", H1, 0, 4) == "OK"
    assert m.hits("populate.copy") == 4
    m.do("access", V0, 2)
    assert (m.actor(V0)["content"], m.actor(V0)["content_gfn"]) == (1, 2)
    assert m.do("populate", H1, 3, 1) == "EEXIST"
    assert m.do("populate", H1, 4, 1) == "EINVAL"
    assert consistency.faults(m.world) == []


def test_populate_stops_at_the_memslots_end() -> None:
    """A range that leaves its memslot is cut there; one that begins outside is refused."""
    m = machine("guest-memfd", slots=((0, 2), (4, 4)))
    m.do("convert", H0, 0, 8, private=True)
    assert m.do("populate", H0, 1, 6) == "OK"
    assert consistency.file_pages(m.world).keys() == {1}
    assert m.do("populate", H0, 2, 4) == "EINVAL"


def test_zap_gfn_range_counts_in_and_out_under_one_lock() -> None:
    """All entries of the range go, whatever memslot holds them, and the sequence moves by one."""
    m = machine("guest-memfd", slots=((0, 4), (8, 4)))
    m.do("access", V0, 0, 4)
    m.do("access", V0, 8, 4)
    before = m.world["inval_seq"]
    m.do("zap_gfn_range", H0, 2, 8)
    assert consistency.translations(m.world, 0).keys() == {0, 1, 10, 11}
    assert (m.world["inval_seq"], m.hits("zap_gfn_range.zgr.lock_mmu")) == (before + 1, 1)
    assert m.do("access", V1, 0, 4) == "OK"


def test_flags_of_a_memslot_change_by_a_copy() -> None:
    """Dirty logging is switched over in a new object, and the old one is freed after a grace period."""
    m = machine("legacy-vma")
    assert m.do("slot_flags") == "OK"
    active = m.world.arrays["slots"][m.world.arrays["slots"]["active"] == 1]
    assert active["flags"].tolist() == [SLOT_LOG_DIRTY]
    assert m.hits("slot_flags.slot.srcu_wait") == 1
    m.do("slot_flags")
    assert m.do("access", V0, 0, 4) == "OK"
    assert m.do("slot_flags", slot=2) == "EINVAL"


def test_a_memslot_with_a_file_is_immutable() -> None:
    """Flags and base of it stay; without the check the bindings name a freed object."""
    m = machine("guest-memfd")
    assert [m.do("slot_flags"), m.do("slot_move", H0, 0)] == ["EINVAL", "EINVAL"]
    base = DESIGNS["guest-memfd"]
    mutant = base.edited("mutant", slot_flags=base.programs["slot_flags"].without("flags.check"))
    bug = Machine(assemble(mutant, HARDWARE), geometry("guest-memfd"))
    bug.do("slot_flags")
    assert any("gone and still in use" in fault for fault in consistency.faults(bug.world))


def test_a_memslot_moves_through_an_invalid_copy() -> None:
    """The guest finds the memslot at its new base only; both sets are published and waited for."""
    m = machine("legacy-vma", slots=((0, 4), (8, 2)))
    m.do("access", V0, 0, 4, write=True)
    assert m.do("slot_move", H0, 4) == "OK"
    assert (m.do("access", V0, 0), m.do("access", V0, 4, 4)) == ("MMIO", "OK")
    assert m.hits("slot_move.slot.srcu_wait_1") == m.hits("slot_move.slot.srcu_wait_2") == 1
    assert [m.do("slot_move", H0, 6), m.do("slot_move", H0, 14)] == ["EEXIST", "EINVAL"]
    assert consistency.faults(m.world) == []
