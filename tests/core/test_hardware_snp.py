"""SNP: the life of an owner-table entry, faults by the owner table, and entries of 2M."""

from collections import Counter
from collections.abc import Callable

import consistency
import numpy as np
import pytest
from encrypted import any_operation, expanded, hardware, on_hardware, owned
from small_worlds import H0, V0, V1, Machine
from stepper import Stepper

from gmembench.core.judges import SHIPPED, Panel, check_world
from gmembench.core.programs import Program, assemble
from gmembench.core.world import (
    CONTENT_JUNK,
    HW_HUGE,
    HW_OWNED,
    HW_VALIDATED,
    PG_KEY_DIRTY,
    SPTE_PRESENT,
)

UPDATES = ("rmp_assign", "pvalidate", "rmp_psmash", "rmp_share", "rmp_clflush")
"""Rows that change the owner table, or what goes with it."""


def updates(m: Machine) -> Counter[str]:
    """How often each of UPDATES ran, over all programs."""
    made: Counter[str] = Counter()
    for name, count in m.rows_run().items():
        if name.rpartition(".")[2] in UPDATES:
            made[name.rpartition(".")[2]] += count
    return made


def private_world(gfns: int = 4, machine: Machine | None = None) -> Machine:
    """Gfns 0 .. gfns - 1 private and written by V0."""
    m = machine or on_hardware("snp")
    m.do("convert", H0, 0, gfns, private=True)
    assert m.do("access", V0, 0, gfns, write=True) == "OK"
    return m


def edited(program: str, edit: Callable[[Program], Program]) -> Machine:
    """guest-memfd on SNP with the rows of one program, those of the hardware too, edited."""
    d = expanded("guest-memfd", "snp")
    changed = d.edited("mutant", **{program: edit(d.programs[program])})
    return on_hardware("snp", code=assemble(changed, hardware("snp")))


def page_of(m: Machine, gfn: int) -> np.void:
    """The file's page of a gfn."""
    return m.world.arrays["pages"][m.world.arrays["cache"]["pfn"][gfn]]  # type: ignore[no-any-return]


def rmp_faults(m: Machine) -> list[str]:
    """Where the owner table, the file and the entries do not agree, in words."""
    pages, frames = m.world.arrays["pages"], m.world.arrays["frames"]
    in_file = {int(pfn) for pfn in m.world.arrays["cache"]["pfn"] if pfn}
    found = [] if owned(m.world) <= in_file else ["a page that is not the file's is the guest's"]
    for gfn in np.flatnonzero(frames["spte"]["bits"][:, 0] & SPTE_PRESENT):
        given = bool(pages["hw"][frames["spte"]["pfn"][gfn, 0]] & HW_OWNED)
        if given != bool(frames["attr"][gfn]):
            found.append(f"gfn {gfn} maps a page of the wrong owner")
    if (pages["flags"] & PG_KEY_DIRTY).any():
        found.append("cache lines are dirty under the guest's key")
    return found


def test_a_private_page_is_assigned_and_validated_once() -> None:
    """A first private access assigns the page under the folio lock, and the guest validates it: each once."""
    m = private_world(4)
    m.do("access", V1, 0, 4)
    assert updates(m) == {"rmp_assign": 4, "pvalidate": 4}
    assert [int(page_of(m, gfn)["hw"]) for gfn in range(4)] == [HW_OWNED | HW_VALIDATED] * 4
    assert rmp_faults(m) == []


def test_a_prefault_assigns_and_the_guest_validates_later() -> None:
    """A prefaulted page is assigned and not validated; the first access makes no fault that KVM sees."""
    m = on_hardware("snp")
    m.do("convert", H0, 0, private=True)
    assert m.do("prefault", V0, 0) == "OK"
    assert page_of(m, 0)["hw"] == HW_OWNED
    assert m.do("access", V1, 0) == "OK"
    assert m.hits("access.fault.classify") == 0
    assert updates(m) == {"rmp_assign": 1, "pvalidate": 1}


def test_a_zap_changes_no_owner_and_keeps_the_content() -> None:
    """Converted to shared and back: the page stays the guest's, validated, and its data is there again."""
    m = private_world(1)
    m.do("convert", H0, 0)
    m.do("access", V0, 0, write=True)
    assert len(owned(m.world)) == 1
    m.do("convert", H0, 0, private=True)
    m.do("access", V1, 0)
    assert [m.actor(V1)[name] for name in ("content_gfn", "content_gen")] == [0, 1]
    assert updates(m) == {"rmp_assign": 1, "pvalidate": 1}
    assert rmp_faults(m) == []


def test_a_numa_scan_zaps_private_entries_too() -> None:
    """One root holds both kinds and the filter is not obeyed; nothing is lost by it."""
    m = private_world(2)
    m.do("numa_zap", H0, 0, 2)
    assert consistency.translations(m.world, 0) == {}
    m.do("access", V0, 0, 2)
    assert m.actor(V0)["content_gen"] == 1
    assert updates(m)["rmp_assign"] == 2


def test_a_punch_takes_pages_back_as_they_leave_the_page_cache() -> None:
    """Each page is looked up, made shared and flushed once; it holds nothing that the host could read."""
    m = private_world(3)
    pages = [int(pfn) for pfn in m.world.arrays["cache"]["pfn"][:3]]
    m.do("allocate", H0, 3)
    m.do("punch", H0, 0, 4)
    assert owned(m.world) == set()
    assert [int(m.world.arrays["pages"]["content"][pfn]) for pfn in pages] == [CONTENT_JUNK] * 3
    made = updates(m)
    assert (made["rmp_share"], made["rmp_clflush"], made["rmp_psmash"]) == (3, 3, 0)
    assert m.hits("punch.hw.rmp_lookup") == 4
    assert rmp_faults(m) == []


def test_a_page_that_was_punched_is_the_hosts_while_a_fault_still_holds_it() -> None:
    """The owner changes at removal from the page cache, though references may be left."""
    m = private_world(1)
    s = Stepper(m)
    m.do("numa_zap", H0, 0)
    s.start("access", V0, 0, kind="private")
    s.until(V0, "fault.lock_mmu")
    pfn = int(m.actor(V0)["pfn"])
    s.start("punch", H0, 0)
    s.until(H0, "punch.hw.rmp_clflush")
    assert (int(m.world.arrays["pages"]["hw"][pfn]), int(m.world.arrays["pages"]["refs"][pfn])) == (0, 3)
    s.finish(H0, V0)
    assert m.actor(V0)["result"] == 0
    assert rmp_faults(m) == []


def test_without_the_flush_lines_of_the_guests_key_stay() -> None:
    """The control: no clflush after the page was made shared."""
    m = private_world(1, edited("punch", lambda p: p.without("hw.rmp_clflush")))
    m.do("punch", H0, 0)
    assert rmp_faults(m) == ["cache lines are dirty under the guest's key"]


def test_teardown_leaves_every_page_with_the_host() -> None:
    """The file's pages are taken back when the inode goes."""
    m = private_world(4)
    m.do("convert", H0, 2)
    m.do("teardown", H0)
    assert owned(m.world) == set()
    assert consistency.faults(m.world, torn_down=True) == []


@pytest.mark.parametrize(("mapped_private", "kind"), [(True, "shared"), (False, "private")])
def test_an_access_of_the_other_kind_is_denied_and_leaves_for_the_vmm(mapped_private: bool, kind: str) -> None:
    """The entry is present, but the owner table denies it; the attribute says so too: KVM_EXIT_MEMORY_FAULT."""
    m = on_hardware("snp")
    m.do("convert", H0, 0, private=mapped_private)
    m.do("access", V0, 0, write=True)
    s = Stepper(m)
    s.start("access", V1, 0, kind=kind)
    s.until(V1, "fault.rmp_check_private")
    s.finish(V1)
    assert m.actor(V1)["result"] == 14
    assert (m.actor(V1)["srcu"], m.world["mmu_readers"]) == (0, 0)


def make_huge(m: Machine, gfn: int) -> None:
    """By hand: the page's entry covers 2M."""
    page_of(m, gfn)["hw"] |= HW_HUGE


def test_an_entry_of_2m_under_a_mapping_of_4k_is_split_and_mapped_anew() -> None:
    """The sizes differ: a fault by the owner table, PSMASH, a zap of the range, and the access passes."""
    m = private_world(4)
    make_huge(m, 1)
    m.do("slot_delete", H0)
    m.do("slot_create", H0, 0, 16)
    m.do("access", V0, 1)
    m.do("access", V0, 1)
    assert m.hits("access.fault.rmp_psmash") == m.hits("access.fault.rmp_seq_bump") == 1
    assert page_of(m, 1)["hw"] == HW_OWNED | HW_VALIDATED
    assert m.actor(V0)["content_gen"] == 1
    assert m.world["inval_count"] == 0
    assert consistency.faults(m.world) == []


def denied(m: Machine) -> Stepper:
    """V0 and V1 both met the entry of 2M of gfn 1, and stand before its split."""
    make_huge(m, 1)
    for v in (V0, V1):
        m.actor(v)["tlb_generation"] += 1
    s = Stepper(m)
    for v in (V0, V1):
        s.start("access", v, 1)
        s.until(v, "fault.rmp_psmash")
    return s


def test_of_two_splits_one_fails_and_looks_again() -> None:
    """B07: the second PSMASH fails, the entry is of 4K by now, and nothing else is done."""
    m = private_world(2)
    m.do("access", V1, 0)
    s = denied(m)
    assert s.step(V0) == "next"
    assert s.step(V1) == "refused"
    assert s.row(V1).endswith("rmp_relookup")
    assert s.step(V1) == "hit"
    s.finish(V0, V1)
    assert [int(m.actor(v)["content_gen"]) for v in (V0, V1)] == [1, 1]
    assert rmp_faults(m) == []


def test_a_page_punched_under_the_handler_is_no_error() -> None:
    """B07, step 4: the page is the host's when PSMASH fails; the handler lets go, and the fault finds a new page."""
    m = private_world(2)
    m.do("access", V1, 0)
    s = denied(m)
    m.do("punch", H0, 1)
    assert s.step(V0) == "refused"
    assert s.step(V0) == "none"
    s.finish(V0, V1)
    assert [int(m.actor(v)["result"]) for v in (V0, V1)] == [0, 0]
    assert rmp_faults(m) == []
    assert consistency.faults(m.world) == []


def test_a_split_that_fails_is_fatal_only_in_the_mutant() -> None:
    """B07's mutant, failure as fatal, can be told from the shipped rows by an edit of the expanded program."""
    m = private_world(2, edited("access", lambda p: p.redirected("fault.rmp_psmash", "refused", "L_killed")))
    m.do("access", V1, 0)
    s = denied(m)
    s.step(V0)
    s.step(V1)
    assert s.row(V1) == "access.killed.set_outside"


def huge_world() -> Machine:
    """fd-restricted with folios of 2M (4 gfns), gfns 0 .. 7 private and written."""
    m = on_hardware("snp", "fd-restricted", private_order=2)
    m.do("convert", H0, 0, 8, private=True)
    assert m.do("access", V0, 0, 8, write=True) == "OK"
    return m


def test_a_folio_of_2m_gets_one_entry() -> None:
    """The whole folio is assigned and validated at once, and mapped by 2M."""
    m = huge_world()
    assert updates(m) == {"rmp_assign": 2, "pvalidate": 2}
    assert {int(page_of(m, gfn)["hw"]) for gfn in range(8)} == {HW_OWNED | HW_VALIDATED | HW_HUGE}
    m.do("punch", H0, 0, 4)
    assert (updates(m)["rmp_share"], updates(m)["rmp_psmash"]) == (1, 0)
    assert len(owned(m.world)) == 4


def test_a_folio_that_is_mapped_by_4k_is_split_in_the_owner_table() -> None:
    """A shared gfn in its region makes the mapping 4K: the owner table follows by PSMASH, content kept."""
    m = huge_world()
    m.do("convert", H0, 3)
    assert m.do("access", V1, 0, 3) == "OK"
    assert m.actor(V1)["content_gen"] == 1
    assert not page_of(m, 0)["hw"] & HW_HUGE
    assert updates(m)["rmp_psmash"] == 1
    m.do("teardown", H0)
    assert owned(m.world) == set()


@pytest.mark.parametrize("seed", range(12))
def test_after_any_operations_owners_and_entries_agree(seed: int) -> None:
    """Owner table, file and entries agree after each of 60 operations, and all is the host's at the end."""
    m, random = on_hardware("snp"), np.random.default_rng(seed)
    for number in range(60):
        name = any_operation(m, random)
        assert rmp_faults(m) + consistency.faults(m.world) == [], f"after operation {number}, {name}"
    made = updates(m)
    assert made["rmp_assign"] == made["rmp_share"] + len(owned(m.world))
    assert made["rmp_share"] == made["rmp_clflush"]
    assert made["rmp_psmash"] == m.world["warns"] == 0
    m.do("teardown", H0)
    assert owned(m.world) == set()


def test_the_invariant_knows_the_pages_of_a_folio_of_2m() -> None:
    """HW: pages behind the head of a folio in use are the guest's by right."""
    assert check_world(huge_world().world, Panel({"HW": SHIPPED["HW"]})) == []
