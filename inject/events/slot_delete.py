"""The VMM deletes a memslot while the guest runs."""

from gmembench.inject.event import Event

EVENT = Event(
    "slot_delete",
    (__doc__ or "").strip(),
    "kvm_delete_memslot, kvm_invalidate_memslot (virt/kvm/kvm_main.c:1802-1855, 1903-1991)",
    operations=("slot_delete slot {slot}",),
)
