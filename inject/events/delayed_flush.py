"""The interrupt of a flush takes long: between the request and its acknowledgement the others begin operations.

The vCPU that was kicked may go on with its old translations until it leaves the guest.
"""

from gmembench.inject.event import Event

EVENT = Event(
    "delayed_flush",
    (__doc__ or "").strip(),
    "kvm_make_vcpus_request_mask waits for every vCPU that was in the guest (virt/kvm/kvm_main.c:186-313)",
    holds="*flush_wait|*kick_wait|*shared_wait",
)
