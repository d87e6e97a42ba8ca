"""The VMSA of SNP: a page of the guest that a vCPU runs on (sev.c). The rows are the hardware's."""

from gmembench.core.blocks.program import Rows, program
from gmembench.core.programs import Program, hook, row


def kick_vmsa(p: str) -> Rows:
    """The hardware's part of an invalidation of the file, one memslot's range at a time (kvm_gmem_invalidate_start)."""
    return (hook("kick_vmsa", p=p),)


def vmsa_load() -> Program:
    """The guest names a page of its own for a vCPU to run on. It is loaded at the next entry."""
    return program(
        "vmsa_load", (row("vmsa.begin", {"refused": "END"}, step="vmsa.refuse"), hook("name_vmsa", p="vmsa"))
    )
