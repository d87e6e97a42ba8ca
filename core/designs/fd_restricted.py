"""restrictedmem: private memory in a file that hides a shmem file and tells KVM before it punches.

The last step before guest_memfd, and the first with attributes: a gfn is private or shared by
KVM_SET_MEMORY_ATTRIBUTES, as in guest-memfd. The file is one of mm, which any user of the kernel could bind: KVM
binds a range of it for each memslot and is told, memslot by memslot, before and after a punch. A memslot holds the
file, so a fault needs no test of its life. Behind it is shmem, which can give folios of 2M: they are mapped huge, and
a punch of a part of one clears that part and splits it.

Order of v9 and v10 (Oct-Dec 2022, mm/restrictedmem.c and virt/kvm/kvm_main.c of that series) over shmem of Linux 6.1;
attributes and stage-2 tables as in guest-memfd. Two faults of the series are mended here, and come as variants:
`AS_POSTED` and `RETRIES_WITHOUT_MEMORY`.
"""

from dataclasses import replace

from gmembench.core import blocks
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD
from gmembench.core.designs.guest_memfd import FINDINGS as OF_ATTRIBUTES
from gmembench.core.designs.guest_memfd import NO_REGION
from gmembench.core.parts.zaps import PRIVATE_ONLY
from gmembench.core.programs import Finding, Where, hook, row
from gmembench.core.steps.zap import BY_INDEX

BEGIN = Where(place="kvm-invalidate", site="kvm_restrictedmem_invalidate_begin")
FINISH = Where(place="kvm-invalidate", site="kvm_restrictedmem_invalidate_end")
BY_BIND = Where(place="kvm-memslot", site="restrictedmem_bind")
BY_PUNCH = Where(place="backing", site="restrictedmem_punch_hole")
BY_UNBIND = Where(place="kvm-memslot", site="restrictedmem_unbind")
FALLOCATE = Where(place="vmm", site="restrictedmem_fallocate")

FROM_FILE = (
    row("rm.check_binding", {"other": "X_memfault"}),
    row("rm.find_folio", {"absent": "L_alloc"}, step="shmem.find_folio", at="L_look"),
    row("rm.lock_folio", step="shmem.get_lock"),
    row("rm.recheck_mapping", {"truncated": "L_look", "next": "L_have"}, step="shmem.recheck_mapping"),
    row("rm.alloc_folio", {"nomem": "X_memfault", "raced": "L_look"}, step="shmem.alloc_folio", at="L_alloc"),
    row("rm.clear_folio", {"uptodate": "L_assign"}, step="shmem.clear_folio", at="L_have"),
    row("rm.mark_uptodate", step="shmem.mark_uptodate"),
    hook("assign", at="L_assign", fail="X_unlock_folio"),
    row("rm.unlock_folio", step="shmem.release_lock"),
)
"""The folio of a private gfn (restrictedmem_get_page). The reference is kept until the fault has mapped it."""

ASIDE = (
    *blocks.from_vma("X_unlock_mmap"),
    row("unwind.unlock_folio", step="shmem.release_lock", at="X_unlock_folio"),
    row("unwind.put_folio", {"next": "X_memfault"}, step="fault.release_page", place="backing", site="folio_put"),
)

ACCESS = blocks.access((row("fault.choose_backing", {"shared": "L_gup"}), *FROM_FILE), attributes=True, aside=ASIDE)

PUNCH = blocks.program(
    "punch",
    (
        row("punch.fdget", {"dying": "END"}, value=1),
        row("punch.lock_read", step="rm.lock_read"),
        row("punch.start.next_bound", {"none": "L_trunc"}, step="rm.next_bound", at="L_start"),
        row("punch.start.srcu_lock", step="srcu.lock", **BEGIN),
    ),
    blocks.invalidate_begin("punch.start", walk=BY_INDEX, kind=PRIVATE_ONLY, **BEGIN),
    (
        row("punch.start.srcu_unlock", {"next": "L_start"}, step="srcu.unlock", **BEGIN),
        row("punch.lock_inode", step="shmem.lock_inode", at="L_trunc"),
        row("punch.lock_folio", {"none": "L_end", "overlap": "L_cut"}, step="shmem.lock_folio", at="L_look"),
        row("punch.remove_folio", step="shmem.remove_folio"),
        hook("reclaim"),
        row("punch.put_folio", step="shmem.put_folio"),
        row("punch.unlock_folio", {"again": "L_look"}, step="shmem.unlock_folio", at="L_whole"),
        row("punch.unlock_inode", step="shmem.unlock_inode", at="L_end"),
        row("punch.end.next_bound", {"none": "L_out"}, step="rm.next_bound", at="L_finish"),
        row("punch.end.srcu_lock", step="srcu.lock", **FINISH),
    ),
    blocks.invalidate_end("punch.end", site="kvm_restrictedmem_invalidate_end"),
    (
        row("punch.end.srcu_unlock", {"next": "L_finish"}, step="srcu.unlock", **FINISH),
        row("punch.unlock_read", step="gmem.unlock_inval_shared", at="L_out", **BY_PUNCH),
        row("punch.fdput"),
        row("fallocate.returned", step="punch.returned"),
    ),
    aside=(
        row("punch.zero_part", step="shmem.zero_part", at="L_cut"),
        row("punch.split_folio", {"extra": "L_whole"}, step="shmem.split_folio"),
        row("punch.unlock_split", {"next": "L_look"}, step="shmem.unlock_split"),
        *blocks.beside_zap("punch.start"),
    ),
)

ALLOCATE = blocks.program(
    "allocate",
    (
        row("allocate.fdget", {"dying": "END"}, step="punch.fdget"),
        row("allocate.check_range", {"beyond": "allocate.fdput"}, step="gmem.check_range", site="shmem_fallocate"),
        row("allocate.lock_inode", step="shmem.lock_inode"),
        row("allocate.find_folio", {"absent": "L_alloc"}, step="shmem.find_folio", at="L_look"),
        row("allocate.lock_folio", step="shmem.get_lock"),
        row("allocate.recheck_mapping", {"truncated": "L_look"}, step="shmem.recheck_mapping"),
        row("allocate.clear_folio", {"uptodate": "L_next"}, step="shmem.clear_folio"),
        row("allocate.mark_uptodate", {"next": "L_next"}, step="shmem.mark_uptodate"),
        row("allocate.alloc_folio", {"nomem": "X_nomem", "raced": "L_look"}, step="shmem.alloc_folio", at="L_alloc"),
        row("allocate.next_index", {"again": "L_look"}, step="shmem.next_index", at="L_next"),
        row("allocate.unlock_inode", step="shmem.unlock_inode", at="L_out"),
        row("allocate.fdput", {"next": "END"}, step="punch.fdput"),
    ),
    aside=(
        row("undo.begin", step="shmem.allocation_failed", at="X_nomem"),
        row("undo.find_added", {"none": "L_out"}, step="shmem.find_added", at="L_undo"),
        row("undo.remove_folio", step="shmem.remove_folio"),
        hook("reclaim", p="undo"),
        row("undo.put_folio", step="shmem.put_folio"),
        row("undo.unlock_folio", {"again": "L_undo"}, step="shmem.unlock_folio"),
    ),
)

BIND = (
    row("bind.fget", {"dying": "unwind.discard"}, site="kvm_restrictedmem_bind"),
    row("slot.set_file", site="kvm_restrictedmem_bind"),
    row("bind.lock_write", step="gmem.lock_inval", **BY_BIND),
    row("bind.check_free", {"busy": "X_unlock_write"}, step="rm.check_free"),
    row("bind.store", {"nomem": "X_erase"}),
    row("bind.unlock_write", step="gmem.unlock_inval", **BY_BIND),
)
"""Bound before the memslot is prepared (__kvm_set_memory_region of v10)."""

UNBIND = (
    row("bind.find_file", {"none": "L_free"}, site="kvm_restrictedmem_unbind"),
    row("bind.lock_write", step="gmem.lock_inval", **BY_UNBIND),
    row("bind.erase", **BY_UNBIND),
    row("slot.clear_file", **BY_UNBIND),
    row("bind.unlock_write", step="gmem.unlock_inval", **BY_UNBIND),
)

SLOT_CREATE = blocks.slot_create(
    BIND,
    (),
    (row("bind.fput", step="gmem.put_file", place="kvm-memslot"),),
    (
        row("unwind.unlock_arch", step="slot.unlock_arch", at="X_discard"),
        row("unwind.lock_write", step="gmem.lock_inval", **BY_UNBIND),
        row("unwind.erase", step="bind.rollback", at="X_erase"),
        row("unwind.unlock_write", step="gmem.unlock_inval", **BY_BIND, at="X_unlock_write"),
        row("unwind.put_file", step="gmem.put_file", place="kvm-memslot"),
        row("unwind.discard", {"next": "slot.unlock_slots"}, step="slot.discard"),
    ),
)


def evict(done: str) -> blocks.Rows:
    """The shmem inode goes with its last reference: its folios are removed, and nobody is told."""
    return (
        row("evict.remove_folio", {"none": done}, step="shmem.evict_folio"),
        hook("reclaim", p="evict"),
        row("evict.put_folio", {"again": "evict.remove_folio"}, step="shmem.free_folio"),
    )


SLOT_DELETE = blocks.slot_delete(
    blocks.zap_slot_leaves(),
    (*UNBIND, row("slot.put_file", {"none": "L_free"}, step="fd.put_slot_file"), *evict("L_free")),
    blocks.beside_zap("slot"),
)

CLOSE = blocks.program(
    "close",
    (row("file.put", {"none": "END", "busy": "END"}, step="fd.close_file"),),
    evict("END"),
)

POISON = blocks.poison(
    (
        row("mf.split_folio", step="shmem.split_poisoned", at="L_file"),
        row("mf.error", {"next": "L_put"}, step="rm.error"),
    )
)
"""A huge folio is split. KVM is told and sends SIGBUS to whoever found the error (restricted_error_remove_page).

Nothing is zapped.
"""

TEARDOWN = blocks.program(
    "teardown",
    blocks.vma_teardown(),
    (
        row("teardown.next_slot", {"none": "L_close"}),
        *UNBIND,
        row("teardown.free_slot", {"next": "teardown.next_slot"}, step="slot.free", at="L_free"),
        row("teardown.put_file", at="L_close", site="restrictedmem_release"),
        *evict("L_freed"),
        row("teardown.free_file", at="L_freed", site="restrictedmem_release"),
    ),
)

FINDINGS = (
    Finding(
        "UAF-MAP",
        "A punch of a part of a huge folio invalidates only that part. A fault on a neighbour is not stale, and maps"
        " the whole folio while the part is cut out of it.",
        "4 gfns in one region, private, one folio of 4 pages, mapped. H punches gfn 0: start zaps the huge entry. V0"
        " touches gfn 1: no retry, since only gfn 0 is in the range; the folio is whole, so all 4 gfns are mapped. H"
        " splits the folio and frees page 0. V0 writes gfn 0 in the freed page.",
        "inference from restrictedmem_punch_hole of v10, which hands the range on as it is; the same shape as"
        " 9129633d568e in attributes",
        ("none", "snp"),
        then=("ALIAS", "STALE-TLB", "LIVE"),
        rows=("punch.remove_folio", "punch.unlock_folio", "access.guest.use"),
    ),
    Finding(
        "HW",
        "A punch of a part of a huge folio clears the part through the direct map, though the hardware gave the page"
        " to the guest.",
        "2M folio, private, touched by V0; H punches one page of it.",
        "c72ceafbd12c (mm: Introduce AS_INACCESSIBLE for encrypted/confidential memory), which stopped just that",
        ("snp", "tdx"),
        then=("LEAK-H",),
        rows=("punch.zero_part",),
    ),
    Finding(
        "OBJ",
        "The binding is stored before the memslot is prepared: a punch finds a memslot that is not ready.",
        "S creates a memslot; H punches its range while S has bound it and not yet allocated what KVM keeps for it.",
        "kvm_restrictedmem_bind before kvm_set_memslot in v10; the shape of 3fe5d2944e5a in guest_memfd",
        ("none", "tdx", "snp"),
        rows=("punch.start.next_bound",),
    ),
    *OF_ATTRIBUTES,
)

NOT_IN_2022 = {
    **NO_REGION,
    "vm_create": "a memslot binds the file, and KVM unbinds it before the VM goes: the file calls nobody else",
    "vmsa_load": "a VMSA that the guest names came with the guest_memfd of Linux 6.11; in 2022 KVM allocated it",
    "prefault": "KVM_PRE_FAULT_MEMORY came with Linux 6.11, in 2024; the series has no such call (KVM api.rst)",
    "populate": "KVM loads the first contents of private pages itself since Linux 6.10 (kvm_gmem_populate); in 2022 the"
    " hardware's own patches did",
}

DESIGN = replace(
    GUEST_MEMFD,
    name="fd-restricted",
    kernel="v10 of restrictedmem, December 2022",
    doc=(__doc__ or "").strip(),
    programs={name: p for name, p in GUEST_MEMFD.programs.items() if name not in NOT_IN_2022}
    | {
        "access": ACCESS,
        "punch": PUNCH,
        "allocate": ALLOCATE,
        "slot_create": SLOT_CREATE,
        "slot_delete": SLOT_DELETE,
        "close": CLOSE,
        "poison": POISON,
        "teardown": TEARDOWN,
    },
    not_applicable=NOT_IN_2022,
    private_sizes=("4K", "2M"),
    origin="Chao Peng, KVM: mm: fd-based approach for supporting KVM guest private memory, v9 and v10 (Oct-Dec 2022)",
    findings=FINDINGS,
)

AS_POSTED = DESIGN.edited("fd-restricted-as-posted", access=ACCESS.without("rm.clear_folio"))
"""The folio is marked uptodate and never cleared: SGP_WRITE of shmem leaves that to a caller who writes.

restrictedmem_get_page of v10 does not write. `DESIGN` clears, as the series says that it does.
"""

RETRIES_WITHOUT_MEMORY = DESIGN.edited(
    "fd-restricted-retries",
    access=ACCESS.redirected("rm.alloc_folio", "nomem", "L_retry"),
)
"""A fault without memory is tried again for ever (kvm_faultin_pfn_private of v9 and v10 answers RET_PF_RETRY)."""
