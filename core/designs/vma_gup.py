"""Private memory behind a VMA: a GUP flag, guest pages that the host cannot touch, and pins.

The VMM marks a part of its mapping as the guest's (mprotect with PROT_GUEST). A page that is faulted in there is a
guest page: its PTE is PROT_NONE, the VMM's own access is SIGBUS, and GUP gives it only with FOLL_GUEST, which KVM
sets for private accesses. KVM pins a private page when it maps it. NUMA balancing does not know: it makes KVM zap
the entry, and the migration then fails on the extra reference. So a private entry is not removed but blocked, and
keeps its pfn in software bits; the next fault must find the same pfn, and unblocks it.

Stage-2 side: the TDX RFC v3 36/59 of November 2021 (Isaku Yamahata), faults under mmu_lock for writing. VMA side:
the PageGuest patch of May 2021 (Kirill Shutemov). What they leave open is decided in docs/decisions/vma-gup.md.
"""

from gmembench.core import blocks
from gmembench.core.blocks.zapped import drop, keeping_zapped, telling_guest_pages
from gmembench.core.designs.legacy_vma import DESIGN as LEGACY_VMA
from gmembench.core.designs.legacy_vma import ONE_VM
from gmembench.core.programs import Design, Finding, Where, hook, row
from gmembench.core.steps.vgup import OF_GFN, OF_RANGE, OF_SLOT, OF_VM

DIRECT = Where(place="kvm-fault", site="direct_page_fault")
ALIAS = Where(place="kvm-fault", site="kvm_mmu_zap_alias_spte")
BAD_PAGE = Where(place="kvm-fault", site="kvm_handle_bad_page")
MAP_GPA = Where(place="kvm-attributes", site="kvm_mmu_map_gpa")
RELEASE = Where(place="kvm-memslot", site="kvm_mmu_zap_all_private")

HEAD = (
    row("fault.classify", at="HEAD"),
    row("fault.lookup_slot"),
    row("fault.try_fast", {"fixed": "ENTER"}, step="vgup.try_fast"),
    row("fault.topup_caches", {"nomem": "X_memfault"}),
    row("fault.snapshot_seq"),
    row("fault.check_slot", {"none": "X_memfault", "mmio": "X_mmio", "invalid": "ENTER"}),
)

GUP = (
    row("gup.fast", {"hit": "L_got"}, step="vgup.fast"),
    row("gup.lock_mmap", step="mm.lock_mmap"),
    row("gup.find_vma", {"none": "X_refused", "mismatch": "X_mismatch"}, step="vgup.find_vma"),
    row("gup.walk", {"absent": "L_in", "migrating": "gup.walk", "other": "gup.read_entry"}, step="vgup.walk"),
    row(
        "gup.check_page_guest",
        {"again": "gup.walk", "guest_page": "L_ref", "refused": "X_refused"},
        step="vgup.check_page_guest",
    ),
    row("gup.check_protnone", {"protnone": "gup.mig.L_hint"}, step="vgup.check_protnone"),
    row("gup.take_ref", {"again": "gup.walk"}, at="L_ref"),
    row("gup.unlock_mmap", {"next": "L_got"}, step="mm.unlock_mmap"),
    *blocks.fault_in("gup", "X_refused", at="L_in"),
    *blocks.migrate("gup.mig", "gup.L_restore", "gup.walk"),
)
"""GUP with FOLL_GUEST for private accesses. The guest page is told before the NUMA hint, for both are PROT_NONE."""

MAP = (
    row("fault.require_page_guest", {"mismatch": "X_not_guest"}, step="vgup.require_page_guest", at="L_got"),
    row("fault.lock_mmu", step="mmu.lock", **DIRECT),
    row("fault.recheck_stale", {"stale": "L_unlock"}),
    row(
        "fault.zap_alias",
        {"none": "L_state", "shared": "L_alias_shared", "zapped_entry": "alias.begin_drop"},
        step="vgup.zap_alias",
    ),
    hook("block", p="alias"),
    row("alias.mark_zapped", step="vgup.mark_zapped", **ALIAS),
    row("alias.flush_request", {"clean": "alias.begin_drop"}, step="flush.request", **ALIAS),
    row("alias.flush_kick", step="flush.kick", **ALIAS),
    row("alias.flush_wait", step="flush.wait", **ALIAS),
    *drop("alias", OF_GFN, "L_state"),
    row("fault.choose_level", at="L_state"),
    row("fault.link_table", {"lost": "L_unlock"}),
    row("fault.read_state", {"empty": "L_set", "zapped_entry": "L_unzap", "same": "L_unlock"}, step="vgup.read_state"),
    row("fault.pin_page", {"shared": "L_map"}, step="vgup.pin_page", at="L_set"),
    hook("map", p="fault", at="L_map", lost="L_unpin", set="fault.set_spte"),
    row(
        "fault.set_spte",
        {"lost": "L_unpin", "frozen": "L_unpin", "same": "L_unpin", "replaced": "L_unlock", "next": "L_unlock"},
    ),
    row("fault.check_same_pfn", {"mismatch": "X_bug"}, step="vgup.check_same_pfn", at="L_unzap"),
    hook("unblock", p="fault", set="fault.unzap_spte", lost="L_unlock", busy="L_unlock"),
    row("fault.unzap_spte", step="vgup.unzap_spte"),
    row("fault.unlock_mmu", step="mmu.unlock", at="L_unlock", **DIRECT),
    row("fault.release_page", {"next": "ENTER"}),
)

ASIDE = (
    row("fault.unpin_page", {"next": "L_unlock"}, step="vgup.unpin_page", at="L_unpin"),
    row("alias.shared_request", {"clean": "L_state"}, step="flush.request", at="L_alias_shared", **ALIAS),
    row("alias.shared_kick", step="flush.kick", **ALIAS),
    row("alias.shared_wait", {"next": "L_state"}, step="flush.wait", **ALIAS),
    *blocks.beside_entry(),
    row("refused.unlock_mmap", step="mm.unlock_mmap", at="X_refused"),
    row("refused.precheck_stale", {"stale": "ENTER", "next": "X_memfault"}, step="fault.precheck_stale"),
    row("mismatch.unlock_mmap", step="mm.unlock_mmap", at="X_mismatch"),
    row("mismatch.precheck_stale", {"stale": "ENTER", "next": "X_sigbus"}, step="fault.precheck_stale"),
    row("not_guest.release_page", step="fault.release_page", at="X_not_guest"),
    row("leave.sigbus", {"next": "X_leave"}, step="vgup.send_sigbus", at="X_sigbus", **BAD_PAGE),
    row("bug.unlock_mmu", step="mmu.unlock", at="X_bug", **DIRECT),
    row("bug.release_page", {"next": "X_memfault"}, step="fault.release_page"),
    row("leave.mmio", {"next": "X_leave"}, at="X_mmio"),
    row("leave.bad_page", step="leave.memory_fault", at="X_memfault", **BAD_PAGE),
    row("leave.srcu_unlock", {"next": "END"}, step="srcu.unlock", at="X_leave"),
)

NO_REGION = dict.fromkeys(
    ("register_region", "unregister_region"),
    "KVM pins a private page when it maps it; no region is registered in the RFC",
)

ON_MAPPING = (
    "punch",
    "allocate",
    "host_access",
    "host_pin",
    "host_unpin",
    "kernel_access",
    "numa_zap",
    "migrate",
    "swap_out",
    "reuse",
)

ACCESS = keeping_zapped(blocks.program("access", blocks.enter(), HEAD, GUP, MAP, aside=ASIDE))

CONVERT = keeping_zapped(
    blocks.program(
        "convert",
        (
            row("mprotect.lock_mmap", step="vgup.lock_mmap_write"),
            row("mprotect.next_vma", {"none": "L_out"}, step="vgup.next_vma"),
            row("mprotect.called", step="mm.called", place="vmm", site="mprotect is called"),
        ),
        blocks.notify_begin(),
        (row("mprotect.set_vma", step="vgup.set_vma"), row("mprotect.clear_pte", step="mm.clear_pte")),
        blocks.notify_end(),
        (row("drop.lock_mmu", step="mmu.lock", **MAP_GPA),),
        drop("drop", OF_RANGE, "drop.unlock_mmu"),
        (
            row("drop.unlock_mmu", step="mmu.unlock", **MAP_GPA),
            row("mprotect.flush_host_tlb", step="mm.flush_host_tlb"),
            row("mprotect.free_page", step="mm.free_page"),
            row("mprotect.returned", {"next": "mprotect.next_vma"}, step="mm.returned", site="mprotect returns"),
            row("mprotect.unlock_mmap", {"next": "END"}, step="vgup.unlock_mmap_write", at="L_out"),
        ),
        aside=blocks.beside_zap("mn.start"),
    )
)

OF_VMM = {name: keeping_zapped(program) for name, program in LEGACY_VMA.programs.items() if name in ON_MAPPING}
"""Programs of ordinary memory that work on the mapping, with private entries kept by their zaps."""

HOST_ACCESS = telling_guest_pages(OF_VMM["host_access"], "host.walk", "X_sigbus").inserted(
    row("host.sigbus", {"next": "X_nomem"}, step="vgup.send_sigbus", at="X_sigbus"), before="host.alloc"
)

HOST_PIN = telling_guest_pages(OF_VMM["host_pin"], "pin.walk", "X_efault").inserted(
    row("pin.efault", {"next": "L_out"}, step="kernel.failed", at="X_efault", place="mm", site="__get_user_pages"),
    before="pin.drop",
)

KERNEL_ACCESS = telling_guest_pages(OF_VMM["kernel_access"], "kernel.walk", "kernel.unlock_failed")

SLOT_DELETE = (
    keeping_zapped(blocks.slot_delete(blocks.zap_slot_leaves(), (), blocks.beside_zap("slot")))
    .with_rows(drop("slot", OF_SLOT, "slot.unlock_mmu"), before="slot.unlock_mmu")
    .redirected("slot.flush_request", "clean", "slot.begin_drop")
)

RELEASE_PRIVATE = (
    row("release.lock_mmu", step="mmu.lock", **RELEASE),
    row("release.begin_zap", {"none": "release.unlock_mmu"}, step="vgup.begin_drop", value=OF_VM, **RELEASE),
    row("release.zap", {"slot": "release.zap", "external": "release.L_external"}, step="vgup.zap_leaf", **RELEASE),
    row("release.flush_request", {"clean": "release.begin_drop"}, step="flush.request", **RELEASE),
    hook("track", p="release"),
    row("release.flush_kick", step="flush.kick", **RELEASE),
    row("release.flush_wait", step="flush.wait", **RELEASE),
    *drop("release", OF_VM, "release.unlock_mmu"),
    row("release.unlock_mmu", step="mmu.unlock", **RELEASE),
)
"""The VM dies: its private entries are zapped, then dropped with their pins, before the mapping goes."""

TEARDOWN = blocks.program(
    "teardown",
    RELEASE_PRIVATE,
    blocks.vma_teardown(),
    (
        row("teardown.next_slot", {"none": "END"}),
        row("teardown.free_slot", {"next": "teardown.next_slot"}, step="slot.free"),
    ),
    aside=(
        hook("block", p="release", at="release.L_external"),
        row("release.mark_zapped", {"next": "release.zap"}, step="vgup.mark_zapped"),
    ),
)

PUNCHED = "the notifier of 2021 makes no use of its event type, so MADV_DONTNEED looks like a NUMA scan: "

FINDINGS = (
    Finding(
        "2X",
        PUNCHED + "the private entry stays zapped and its page pinned, though the mapping let it go",
        "V0 access gfn 0 (private); H0 punch gfn 0",
        "inference from RFC v3 36/59: kvm_unmap_rmapp, drop_private_spte",
        ("none", "tdx"),
    ),
    Finding(
        "CNT",
        PUNCHED
        + "the next GUP brings another pfn, check_same_pfn warns and KVM_RUN fails with EFAULT until the gfn is "
        "converted or its memslot deleted",
        "V0 access gfn 0 (private); H0 punch gfn 0; V0 access gfn 0",
        "inference from RFC v3 36/59: WARN_ON(pfn != spte_to_pfn(zapped)) in mmu_set_spte",
        ("none", "tdx"),
        rows=("*.fault.check_same_pfn",),
    ),
)

DESIGN = Design(
    name="vma-gup",
    kernel="5.16-rc (RFC)",
    doc=(__doc__ or "").strip(),
    programs={
        **OF_VMM,
        "access": ACCESS,
        "convert": CONVERT,
        "host_access": HOST_ACCESS,
        "host_pin": HOST_PIN,
        "kernel_access": KERNEL_ACCESS,
        "slot_create": LEGACY_VMA.programs["slot_create"],
        "slot_delete": SLOT_DELETE,
        "teardown": TEARDOWN,
    },
    not_applicable={
        "prefault": "KVM_PRE_FAULT_MEMORY came with Linux 6.11; the RFC refuses to prefetch private entries",
        "populate": "a private page is filled by the guest; the RFC's KVM_TDX_INIT_MEM_REGION builds a measured image",
        "zap_gfn_range": "nothing zaps a range of gfns for attributes or memory types of private memory in the RFC",
        "poison": "memory failure of a guest page is not in the RFC: the page stays where it is (decision)",
        "slot_flags": "dirty logging of private memory is a KVM_BUG in the RFC (kvm_mmu_zap_collapsible_sptes)",
        "collapse": "private pages are 4K, and khugepaged leaves a mapping with VM_GUEST alone (decision)",
        "slot_move": "a private page stays at its gfn; TDX refuses KVM_MR_MOVE (kvm_arch_prepare_memory_region)",
        "oom_reap": "guest pages lie in shared mappings of shmem (decision), which the OOM reaper passes over",
        "vmsa_load": "a vCPU runs on a page of its guest on SNP, where this design cannot run",
        "vm_create": ONE_VM,
        **NO_REGION,
        "close": "there is no file whose last close could race: the pages belong to the mapping",
    },
    not_on={
        "snp": "the RFC is TDX's: SEV-SNP guests of 2021 used ordinary pages with RMP faults, and pinned them by "
        "KVM_MEMORY_ENCRYPT_REG_REGION"
    },
    private_memory=True,
    one_backing=True,
    sizes=("4K",),
    pins="KVM pins a private page (get_page) from the first map until the entry is dropped",
    origin="TDX RFC v3 36/59 (Yamahata, Nov 2021) and the PageGuest patch (Shutemov, May 2021)",
    findings=FINDINGS,
)
