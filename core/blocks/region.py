"""Memory that the VMM registers for encryption: pinned for long, until it is unregistered (sev.c)."""

from gmembench.core.blocks.pins import host_pin
from gmembench.core.blocks.program import Rows, program
from gmembench.core.programs import Program, Where, row
from gmembench.core.steps.pin import OF_VM

UNREGISTER = Where(place="kvm-memslot", site="sev_mem_enc_unregister_region")


def _pins() -> Rows:
    """The rows that pin the range for the VM; then `region.check_pinned`."""
    made = host_pin().with_operand("pin.take", kind=OF_VM)
    return made.redirected("pin.unlock_mmap", "next", "region.check_pinned").rows


def register_region() -> Program:
    """KVM_MEMORY_ENCRYPT_REG_REGION: all of it under kvm->lock, the flush of the new region too."""
    return program(
        "register_region",
        (
            row("region.lock_vm"),
            row("region.begin", {"nomem": "region.unlock_vm", "next": "pin.lock_mmap"}),
            row("region.check_pinned", {"nomem": "region.drop"}),
            row("region.flush"),
            row("region.add_list"),
            row("region.unlock_vm"),
            row("region.returned", {"next": "END"}),
            row("region.drop", {"next": "region.unlock_vm"}),
        ),
        _pins(),
    )


def unregister_region() -> Program:
    """KVM_MEMORY_ENCRYPT_UNREG_REGION."""
    return program(
        "unregister_region",
        (
            row("region.lock_vm", **UNREGISTER),
            row("region.find", {"none": "region.unlock_vm"}),
            row("region.writeback"),
            row("region.drop"),
            row("region.free"),
            row("region.unlock_vm", **UNREGISTER),
        ),
    )
