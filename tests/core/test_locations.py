"""Masks of the locations that rows touch: what a reduction may rely on."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interleavings import TWO_SLOTS, random_run
from small_worlds import ALL_DESIGNS, code_of, geometry

from gmembench.core.catalog import load_hardware
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.footprints import rule_reads
from gmembench.core.footprints.rows import RowPrints
from gmembench.core.judges import SHIPPED, Panel
from gmembench.core.locations import EXIT_WRITES, GROUPS, MOST, Masks, locations, mask_of, masks_of
from gmembench.core.outcomes import NEXT
from gmembench.core.programs import Code, assemble
from gmembench.core.rows import END
from gmembench.core.world import World

HARDWARE = load_hardware()
CASES = [(d, h) for d in ALL_DESIGNS for h in HARDWARE if h not in ALL_DESIGNS[d].not_on]


def at(code: Code, row: str) -> int:
    """The index of a row."""
    return next(i for i, item in enumerate(code.info) if item.name == row)


def held(masks: Masks, row: int) -> set[str]:
    """Names of the locks that are held before a row."""
    found = int(masks.locksets[masks.holds[row]])
    return {name for bit, name in enumerate(masks.locks) if found >> bit & 1}


def test_locations_fit_a_mask_and_every_group_is_one() -> None:
    """64 bits are enough; fields of a group have one bit, all others one each."""
    bits = locations()
    assert set(bits.values()) == set(range(max(bits.values()) + 1))
    assert max(bits.values()) < MOST
    sharing = {frozenset(name for name in bits if bits[name] == bit) for bit in bits.values()}
    groups = {frozenset(name for name in fields if name in bits) for fields in GROUPS.values()}
    assert {names for names in sharing if len(names) > 1} == {names for names in groups if len(names) > 1}


def test_groups_are_those_of_the_document() -> None:
    """docs/decisions/footprints.md lists every location of several fields, with these fields."""
    lines = (Path(__file__).resolve().parents[2] / "docs/decisions/footprints.md").read_text().splitlines()
    cells = [re.findall(r"`([^`]+)`", line) for line in lines if line.startswith("| `")]
    shown = {group: set(fields) for group, *fields in cells}
    assert shown == {group: {name.rpartition(".")[2] for name in names} for group, names in GROUPS.items()}


def test_no_rule_sees_a_vcpu_leave() -> None:
    """An exit that a driver makes writes nothing that a rule about states reads."""
    seen = {name for item in SHIPPED.values() for name in rule_reads(item, "state") | rule_reads(item, "rest")}
    assert seen.isdisjoint(EXIT_WRITES)


def test_a_lock_of_the_file_is_one_lock() -> None:
    """A world has one file at most, or locks that lie in files would have to be told apart."""
    assert all(len(World(replace(geometry("guest-memfd"), file=file)).arrays["files"]) <= 1 for file in (True, False))


def test_own_registers_are_no_location_unless_others_look_at_them() -> None:
    """`pfn` is an actor's own business; its pending requests are not."""
    assert mask_of(["self.pfn", "self.tlbs.pfn"]) == 0
    assert mask_of(["self.requests"]) == mask_of(["actors.requests"]) != 0
    assert mask_of(EXIT_WRITES) != 0


@pytest.mark.parametrize(("design", "hardware"), CASES)
def test_the_future_is_the_union_along_every_edge(design: str, hardware: str) -> None:
    """Without locks: what a row touches, and what any row that follows may touch. With more locks held it is less."""
    code = assemble(ALL_DESIGNS[design], HARDWARE[hardware])
    masks, rows = masks_of(code), RowPrints(code)
    for own, future in ((masks.reads, masks.future_reads), (masks.writes, masks.future_writes)):
        for row in rows.reached:
            wanted = int(own[row])
            for target, _ in rows.following(row):
                wanted |= 0 if target == END else int(future[0, target])
            assert int(future[0, row]) == wanted
        assert masks.locksets[0] == 0
        assert not (future & ~future[0]).any()


def test_a_fault_does_not_get_past_a_lock_that_is_held() -> None:
    """While somebody zaps under mmu_lock, a fault before the lock can touch nothing; one behind it can."""
    code = code_of("guest-memfd")
    masks = masks_of(code, geometry("guest-memfd"))
    zapping = int(masks.holds[at(code, "punch.start.zap")])
    before, behind = at(code, "access.fault.lock_mmu"), at(code, "access.fault.set_spte")
    entries = mask_of(["frames.spte.bits"])
    assert int(masks.future_writes[0, before]) & entries
    assert masks.future_writes[zapping, before] == masks.future_reads[zapping, before] == 0
    assert int(masks.future_writes[zapping, behind]) & entries


def test_readers_keep_writers_out_and_not_each_other() -> None:
    """While a fault maps under mmu_lock for reading, a zap cannot begin; another fault can."""
    code = code_of("guest-memfd")
    masks = masks_of(code, geometry("guest-memfd"))
    mapping = int(masks.holds[at(code, "access.fault.set_spte")])
    assert masks.future_writes[mapping, at(code, "punch.start.lock_mmu")] == 0
    assert int(masks.future_writes[mapping, at(code, "access.fault.lock_mmu")]) & mask_of(["frames.spte.bits"])


def test_what_is_held_before_rows() -> None:
    """From the lock to the unlock, whatever comes between; a lock that only some ways take is not held."""
    code = code_of("guest-memfd")
    masks = masks_of(code, geometry("guest-memfd"))
    assert held(masks, at(code, "punch.lock_inval")) == set()
    assert held(masks, at(code, "punch.start.zap")) == {"files.inval_writer", "header.mmu_writer"}
    assert held(masks, at(code, "punch.remove_folio")) == {"files.inval_writer"}
    assert held(masks, at(code, "punch.fdput")) == set()
    assert held(masks, at(code, "access.fault.set_spte")) == {"header.mmu_readers"}
    assert held(masks, at(code, "slot_delete.slot.publish_removed")) >= {"header.slots_lock", "header.mn_lock"}


@pytest.mark.parametrize("design", ALL_DESIGNS)
def test_what_is_said_to_be_held_is_held(design: str) -> None:
    """At every point of a random run the locks of each actor name it, and readers are counted."""
    code = assemble(ALL_DESIGNS[design], HARDWARE["none"])
    masks, rows = masks_of(code), {item.name: row for row, item in enumerate(code.info)}
    take, seen = Stepper.take, set[str]()

    def watched(stepper: Stepper, *choice: int) -> int:
        ended = take(stepper, *choice)
        holders: Counter[tuple[str, int]] = Counter()
        for number in range(len(stepper.world.arrays["actors"])):
            if stepper.next_row(number):
                holders.update((name, number) for name in held(masks, rows[stepper.next_row(number)]))
        for name, number in holders:
            kind, field = name.split(".")
            value = int((stepper.world.header if kind == "header" else stepper.world.arrays[kind])[field][0])
            counted = field.endswith("_readers") or field == "mn_active"
            assert value >= sum(other == name for other, _ in holders) if counted else value == number + 1, name
            seen.add(name)
        return ended

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "take", watched)
        for seed in range(2):
            random_run(code, seed, panel=Panel({}), slots=TWO_SLOTS)
    assert {"header.mmu_writer", "header.mn_active"} <= seen


def test_a_lock_that_is_dropped_without_being_held_is_none() -> None:
    """Without the row that takes mmu_lock the unlock frees somebody else's: nothing may be concluded from it."""
    design = ALL_DESIGNS["guest-memfd"]
    edited = design.edited("edited", punch=design.programs["punch"].without("punch.start.lock_mmu"))
    right, wrong = (masks_of(assemble(item, HARDWARE["none"])) for item in (design, edited))
    assert "header.mmu_writer" in right.locks
    assert "header.mmu_writer" not in wrong.locks


def test_a_lock_whose_taking_is_forced_is_not_held() -> None:
    """A driver that skips the row that takes a lock gets no cuts from it."""
    code = code_of("guest-memfd")
    forced = [(at(code, "punch.start.lock_mmu"), NEXT)]
    assert "header.mmu_writer" not in masks_of(code, forced=forced).locks


def test_rows_that_take_and_drop_a_lock() -> None:
    """The rows of mmu.lock take it, those of mmu.unlock drop it, and faults wait for it too."""
    code = code_of("guest-memfd")
    masks = masks_of(code)
    bit = 1 << masks.locks.index("header.mmu_writer")
    for row, item in enumerate(code.info):
        assert bool(int(masks.takes[row]) & bit) == (item.step.name == "mmu.lock"), item.name
        assert bool(int(masks.drops[row]) & bit) == (item.step.name == "mmu.unlock"), item.name
    assert int(masks.waits[at(code, "access.fault.lock_mmu")]) & bit


def rules(mask: int) -> set[str]:
    """Names of the rules of "state" in a mask."""
    judged = [name for name, item in SHIPPED.items() if "state" in item.when]
    return {name for bit, name in enumerate(judged) if mask >> bit & 1}


def test_rules_that_can_see_a_row() -> None:
    """A mapping is seen by the rules about mappings, a snapshot of the sequence by none."""
    code = code_of("guest-memfd")
    masks = masks_of(code)
    assert {"UAF-MAP", "ALIAS", "HUGE"} <= rules(int(masks.visible[at(code, "access.fault.set_spte")]))
    assert rules(int(masks.visible[at(code, "access.fault.snapshot_seq")])) == set()
    assert rules(int(masks.visible[at(code, "punch.start.count_inc")])) == {"CNT"}


def test_rules_have_the_same_bit_whatever_is_judged() -> None:
    """Who judges few invariants names them by the same bits as who judges all: judges number those of the package."""
    code = code_of("guest-memfd")
    few = {"UAF-MAP": SHIPPED["UAF-MAP"]}
    row = at(code, "access.fault.set_spte")
    assert rules(int(masks_of(code, invariants=few).visible[row])) == {"UAF-MAP"}


def test_a_row_that_uses_a_page_reads_what_its_judges_read() -> None:
    """The rules of "use" are judged with the step, so what they read counts for it."""
    code = code_of("guest-memfd")
    masks = masks_of(code)
    assert int(masks.reads[at(code, "access.guest.use")]) & mask_of(["slots.active"])
    assert int(masks.reads[at(code, "access.fault.snapshot_seq")]) == mask_of(["header.inval_seq"])


def test_constants_of_the_world_make_masks_smaller() -> None:
    """Where no page is huge, no row touches more than in any world, and some touch less."""
    code = code_of("guest-memfd")
    anywhere, here = masks_of(code), masks_of(code, geometry("guest-memfd"))
    assert not ((here.reads & ~anywhere.reads) | (here.writes & ~anywhere.writes)).any()
    assert (here.reads != anywhere.reads).any()
    assert np.array_equal(masks_of(code, geometry("guest-memfd")).reads, here.reads)
