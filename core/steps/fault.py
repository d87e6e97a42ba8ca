"""The stage-2 fault: head, staleness checks, mapping (mmu.c:4700-4975, tdp_mmu.c:1121-1304)."""

from gmembench.core.outcomes import (
    AGAIN,
    BLOCKED,
    FIXED,
    FROZEN,
    INVALID,
    LOST,
    MISMATCH,
    MMIO,
    NEXT,
    NONE,
    REPLACED,
    ROOT,
    SAME,
    SHARED,
    STALE,
)
from gmembench.core.parts.huge import block_head, unlink_small_entries
from gmembench.core.parts.levels import bits_of_level, largest_level
from gmembench.core.parts.memslots import slot_of_gfn
from gmembench.core.parts.pool import put_page
from gmembench.core.parts.stage2 import entry_gfn, level_head, root_of, table_index, under_larger_entry
from gmembench.core.parts.stale import invalidated
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    LIFE_INVALID,
    SPTE_FROZEN,
    SPTE_PRESENT,
    frame,
    region,
    slot,
    spte,
)


@step("kvm-fault", "check", "kvm_mmu_page_fault")
def classify(w: Record, a: Record, r: Record) -> int:
    """Derive private or shared from the attribute, before the snapshot (mmu.c:6593-6597)."""
    a["is_private"] = frame(w, a["gfn"])["attr"] & ATTR_PRIVATE
    a["stale"] = 0
    return NEXT


@step("kvm-fault", "state", "kvm_vcpu_gfn_to_memslot")
def lookup_slot(w: Record, a: Record, r: Record) -> int:
    """Find the memslot of the gfn; the last one used is tried first."""
    gfn, last = a["gfn"], a["slot"]
    if last >= 0:
        s = slot(w, last)
        if s["active"] != 0 and s["base"] <= gfn and gfn < s["base"] + s["npages"]:
            a["slot_tag"] = s["tag"]
            return NEXT
    found = slot_of_gfn(w, gfn)
    a["slot"] = found
    if found >= 0:
        a["slot_tag"] = slot(w, found)["tag"]
    return NEXT


@step("kvm-fault", "check", "fast_page_fault", ("fixed",))
def try_fast(w: Record, a: Record, r: Record) -> int:
    """Leave if the entry is present already: a spurious fault. Access tracking is out of scope."""
    root = root_of(w, a)
    if root >= 0 and entry_gfn(w, a["gfn"], root) >= 0:
        return FIXED
    return NEXT


@step("kvm-fault", "alloc", "mmu_topup_memory_caches", ("nomem",), guards="-ENOMEM of the page-table caches")
def topup_caches(w: Record, a: Record, r: Record) -> int:
    """Fill the caches of page-table pages. The model never runs out of them."""
    return NEXT


@step("kvm-fault", "state", "kvm_mmu_faultin_pfn")
def snapshot_seq(w: Record, a: Record, r: Record) -> int:
    """Snapshot the invalidation sequence, before anything that an invalidation may change is read."""
    a["seq"] = w["inval_seq"]
    return NEXT


@step("kvm-fault", "check", "kvm_mmu_faultin_pfn", ("mismatch",))
def check_attr(w: Record, a: Record, r: Record) -> int:
    """Compare the kind of the access with the attribute."""
    if a["is_private"] != frame(w, a["gfn"])["attr"] & ATTR_PRIVATE:
        return MISMATCH
    return NEXT


@step("kvm-fault", "check", "kvm_mmu_faultin_pfn", ("none", "mmio", "invalid"))
def check_slot(w: Record, a: Record, r: Record) -> int:
    """Without a memslot a private access exits and a shared one is MMIO; an INVALID memslot is retried."""
    if a["slot"] < 0:
        return NONE if a["is_private"] != 0 else MMIO
    if slot(w, a["slot"])["life"] == LIFE_INVALID:
        a["stale"] = 1
        return INVALID
    return NEXT


@step("kvm-fault", "check", "mmu_invalidate_retry_gfn_unsafe", ("stale",))
def precheck_stale(w: Record, a: Record, r: Record) -> int:
    """Test without mmu_lock whether an invalidation touches the gfn: wrong both ways, saves work."""
    if invalidated(w, a["gfn"], a["seq"]):
        a["stale"] = 1
        return STALE
    return NEXT


@step("kvm-fault", "check", "__kvm_mmu_faultin_pfn", ("shared",))
def choose_backing(w: Record, a: Record, r: Record) -> int:
    """Private memory, and every access of a gmem-only memslot, comes from the file; else from the VMA."""
    if a["is_private"] == 0 and slot(w, a["slot"])["gmem_only"] == 0:
        return SHARED
    return NEXT


@step("kvm-fault", "lock", "kvm_tdp_mmu_page_fault")
def lock_mmu_read(w: Record, a: Record, r: Record) -> int:
    """Take mmu_lock for reading: faults map in parallel, zaps are kept out."""
    if w["mmu_writer"] != 0:
        return BLOCKED
    w["mmu_readers"] += 1
    return NEXT


@step("kvm-fault", "check", "is_page_fault_stale", ("root",))
def recheck_root(w: Record, a: Record, r: Record) -> int:
    """Retry if the root has been invalidated."""
    if a["root"] == 0:
        valid = w["root_valid_0"]
    else:
        valid = w["root_valid_1"]
    if valid == 0:
        a["stale"] = 1
        return ROOT
    return NEXT


@step("kvm-fault", "check", "is_page_fault_stale", ("stale",))
def recheck_stale(w: Record, a: Record, r: Record) -> int:
    """Test under mmu_lock whether an invalidation touched the gfn since the snapshot."""
    if invalidated(w, a["gfn"], a["seq"]):
        a["stale"] = 1
        return STALE
    return NEXT


@step("kvm-fault", "check", "kvm_mmu_hugepage_adjust")
def choose_level(w: Record, a: Record, r: Record) -> int:
    """Map as much at once as the page behind it, the memslot, the attributes and the hardware allow."""
    a["level"] = 1
    if a["order"] != 0:
        a["level"] = largest_level(w, a)
    return NEXT


@step("kvm-fault", "alloc", "tdp_mmu_link_sp", ("lost",))
def link_table(w: Record, a: Record, r: Record) -> int:
    """Link the topmost missing page table, one a step; at the leaf, remember the entry to compare with."""
    gfn = a["gfn"]
    if w["largest_order"] != 0 and under_larger_entry(w, gfn, root_of(w, a), a["level"]):
        a["stale"] = 1
        return LOST
    bit = 1 << root_of(w, a)
    if region(w, table_index(w, a["level"] + 1, gfn))["tables"] & bit == 0:
        level = 4
        while region(w, table_index(w, level, gfn))["tables"] & bit != 0:
            level -= 1
        missing = region(w, table_index(w, level, gfn))
        missing["tables"] = missing["tables"] | bit
        w["tables"] += 1
        return AGAIN
    entry = spte(w, gfn if a["level"] == 1 else level_head(w, a["level"], gfn), root_of(w, a))
    a["old_bits"] = entry["bits"]
    a["old_pfn"] = entry["pfn"]
    return NEXT


@step("kvm-fault", "spte-bits", "tdp_mmu_map_handle_target_level", ("lost", "frozen", "same", "replaced"))
def set_spte(w: Record, a: Record, r: Record) -> int:
    """Compare and exchange the leaf entry against what was read; a lost race retries.

    A huge entry replaces the small ones below it, which asks for a flush. An entry that this fault froze while
    the hardware was asked is its own.
    """
    first = a["gfn"] if a["level"] == 1 else level_head(w, a["level"], a["gfn"])
    entry = spte(w, first, root_of(w, a))
    if entry["bits"] & SPTE_FROZEN and a["froze"] == 0:
        a["stale"] = 1
        return FROZEN
    if entry["bits"] != a["old_bits"] or entry["pfn"] != a["old_pfn"]:
        a["stale"] = 1
        return LOST
    pfn = a["pfn"] - (a["gfn"] - first)
    bits = SPTE_PRESENT if a["level"] == 1 else bits_of_level(a["level"])
    if entry["bits"] == bits and entry["pfn"] == pfn:
        return SAME
    if a["level"] != 1:
        a["zapped"] = unlink_small_entries(w, first, root_of(w, a), a["level"])
    entry["bits"] = bits
    entry["pfn"] = pfn
    a["froze"] = 0
    if a["level"] != 1 and a["zapped"] != 0:
        return REPLACED
    return NEXT


@step(
    "kvm-fault",
    "refcount",
    "kvm_mmu_finish_page_fault",
    guards="writeback: the page is marked dirty while it is mapped",
)
def release_page(w: Record, a: Record, r: Record) -> int:
    """Drop the reference that the lookup took, under mmu_lock (mmu.c:4969-4971)."""
    put_page(w, block_head(w, a["pfn"]) if a["order"] != 0 else a["pfn"])
    return NEXT


@step("kvm-fault", "lock", "kvm_tdp_mmu_page_fault")
def unlock_mmu(w: Record, a: Record, r: Record) -> int:
    """Drop mmu_lock for reading."""
    w["mmu_readers"] -= 1
    return NEXT
