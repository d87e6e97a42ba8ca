"""A thread of the VMM writes to guest memory through its mapping."""

from gmembench.inject.event import Event

EVENT = Event(
    "host_fault",
    (__doc__ or "").strip(),
    "handle_mm_fault; kvm_gmem_fault_user_mapping (virt/kvm/guest_memfd.c:358-397) where the file is mapped",
    operations=("host_access {gfn} {count} write",),
)
