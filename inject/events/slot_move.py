"""The VMM moves a memslot to another gfn while the guest runs; `target` is that gfn."""

from gmembench.inject.event import Event

EVENT = Event(
    "slot_move",
    (__doc__ or "").strip(),
    "kvm_move_memslot (virt/kvm/kvm_main.c:1903-1991)",
    operations=("slot_move {gfn} {count} slot {slot}",),
)
