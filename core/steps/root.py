"""Roots of the stage-2 tables: invalidating the one in use, zapping what hung below it (mmu.c:6965-7005)."""

from gmembench.core.outcomes import AGAIN, BLOCKED, NEXT
from gmembench.core.parts.roots import drop_tables
from gmembench.core.parts.stage2 import clear_entry, region_empty, region_end
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import REQUEST_FREE_ROOTS, actor


@step("kvm-memslot", "state", "kvm_mmu_zap_all_fast")
def invalidate(w: Record, a: Record, r: Record) -> int:
    """Declare the root in use invalid and name the other one; faults that loaded the old one will retry."""
    old = w["root"]
    if old == 0:
        w["root_valid_0"], w["root_valid_1"] = 0, 1
    else:
        w["root_valid_0"], w["root_valid_1"] = 1, 0
    w["root"] = 1 - old
    return NEXT


@step("kvm-memslot", "flush", "kvm_make_all_cpus_request")
def request_free(w: Record, a: Record, r: Record) -> int:
    """Ask every vCPU to let go of its root at its next entry."""
    for i in range(w["vcpus"]):
        v = actor(w, i)
        v["requests"] |= REQUEST_FREE_ROOTS
    a["cursor"] = 0
    return NEXT


@step("kvm-memslot", "lock", "kvm_tdp_mmu_zap_invalidated_roots")
def lock_read(w: Record, a: Record, r: Record) -> int:
    """Take mmu_lock for reading: nobody maps into an invalid root."""
    if w["mmu_writer"] != 0:
        return BLOCKED
    w["mmu_readers"] += 1
    return NEXT


@step("kvm-memslot", "lock", "kvm_tdp_mmu_zap_invalidated_roots")
def unlock_read(w: Record, a: Record, r: Record) -> int:
    """Drop mmu_lock."""
    w["mmu_readers"] -= 1
    return NEXT


@step("kvm-memslot", "spte-bits", "tdp_mmu_zap_root")
def zap(w: Record, a: Record, r: Record) -> int:
    """Zap one gfn below the invalid root, or pass a region without tables."""
    gfn, old = a["cursor"], 1 - w["root"]
    if region_empty(w, gfn):
        a["cursor"] = region_end(w, gfn)
    else:
        clear_entry(w, gfn, old)
        a["cursor"] = gfn + 1
    if a["cursor"] < w["frames_n"]:
        return AGAIN
    drop_tables(w, old)
    return NEXT
