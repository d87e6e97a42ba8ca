"""Pins of devices, and KVM's own access to guest memory; exact counts."""

import consistency
import pytest
from small_worlds import DESIGNS, H0, H1, V0, V1, Machine, geometry, machine

from gmembench.core.hardware.none import HARDWARE
from gmembench.core.programs import assemble
from gmembench.core.steps.kernel import ALLOW_PRIVATE
from gmembench.core.steps.pin import SHORT_ALWAYS
from gmembench.core.world import CONSUMER_PIN_LONG, CONSUMER_PIN_SHORT, PG_MOVABLE, PG_PINNED_LONG

designs = pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd"])


def mutant(design: str, program: str, row: str, **operands: int) -> Machine:
    """A small world in which a row has other operands."""
    base = DESIGNS[design]
    edited = base.edited("mutant", **{program: base.programs[program].with_operand(row, **operands)})
    return Machine(assemble(edited, HARDWARE), geometry(design, movable=True))


@designs
def test_a_pin_is_recorded_and_holds_the_page(design: str) -> None:
    """A pin adds a reference, a pin and a record; the unpin takes all three back."""
    m = machine(design)
    assert m.do("host_pin", H1, 2, 2) == "OK"
    first = m.world.arrays["consumers"][0]
    page = m.world.arrays["pages"][consistency.host_pages(m.world)[2]]
    assert (first["kind"], first["actor"], first["gfn"]) == (CONSUMER_PIN_SHORT, H1, 2)
    assert (page["refs"], page["pins"], m.hits("host_pin.pin.take")) == (2, 1, 2)
    assert m.do("host_unpin", H0, 2, 2) == "EINVAL"
    assert m.do("host_unpin", H1, 0, 16) == "OK"
    assert (page["refs"], page["pins"], m.hits("host_unpin.unpin.drop")) == (1, 0, 2)


@designs
def test_pins_run_out_of_records(design: str) -> None:
    """A pin for which there is no record fails with ENOMEM; those before it stay."""
    m = machine(design, consumers=2)
    assert m.do("host_pin", H1, 0, 3) == "ENOMEM"
    assert m.world.arrays["pages"]["pins"].sum() == 2
    assert consistency.faults(m.world) == []


def test_a_punched_page_stays_until_it_is_unpinned() -> None:
    """Its data are the device's alone: a write through the pin is not seen in the page that came in its place."""
    m = machine("legacy-vma")
    m.do("access", V0, 3, write=True)
    m.do("host_pin", H1, 3)
    free = m.world["free_pages"]
    m.do("punch", H0, 3)
    assert m.world["free_pages"] == free
    m.do("access", V0, 3)
    m.do("host_unpin", H1, 3, write=True)
    assert m.world["free_pages"] == free
    m.do("access", V1, 3)
    assert m.actor(V1)["content"] == 0


@designs
def test_a_device_writes_before_it_lets_go(design: str) -> None:
    """A write by DMA reaches the page that the guest maps, though no entry of any table was used."""
    m = machine(design)
    m.do("access", V0, 3, write=True)
    m.do("host_pin", H1, 3)
    m.do("host_unpin", H1, 3, write=True)
    m.do("access", V1, 3)
    assert m.actor(V1)["content_gen"] == 2


@designs
def test_a_long_pin_leaves_the_movable_zone_first(design: str) -> None:
    """The page is pinned, unpinned, moved with one notification, and pinned where it may stay."""
    m = machine(design, movable=True)
    m.do("access", V0, 3, write=True)
    before = consistency.host_pages(m.world)[3]
    assert m.do("host_pin", H1, 3, long=True) == "OK"
    pfn = consistency.host_pages(m.world)[3]
    assert pfn != before
    assert m.world.arrays["pages"]["flags"][pfn] & (PG_MOVABLE | PG_PINNED_LONG) == PG_PINNED_LONG
    assert m.hits("host_pin.pin.take") == 2
    assert m.hits("host_pin.pin.mig.mn.start.count_inc") == 1
    assert m.do("host_pin", H0, 3) == "OK"
    m.do("access", V1, 3)
    assert m.actor(V1)["content_gen"] == 1


def test_a_long_pin_fails_while_another_pin_holds_the_page() -> None:
    """What cannot leave the movable zone cannot be pinned for long: ENOMEM, and no record is left."""
    m = machine("legacy-vma", movable=True)
    m.do("host_pin", H0, 3)
    assert m.do("host_pin", H1, 3, long=True) == "ENOMEM"
    assert m.world.arrays["consumers"]["kind"].tolist().count(CONSUMER_PIN_LONG) == 0
    assert consistency.faults(m.world) == []


def test_a_short_pin_for_a_long_time_is_an_operand() -> None:
    """With the operand of the bug a long pin stays in the movable zone, and migration fails as long as it is held."""
    m = mutant("legacy-vma", "host_pin", "pin.take", value=SHORT_ALWAYS)
    m.do("host_pin", H1, 3, long=True)
    assert m.hits("host_pin.pin.drop") == 0
    assert m.do("migrate", H0, 3, slot=1) == "EBUSY"


@designs
def test_kvm_copies_what_the_vmm_maps(design: str) -> None:
    """KVM's own write is seen by guest and VMM; the pages come by a host fault each, without a stage-2 entry."""
    m = machine(design)
    assert m.do("kernel_access", V0, 0, 3, write=True) == "OK"
    assert m.hits("kernel_access.kernel.copy") == 6
    assert m.hits("kernel_access.kernel.lock_mmap") == 3
    assert not m.world.arrays["frames"]["spte"]["bits"].any()
    m.do("host_access", H0, 1)
    assert m.actor(H0)["content_gen"] == 1


@designs
def test_kvm_finds_nothing_without_a_memslot(design: str) -> None:
    """A copy ends with EFAULT at the first gfn that has no memslot."""
    m = machine(design, slots=((0, 2),))
    assert m.do("kernel_access", H0, 0, 4) == "EFAULT"
    assert m.actor(H0)["content"] == 0
    assert consistency.faults(m.world) == []


def test_kvm_reads_the_shared_copy_of_a_private_gfn() -> None:
    """The hva shows the shared copy; the operand of the bug lets KVM write into the private page."""
    for machine_made, private in (
        (machine("guest-memfd"), 1),
        (mutant("guest-memfd", "kernel_access", "kernel.copy", value=ALLOW_PRIVATE), 2),
    ):
        machine_made.do("convert", H0, 3, private=True)
        machine_made.do("access", V0, 3, write=True)
        machine_made.do("kernel_access", H0, 3, write=True)
        machine_made.do("access", V1, 3)
        assert machine_made.actor(V1)["content_gen"] == private
