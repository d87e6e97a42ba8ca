"""A memory error is found in the page behind a gfn, and the kernel takes the page out of use."""

from gmembench.inject.event import Event

EVENT = Event(
    "poison",
    (__doc__ or "").strip(),
    "memory_failure (mm/memory-failure.c); kvm_gmem_error_folio (virt/kvm/guest_memfd.c)",
    operations=("poison {gfn} {count}",),
)
