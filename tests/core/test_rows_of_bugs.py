"""Known bugs as edits of rows: with the rows as they are a schedule is harmless, with the edit it breaks a rule.

Each schedule says who runs up to which row; when it is over everybody runs to the end.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from interleavings import operation, tiny

from gmembench.core.catalog import load_hardware
from gmembench.core.designs.fd_private import DESIGN as FD_PRIVATE
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD
from gmembench.core.designs.guest_memfd_mmap import DESIGN as GUEST_MEMFD_MMAP
from gmembench.core.designs.legacy_vma import DESIGN as LEGACY_VMA
from gmembench.core.drivers.fair import finish, let_kicked_leave
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.operations import LONG, NOT_NOW, PRIVATE, WRITE
from gmembench.core.programs import Design, Program, assemble, row, with_hardware
from gmembench.core.steps.fd import BY_ADDRESS, BY_TAG
from gmembench.core.steps.pin import SHORT_ALWAYS
from gmembench.core.world import World

V0, V1, H0, H1 = range(4)
END = ""
Schedule = Sequence[tuple[int, str]]
Edit = Callable[[Program], Program]


def expanded(design: Design, kind: str) -> Design:
    """The design with the rows of a hardware in its programs, so that they can be edited."""
    hardware = load_hardware()[kind]
    return design.edited(design.name, **{n: with_hardware(p, hardware) for n, p in design.programs.items()})


def run_to(stepper: Stepper, number: int, row: str) -> None:
    """Run an actor until it stands before a row whose name ends so, or to the end of its operation."""
    for _ in range(3000):
        if stepper.violation is not None or (row and stepper.next_row(number).endswith(row)):
            return
        if not stepper.unfinished(number):
            assert not row, f"{row} was never reached"
            return
        waited = stepper.blocked
        stepper.take(number)
        if stepper.blocked != waited:
            let_kicked_leave(stepper)
            if row and stepper.next_row(number).endswith(row):
                return
            waited = stepper.blocked
            stepper.take(number)
            assert stepper.blocked == waited or not row, f"waits at {stepper.next_row(number)}"
            if stepper.blocked != waited:
                return
        elif not row and stepper.idle(number):
            return
    raise AssertionError(f"actor {number} runs on for ever, now at {stepper.next_row(number)}")


def found(
    design: Design, schedule: Schedule, *scripts: Sequence[np.ndarray], hardware: str = "none", **changes: Any
) -> str:
    """The name of the invariant that the schedule breaks; "" if none."""
    kind = load_hardware()[hardware]
    code = assemble(design, kind)
    made = [np.concatenate(s) if len(s) else operation("reuse", H0)[:0] for s in scripts]
    stepper = Stepper(code, World(tiny(design, kind, consumers=4, **changes)), made)
    for number, place in schedule:
        run_to(stepper, number, place)
    if stepper.violation is None:
        finish(stepper)
    return "" if stepper.violation is None else stepper.violation.invariant


def edited(design: Design, program: str, edit: Edit) -> Design:
    """The design with one program edited."""
    return design.edited("mutant", **{program: edit(design.programs[program])})


def differs(design: Design, program: str, edit: Edit, schedule: Schedule, *scripts: Any, **more: Any) -> str:
    """What the edit breaks; the rows as they are break nothing by the same schedule."""
    assert found(design, schedule, *scripts, **more) == ""
    return found(edited(design, program, edit), schedule, *scripts, **more)


PRIVATE_GFN = operation("convert", H0, 0, 1, PRIVATE)


def test_a_notification_that_another_subscriber_refuses_is_ended() -> None:
    """A19: the OOM reaper may not sleep; without the unwinding KVM's count stays up."""
    scripts = ([], [], [operation("oom_reap", H0, 0, 1, NOT_NOW)])
    edit: Edit = lambda p: p.redirected("oom.start_other", "busy", "oom.unlock_back")  # noqa: E731
    assert differs(LEGACY_VMA, "oom_reap", edit, (), *scripts) == "CNT"


def test_a_region_is_flushed_before_anybody_can_free_it() -> None:
    """B10: a region that is flushed after kvm->lock was dropped may be another thread's business by then."""
    scripts = ([], [], [operation("register_region", H0)], [operation("unregister_region", H1)])
    schedule = ((H0, "region.unlock_vm"), (H0, ""), (H1, END))
    edit: Edit = lambda p: p.moved("region.flush", before="region.returned")  # noqa: E731
    late = ((H0, "region.flush"), (H1, END))
    assert found(LEGACY_VMA, schedule, *scripts) == ""
    assert found(edited(LEGACY_VMA, "register_region", edit), late, *scripts) == "OBJ"


def test_a_region_leaves_the_movable_zone() -> None:
    """B09: a pin that is not for long keeps the page where it is, and the zone loses it."""
    scripts = ([], [], [operation("register_region", H0, 0, 2)])
    edit: Edit = lambda p: p.with_operand("pin.take", value=SHORT_ALWAYS)  # noqa: E731
    assert differs(LEGACY_VMA, "register_region", edit, (), *scripts, movable=True) == "2X"


def test_a_vmsa_is_loaded_anew_when_its_page_goes() -> None:
    """B08: a vCPU whose VMSA is punched must leave, and find another page, before it runs again."""
    scripts = (
        [operation("access", V0, 0, 2, WRITE), operation("vmsa_load", V0, 1), *[operation("access", V0, 0)] * 2],
        [],
        [operation("convert", H0, 0, 2, PRIVATE), operation("punch", H0, 1)],
    )
    schedule = ((H0, END), (V0, END), (V0, END), (V0, END), (H0, END))
    edit: Edit = lambda p: p.without("punch.start.kick_vmsa")  # noqa: E731
    design = expanded(GUEST_MEMFD, "snp")
    assert differs(design, "punch", edit, schedule, *scripts, hardware="snp") == "UAF-MAP"


def test_a_vmsa_that_was_looked_up_before_a_punch_is_not_installed() -> None:
    """B08: the lookup of the page is checked against the sequence, under mmu_lock."""
    scripts = (
        [operation("access", V0, 0, 2, WRITE), operation("vmsa_load", V0, 1), operation("access", V0, 0)],
        [],
        [operation("convert", H0, 0, 2, PRIVATE), operation("punch", H0, 1)],
    )
    schedule = ((H0, END), (V0, END), (V0, END), (V0, "vmsa.lock_mmu"), (H0, END))
    edit: Edit = lambda p: p.without("vmsa.recheck_stale")  # noqa: E731
    design = expanded(GUEST_MEMFD, "snp")
    assert differs(design, "access", edit, schedule, *scripts, hardware="snp") == "UAF-MAP"


def owner_checked(value: int) -> Design:
    """fd-private whose callbacks look first whether the owner lives."""
    programs = {}
    for name in ("teardown", "punch"):
        p = FD_PRIVATE.programs[name]
        for r in p.rows:
            if r.step == "fd.call_owner":
                p = p.with_operand(r.name, value=value)
        programs[name] = p
    return FD_PRIVATE.edited("checked", **programs)


def test_a_vm_is_told_from_another_one_at_its_address_by_its_tag() -> None:
    """B18: between the end of the VM and the file's callback another VM is made at its address."""
    scripts = (
        [operation("access", V0, 0, 1, WRITE)],
        [],
        [PRIVATE_GFN, operation("teardown", H0)],
        [operation("vm_create", H1)],
    )
    schedule = ((H0, END), (V0, END), (H0, "teardown.put_file"), (H1, END), (H0, END))
    assert found(owner_checked(BY_TAG), schedule, *scripts) == ""
    assert found(owner_checked(BY_ADDRESS), schedule, *scripts) == "OBJ"
    assert found(owner_checked(BY_ADDRESS), (*schedule[:3], (H0, END)), *scripts[:3]) == ""


def test_a_folio_is_truncated_under_its_waiter() -> None:
    """A fault that waits for the folio lock of a punch finds the folio gone, and looks again."""
    kind = load_hardware()["none"]
    host = np.concatenate([PRIVATE_GFN, operation("allocate", H0), operation("punch", H0)])
    scripts = [operation("access", V0, 0, 1, WRITE), host[:0], host]
    stepper = Stepper(assemble(GUEST_MEMFD, kind), World(tiny(GUEST_MEMFD, kind)), scripts)
    early = ((H0, END), (H0, END), (V0, "gmem.find_folio"), (H0, "punch.remove_folio"), (V0, "gmem.lock_folio"))
    for number, place in (*early, (H0, END)):
        run_to(stepper, number, place)
    finish(stepper)
    assert stepper.violation is None
    assert any(t.row == "access.gmem.recheck_mapping" and t.outcome == "truncated" for t in stepper.trail)


def test_a_long_pin_is_no_region() -> None:
    """A device's pin ends, so that a short one in a movable zone is no page lost."""
    scripts = ([], [], [operation("host_pin", H0, 0, 1, LONG)])
    edit: Edit = lambda p: p.with_operand("pin.take", value=SHORT_ALWAYS)  # noqa: E731
    assert differs(LEGACY_VMA, "host_pin", edit, (), *scripts, movable=True) == ""


def test_a_root_that_was_reclaimed_is_not_mapped_into() -> None:
    """A22: making room for page tables before the test of the root is harmless, after it an entry is lost."""
    early: Edit = lambda p: p.inserted(row("fault.reclaim", step="plain.reclaim_root"), "fault.recheck_root")  # noqa: E731
    late: Edit = lambda p: p.inserted(row("fault.reclaim", step="plain.reclaim_root"), "fault.choose_level")  # noqa: E731
    scripts = ([operation("access", V0, 0, 1, WRITE)], [], [])
    assert found(edited(LEGACY_VMA, "access", early), (), *scripts) in ("", "LIVE")
    assert found(edited(LEGACY_VMA, "access", late), (), *scripts) == "UAF-MAP"


def test_a_leaf_entry_is_set_by_compare_and_exchange() -> None:
    """A store without a compare overwrites what another fault put there: harmless as long as both find one page."""
    scripts = ([operation("access", V0)], [operation("access", V1)], [])
    schedule = ((V0, "fault.set_spte"), (V1, "fault.set_spte"), (V0, END), (V1, END))
    edit: Edit = lambda p: p.replaced("fault.set_spte", "plain.set_spte")  # noqa: E731
    assert differs(GUEST_MEMFD, "access", edit, schedule, *scripts) == ""


def test_a_range_is_forgotten_only_by_the_first_invalidation() -> None:
    """Two punches at once: the second one must not take the first one's range away."""
    scripts = (
        [operation("access", V0, 3)],
        [],
        [operation("allocate", H0), operation("punch", H0)],
        [operation("convert", H1, 3, 1, PRIVATE)],
    )
    schedule = (
        (H0, END),
        (V0, "fault.lock_mmu"),
        (H1, "convert.store_attr"),
        (H0, "punch.lock_folio"),
        (V0, "fault.unlock_mmu"),
    )
    edit: Edit = lambda p: p.replaced("punch.start.range_reset", "plain.range_reset")  # noqa: E731
    assert differs(GUEST_MEMFD, "punch", edit, schedule, *scripts) == "ALIAS"


def test_a_range_is_added_whatever_is_mapped() -> None:
    """A08: without a range the count covers nothing that is known, and the kernel warns."""
    scripts = ([], [], [operation("convert", H0, 0, 4, PRIVATE)])
    edit: Edit = lambda p: p.replaced("convert.pre.range_add", "plain.range_add_mapped")  # noqa: E731
    assert differs(GUEST_MEMFD, "convert", edit, (), *scripts) == "CNT"


def test_a_memslot_is_published_after_its_bindings_were_stored_or_not_at_all() -> None:
    """C02: a binding that cannot be stored takes back those before it; else they name a memslot that is gone."""
    scripts = ([], [], [operation("slot_delete", H0), operation("slot_create", H0, 0, 4)])
    fails: Edit = lambda p: p.replaced("bind.store", "plain.bind_store").with_operand("bind.store", value=2)  # noqa: E731
    leaves: Edit = lambda p: fails(p).redirected("bind.store", "nomem", "X_unlock_inval")  # noqa: E731
    assert found(edited(GUEST_MEMFD, "slot_create", fails), (), *scripts) == ""
    assert found(edited(GUEST_MEMFD, "slot_create", leaves), (), *scripts) == "OBJ"


def test_the_mapping_of_a_folio_is_read_under_its_lock() -> None:
    """B15: without the lock the file is closed, truncated and freed before compaction looks at the mapping's flags."""
    scripts = (
        [],
        [],
        [operation("allocate", H0), operation("migrate", H0, 0, 1, 0, 1)],
        [operation("close", H1)],
    )
    schedule = ((H0, END), (H0, "mig.test_mapping"), (H1, END), (H0, END))
    edit: Edit = lambda p: p.without("mig.trylock_file_page")  # noqa: E731
    assert differs(GUEST_MEMFD, "migrate", edit, schedule, *scripts) == "OBJ"


def test_a_mapped_file_is_not_collapsed() -> None:
    """B16: khugepaged makes a huge page of the host's own of what the guest maps from the file."""
    scripts = (
        [operation("access", V0, 0, 2, WRITE), operation("access", V0, 0, 2)],
        [],
        [
            operation("host_access", H0, 0, 2),
            operation("collapse", H0, 0, 2),
            operation("host_access", H0, 0, 1, WRITE),
        ],
    )
    schedule = ((V0, END), (H0, END), (H0, END), (H0, END), (V0, END))
    edit: Edit = lambda p: p.with_operand("col.check_thp_allowed", value=0).replaced(  # noqa: E731
        "col.freeze_refs", "plain.freeze_refs"
    )
    assert differs(GUEST_MEMFD_MMAP, "collapse", edit, schedule, *scripts, shared_order=1, pages=16) == "LOSS"
