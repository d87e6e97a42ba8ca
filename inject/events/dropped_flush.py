"""A flush is not made: after a zap no vCPU is asked to flush its TLB."""

from gmembench.inject.event import Bug, Event, Forced

EVENT = Event(
    "dropped_flush",
    (__doc__ or "").strip(),
    "kvm_flush_remote_tlbs cannot fail (virt/kvm/kvm_main.c:294-313)",
    forced=(Forced("flush.request", "clean"),),
    bugs=(Bug("a flush never fails: who drops one is wrong", "kvm_flush_remote_tlbs returns nothing to test"),),
)
