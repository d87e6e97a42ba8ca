"""Ordinary guest memory: a VMA of the VMM, GUP and the mmu_notifier.

The baseline that touchpoints are counted against. Every gfn is shared with the VMM, so there is
nothing to convert. Order of Linux 7.3; a memslot is deleted by invalidating the root, as for the
default VM type. Sources: arch/x86/kvm/mmu/mmu.c, virt/kvm/kvm_main.c, mm/ of Linux 7.3.4.
"""

from gmembench.core import blocks
from gmembench.core.errno import EHWPOISON
from gmembench.core.programs import Design, Finding, row

ACCESS = blocks.access(blocks.from_vma("X_unlock_mmap"), attributes=False)

PREFAULT = blocks.prefault(blocks.from_vma("X_unlock_mmap"), attributes=False)

PUNCH = blocks.program(
    "punch",
    (row("madvise.called", step="mm.called"), row("mm.lock_mmap")),
    blocks.notify_begin(),
    (row("mm.clear_pte"),),
    blocks.notify_end(),
    (row("mm.flush_host_tlb"), row("mm.free_page"), row("mm.unlock_mmap"), row("madvise.returned", step="mm.returned")),
    aside=blocks.beside_zap("mn.start"),
)

ALLOCATE = blocks.program(
    "allocate",
    (
        row("populate.lock_mmap", step="mm.lock_mmap"),
        row(
            "populate.walk",
            {
                "absent": "populate.alloc",
                "protnone": "L_next",
                "migrating": "populate.walk",
                "other": "populate.read_entry",
            },
            step="gup.walk",
        ),
        row("populate.next", {"again": "populate.walk"}, step="gup.next_gfn", at="L_next"),
        row("populate.unlock_mmap", {"next": "END"}, step="mm.unlock_mmap", at="L_out"),
        *blocks.fault_in("populate", "L_out", poisoned=EHWPOISON),
    ),
)

TEARDOWN = blocks.program(
    "teardown",
    blocks.vma_teardown(),
    (
        row("teardown.next_slot", {"none": "END"}),
        row("teardown.free_slot", {"next": "teardown.next_slot"}, step="slot.free"),
    ),
)

ONE_VM = "nothing calls a VM back by an address that another VM could have by then"

STALE_ROOT = Finding(
    "LIVE",
    "a prefault of one memslot under way while another one is deleted retries for ever: the deletion has invalidated "
    "the root, which the loop does not load anew, and waits for the SRCU that the loop holds; only a signal ends it",
    "2 memslots. S deletes the second, up to the zap; V0 prefault of a gfn in the first, up to its last tests; S goes "
    "on",
    "inference from kvm_tdp_map_page and is_page_fault_stale; the same loop without kvm_mmu_reload() hung a selftest: "
    "Yan Zhao, May 2025, <aC0wT68EY4Ybz+wI@yzhao56-desk.sh.intel.com>",
    rows=(),
)
"""Of VMs of the default type, whose memslots are deleted by invalidating the root."""

DESIGN = Design(
    name="legacy-vma",
    kernel="7.3",
    origin="ordinary memslots of KVM with the mmu_notifier, read in Linux 7.3",
    doc=(__doc__ or "").strip(),
    programs={
        "access": ACCESS,
        "prefault": PREFAULT,
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
        "poison": blocks.poison(),
        "zap_gfn_range": blocks.zap_gfn_range(),
        "slot_flags": blocks.slot_flags(),
        "slot_move": blocks.slot_move(blocks.zap_slot_root(), ()),
        "slot_create": blocks.slot_create(
            (), (), (), (row("slot.discard", {"next": "slot.unlock_slots"}, at="X_discard"),)
        ),
        "slot_delete": blocks.slot_delete(blocks.zap_slot_root(), (), ()),
        "teardown": TEARDOWN,
        "reuse": blocks.reuse(),
        "oom_reap": blocks.oom_reap(),
        "register_region": blocks.register_region(),
        "unregister_region": blocks.unregister_region(),
    },
    not_applicable={
        "populate": "the VMM writes initial data through its own mapping; kvm_gmem_populate needs guest_memfd",
        "close": "there is no file behind the memory: a VMA goes by munmap or with its process",
        "vmsa_load": "a vCPU runs on a page of its guest on SNP, where this design cannot run",
        "vm_create": ONE_VM,
        "convert": "all memory is shared with the VMM; "
        "KVM_SET_MEMORY_ATTRIBUTES supports no attribute (kvm_main.c:2458-2464)",
    },
    not_on={
        "tdx": "private memory of a TD must not be mapped by the VMM, and this design has no other",
        "snp": "private memory of an SNP guest must not be mapped by the VMM, and this design has no other",
    },
    findings=(STALE_ROOT,),
)
