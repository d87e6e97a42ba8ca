"""In-place conversion: the attributes belong to the file, and a gfn has one page (KVM_SET_MEMORY_ATTRIBUTES2)."""

from gmembench.core.errno import EAGAIN
from gmembench.core.operations import PRIVATE
from gmembench.core.outcomes import AGAIN, BUSY, DONE, NEXT, NONE, SHARED, SIGBUS
from gmembench.core.parts.access import tell_rekeyed
from gmembench.core.parts.attributes import wanted_attr
from gmembench.core.parts.file_folios import add_folio, drain_batch
from gmembench.core.parts.folio_range import file_end
from gmembench.core.parts.folios import next_folio as next_indexed_folio
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import ATTR_PRIVATE, HPTE_NONE, PG_LRU_BATCH, cache, frame, page


@step("backing", "alloc", "filemap_add_folio", ("nomem", "raced"))
def alloc_folio(w: Record, a: Record, r: Record) -> int:
    """Add a folio to the page cache, locked; a per-CPU LRU batch holds one more reference until it is drained."""
    outcome = add_folio(w, a)
    if outcome == NEXT:
        p = page(w, a["pfn"])
        p["flags"] = p["flags"] | PG_LRU_BATCH
        p["refs"] = p["refs"] + 1
    return outcome


@step("kvm-fault", "check", "kvm_gmem_get_pfn", ("shared",))
def check_index(w: Record, a: Record, r: Record) -> int:
    """Only a private index is given to the guest by the hardware. invalidate_lock keeps the attribute."""
    if frame(w, a["index"])["attr"] & ATTR_PRIVATE == 0:
        return SHARED
    return NEXT


@step("backing", "check", "kvm_gmem_fault_user_mapping", ("sigbus",))
def check_shared(w: Record, a: Record, r: Record) -> int:
    """The VMM may touch only what is shared. invalidate_lock keeps the attribute until the folio is in hand."""
    if frame(w, a["index"])["attr"] & ATTR_PRIVATE:
        return SIGBUS
    return NEXT


@step("kvm-attributes", "alloc", "mas_preallocate", ("nomem",), guards="-ENOMEM of the maple tree's nodes")
def prealloc(w: Record, a: Record, r: Record) -> int:
    """Have the nodes for the new range, so that storing cannot fail. The model never runs out of them."""
    a["tries"] = 0
    a["index"] = a["first"]
    a["gfn"] = a["first"]
    return NEXT


@step("kvm-attributes", "check", "__kvm_gmem_set_attributes", ("shared",))
def choose(w: Record, a: Record, r: Record) -> int:
    """Only what becomes private must not be in use by the host."""
    if a["flags"] & PRIVATE:
        return NEXT
    return SHARED


@step("kvm-attributes", "check", "kvm_gmem_is_safe_for_conversion", ("busy",))
def check_refs(w: Record, a: Record, r: Record) -> int:
    """The next folio of the range must be held by the page cache alone: not mapped, not pinned, not referenced."""
    a["index"] = next_indexed_folio(w, a["index"], file_end(w, a))
    if a["index"] >= file_end(w, a):
        return NEXT
    h = page(w, block_head(w, cache(w, a["index"])["pfn"]))
    if h["refs"] != 1 or h["pins"] != 0 or frame(w, a["index"])["hpte"] != HPTE_NONE:
        return BUSY
    a["index"] = h["index"] + (1 << h["order"])
    return AGAIN


@step("mm", "refcount", "lru_add_drain_all", ("done",))
def drain_lru(w: Record, a: Record, r: Record) -> int:
    """Drain the LRU batches, once a conversion: a fresh folio's extra reference must not look like a user."""
    if a["tries"] != 0:
        return DONE
    a["tries"] = 1
    for index in range(a["index"], file_end(w, a)):
        pfn = cache(w, index)["pfn"]
        if pfn != 0:
            drain_batch(w, pfn)
    return NEXT


@step("kvm-attributes", "check", "__kvm_gmem_set_attributes")
def busy(w: Record, a: Record, r: Record) -> int:
    """Somebody uses a folio: EAGAIN, and the index of that folio (`done`) is the error_offset, in pages."""
    a["result"] = EAGAIN
    a["done"] = a["index"]
    return NEXT


@step("kvm-attributes", "state", "__kvm_gmem_set_attributes", ("none",))
def next_folio(w: Record, a: Record, r: Record) -> int:
    """Find the next folio of the range, which the hardware is to take back. To private all were passed before."""
    a["index"] = next_indexed_folio(w, a["index"], file_end(w, a))
    if a["index"] >= file_end(w, a):
        return NONE
    a["pfn"] = cache(w, a["index"])["pfn"]
    a["order"] = 0
    return NEXT


@step("kvm-attributes", "state", "__kvm_gmem_set_attributes")
def pass_folio(w: Record, a: Record, r: Record) -> int:
    """Go on behind the folio."""
    a["index"] += 1
    return AGAIN


@step("kvm-attributes", "state", "mas_store_prealloc")
def store_attr(w: Record, a: Record, r: Record) -> int:
    """Store the attribute of the whole range at once: it is one range of the maple tree.

    The oracle is told whose page changes hands.
    """
    for gfn in range(a["first"], a["end"]):
        if frame(w, gfn)["attr"] != wanted_attr(a):
            tell_rekeyed(w, gfn)
        frame(w, gfn)["attr"] = wanted_attr(a)
    a["index"] = a["first"]
    return NEXT


@step("kvm-attributes", "callback", "kvm_gmem_invalidate_end", ("none",))
def find_binding_end(w: Record, a: Record, r: Record) -> int:
    """Find out, as at the start, whether a memslot is bound in the range; begin to update its regions."""
    if begin_walk(w, a, a["first"], file_end(w, a), True):
        a["cursor"], a["level"] = a["first"], 2
        return NEXT
    return NONE


@step("mm", "refcount", "__folio_batch_release")
def drain_folio(w: Record, a: Record, r: Record) -> int:
    """Drain the LRU batch that holds the folio: whoever truncates drains before the folios are let go."""
    drain_batch(w, a["pfn"])
    return NEXT
