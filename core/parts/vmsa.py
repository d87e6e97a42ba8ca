"""The VMSA of a vCPU of SNP: a page of the guest that the CPU runs on, found by its gfn."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import CONSUMER_VMSA, consumer


@part
def vmsa_of(w: Record, actor: int) -> int:
    """The record of a vCPU's VMSA among the consumers; -1 if the guest never named one."""
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        if c["kind"] == CONSUMER_VMSA and c["actor"] == actor:
            return i
    return -1
