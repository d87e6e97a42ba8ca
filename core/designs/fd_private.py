"""A shmem file as private memory: Sean Christopherson's RFC of August 2021, with the presence rule of Chao Peng's v5.

The file is paired with one VM. For a private gfn KVM gets the page locked (get_lock_pfn), maps it, and unlocks it
(put_unlock_pfn): the page lock keeps the page in the file meanwhile, not the invalidation sequence. Before the store
frees a page it calls the VM back, under the same lock. There is no other mapping of the file, and no pin.

In the RFC of 2021 private memslots are apart, the GPA of an access chooses, and KVM may allocate: `RFC_2021`. Chao's
v5 (March 2022) has no other record of private and shared than the file: a gfn is private if its page is there. So
fallocate converts, and nobody but the VMM allocates. This design is `RFC_2021` with that rule, by edits.
`UNREGISTERED` and `NOTIFY_BEFORE_LOCK` are variants of it.
"""

from dataclasses import replace

from gmembench.core import blocks
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD
from gmembench.core.designs.guest_memfd import NO_REGION, ZAPPED_WITH_DATA
from gmembench.core.parts.zaps import KIND_CONVERTED_FROM
from gmembench.core.programs import Finding, Where, hook, row
from gmembench.core.steps.fd import OF_FOLIO, OF_RANGE, REGISTERED
from gmembench.core.steps.zap import BY_GFN, BY_INDEX

HANDLER = Where(place="kvm-invalidate", site="kvm_private_mem_notifier_handler")
BY_SLOT = Where(place="kvm-memslot", site="kvm_set_memory_region")

PRIVATE_PAGE = (
    row("fault.choose_backing", {"shared": "L_gup"}),
    row("fd.lookup_private_slot", {"none": "X_memfault"}),
    row("fd.find_folio", {"absent": "L_alloc"}, step="shmem.find_folio", at="L_look"),
    row("fd.lock_folio", step="shmem.get_lock"),
    row("fd.recheck_mapping", {"truncated": "L_look", "next": "L_have"}, step="shmem.recheck_mapping"),
    row("fd.alloc_folio", {"nomem": "X_memfault", "raced": "L_look"}, step="shmem.alloc_folio", at="L_alloc"),
    row("fd.clear_folio", {"uptodate": "L_assign"}, step="shmem.clear_folio", at="L_have"),
    row("fd.mark_uptodate", step="shmem.mark_uptodate"),
    hook("assign", at="L_assign", fail="X_unlock_folio"),
    row("private.lock_mmu", step="fault.lock_mmu_read"),
    row("private.recheck_root", {"root": "L_unlock_private"}, step="fault.recheck_root"),
    row("private.choose_level", step="fault.choose_level"),
    row("private.link_table", {"lost": "L_unlock_private"}, step="fault.link_table"),
    hook("map", p="private", lost="L_unlock_private", set="private.set_spte"),
    row(
        "private.set_spte",
        dict.fromkeys(("lost", "frozen", "same", "replaced"), "L_unlock_private"),
        step="fault.set_spte",
    ),
    row("private.unlock_mmu", step="fault.unlock_mmu", at="L_unlock_private"),
    row("fd.unlock_folio", {"next": "L_retry"}, step="fd.put_unlock"),
)
"""A private fault from get_lock_pfn to put_unlock_pfn: it maps under the page lock and asks no sequence."""

ACCESS = blocks.program(
    "access",
    blocks.enter(),
    blocks.head("L_retry", attributes=False, fixed="ENTER"),
    PRIVATE_PAGE,
    blocks.map_page("L_retry"),
    aside=(
        *blocks.from_vma("X_unlock_mmap"),
        row("unwind.put_unlock", {"next": "X_memfault"}, step="fd.put_unlock", at="X_unlock_folio"),
        *blocks.beside_map("L_retry"),
        *blocks.beside_entry(),
        *blocks.exits(),
    ),
).without("fault.precheck_stale_1")


def notify(p: str, value: int, after: str) -> blocks.Rows:
    """The callback: zap, flush and bump the sequence in one section of mmu_lock; nothing is counted.

    `after`: the row that follows, where nobody is called.
    """
    return (
        row(f"{p}.call_owner", {"none": after}, step="fd.call_owner"),
        row(f"{p}.srcu_lock", step="srcu.lock", **HANDLER),
        row(f"{p}.find_slot", {"none": f"{p}.srcu_unlock"}, step="fd.find_slot", value=value),
        row(f"{p}.lock_mmu", step="mmu.lock", **HANDLER),
        row(
            f"{p}.zap",
            {"slot": f"{p}.zap", "yield": f"{p}.yield_flush_request", "external": f"{p}.L_external"},
            step="zap.gfn",
            value=BY_INDEX,
            may_yield=1,
        ),
        row(f"{p}.flush_request", {"clean": f"{p}.seq_bump"}, step="flush.request"),
        row(f"{p}.flush_kick", step="flush.kick"),
        row(f"{p}.flush_wait", step="flush.wait"),
        row(f"{p}.seq_bump", step="inval.seq_bump", **HANDLER),
        row(f"{p}.unlock_mmu", step="mmu.unlock", **HANDLER),
        row(f"{p}.srcu_unlock", step="srcu.unlock", **HANDLER),
        row(f"{p}.called", step="fd.called"),
    )


def truncate(p: str, find: str, done: str) -> blocks.Rows:
    """Free pages one by one: lock, call the VM back, remove, unlock. `find`: the step that finds the next one."""
    look = f"{p}.lock_folio"
    outcomes = {"none": done, "overlap": f"{p}.notify.call_owner"} if find == "shmem.lock_folio" else {"none": done}
    return (
        row(look, outcomes, step=find),
        *notify(f"{p}.notify", OF_FOLIO, f"{p}.remove_folio"),
        row(f"{p}.remove_folio", step="shmem.remove_folio"),
        hook("reclaim", p=p),
        row(f"{p}.put_folio", step="shmem.put_folio"),
        row(f"{p}.unlock_folio", {"again": look}, step="shmem.unlock_folio"),
    )


def mark_mixed(p: str = "mixed", at: str = "") -> blocks.Rows:
    """Mark the range's regions under mmu_lock."""
    return (
        row(f"{p}.lock_mmu", step="mmu.lock", at=at, **HANDLER),
        row(f"{p}.update_mixed", step="fd.update_mixed"),
        row(f"{p}.unlock_mmu", step="mmu.unlock", **HANDLER),
    )


PUNCH = blocks.program(
    "punch",
    (row("punch.fdget", {"dying": "END"}, value=1), row("punch.lock_inode", step="shmem.lock_inode")),
    truncate("punch", "shmem.lock_folio", "L_end"),
    (
        row("punch.unlock_inode", step="shmem.unlock_inode", at="L_end"),
        row("punch.fdput"),
        row("fallocate.returned", step="punch.returned"),
    ),
    aside=blocks.beside_zap("punch.notify"),
)


def find_pages(p: str, add: str) -> blocks.Rows:
    """shmem_fallocate: every index of the range gets a page. `add`: the step that adds one."""
    return (
        row(f"{p}.find_folio", {"absent": "L_alloc"}, step="shmem.find_folio", at="L_look"),
        row(f"{p}.lock_folio", step="shmem.get_lock"),
        row(f"{p}.recheck_mapping", {"truncated": "L_look"}, step="shmem.recheck_mapping"),
        row(f"{p}.clear_folio", {"uptodate": "L_next"}, step="shmem.clear_folio"),
        row(f"{p}.mark_uptodate", {"next": "L_next"}, step="shmem.mark_uptodate"),
        row(f"{p}.alloc_folio", {"nomem": "X_nomem", "raced": "L_look"}, step=add, at="L_alloc"),
        row(f"{p}.next_index", {"again": "L_look"}, step="shmem.next_index", at="L_next"),
    )


UNDO = (
    row("undo.begin", step="shmem.allocation_failed", at="X_nomem"),
    *truncate("undo", "shmem.find_added", "L_undone"),
    *blocks.beside_zap("undo.notify"),
)
"""A failed fallocate takes back the pages that it added."""

ALLOCATE = blocks.program(
    "allocate",
    (
        row("allocate.fdget", {"dying": "END"}, step="punch.fdget"),
        row("allocate.check_range", {"beyond": "L_out"}, step="gmem.check_range", site="shmem_fallocate"),
        row("allocate.lock_inode", step="shmem.lock_inode"),
    ),
    find_pages("allocate", "shmem.alloc_folio"),
    notify("populate", OF_RANGE, "L_undone"),
    (
        row("allocate.unlock_inode", step="shmem.unlock_inode", at="L_undone"),
        row("allocate.fdput", step="punch.fdput", at="L_out"),
    ),
    aside=(*blocks.beside_zap("populate"), *UNDO),
)

CONVERT_BY_SLOT = blocks.program(
    "convert",
    (
        row("convert.lock_slots", step="slot.lock_slots"),
        row("convert.check_noop", {"same": "L_out"}),
        row("convert.store_attr", **BY_SLOT),
        row("convert.srcu_start", step="srcu.start_gp"),
        row("convert.srcu_wait", step="srcu.wait_gp"),
        row("convert.find_slot", {"none": "L_out"}, **BY_SLOT),
        row("convert.lock_mmu", step="mmu.lock", **BY_SLOT),
        row(
            "convert.zap",
            {"slot": "convert.zap", "yield": "convert.yield_flush_request", "external": "convert.L_external"},
            step="zap.gfn",
            value=BY_GFN,
            kind=KIND_CONVERTED_FROM,
            may_yield=1,
        ),
        row("convert.flush_request", {"clean": "convert.update_mixed"}, step="flush.request"),
        row("convert.flush_kick", step="flush.kick"),
        row("convert.flush_wait", step="flush.wait"),
        row("convert.update_mixed", step="fd.update_mixed", **BY_SLOT),
        row("convert.unlock_mmu", step="mmu.unlock", **BY_SLOT),
        row("convert.unlock_slots", step="slot.unlock_slots", at="L_out"),
    ),
    aside=blocks.beside_zap("convert"),
)
"""A hole in the private memslots, or none: new memslots, a grace period that no fault survives, then the zap."""

CONVERT_BY_PRESENCE = (
    blocks.program(
        "convert",
        (
            row("convert.fallocate", {"dying": "END", "shared": "L_punch"}, step="fd.fallocate"),
            row("convert.lock_inode", step="shmem.lock_inode"),
        ),
        find_pages("convert", "fd.add_folio"),
        notify("populate", OF_RANGE, "L_undone"),
        mark_mixed("populate.mixed", at="L_undone"),
        (
            row("convert.unlock_inode", step="shmem.unlock_inode"),
            row("convert.fdput", {"next": "END"}, step="punch.fdput"),
            row("punch.lock_inode", step="shmem.lock_inode", at="L_punch"),
        ),
        truncate("punch", "shmem.lock_folio", "L_end"),
        mark_mixed(at="L_end"),
        (
            row("punch.unlock_inode", step="shmem.unlock_inode"),
            row("punch.fdput"),
            row("fallocate.returned", step="punch.returned"),
        ),
        aside=(*blocks.beside_zap("populate"), *blocks.beside_zap("punch.notify"), *UNDO),
    )
    .replaced("punch.remove_folio", "fd.remove_folio")
    .replaced("undo.remove_folio", "fd.remove_folio")
)
"""To private by fallocate, to shared by a punch: what the VMM of v5 does on KVM_EXIT_MEMORY_ERROR or a hypercall."""


REGISTER = (
    row("bind.fget", {"dying": "unwind.discard"}, site="kvm_private_mem_register"),
    row("slot.set_file", site="kvm_private_mem_register"),
)

UNREGISTER = (
    row("bind.find_file", {"none": "L_free"}, site="kvm_private_mem_unregister"),
    row("fd.unregister"),
    row("slot.clear_file", site="kvm_private_mem_unregister"),
)

SLOT_CREATE = blocks.slot_create(
    REGISTER,
    (row("fd.register", {"busy": "X_discard"}),),
    (row("bind.fput", step="gmem.put_file", place="kvm-memslot"),),
    (
        row("unwind.unlock_arch", step="slot.unlock_arch", at="X_discard"),
        row("unwind.put_file", step="gmem.put_file", place="kvm-memslot"),
        row("unwind.discard", {"next": "slot.unlock_slots"}, step="slot.discard"),
    ),
)

SLOT_DELETE = blocks.slot_delete(
    blocks.zap_slot_leaves(),
    (
        *UNREGISTER,
        row("slot.put_file", {"none": "L_free"}, step="fd.put_slot_file"),
        *truncate("evict", "shmem.lock_folio", "L_free"),
    ),
    (*blocks.beside_zap("slot"), *blocks.beside_zap("evict.notify")),
)

CLOSE = blocks.program(
    "close",
    (row("file.put", {"none": "END", "busy": "END"}, step="fd.close_file"),),
    truncate("evict", "shmem.lock_folio", "END"),
    aside=blocks.beside_zap("evict.notify"),
)

TEARDOWN = blocks.program(
    "teardown",
    blocks.vma_teardown(),
    (
        row("teardown.next_slot", {"none": "L_close"}),
        *UNREGISTER,
        row("teardown.free_slot", {"next": "teardown.next_slot"}, step="slot.free", at="L_free"),
        row("teardown.free_vm", step="fd.free_vm", at="L_close"),
        row("teardown.put_file"),
    ),
    truncate("evict", "shmem.lock_folio", "L_freed"),
    (row("teardown.free_file", at="L_freed", site="shmem_evict_inode"),),
    aside=blocks.beside_zap("evict.notify"),
)
"""The VM goes before the file: a process closes its descriptors in order, and the VM's was the first."""

VM_CREATE = blocks.program("vm_create", (row("vm.create", {"none": "END"}, step="fd.create_vm"),))
"""Another VM, at the address that a file may still have of the one before."""

NOT_IN_2021 = {
    **NO_REGION,
    "vmsa_load": "a VMSA that the guest names came with the guest_memfd of Linux 6.11; in 2021 KVM allocated it",
    "prefault": "KVM_PRE_FAULT_MEMORY came with Linux 6.11, in 2024; neither series has such a call (KVM api.rst)",
    "populate": "KVM loads the first contents of private pages itself since Linux 6.10 (kvm_gmem_populate); neither"
    " series says how a page gets contents before the guest runs",
    "poison": "neither series tells KVM of a broken page; the error callback came with v9 (restrictedmem)",
}

RFC_2021 = replace(
    GUEST_MEMFD,
    name="fd-private-rfc",
    kernel="RFC of August 2021 and its prototypes",
    doc="Sean Christopherson's RFC without the presence rule: private memslots are apart, KVM allocates.",
    programs={name: p for name, p in GUEST_MEMFD.programs.items() if name not in NOT_IN_2021}
    | {
        "access": ACCESS,
        "convert": CONVERT_BY_SLOT,
        "punch": PUNCH,
        "allocate": ALLOCATE,
        "slot_create": SLOT_CREATE,
        "slot_delete": SLOT_DELETE,
        "close": CLOSE,
        "teardown": TEARDOWN,
        "vm_create": VM_CREATE,
    },
    not_applicable=NOT_IN_2021,
    findings=(),
    private_sizes=("4K",),
    origin="Sean Christopherson, [RFC] KVM: mm: fd-based approach, <20210824005248.200037-1-seanjc@google.com>",
)
"""Private memslots apart, with holes where gfns are shared; the private side of a fault allocates."""

FINDINGS = (
    Finding(
        "OBJ",
        "Nothing holds the VM that the file calls back: it can be freed before the file is.",
        "V0 touches a private gfn; H tears the VM down, its descriptor first; the last reference to the file frees the"
        " page and calls the owner, which is gone.",
        "comment in the prototype, 'We can get here after the owner no longer exists' (Nov 2021); closed in v3"
        " (UNREGISTERED)",
        ("none", "tdx", "snp"),
        rows=("*.call_owner",),
    ),
    Finding(
        "ALIAS",
        "fallocate makes the pages private first and calls KVM back when all are there: until then the shared copy"
        " stays mapped, on hardware with separate roots beside the private one.",
        "2 gfns, shared and mapped. H converts both; after its first page V0 reads gfn 0: the shared copy.",
        "notify_populate at the end of shmem_fallocate (v5 04/13)",
        ("none", "tdx", "snp"),
        rows=("convert.alloc_folio", "allocate.alloc_folio", "*.fault.set_spte", "*.private.set_spte"),
    ),
    Finding(
        "ALIAS",
        "The callback for a fallocate may yield mmu_lock before it bumps the sequence, and it counts nothing: a shared"
        " fault can map a gfn again that was zapped before the yield, and nobody takes the entry away.",
        "2 gfns, shared. V0 faults on gfn 0 and has its page; H converts both, zaps gfn 0 and yields; V0 maps gfn 0:"
        " its snapshot is still good; H zaps gfn 1 and bumps the sequence.",
        "inference from kvm_private_mem_notifier_handler of v5 (may_block, no mmu_notifier_count)",
        ("none", "tdx", "snp"),
        rows=("*.fault.set_spte",),
    ),
    Finding(
        "STALE-TLB",
        "Until the callback for a fallocate the guest goes on using the shared copy of a gfn that is private already.",
        "V0 writes gfn 0, shared; H converts it; when its page is there V0 uses the entry that it has.",
        "notify_populate at the end of shmem_fallocate (v5 04/13)",
        ("none", "tdx", "snp"),
        rows=("access.guest.use",),
    ),
    Finding(
        "HUGE",
        "Until the callback a huge shared entry covers gfns that are private already.",
        "a region mapped huge from the VMA; H converts one gfn of it: its page is added before the entry is zapped",
        "notify_populate at the end of shmem_fallocate (v5 04/13)",
        ("none", "tdx", "snp"),
        rows=("convert.alloc_folio", "allocate.alloc_folio", "*.fault.set_spte"),
    ),
    Finding(
        "LOSS",
        "The callback for a fallocate zaps the whole range, private entries of pages that were there before too: the"
        " page leaves the TD and its data are gone.",
        "V0 writes private gfn 0; H allocates gfn 0 again; V0 reads gfn 0.",
        "inference from kvm_private_mem_notifier_handler of v5, which tells fallocate from punch by nothing",
        ("tdx",),
        rows=("access.guest.use",),
    ),
    ZAPPED_WITH_DATA,
)

PRESENCE = RFC_2021.edited(
    "fd-private",
    access=ACCESS.redirected("fd.find_folio", "absent", "X_memfault")
    .without("fd.alloc_folio")
    .inserted(row("fd.check_absent", {"mismatch": "X_memfault"}), before="gup.fast"),
    convert=CONVERT_BY_PRESENCE,
    punch=PUNCH.replaced("punch.remove_folio", "fd.remove_folio").with_rows(mark_mixed(), "punch.unlock_inode"),
    allocate=ALLOCATE.replaced("allocate.alloc_folio", "fd.add_folio")
    .replaced("undo.remove_folio", "fd.remove_folio")
    .with_rows(mark_mixed(), "allocate.unlock_inode"),
    slot_delete=SLOT_DELETE.replaced("evict.remove_folio", "fd.remove_folio"),
    close=CLOSE.replaced("evict.remove_folio", "fd.remove_folio"),
    teardown=TEARDOWN.replaced("evict.remove_folio", "fd.remove_folio"),
)
"""Chao's v5: presence in the file decides, fallocate converts, a fault never allocates."""

DESIGN = replace(
    PRESENCE,
    kernel="RFC of August 2021, presence rule of v5 (March 2022)",
    doc=(__doc__ or "").strip(),
    origin="Sean Christopherson's RFC of Aug 2021 <20210824005248.200037-1-seanjc@google.com>;"
    " Chao Peng, KVM: mm: fd-based approach, v5 (March 2022)",
    findings=FINDINGS,
)


NOTIFY_BEFORE_LOCK = DESIGN.edited(
    "fd-private-notify-before-lock",
    punch=DESIGN.programs["punch"]
    .moved("punch.lock_folio", before="punch.remove_folio")
    .redirected("punch.lock_folio", "overlap", "punch.remove_folio")
    .with_operand("punch.notify.find_slot", value=OF_RANGE),
)
"""A mutant: the VM is called back first and the page locked then. A fault that holds the page lock maps it between."""

UNREGISTERED = DESIGN.edited(
    "fd-private-unregistered",
    teardown=DESIGN.programs["teardown"].with_operand("evict.notify.call_owner", value=REGISTERED),
)
"""A memslot registers itself and is taken off before it goes: the callback meets no VM that is gone (v3 and later)."""
