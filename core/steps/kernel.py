"""KVM's own access to guest memory through the VMM's mapping: kvm_read_guest, kvm_write_guest (kvm_main.c)."""

from gmembench.core.errno import EFAULT
from gmembench.core.operations import WRITE
from gmembench.core.outcomes import AGAIN, DONE, FAULT, NEXT, NONE
from gmembench.core.parts.access import read_content, write_content
from gmembench.core.parts.vma import host_pfn, hpte_state
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, HPTE_RW, LIFE_READY, cache, frame, slot

ALLOW_PRIVATE = 1
"""Operand `value` of kernel.copy: a private gfn is reached in the file (a bug: a flag of the lookup too wide)."""


@step("kvm-fault", "check", "gfn_to_hva_memslot", ("none",))
def check_slot(w: Record, a: Record, r: Record) -> int:
    """A gfn without a memslot, or of an INVALID one, has no hva."""
    if a["slot"] < 0 or slot(w, a["slot"])["life"] != LIFE_READY:
        a["result"] = EFAULT
        return NONE
    return NEXT


@step("kvm-fault", "state", "__copy_from_user", ("fault", "done"))
def copy(w: Record, a: Record, r: Record) -> int:
    """Copy from or to the page that the host maps, the shared copy of a private gfn; else take a host fault.

    The translation and the copy are one step: an unmap waits for the TLB of the CPU that copies.
    """
    gfn = a["gfn"]
    if r["value"] == ALLOW_PRIVATE and frame(w, gfn)["attr"] & ATTR_PRIVATE and cache(w, gfn)["pfn"] != 0:
        a["pfn"] = cache(w, gfn)["pfn"]
    elif hpte_state(w, gfn) == HPTE_RW:
        a["pfn"] = host_pfn(w, gfn)
    else:
        return FAULT
    if a["flags"] & WRITE:
        write_content(w, a)
    read_content(w, a)
    a["used"] = 2
    a["gfn"] = gfn + 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return DONE


@step("kvm-fault", "check", "__copy_from_user")
def failed(w: Record, a: Record, r: Record) -> int:
    """A host fault that cannot be answered ends the copy."""
    a["result"] = EFAULT
    return NEXT
