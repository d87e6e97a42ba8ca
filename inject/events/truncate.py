"""The file behind guest memory becomes shorter: everything from a gfn on goes.

The rows are those of a punch up to the end of the file.
"""

from gmembench.inject.event import Bug, Event

GUEST_MEMFD = "kvm_gmem_setattr returns -EINVAL: the size of a guest_memfd never changes (virt/kvm/guest_memfd.c)"

EVENT = Event(
    "truncate",
    (__doc__ or "").strip(),
    "truncate_inode_pages_range, unmap_mapping_range (mm/truncate.c:402-464)",
    operations=("punch {gfn} {rest}",),
    bugs=(
        Bug("a guest_memfd refuses every change of its size", GUEST_MEMFD, designs=("guest-memfd*",)),
        Bug(
            "an inaccessible file refuses to change its size once it has one",
            "shmem_setattr of the series of 2022 and restrictedmem_setattr: -EPERM (from memory)",
            designs=("fd-*",),
        ),
        Bug(
            "the sketch wants a mapping that cannot vanish in parts",
            "requirements of the sketch (docs/decisions/vma-encrypted.md)",
            designs=("vma-encrypted",),
        ),
    ),
)
