"""The VMM's mapping of a guest_memfd file: its faults and its unmapping (guest_memfd.c:358-397, memory.c)."""

from gmembench.core.errno import SIGBUS
from gmembench.core.outcomes import AGAIN, NEXT, UNMAPPED
from gmembench.core.outcomes import SIGBUS as TO_SIGBUS
from gmembench.core.parts.file_folios import clear_host_pte
from gmembench.core.parts.notifier import OF_GFN
from gmembench.core.parts.pool import put_page
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import HPTE_NONE, HPTE_RW, file, frame


@step("backing", "check", "kvm_gmem_fault_user_mapping", ("sigbus",))
def check_size(w: Record, a: Record, r: Record) -> int:
    """A mapping may be longer than the file; behind its end there is nothing, nor where it was unmapped."""
    a["file"] = 0
    a["index"] = a["gfn"]
    if a["index"] >= w["cache_n"] or file(w, 0)["unmapped"] != 0:
        return TO_SIGBUS
    return NEXT


@step("backing", "check", "kvm_gmem_fault_user_mapping", ("sigbus",))
def check_shared(w: Record, a: Record, r: Record) -> int:
    """Only a file that was made with INIT_SHARED may be touched. Operand `value` 1: this one was not."""
    if r["value"] != 0:
        return TO_SIGBUS
    return NEXT


@step("mm", "state", "finish_fault")
def set_pte(w: Record, a: Record, r: Record) -> int:
    """Map the file's page, which takes over the fault's reference, unless another thread was faster."""
    f = frame(w, a["gfn"])
    if f["hpte"] != HPTE_NONE:
        put_page(w, a["pfn"])
        return NEXT
    f["hpfn"] = a["pfn"]
    f["hpte"] = HPTE_RW
    return NEXT


@step("mm", "state", "force_sig_fault")
def refuse(w: Record, a: Record, r: Record) -> int:
    """The access ends in SIGBUS; operand `value`: in this errno, where no instruction of the VMM asked."""
    a["result"] = r["value"] if r["value"] != 0 else SIGBUS
    return NEXT


@step("mm", "check", "truncate_cleanup_folio", ("unmapped",))
def check_mapped(w: Record, a: Record, r: Record) -> int:
    """Only a folio that a host page table maps has to be unmapped.

    Operand `value` 1: it is the folio of the gfn in hand, not of the index.
    """
    if r["value"] != OF_GFN:
        a["gfn"] = a["index"]
    if frame(w, a["gfn"])["hpte"] == HPTE_NONE:
        return UNMAPPED
    return NEXT


@step("mm", "state", "munmap")
def begin_munmap(w: Record, a: Record, r: Record) -> int:
    """Unmap the whole file: a mapping holds the file, so closing the descriptor alone would release nothing."""
    file(w, 0)["unmapped"] = 1
    a["first"] = 0
    a["gfn"] = 0
    a["end"] = w["frames_n"]
    return NEXT


@step("mm", "state", "zap_pte_range")
def clear_pte(w: Record, a: Record, r: Record) -> int:
    """Clear the host PTE of one gfn and drop its reference: the page cache still has one until after the flush.

    Operand `value` 1: only of the gfn in hand, not of the operation's range.
    """
    clear_host_pte(w, a["gfn"])
    if r["value"] == OF_GFN:
        return NEXT
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return NEXT
