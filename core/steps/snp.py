"""KVM's part of SNP, and what a vCPU of an SNP guest does (sev.c, svm.c)."""

from gmembench.core.jit import part
from gmembench.core.outcomes import (
    ABSENT,
    BLOCKED,
    DENIED,
    FAULT,
    FIXED,
    KICKED,
    MISMATCH,
    NEXT,
    NONE,
    PENDING,
    TRUNCATED,
)
from gmembench.core.parts.gpa import believed_private, cache_pfn, cached_pfn
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.memslots import begin_walk
from gmembench.core.parts.pool import put_page
from gmembench.core.parts.requests import serve
from gmembench.core.parts.rmp import rmp_gfn
from gmembench.core.parts.stage2 import entry_gfn, entry_level, translate_pfn
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    HW_HUGE,
    HW_OWNED,
    HW_VALIDATED,
    IN_GUEST,
    REQUEST_VMSA,
    cache,
    frame,
    page,
    slot,
    spte,
)


@part
def rmp_allows(w: Record, a: Record, pfn: int) -> bool:
    """Whether the owner table lets the guest use a page as the gfn in hand, of the kind it takes it for."""
    owned = page(w, pfn)["hw"] & HW_OWNED
    if a["is_private"] == 0:
        return owned == 0
    return owned != 0 and rmp_gfn(w, pfn) == a["gfn"]


@part
def sizes_agree(w: Record, a: Record, pfn: int) -> bool:
    """Whether the nested page table and the owner table cover the page by the same size."""
    at = entry_gfn(w, a["gfn"], a["root"])
    huge_entry = entry_level(spte(w, at, a["root"])["bits"]) > 1
    return huge_entry == (page(w, pfn)["hw"] & HW_HUGE != 0)


@step("guest", "check", "TLB, nested page table walk and RMP", ("absent", "denied", "kicked", "pending"))
def translate(w: Record, a: Record, r: Record) -> int:
    """Translate the gfn by the TLB, else by the nested page table; then the owner table must agree.

    Denied: the page is not the guest's, or shared as private, or the sizes differ: a #NPF by the RMP. Pending: the
    guest has not validated it (#VC).
    """
    if a["mode"] != IN_GUEST:
        return KICKED
    a["denied"] = 0
    a["is_private"] = believed_private(w, a)
    pfn = cached_pfn(w, a)
    if pfn == 0:
        if a["root"] < 0:
            return ABSENT
        pfn = translate_pfn(w, a["gfn"], a["root"])
        if pfn == 0:
            return ABSENT
        if not rmp_allows(w, a, pfn) or (a["is_private"] != 0 and not sizes_agree(w, a, pfn)):
            a["denied"] = 1
            return DENIED
        if a["is_private"] != 0 and page(w, pfn)["hw"] & HW_VALIDATED == 0:
            return PENDING
        cache_pfn(w, a, pfn)
    a["pfn"] = pfn
    return NEXT


@step("kvm-fault", "check", "npf_interception", ("kicked", "fault", "denied"))
def decode(w: Record, a: Record, r: Record) -> int:
    """Tell a kick from a nested page fault, and that from one by the owner table (PFERR_GUEST_RMP_MASK)."""
    if a["kicked"] != 0:
        a["kicked"] = 0
        return KICKED
    return DENIED if a["denied"] != 0 else FAULT


@step("kvm-fault", "state", "vcpu_enter_guest", ("pending",))
def service_requests(w: Record, a: Record, r: Record) -> int:
    """Serve the requests that other CPUs left. Pending: the VMSA has to be loaded first."""
    asked = a["requests"]
    if asked != 0:
        serve(w, a)
    return PENDING if asked & REQUEST_VMSA else NEXT


@step("kvm-fault", "check", "fast_page_fault", ("fixed",))
def try_fast(w: Record, a: Record, r: Record) -> int:
    """Leave if the entry is present already, and maps a page that is of the kind of the access."""
    pfn = translate_pfn(w, a["gfn"], a["root"]) if a["root"] >= 0 else 0
    if pfn != 0 and rmp_allows(w, a, pfn):
        return FIXED
    return NEXT


@step("kvm-fault", "check", "sev_handle_rmp_fault", ("mismatch",))
def check_private(w: Record, a: Record, r: Record) -> int:
    """A fault by the owner table on a gfn that is not private is not for here."""
    if frame(w, a["gfn"])["attr"] & ATTR_PRIVATE == 0:
        return MISMATCH
    return NEXT


@step("kvm-fault", "callback", "kvm_gmem_get_pfn", ("none",))
def find_page(w: Record, a: Record, r: Record) -> int:
    """Find the gfn's page in the file and take a reference; one that is missing is the fault's business."""
    if a["slot"] < 0 or slot(w, a["slot"])["file"] < 0:
        return NONE
    s = slot(w, a["slot"])
    a["index"] = a["gfn"] - s["base"] + s["pgoff"]
    pfn = cache(w, a["index"])["pfn"]
    if pfn == 0:
        return NONE
    head = page(w, block_head(w, pfn))
    head["refs"] = head["refs"] + 1
    a["pfn"] = pfn
    return NEXT


@step("backing", "lock", "__filemap_get_folio")
def lock_page(w: Record, a: Record, r: Record) -> int:
    """Take the lock of its folio."""
    head = page(w, block_head(w, a["pfn"]))
    if head["lock"] != 0:
        return BLOCKED
    head["lock"] = a["number"] + 1
    return NEXT


@step("backing", "check", "__filemap_get_folio", ("truncated",))
def recheck_page(w: Record, a: Record, r: Record) -> int:
    """A folio truncated while its lock was awaited is let go, and the lookup begins again."""
    if cache(w, a["index"])["pfn"] == a["pfn"]:
        return NEXT
    head = block_head(w, a["pfn"])
    page(w, head)["lock"] = 0
    put_page(w, head)
    return TRUNCATED


@step("backing", "lock", "folio_unlock")
def unlock_page(w: Record, a: Record, r: Record) -> int:
    """Unlock the folio; the reference is kept."""
    page(w, block_head(w, a["pfn"]))["lock"] = 0
    return NEXT


@step("kvm-fault", "refcount", "sev_handle_rmp_fault")
def put_page_(w: Record, a: Record, r: Record) -> int:
    """Drop the reference."""
    put_page(w, block_head(w, a["pfn"]))
    return NEXT


@step("kvm-invalidate", "callback", "kvm_zap_gfn_range", ("none",))
def begin_zap(w: Record, a: Record, r: Record) -> int:
    """Begin to zap a region's worth of gfns from the one that faulted, so that they are mapped by 4K."""
    end = min(a["gfn"] + (1 << w["region_shift"]), w["frames_n"])
    return NEXT if begin_walk(w, a, a["gfn"], end, False) else NONE


@step("backing", "state", "sev_gmem_invalidate")
def warn(w: Record, a: Record, r: Record) -> int:
    """The page could not be taken back: warn, and go on. It stays the guest's, though the host frees it."""
    w["warns"] += 1
    return NEXT
