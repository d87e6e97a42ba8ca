"""The VMM closes its descriptor of the file, while memslots are bound to it and calls may hold it."""

from gmembench.inject.event import Event

EVENT = Event(
    "close_fd",
    (__doc__ or "").strip(),
    "kvm_gmem_release (virt/kvm/guest_memfd.c:290-338)",
    operations=("close",),
)
