"""guest_memfd with in-place conversion: one page a gfn, private or shared, and the attribute belongs to the file.

The VMM maps the file and may touch what is shared; the guest's faults take every page from the file.
A conversion to private unmaps the range from the host and refuses with EAGAIN, and the index, if
anybody but the page cache still holds a folio of it: a pin, a host fault in flight. The data stay.
A fault of the guest keeps no reference to its page: only the invalidation sequence protects it.
Attributes exist where there is no page, and a punch does not change them.

Order of the series in linux-next of autumn 2026 (KVM_SET_MEMORY_ATTRIBUTES2); folios are of order 0.
The file begins private; `INIT_SHARED` is the one made with that flag.
"""

from dataclasses import replace

from gmembench.core import blocks
from gmembench.core.designs.guest_memfd import FILE_HOLDS_VM, NO_REGION, SLOT_DELETE, SLOT_MOVE, ZAPPED_WITH_DATA
from gmembench.core.designs.guest_memfd_mmap import DESIGN as GUEST_MEMFD_MMAP
from gmembench.core.designs.guest_memfd_mmap import SHARED_MAPPING, UNEVICTABLE, punch_mapped
from gmembench.core.errno import EFAULT
from gmembench.core.programs import Program, row

ASIDE = blocks.shared_file_exits()

ACCESS = blocks.without_reference(blocks.access(blocks.from_shared_file(), attributes=True, aside=ASIDE))

PREFAULT = blocks.without_reference(blocks.prefault(blocks.from_shared_file(), attributes=True, aside=ASIDE))


def drained(base: Program, phase: str) -> Program:
    """Removing folios from the file, with their LRU batch drained before the page cache lets them go."""
    return base.inserted(row(f"{phase}.drain_lru", step="inplace.drain_folio"), f"{phase}.put_folio")


def host_side(p: str, leave: str) -> blocks.Rows:
    """The rows of a host fault that pins or KVM's own accesses take."""
    return blocks.file_fault(p, leave, refused=EFAULT, attributes=True)


BASE = GUEST_MEMFD_MMAP.programs

DESIGN = replace(
    GUEST_MEMFD_MMAP.edited(
        "guest-memfd-inplace",
        access=ACCESS,
        prefault=PREFAULT,
        convert=blocks.convert_in_place(),
        punch=drained(punch_mapped(0), "punch"),
        allocate=blocks.batched(BASE["allocate"]),
        host_access=blocks.batched(blocks.host_access_file(attributes=True)),
        host_pin=blocks.batched(blocks.host_pin(host_side("pin", "L_out"))),
        kernel_access=blocks.batched(blocks.kernel_access(fault=host_side("kernel", "kernel.unlock_failed"))),
        slot_delete=SLOT_DELETE,
        slot_move=SLOT_MOVE,
        teardown=drained(BASE["teardown"], "evict"),
        vmsa_load=blocks.vmsa_load(),
        poison=BASE["poison"].with_operand("mf.start.zap", kind=0),
        close=drained(BASE["close"], "evict").with_operand("rel.start.zap", kind=0),
    ),
    kernel="linux-next, autumn 2026",
    doc=(__doc__ or "").strip(),
    not_applicable={
        "swap_out": UNEVICTABLE,
        "oom_reap": SHARED_MAPPING,
        "vm_create": FILE_HOLDS_VM,
        **NO_REGION,
        "populate": "the VMM writes the initial contents through its mapping while they are shared, "
        "and converts them in place (KVM_SET_MEMORY_ATTRIBUTES2)",
    },
    not_on={},
    private_memory=True,
    findings=(ZAPPED_WITH_DATA,),
    init_private=True,
    pins="nobody pins private pages; a pin of a shared page refuses its conversion",
    origin="in-place conversion series, KVM_SET_MEMORY_ATTRIBUTES2 on the guest_memfd file, linux-next",
)
DESIGN = replace(DESIGN, programs={name: p for name, p in DESIGN.programs.items() if name not in DESIGN.not_applicable})

INIT_SHARED = replace(DESIGN, name="guest-memfd-inplace-shared", init_private=False)
"""The file was made with INIT_SHARED: every index begins shared."""
