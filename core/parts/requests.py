"""Requests that other CPUs leave to a vCPU."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import REQUEST_FREE_ROOTS, REQUEST_TLB_FLUSH


@part
def serve(w: Record, a: Record) -> None:
    """Do what was requested: flush the TLB by ageing it, drop an invalid root."""
    if a["requests"] & REQUEST_TLB_FLUSH:
        a["tlb_generation"] += 1
    if a["requests"] & REQUEST_FREE_ROOTS:
        a["root"] = -1
        a["tlb_generation"] += 1
    a["requests"] = 0


@part
def reload_root(w: Record, a: Record) -> None:
    """Let go of a root that was asked back, and load the one in use if the vCPU has none (kvm_mmu_reload)."""
    if a["requests"] & REQUEST_FREE_ROOTS:
        a["requests"] = a["requests"] & ~REQUEST_FREE_ROOTS
        a["root"] = -1
        a["tlb_generation"] += 1
    if a["root"] < 0:
        a["root"] = w["root"]
