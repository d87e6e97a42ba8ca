"""guest_memfd with MMAP and INIT_SHARED: one backing for a VM without private memory, mapped by the VMM.

The memslot is marked gmem-only: every fault of the guest takes its page from the file, and the VMM
reaches the same page through its mapping. There are no attributes and nothing to convert. The
mapping has a NUMA policy (`policy` of the geometry); a mapping without one is scanned by NUMA
balancing, which zaps the guest's entries, and the migration is refused after that. The VM is of the
default type: deleting a memslot invalidates the root.

Order of Linux 7.3 (virt/kvm/guest_memfd.c); the rows are those of `guest-memfd` with edits.
`MMAP_ONLY` is the file made without INIT_SHARED: the VMM may map it, but not touch it.
"""

from dataclasses import replace

from gmembench.core import blocks
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD
from gmembench.core.designs.guest_memfd import PUNCH as PUNCH_UNMAPPED
from gmembench.core.designs.guest_memfd import TEARDOWN as TEARDOWN_UNMAPPED
from gmembench.core.designs.guest_memfd import UNBIND
from gmembench.core.designs.legacy_vma import STALE_ROOT
from gmembench.core.errno import EFAULT
from gmembench.core.parts.zaps import SHARED_ONLY
from gmembench.core.programs import Program

FIND_PAGE = blocks.from_file()

ACCESS = blocks.access(FIND_PAGE, attributes=True, aside=blocks.file_exits())

PREFAULT = blocks.prefault(FIND_PAGE, attributes=True, aside=blocks.file_exits())


def punch_mapped(kind: int) -> Program:
    """Punching a file that the VMM maps. `kind`: the attribute filter of the invalidation, 0 for both kinds."""
    made = PUNCH_UNMAPPED.with_rows(blocks.unmap_folio("punch.unmap", "punch.remove_folio"), "punch.unmap_host")
    made = made.without("punch.unmap_host").with_operand("punch.start.zap", kind=kind)
    return replace(made, rows=(*made.rows, *blocks.beside_unmap("punch.unmap")))


PUNCH = punch_mapped(SHARED_ONLY)

HOST_ACCESS = blocks.host_access_file()


HOST_PIN = blocks.host_pin(blocks.file_fault("pin", "L_out", refused=EFAULT))

KERNEL_ACCESS = blocks.kernel_access(fault=blocks.file_fault("kernel", "kernel.unlock_failed", refused=EFAULT))

MIGRATE = blocks.migrate_range().redirected("mig.move.unlock_back", "next", "mig.note_inaccessible")
"""The page is found by its mapping, unmapped with a migration entry, and comes back: the file cannot be moved."""


def teardown_mapped(base: Program) -> Program:
    """The end of a VM whose host page tables map the file: the folios go with the inode, not with the mapping."""
    return base.replaced("exit_mmap.clear_pte", "hostf.clear_pte").without("exit_mmap.free_page")


TEARDOWN = teardown_mapped(TEARDOWN_UNMAPPED)

UNEVICTABLE = "all memory is in the file, whose folios are unevictable (mapping_set_unevictable in kvm_gmem_create)"

NO_PRIVATE_MEMORY = "INIT_SHARED is refused where the VM has private memory (kvm_arch_supports_gmem_init_shared)"

SHARED_MAPPING = "the OOM reaper passes shared mappings over (__oom_reap_task_mm)"
NO_SOURCE = (
    "only VMs with private memory have initial contents to be measured (kvm_gmem_populate, called for TDX and SNP)"
)

BASE = GUEST_MEMFD.programs

DESIGN = replace(
    GUEST_MEMFD.edited(
        "guest-memfd-mmap",
        access=ACCESS,
        prefault=PREFAULT,
        punch=PUNCH,
        host_access=HOST_ACCESS,
        host_pin=HOST_PIN,
        kernel_access=KERNEL_ACCESS,
        migrate=MIGRATE,
        collapse=BASE["collapse"].with_operand("col.check_thp_allowed", value=1),
        poison=blocks.poison_mapped(BASE["poison"]).with_operand("mf.start.zap", kind=SHARED_ONLY),
        close=blocks.close_mapped(BASE["close"]).with_operand("rel.start.zap", kind=SHARED_ONLY),
        slot_delete=blocks.slot_delete(blocks.zap_slot_root(), UNBIND, ()),
        slot_move=blocks.slot_move(blocks.zap_slot_root(), ()),
        teardown=TEARDOWN,
    ),
    doc=(__doc__ or "").strip(),
    not_applicable={
        **GUEST_MEMFD.not_applicable,
        "convert": "the VM has no private memory; "
        "KVM_SET_MEMORY_ATTRIBUTES supports no attribute (kvm_main.c:2458-2464)",
        "swap_out": UNEVICTABLE,
        "oom_reap": SHARED_MAPPING,
        "vmsa_load": "a vCPU runs on a page of its guest on SNP, where this design cannot run",
        "populate": NO_SOURCE,
    },
    not_on={"tdx": NO_PRIVATE_MEMORY, "snp": NO_PRIVATE_MEMORY},
    private_memory=False,
    one_backing=True,
    one_copy=True,
    gmem_only=True,
    findings=(STALE_ROOT,),
    sizes=("4K",),
    origin="guest_memfd flags MMAP and INIT_SHARED, virt/kvm/guest_memfd.c of Linux 7.3.4",
)
DESIGN = replace(DESIGN, programs={name: p for name, p in DESIGN.programs.items() if name not in DESIGN.not_applicable})

MMAP_ONLY = DESIGN.edited("guest-memfd-mmap-only", host_access=HOST_ACCESS.with_operand("host.check_shared", value=1))
"""The file was made with MMAP but without INIT_SHARED."""
