"""guest_memfd as merged: private memory in a file without a mapping, attributes, explicit punching.

A gfn has an attribute, private or shared. Private pages come from the file by its callback, shared
ones from the VMA: each can be allocated while the other is in use, until one is punched. Folios are
of order 0. One root holds private and shared entries on hardware without separate roots, so a punch
zaps shared entries and a NUMA scan zaps private ones.

Order of Linux 7.3 (virt/kvm/guest_memfd.c, virt/kvm/kvm_main.c, arch/x86/kvm/mmu/mmu.c); `ORDER_6_12`
is the order of 6.12, by edits.
"""

from gmembench.core import blocks
from gmembench.core.parts.zaps import KIND_CONVERTED_FROM, PRIVATE_ONLY
from gmembench.core.programs import Design, Finding, Where, hook, row
from gmembench.core.steps.zap import BY_INDEX

BY_ATTRIBUTES = Where(place="kvm-attributes", site="kvm_handle_gfn_range")
SET_ATTRIBUTES = Where(place="kvm-attributes", site="kvm_vm_set_mem_attributes")
BY_BIND = Where(place="kvm-memslot", site="kvm_gmem_bind")
BY_UNBIND = Where(place="kvm-memslot", site="kvm_gmem_unbind")

FIND_PAGE = (row("fault.choose_backing", {"shared": "L_gup"}), *blocks.from_file())
ASIDE = (*blocks.from_vma("X_unlock_mmap"), *blocks.file_exits())

ACCESS = blocks.access(FIND_PAGE, attributes=True, aside=ASIDE)

PREFAULT = blocks.prefault(FIND_PAGE, attributes=True, aside=ASIDE)

CONVERT = blocks.program(
    "convert",
    (
        row("convert.lock_slots", step="slot.lock_slots", **SET_ATTRIBUTES),
        row("convert.check_noop", {"same": "L_out"}),
        row("convert.reserve", {"nomem": "L_out"}),
        row("convert.pre.find_slot", {"none": "L_store"}, step="convert.find_slot"),
    ),
    blocks.invalidate_begin(
        "convert.pre",
        kind=KIND_CONVERTED_FROM,
        **BY_ATTRIBUTES,
        add=(row("convert.pre.range_add_huge", step="convert.range_add_huge"),),
    ),
    (
        row("convert.store_attr", at="L_store"),
        row("convert.post.find_slot", {"none": "L_out"}, step="convert.find_slot_post"),
        row("convert.post.lock_mmu", step="mmu.lock", **BY_ATTRIBUTES),
        row("convert.post.seq_bump", step="inval.seq_bump"),
        row("convert.post.count_dec", step="inval.count_dec"),
        row("convert.post.update_mixed", step="convert.update_mixed"),
        row("convert.post.unlock_mmu", step="mmu.unlock", **BY_ATTRIBUTES),
        row("convert.unlock_slots", step="slot.unlock_slots", at="L_out", **SET_ATTRIBUTES),
    ),
    aside=blocks.beside_zap("convert.pre"),
)

PUNCH = blocks.program(
    "punch",
    (
        row("punch.fdget", {"dying": "END"}, value=1),
        row("punch.lock_inval", step="gmem.lock_inval"),
        row("punch.start.find_binding", {"none": "L_trunc"}, step="punch.find_binding"),
    ),
    blocks.invalidate_begin(
        "punch.start",
        walk=BY_INDEX,
        kind=PRIVATE_ONLY,
        add=blocks.kick_vmsa("punch.start"),
        site="kvm_gmem_invalidate_start",
    ),
    (
        row("punch.lock_folio", {"none": "L_end"}, at="L_trunc"),
        row("punch.unmap_host"),
        row("punch.remove_folio"),
        hook("reclaim"),
        row("punch.put_folio"),
        row("punch.unlock_folio", {"again": "L_trunc"}),
        row(
            "punch.end.find_binding",
            {"none": "L_out"},
            step="punch.find_binding",
            at="L_end",
            site="kvm_gmem_invalidate_end",
        ),
    ),
    blocks.invalidate_end("punch.end", site="kvm_gmem_invalidate_end"),
    (
        row("punch.unlock_inval", step="gmem.unlock_inval", at="L_out"),
        row("punch.fdput"),
        row("fallocate.returned", step="punch.returned"),
    ),
    aside=blocks.beside_zap("punch.start"),
)

ALLOCATE = blocks.program(
    "allocate",
    (
        row("allocate.fdget", {"dying": "END"}, step="punch.fdget"),
        row("allocate.check_range", {"beyond": "allocate.fdput"}, step="gmem.check_range"),
        row("allocate.lock_inval", step="gmem.lock_inval_shared"),
        row("allocate.find_folio", {"absent": "L_alloc"}, step="gmem.find_folio", at="L_look"),
        row("allocate.lock_folio", step="gmem.lock_folio"),
        row("allocate.recheck_mapping", {"truncated": "L_look", "next": "L_have"}, step="gmem.recheck_mapping"),
        row("allocate.alloc_folio", {"nomem": "X_nomem", "raced": "L_look"}, step="gmem.alloc_folio", at="L_alloc"),
        row("allocate.unlock_folio", step="gmem.unlock_folio", at="L_have"),
        row("allocate.put_folio", {"again": "L_look"}, step="gmem.put_folio"),
        row("allocate.unlock_inval", step="gmem.unlock_inval_shared", at="L_out"),
        row("allocate.fdput", {"next": "END"}, step="punch.fdput"),
        row("allocate.failed", {"next": "L_out"}, step="gmem.allocation_failed", at="X_nomem"),
    ),
)

BIND = (
    row("bind.lock_inval", step="gmem.lock_inval", **BY_BIND),
    row("bind.check", {"busy": "X_unlock_inval"}),
    row("bind.store", {"nomem": "X_erase"}),
    row("bind.unlock_inval", step="gmem.unlock_inval", **BY_BIND),
)

UNBIND = (
    row("bind.find_file", {"none": "L_free"}),
    row("bind.get_file", {"dying": "bind.erase_dying"}),
    row("bind.lock_inval", step="gmem.lock_inval", **BY_UNBIND),
    row("bind.erase"),
    row("slot.clear_file"),
    row("bind.unlock_inval", step="gmem.unlock_inval", **BY_UNBIND),
    row("bind.put_file", {"next": "L_free"}, step="gmem.put_file", **BY_UNBIND),
    row("bind.erase_dying", step="bind.erase", **BY_UNBIND),
    row("slot.clear_dying", step="slot.clear_file", **BY_UNBIND),
)
"""A file that is being closed cannot be locked, but its bindings must go before the memslot does."""

SLOT_CREATE = blocks.slot_create(
    (row("gmem.fget", {"dying": "unwind.discard"}, step="bind.fget"), row("slot.set_file")),
    BIND,
    (row("gmem.fput", step="gmem.put_file", place="kvm-memslot"),),
    (
        row("unwind.erase", step="bind.rollback", at="X_erase"),
        row("unwind.unlock_inval", step="gmem.unlock_inval", at="X_unlock_inval", **BY_BIND),
        row("unwind.unlock_arch", step="slot.unlock_arch", at="X_discard"),
        row("unwind.put_file", step="gmem.put_file", place="kvm-memslot"),
        row("unwind.discard", {"next": "slot.unlock_slots"}, step="slot.discard"),
    ),
)

SLOT_DELETE = blocks.slot_delete(blocks.zap_slot_leaves(), UNBIND, blocks.beside_zap("slot"))

SLOT_MOVE = blocks.slot_move(blocks.zap_slot_leaves(), blocks.beside_zap("slot"))

TEARDOWN = blocks.program(
    "teardown",
    blocks.vma_teardown(),
    (
        row("teardown.next_slot", {"none": "L_close"}),
        *UNBIND,
        row("teardown.free_slot", {"next": "teardown.next_slot"}, step="slot.free", at="L_free"),
        row("teardown.put_file", at="L_close"),
        row("evict.remove_folio", {"none": "L_freed"}, step="teardown.evict_folio"),
        hook("reclaim"),
        row("evict.put_folio", {"again": "evict.remove_folio"}, step="teardown.put_folio"),
        row("teardown.free_file", at="L_freed"),
    ),
)

ZAPPED_WITH_DATA = Finding(
    "LOSS",
    "zapping a range of gfns whatever their kind (kvm_zap_gfn_range) takes private pages out of the TD, and their data "
    "are gone: nobody may ask for that where private memory is mapped",
    "V0 writes private gfn 0; H zap_gfn_range gfn 0; V0 reads gfn 0",
    "inference from kvm_tdp_mmu_zap_leafs, which works below all valid roots; KVM asks for no private gfn of a TD",
    ("tdx",),
    rows=("access.guest.use",),
)
"""Of designs whose private pages leave the TD when they are zapped."""

REFILLED_HOLE = Finding(
    "",
    "a fault in flight while its gfn is converted to shared and then punched refills the hole: it allocates before it "
    "learns that it is stale, and the page stays until the next punch; one page for each fault in flight",
    "V0 access gfn 0 (private), up to its first staleness test; H0 convert gfn 0 to shared, punch gfn 0; V0 goes on",
    "kvm_gmem_get_pfn tests neither the attribute nor the sequence (guest_memfd.c:763-800)",
    ("none", "tdx", "snp"),
)
"""No rule is broken, the gfn is backed twice. Designs whose faults allocate in the same way share it."""

FILE_HOLDS_VM = "a file holds the VM (kvm_get_kvm), so that no other VM can have its address"

NO_REGION = dict.fromkeys(
    ("register_region", "unregister_region"),
    "KVM_MEMORY_ENCRYPT_REG_REGION pins what the VMM maps, for SEV; private memory is in the file, which nothing moves",
)

FINDINGS = (
    REFILLED_HOLE,
    Finding(
        "",
        "a NUMA scan, or any other notification of the VMA, zaps private entries too, though the VMA holds nothing of "
        "them: with one root the filter of the notification is ignored, and each private gfn faults once more",
        "V0 access gfn 0 (private); H0 numa_zap gfn 0; V0 access gfn 0",
        "tdp_mmu.h:35 (one root holds both kinds); 695 private entries zapped by hva in the shipped conversions trace",
        ("none", "snp"),
    ),
    ZAPPED_WITH_DATA,
)

DESIGN = Design(
    name="guest-memfd",
    kernel="7.3",
    origin="guest_memfd as merged in Linux 6.8 (virt/kvm/guest_memfd.c), read in 6.12 and 7.3",
    doc=(__doc__ or "").strip(),
    programs={
        "access": ACCESS,
        "prefault": PREFAULT,
        "convert": CONVERT,
        "punch": PUNCH,
        "allocate": ALLOCATE,
        "host_access": blocks.host_access(),
        "host_pin": blocks.host_pin(),
        "host_unpin": blocks.host_unpin(),
        "kernel_access": blocks.kernel_access(),
        "numa_zap": blocks.numa_zap(),
        "migrate": blocks.migrate_range(),
        "collapse": blocks.collapse(),
        "swap_out": blocks.swap_out(),
        "poison": blocks.poison(blocks.poison_file()),
        "zap_gfn_range": blocks.zap_gfn_range(),
        "slot_flags": blocks.slot_flags(),
        "slot_move": SLOT_MOVE,
        "populate": blocks.populate(),
        "close": blocks.close(PRIVATE_ONLY),
        "slot_create": SLOT_CREATE,
        "slot_delete": SLOT_DELETE,
        "teardown": TEARDOWN,
        "reuse": blocks.reuse(),
        "vmsa_load": blocks.vmsa_load(),
        "oom_reap": blocks.oom_reap(),
    },
    not_applicable={"vm_create": FILE_HOLDS_VM, **NO_REGION},
    file=True,
    private_memory=True,
    findings=FINDINGS,
)

ORDER_6_12 = DESIGN.edited(
    "guest-memfd-6-12",
    access=ACCESS.swapped("fault.release_page", "fault.unlock_mmu"),
    prefault=PREFAULT.swapped("fault.release_page", "fault.unlock_mmu").redirected(
        "fault.check_slot", "invalid", "prefault.check_result"
    ),
)
"""Linux 6.12: the page is released after mmu_lock is dropped, and a prefault retries on an INVALID memslot.

Not in it: reserving attributes also when they are cleared, and storing bindings before the memslot is prepared.
"""
