"""Steps of mutants: a check left out, or an atomic one torn apart. No kernel does this, and no design uses them."""

from gmembench.core.operations import PRIVATE
from gmembench.core.outcomes import (
    AGAIN,
    BUSY,
    EXTRA,
    FROZEN,
    LOST,
    NEXT,
    NOMEM,
    REFUSED,
    REPLACED,
    SAME,
    STALE,
)
from gmembench.core.parts.attributes import region_is_mixed
from gmembench.core.parts.file_folios import new_folio
from gmembench.core.parts.huge import unlink_small_entries
from gmembench.core.parts.invalidation import widen
from gmembench.core.parts.levels import bits_of_level
from gmembench.core.parts.roots import drop_tables
from gmembench.core.parts.sept import give_back, tree_locked
from gmembench.core.parts.stage2 import clear_entry, entry_gfn, level_head, root_of, table_index
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    HPTE_NONE,
    PAGE_FILE,
    REQUEST_FREE_ROOTS,
    SEPT_BLOCKED,
    SEPT_FREE,
    SEPT_MAPPED,
    SEPT_PENDING,
    SEPT_PENDING_BLOCKED,
    SPTE_FROZEN,
    SPTE_PRESENT,
    actor,
    cache,
    frame,
    page,
    region,
    sept,
    slot,
    spte,
)


@step("kvm-fault", "spte-bits", "tdp_mmu_map_handle_target_level", ("lost", "frozen", "same", "replaced"))
def set_spte(w: Record, a: Record, r: Record) -> int:
    """Store the leaf entry without a compare: whatever stands there is overwritten."""
    first = level_head(w, a["level"], a["gfn"])
    entry = spte(w, first, root_of(w, a))
    a["zapped"] = 0
    if a["level"] != 1:
        a["zapped"] = unlink_small_entries(w, first, root_of(w, a), a["level"])
    entry["bits"] = SPTE_PRESENT if a["level"] == 1 else bits_of_level(a["level"])
    entry["pfn"] = a["pfn"] - (a["gfn"] - first)
    a["froze"] = 0
    return REPLACED if a["zapped"] != 0 else NEXT


@step("kvm-fault", "check", "tdp_mmu_map_handle_target_level", ("lost", "frozen", "same"))
def compare_spte(w: Record, a: Record, r: Record) -> int:
    """Compare the leaf entry with what was read, and store it in another step: another fault can go between."""
    first = level_head(w, a["level"], a["gfn"])
    entry = spte(w, first, root_of(w, a))
    if entry["bits"] & SPTE_FROZEN and a["froze"] == 0:
        a["stale"] = 1
        return FROZEN
    if entry["bits"] != a["old_bits"] or entry["pfn"] != a["old_pfn"]:
        a["stale"] = 1
        return LOST
    return SAME if entry["bits"] & SPTE_PRESENT else NEXT


@step("backing", "alloc", "filemap_add_folio", ("nomem", "raced"))
def add_folio(w: Record, a: Record, r: Record) -> int:
    """Add a folio to the page cache without a look whether there is one by now."""
    return new_folio(w, a)


@step("kvm-fault", "check", "is_page_fault_stale", ("stale",))
def recheck_stale(w: Record, a: Record, r: Record) -> int:
    """The staleness test of kernels that took an invalidation without a range for one of nothing."""
    known = w["inval_count"] > 0 and w["inval_valid"] != 0
    inside = known and w["inval_start"] <= a["gfn"] and a["gfn"] < w["inval_end"]
    if inside or w["inval_seq"] != a["seq"]:
        a["stale"] = 1
        return STALE
    return NEXT


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_range_add")
def range_add_mapped(w: Record, a: Record, r: Record) -> int:
    """Widen the range only if something in it is mapped, and so is going to be zapped."""
    mapped = 0
    for gfn in range(a["cursor"], a["stop"]):
        if entry_gfn(w, gfn, 0) >= 0 or entry_gfn(w, gfn, 1) >= 0:
            mapped = 1
    if mapped != 0:
        widen(w, a["cursor"], a["stop"])
    a["round"] = 0
    return NEXT


@step("kvm-invalidate", "state", "kvm_mmu_invalidate_start")
def range_reset(w: Record, a: Record, r: Record) -> int:
    """Forget the range whether or not another invalidation is under way."""
    w["inval_valid"] = 0
    return NEXT


@step("kvm-attributes", "state", "kvm_arch_post_set_memory_attributes")
def update_mixed(w: Record, a: Record, r: Record) -> int:
    """Mark the regions of the range only if the memslot has a file."""
    if slot(w, a["range_slot"])["file"] < 0:
        return NEXT
    shift = w["region_shift"] * (a["level"] - 1)
    first = a["cursor"] >> shift << shift
    region(w, table_index(w, a["level"], first))["mixed"] = region_is_mixed(w, a, a["level"], first)
    a["cursor"] = first + (1 << shift)
    if a["cursor"] < a["end"]:
        return AGAIN
    if a["level"] == 2:
        a["cursor"] = a["first"]
        a["level"] = 3
        return AGAIN
    return NEXT


@step("kvm-attributes", "check", "kvm_range_has_memory_attributes", ("same",))
def check_noop(w: Record, a: Record, r: Record) -> int:
    """Do nothing if the whole range has the attribute already; an entry that is only reserved counts as one."""
    wanted = 1 if a["flags"] & PRIVATE else 0
    for gfn in range(a["first"], a["end"]):
        if frame(w, gfn)["attr"] != wanted:
            return NEXT
    return SAME


@step("kvm-memslot", "state", "xa_store_range", ("nomem",))
def bind_store(w: Record, a: Record, r: Record) -> int:
    """Store the binding of one index; after operand `value` of them there is no memory for another."""
    s = slot(w, a["new_slot"])
    if a["index"] - s["pgoff"] >= r["value"]:
        return NOMEM
    c = cache(w, a["index"])
    c["slot"] = a["new_slot"] + 1
    c["tag"] = s["tag"]
    s["bound"] = 1
    a["index"] += 1
    return AGAIN if a["index"] < s["pgoff"] + s["npages"] else NEXT


@step("kvm-fault", "state", "make_mmu_pages_available")
def reclaim_root(w: Record, a: Record, r: Record) -> int:
    """Make room for page tables by zapping the root in use, with its flush, as one step; then everybody loads another.

    Right before the test of the root, wrong after it. It happens once in a world.
    """
    old = a["root"]
    if old != 0 or w["root"] != 0:
        return NEXT
    w["root_valid_0"] = 0
    w["root_valid_1"] = 1
    w["root"] = 1
    for gfn in range(w["frames_n"]):
        clear_entry(w, gfn, old)
    drop_tables(w, old)
    for i in range(w["vcpus"]):
        v = actor(w, i)
        v["requests"] |= REQUEST_FREE_ROOTS
        v["tlb_generation"] += 1
    return NEXT


@step("hardware", "hw-op", "tdh_mem_page_remove", ("busy", "refused"))
def sept_remove(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.PAGE.REMOVE of a module that does not ask whether the entry was blocked and tracked."""
    s = sept(w, a["cursor"])
    if tree_locked(w):
        return BUSY
    if s["state"] == SEPT_FREE:
        return REFUSED
    a["old_pfn"] = s["pfn"]
    give_back(w, a["cursor"])
    return NEXT


@step("hardware", "hw-op", "tdh_mem_range_unblock", ("pending", "busy", "refused"))
def sept_unblock(w: Record, a: Record, r: Record) -> int:
    """TDH.MEM.RANGE.UNBLOCK of a module that does not ask whether TRACK is done."""
    s = sept(w, a["gfn"])
    if tree_locked(w):
        return BUSY
    if s["state"] != SEPT_BLOCKED and s["state"] != SEPT_PENDING_BLOCKED:
        return REFUSED
    s["state"] = SEPT_MAPPED if s["state"] == SEPT_BLOCKED else SEPT_PENDING
    return NEXT


@step("mm", "refcount", "collapse_file", ("extra",))
def freeze_refs(w: Record, a: Record, r: Record) -> int:
    """Give up only if anyone but the host PTE and the page cache holds one of the pages: a collapse of a file."""
    for gfn in range(a["gfn"], a["gfn"] + (1 << w["region_shift"])):
        if frame(w, gfn)["hpte"] != HPTE_NONE:
            p = page(w, frame(w, gfn)["hpfn"])
            in_file = 1 if p["state"] == PAGE_FILE else 0
            if p["refs"] != 1 + in_file or p["pins"] != 0 or p["lock"] != 0:
                return EXTRA
    return NEXT
