"""The VMM converts a range to shared."""

from gmembench.inject.event import Event

EVENT = Event(
    "convert_shared",
    (__doc__ or "").strip(),
    "KVM_SET_MEMORY_ATTRIBUTES (virt/kvm/kvm_main.c:2595-2656), or what the design has in its place",
    operations=("convert {gfn} {count} shared",),
)
