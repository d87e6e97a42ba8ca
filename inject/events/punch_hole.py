"""The VMM gives pages back: fallocate(PUNCH_HOLE) on the file, madvise(DONTNEED) on a mapping."""

from gmembench.inject.event import Event

EVENT = Event(
    "punch_hole",
    (__doc__ or "").strip(),
    "kvm_gmem_punch_hole (virt/kvm/guest_memfd.c:197-217); MADV_DONTNEED for designs without a file",
    operations=("punch {gfn} {count}",),
)
