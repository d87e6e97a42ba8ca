"""Who else uses the VMM's memory: devices that pin it, and KVM itself."""

from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.vma import fault_in, migrate, move_page
from gmembench.core.errno import EHWPOISON
from gmembench.core.programs import Program, row
from gmembench.core.steps.mig import UNMOVABLE


def host_pin(fault: Rows | None = None) -> Program:
    """Pin the pages behind a range of the VMA (gup.c: __gup_longterm_locked). A NUMA hint does not stop it.

    `fault`: the rows of a fault on a mapped file, where the VMA is one.
    """
    absent, other = ("pin.alloc", "pin.read_entry") if fault is None else (fault[0].name, "pin.L_sigbus")
    return program(
        "host_pin",
        (
            row("pin.lock_mmap", step="mm.lock_mmap"),
            row("pin.reserve", {"nomem": "L_out"}, at="L_page"),
            row(
                "pin.walk",
                {"absent": absent, "protnone": "pin.take", "migrating": "pin.walk", "other": other},
                step="gup.walk",
            ),
            row("pin.take", {"nomem": "L_out", "again": "pin.walk"}),
            row("pin.check_movable", {"migrating": "pin.drop"}),
            row("pin.next", {"again": "L_page"}, step="pin.next_gfn"),
            row("pin.unlock_mmap", {"next": "END"}, step="mm.unlock_mmap", at="L_out"),
            row("pin.drop"),
            *move_page("pin.mig", why=UNMOVABLE, nomem="L_stays", busy="L_stays", kept="L_stays", done="L_page"),
            row("pin.not_moved", {"next": "L_out"}, at="L_stays"),
            *(fault_in("pin", "L_out", poisoned=EHWPOISON) if fault is None else fault),
        ),
    )


def host_unpin() -> Program:
    """Let the actor's pins of a range go; with the flag WRITE the device writes once more before that."""
    return program(
        "host_unpin",
        (
            row("unpin.find", {"none": "unpin.next"}, step="pin.find", at="L_page"),
            row("unpin.dma", step="pin.dma"),
            row("unpin.drop", step="pin.drop"),
            row("unpin.next", {"again": "L_page"}, step="pin.next_unpin"),
        ),
    )


def kernel_access(enter: Rows = (), fault: Rows | None = None) -> Program:
    """KVM reads or writes guest memory for itself, through the hva: the shared copy (kvm_main.c: kvm_read_guest).

    `enter`: rows before the copy, of a design whose memslots have another way in. `fault`: as for `host_pin`.
    """
    absent, other = ("kernel.alloc", "kernel.read_entry") if fault is None else (fault[0].name, "kernel.L_sigbus")
    return program(
        "kernel_access",
        (
            row("kernel.exit_guest", step="enter.set_outside"),
            row("kernel.srcu_lock", step="srcu.lock"),
            row("kernel.lookup_slot", step="fault.lookup_slot", at="L_next"),
            row("kernel.check_slot", {"none": "kernel.srcu_unlock"}),
        ),
        enter,
        (
            row(
                "kernel.copy",
                {"fault": "kernel.lock_mmap", "again": "L_next", "done": "kernel.srcu_unlock"},
                at="L_copy",
            ),
            row("kernel.srcu_unlock", {"next": "END"}, step="srcu.unlock"),
            row("kernel.lock_mmap", step="mm.lock_mmap"),
            row(
                "kernel.walk",
                {
                    "absent": absent,
                    "protnone": "kernel.mig.L_hint",
                    "migrating": "kernel.walk",
                    "other": other,
                },
                step="gup.walk",
                site="handle_mm_fault",
            ),
            row("kernel.unlock_mmap", {"next": "L_copy"}, step="mm.unlock_mmap"),
            *(fault_in("kernel", "kernel.unlock_failed") if fault is None else fault),
            *migrate("kernel.mig", "kernel.L_restore", "kernel.walk"),
            row("kernel.unlock_failed", step="mm.unlock_mmap"),
            row("kernel.failed", {"next": "kernel.srcu_unlock"}),
        ),
    )
