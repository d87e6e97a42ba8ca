"""The VMSA that an SNP guest names for a vCPU: looked up in the file, and again after an invalidation (sev.c).

It uses a page of the file that no stage-2 entry shows, and holds no reference to it. So it is told of invalidations by
a request, and is installed only if the sequence has not moved since the lookup.
"""

from gmembench.core.errno import EFAULT, EINVAL, ENOMEM
from gmembench.core.outcomes import NEXT, NOMEM, NONE, REFUSED
from gmembench.core.parts.pins import free_consumer
from gmembench.core.parts.vmsa import vmsa_of
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    CONSUMER_NONE,
    CONSUMER_VMSA,
    LIFE_READY,
    OUTSIDE_GUEST,
    REQUEST_VMSA,
    actor,
    consumer,
    slot,
)


@step("guest", "check", "VMGEXIT", ("refused",))
def refuse(w: Record, a: Record, r: Record) -> int:
    """Only an SNP guest has a VMSA of its own."""
    a["result"] = EINVAL
    return REFUSED


@step("guest", "check", "VMGEXIT", ("refused",))
def begin(w: Record, a: Record, r: Record) -> int:
    """The guest leaves to ask for a vCPU that runs on a page of its own (AP_CREATE)."""
    a["mode"] = OUTSIDE_GUEST
    return NEXT


@step("kvm-fault", "state", "sev_snp_ap_creation", ("nomem",))
def name(w: Record, a: Record, r: Record) -> int:
    """Note the gfn of the VMSA, and ask the vCPU to load it at its next entry."""
    found = vmsa_of(w, a["number"])
    if found < 0:
        found = free_consumer(w)
    if found < 0:
        a["result"] = ENOMEM
        return NOMEM
    c = consumer(w, found)
    c["kind"] = CONSUMER_VMSA
    c["actor"] = a["number"]
    c["gfn"] = a["gfn"]
    c["pfn"] = 0
    a["requests"] |= REQUEST_VMSA
    a["result"] = 0
    return NEXT


@step("kvm-fault", "state", "__sev_snp_reload_vmsa", ("none",))
def begin_reload(w: Record, a: Record, r: Record) -> int:
    """Forget the page of the VMSA, and turn to its gfn; that of the access is kept aside."""
    found = vmsa_of(w, a["number"])
    if found < 0:
        return NONE
    c = consumer(w, found)
    c["pfn"] = 0
    a["walk"] = a["gfn"]
    a["gfn"] = c["gfn"]
    a["is_private"] = 1
    a["stale"] = 0
    return NEXT


@step("kvm-fault", "check", "__sev_snp_reload_vmsa", ("none",))
def check_slot(w: Record, a: Record, r: Record) -> int:
    """A VMSA needs a memslot that is there, with a file."""
    if a["slot"] < 0 or slot(w, a["slot"])["life"] != LIFE_READY:
        return NONE
    return NEXT


@step("kvm-fault", "state", "__sev_snp_reload_vmsa")
def install(w: Record, a: Record, r: Record) -> int:
    """Let the vCPU run on the page, under mmu_lock: an invalidation that comes later finds it."""
    found = vmsa_of(w, a["number"])
    if found >= 0:
        consumer(w, found)["pfn"] = a["pfn"]
    return NEXT


@step("kvm-fault", "state", "__sev_snp_reload_vmsa")
def request_again(w: Record, a: Record, r: Record) -> int:
    """The lookup was overtaken by an invalidation: load the VMSA anew before the next entry."""
    a["requests"] |= REQUEST_VMSA
    return NEXT


@step("kvm-fault", "state", "__sev_snp_reload_vmsa")
def end_reload(w: Record, a: Record, r: Record) -> int:
    """Turn back to the gfn of the access."""
    a["gfn"] = a["walk"]
    return NEXT


@step("kvm-fault", "check", "__sev_snp_reload_vmsa")
def failed(w: Record, a: Record, r: Record) -> int:
    """There is no such page: the VMSA is dropped, and KVM_RUN fails."""
    found = vmsa_of(w, a["number"])
    if found >= 0:
        consumer(w, found)["kind"] = CONSUMER_NONE
    a["gfn"] = a["walk"]
    a["error"] = EFAULT
    return NEXT


@step("kvm-invalidate", "callback", "sev_gmem_invalidate_range")
def kick(w: Record, a: Record, r: Record) -> int:
    """Ask every vCPU whose VMSA lies in the range to load it anew; the flush makes it leave the guest.

    One that is being loaded is not told: whoever loads it looks at the sequence before it installs the page.
    """
    for i in range(w["consumers_n"]):
        c = consumer(w, i)
        inside = a["cursor"] <= c["gfn"] and c["gfn"] < a["stop"]
        if c["kind"] == CONSUMER_VMSA and c["pfn"] != 0 and inside:
            v = actor(w, c["actor"])
            v["requests"] |= REQUEST_VMSA
            a["zapped"] += 1
    return NEXT
