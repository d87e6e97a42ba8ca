"""Each invariant is seen failing: on a state that is made wrong by hand, or on a program with a row taken away."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interleavings import operation, random_run, tiny

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.fair import finish
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errno import EEXIST, OK
from gmembench.core.judges import AT_END, SHIPPED, Panel, check_world, judge_now, violation_of
from gmembench.core.operations import PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.core.programs import assemble
from gmembench.core.world import (
    CONTENT_JUNK,
    CONTENT_ZERO,
    HPTE_RW,
    HW_OWNED,
    ORACLE_DATA_PRIVATE,
    PAGE_ANON,
    World,
)

GUEST_MEMFD, NONE = load_designs()["guest-memfd"], load_hardware()["none"]
CODE = assemble(GUEST_MEMFD, NONE)

NAMES = {
    "UAF-MAP",
    "STALE-TLB",
    "LOSS",
    "LEAK-H",
    "UNINIT",
    "ALIAS",
    "HUGE",
    "REVIVE",
    "2X",
    "LIVE",
    "CNT",
    "OBJ",
    "HW",
    "ABI",
}


def written_private(gfn: int = 0, **changes: object) -> World:
    """A guest of guest-memfd that converted a gfn to private and wrote it."""
    world = World(tiny(GUEST_MEMFD, NONE, **changes))
    made = [operation("convert", 2, gfn, 1, PRIVATE), operation("access", 0, gfn, 1, WRITE)]
    Sequential(CODE, world).run(np.concatenate(made))
    return world


def pfn_of(world: World, gfn: int = 0) -> int:
    """The page of a gfn in the file."""
    return int(world.arrays["cache"]["pfn"][gfn])


def names(world: World) -> list[str]:
    """The invariants that do not hold."""
    return [found.invariant for found in check_world(world)]


def lose_page(world: World) -> None:
    """The file forgets a mapped page."""
    world.arrays["cache"]["pfn"][0] = 0


def flip_attribute(world: World) -> None:
    """The attribute of a mapped gfn changes, and nobody zaps."""
    world.arrays["frames"]["attr"][0] = 0


def host_maps(world: World) -> None:
    """The host page table names a private page."""
    world.arrays["frames"]["hpte"][0] = HPTE_RW
    world.arrays["frames"]["hpfn"][0] = pfn_of(world)


def count_down(world: World) -> None:
    """The count is negative."""
    world.header["inval_count"] = -1


def leave_count(world: World) -> None:
    """An invalidation is never counted out."""
    world.header["inval_count"] = 1
    world.header["inval_valid"] = 1


def reuse_object(world: World) -> None:
    """A memslot object was freed and used again, the binding names the old one."""
    world.arrays["slots"]["tag"][0] += 1


def keep_page(world: World) -> None:
    """A page that nobody has."""
    world.arrays["pages"]["state"][9] = PAGE_ANON
    world.arrays["pages"]["refs"][9] = 1


def add_reference(world: World) -> None:
    """A reference too many."""
    world.arrays["pages"]["refs"][pfn_of(world)] += 1


def own_free_page(world: World) -> None:
    """The owner table gives a free page to the VM."""
    world.arrays["pages"]["hw"][9] = HW_OWNED


def test_an_entry_that_outlives_its_memslot_is_found() -> None:
    """A deletion that zaps nothing leaves entries behind, though their pages are still in the file."""
    deleted = GUEST_MEMFD.programs["slot_delete"].replaced("slot.zap", "zap.nothing")
    world = written_private()
    Sequential(assemble(GUEST_MEMFD.edited("keeps-entries", slot_delete=deleted), NONE), world).run(
        operation("slot_delete", 2)
    )
    assert names(world) == ["UAF-MAP"]


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (lose_page, "UAF-MAP"),
        (flip_attribute, "ALIAS"),
        (host_maps, "LEAK-H"),
        (count_down, "CNT"),
        (leave_count, "CNT"),
        (reuse_object, "OBJ"),
        (keep_page, "2X"),
        (add_reference, "2X"),
        (own_free_page, "HW"),
    ],
)
def test_a_planted_state_is_found(plant: Callable[[World], None], name: str) -> None:
    """The world is right before it is made wrong, and the invariant names what is wrong after."""
    world = written_private()
    assert names(world) == []
    plant(world)
    assert name in names(world)


def test_a_huge_entry_over_mixed_attributes_is_found() -> None:
    """A shared region mapped huge, of which one gfn becomes private and nobody zaps."""
    world = World(tiny(GUEST_MEMFD, NONE, shared_order=1))
    Sequential(CODE, world).run(operation("access", 0, 0, 1, WRITE))
    assert names(world) == []
    world.arrays["frames"]["attr"][1] = 1
    assert names(world) == ["HUGE"]


def empty_page(world: World) -> None:
    """The page loses what it holds."""
    world.arrays["pages"]["content"][pfn_of(world)] = CONTENT_ZERO


def spoil_page(world: World) -> None:
    """Somebody else's data lie in the page."""
    world.arrays["pages"]["content"][pfn_of(world)] = CONTENT_JUNK


def swap_gfn(world: World) -> None:
    """The page holds the data of another gfn."""
    world.arrays["pages"]["content_gfn"][pfn_of(world)] = 3


def age_data(world: World) -> None:
    """The page holds data from before the last write."""
    world.arrays["frames"]["gen_private"][0] += 1


def punch_in_the_oracle(world: World) -> None:
    """The gfn was emptied, as far as the VMM knows."""
    world.arrays["frames"]["oracle"][0] &= ~np.uint8(ORACLE_DATA_PRIVATE)


def stale_translation(world: World) -> None:
    """The vCPU's TLB names a page that is free."""
    world.arrays["tlbs"]["pfn"][:2] = 9


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (empty_page, "LOSS"),
        (age_data, "LOSS"),
        (spoil_page, "UNINIT"),
        (swap_gfn, "UNINIT"),
        (punch_in_the_oracle, "REVIVE"),
        (stale_translation, "STALE-TLB"),
    ],
)
def test_a_planted_use_is_found(plant: Callable[[World], None], name: str) -> None:
    """The guest reads a page that was made wrong; the trail ends with the read."""
    world = written_private()
    plant(world)
    stepper = Stepper(CODE, world, [operation("access", 0)])
    finish(stepper)
    assert stepper.violation is not None
    assert (stepper.violation.invariant, stepper.violation.when, stepper.violation.index) == (name, "use", 0)
    assert stepper.violation.trail[-1] == "0: access.guest.use done"


def test_reading_what_was_written_is_fine() -> None:
    """The control of the planted uses."""
    stepper = Stepper(CODE, written_private(), [operation("access", 0)])
    finish(stepper)
    assert stepper.finished
    assert stepper.violation is None


def test_a_result_of_another_interface_is_found() -> None:
    """KVM_RUN never fails with EEXIST; the rule is asked as a driver asks it."""
    world = written_private()
    world.arrays["actors"]["result"][0] = EEXIST
    answer = int(judge_now(world.buffer, AT_END, -1, 0, PROGRAM_NUMBER["access"]))
    assert violation_of(SHIPPED, "end", answer).invariant == "ABI"
    world.arrays["actors"]["result"][0] = OK
    assert int(judge_now(world.buffer, AT_END, -1, 0, PROGRAM_NUMBER["access"])) == 0


def test_a_lock_never_dropped_is_a_deadlock() -> None:
    """A punch that keeps the invalidate_lock stops the next one for ever."""
    punch = GUEST_MEMFD.programs["punch"].without("punch.unlock_inval")
    code = assemble(GUEST_MEMFD.edited("mutant", punch=punch), NONE)
    nothing = operation("punch", 2)[:0]
    scripts = [nothing, nothing, operation("punch", 2), operation("punch", 3)]
    stepper = Stepper(code, World(tiny(GUEST_MEMFD, NONE)), scripts)
    finish(stepper)
    assert stepper.violation is not None
    assert stepper.violation.invariant == "LIVE"


def test_all_invariants_are_there() -> None:
    """The invariants of the design document, by name, each with words and a time."""
    found = load_invariants()
    assert set(found) == NAMES
    assert all(item.doc and item.when for item in found.values())


def test_an_invariant_of_ones_own_is_found_and_judged(tmp_path: Path) -> None:
    """A file in DIR/invariants/ is one more invariant, judged after every step."""
    folder = tmp_path / "invariants"
    folder.mkdir()
    (folder / "no_fault.py").write_text(
        '"""No fault ever takes mmu_lock."""\n'
        "from gmembench.core.invariant import Invariant, Rule\n\n\n"
        "def readers(w):\n    return w['mmu_readers']\n\n\n"
        'INVARIANT = Invariant("NO-FAULT", __doc__, state=Rule(readers, "{} readers more"))\n'
    )
    panel = Panel(load_invariants([tmp_path]))
    stepper = Stepper(CODE, World(tiny(GUEST_MEMFD, NONE)), [operation("access", 0)], panel)
    finish(stepper)
    assert stepper.violation is not None
    assert stepper.violation.invariant == "NO-FAULT"
    assert stepper.violation.trail[-1] == "0: access.fault.lock_mmu next"


def test_without_the_locked_recheck_random_runs_map_freed_pages() -> None:
    """A05: the unlocked tests alone let a fault map what a punch frees."""
    access = GUEST_MEMFD.programs["access"].without("fault.recheck_stale").without("fault.precheck_stale_2")
    code = assemble(GUEST_MEMFD.edited("mutant", access=access), NONE)
    found = {run.violation.invariant for seed in range(40) if (run := random_run(code, seed)).violation is not None}
    assert found & {"UAF-MAP", "ALIAS"}
