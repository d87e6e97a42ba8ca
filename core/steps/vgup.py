"""Guest pages behind a VMA: GUP with a flag, pinned private pages, and entries that keep the pfn while zapped.

Sources: "KVM: x86/mmu: ... private/shared" RFC v3 36/59 (Isaku Yamahata, Nov 2021) for the stage-2 side, the PageGuest
patch (Kirill Shutemov, May 2021) for the VMA side.
"""

from gmembench.core.errno import EFAULT, SIGBUS
from gmembench.core.operations import PRIVATE
from gmembench.core.outcomes import (
    ABSENT,
    AGAIN,
    BLOCKED,
    EMPTY,
    EXTERNAL,
    FIXED,
    GUEST_PAGE,
    HIT,
    MIGRATING,
    MISMATCH,
    NEXT,
    NONE,
    OTHER,
    PROTNONE,
    REFUSED,
    SAME,
    SHARED,
    SLOT,
    ZAPPED_ENTRY,
)
from gmembench.core.parts.attributes import wanted_attr
from gmembench.core.parts.memslots import walk_on
from gmembench.core.parts.pool import account_private, account_shared, put_page
from gmembench.core.parts.private_entries import drop_pin, entry_in_use, entry_is_private, zapped_root
from gmembench.core.parts.stage2 import entry_gfn, region_empty, root_of
from gmembench.core.parts.vma import host_pfn, hpte_state
from gmembench.core.parts.zaps import pass_level
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    HPTE_GUEST,
    HPTE_MIGRATION,
    HPTE_NONE,
    HPTE_PROTNONE,
    HPTE_RW,
    HPTE_SWAP,
    PG_GUEST,
    SPTE_PRESENT,
    SPTE_ZAPPED,
    frame,
    page,
    slot,
    spte,
)

OF_GFN, OF_RANGE, OF_SLOT, OF_VM = 0, 1, 2, 3
"""Operand `value` of begin_drop: what is dropped."""


@step("kvm-fault", "check", "fast_page_fault", ("fixed",))
def try_fast(w: Record, a: Record, r: Record) -> int:
    """Leave if the entry is present already; refused for private accesses."""
    if a["is_private"] == 0 and entry_gfn(w, a["gfn"], root_of(w, a)) >= 0:
        return FIXED
    return NEXT


@step("mm", "check", "get_user_page_fast_only", ("hit",))
def fast(w: Record, a: Record, r: Record) -> int:
    """Take a reference without mmap_lock, for shared accesses only: the fast path has no FOLL_GUEST."""
    if a["is_private"] != 0 or hpte_state(w, a["gfn"]) != HPTE_RW:
        return NEXT
    a["pfn"] = host_pfn(w, a["gfn"])
    page(w, a["pfn"])["refs"] = page(w, a["pfn"])["refs"] + 1
    a["order"] = 0
    return HIT


@step("mm", "check", "find_vma", ("none", "mismatch"))
def find_vma(w: Record, a: Record, r: Record) -> int:
    """Find the VMA. A private page can only come from one with VM_GUEST."""
    if a["gfn"] >= w["frames_n"]:
        return NONE
    if a["is_private"] != 0 and frame(w, a["gfn"])["attr"] & ATTR_PRIVATE == 0:
        return MISMATCH
    return NEXT


@step("mm", "check", "follow_page_pte", ("absent", "migrating", "other"))
def walk(w: Record, a: Record, r: Record) -> int:
    """Walk the host page table and tell whether there is a page, accessible or not. Other: a swap or poison entry."""
    state = hpte_state(w, a["gfn"])
    if state == HPTE_NONE:
        return ABSENT
    if state == HPTE_MIGRATION:
        return MIGRATING
    if state >= HPTE_SWAP:
        return OTHER
    return NEXT


@step("mm", "check", "follow_page_pte", ("guest_page", "refused"))
def check_page_guest(w: Record, a: Record, r: Record) -> int:
    """A guest page is given with FOLL_GUEST only, which KVM sets for private accesses; else it is -EFAULT.

    Before the test for a NUMA hint: the entry of a guest page is always PROT_NONE. Where the page went since the walk
    it looks again: another thread may fault in a guest page, and both are one under the PTE's lock.
    """
    if host_pfn(w, a["gfn"]) == 0:
        return AGAIN
    if page(w, host_pfn(w, a["gfn"]))["flags"] & PG_GUEST == 0:
        return NEXT
    return GUEST_PAGE if a["is_private"] != 0 else REFUSED


@step("mm", "check", "can_follow_write_pte", ("protnone",))
def check_protnone(w: Record, a: Record, r: Record) -> int:
    """A PROT_NONE entry is a NUMA hint, to be taken first."""
    return PROTNONE if hpte_state(w, a["gfn"]) == HPTE_PROTNONE else NEXT


@step("mm", "check", "do_numa_page", ("guest_page",))
def check_user(w: Record, a: Record, r: Record) -> int:
    """Tell a guest page from a NUMA hint for whoever has no FOLL_GUEST: the VMM, a device, KVM's own access."""
    return GUEST_PAGE if page(w, host_pfn(w, a["gfn"]))["flags"] & PG_GUEST else NEXT


@step("mm", "state", "alloc_set_pte")
def set_pte(w: Record, a: Record, r: Record) -> int:
    """Map the new page in the host page table; below VM_GUEST it becomes a guest page with a PROT_NONE entry."""
    f = frame(w, a["gfn"])
    if f["hpte"] != HPTE_NONE:
        put_page(w, a["pfn"])
        return NEXT
    p = page(w, a["pfn"])
    p["index"] = a["gfn"]
    f["hpfn"] = a["pfn"]
    if f["attr"] & ATTR_PRIVATE:
        p["flags"] = p["flags"] | PG_GUEST
        f["hpte"] = HPTE_PROTNONE | HPTE_GUEST
        account_private(w, 1)
    else:
        f["hpte"] = HPTE_RW
        account_shared(w, 1)
    return NEXT


@step("mm", "state", "remove_migration_pte")
def restore_pte(w: Record, a: Record, r: Record) -> int:
    """Put the entry back that a failed migration took away; that of a guest page stays PROT_NONE.

    Only the migration's own entry: whoever holds the page's lock made it. There is none where the page went before.
    """
    named = page(w, host_pfn(w, a["gfn"]))
    if hpte_state(w, a["gfn"]) != HPTE_MIGRATION or named["lock"] != a["number"] + 1:
        return NEXT
    guest = named["flags"] & PG_GUEST
    frame(w, a["gfn"])["hpte"] = HPTE_PROTNONE | HPTE_GUEST if guest else HPTE_RW
    return NEXT


@step("mm", "state", "remove_migration_pte")
def install_pte(w: Record, a: Record, r: Record) -> int:
    """Map the new page in place of the migration entry. A guest page that nobody has pinned stays one."""
    f = frame(w, a["gfn"])
    guest = page(w, a["pfn"])["flags"] & PG_GUEST
    f["hpfn"] = a["target"]
    f["hpte"] = HPTE_PROTNONE | HPTE_GUEST if guest else HPTE_RW
    page(w, a["target"])["flags"] = page(w, a["target"])["flags"] | guest
    return NEXT


@step("mm", "state", "do_user_addr_fault")
def send_sigbus(w: Record, a: Record, r: Record) -> int:
    """The VMM is sent SIGBUS: the page is the guest's, or there is no guest page to map."""
    a["result"] = SIGBUS
    return NEXT


@step("kvm-fault", "check", "kvm_faultin_pfn", ("mismatch",))
def require_page_guest(w: Record, a: Record, r: Record) -> int:
    """Map nothing as private that is no guest page: the host could read it."""
    if a["is_private"] != 0 and page(w, a["pfn"])["flags"] & PG_GUEST == 0:
        return MISMATCH
    return NEXT


@step("kvm-fault", "spte-bits", "kvm_mmu_zap_alias_spte", ("none", "shared", "zapped_entry"))
def zap_alias(w: Record, a: Record, r: Record) -> int:
    """Zap the gfn's entry of the other kind. A private one has to be dropped: *next* if it is present.

    Another vCPU may have been faster, and found it zapped already.
    """
    a["cursor"] = a["gfn"]
    a["zapped"] = 0
    for root in range(2):
        if entry_in_use(w, a["gfn"], root):
            private = entry_is_private(w, a["gfn"], root)
            entry = spte(w, a["gfn"], root)
            if private and a["is_private"] == 0:
                return ZAPPED_ENTRY if entry["bits"] & SPTE_ZAPPED else NEXT
            if not private and a["is_private"] != 0:
                entry["bits"] = 0
                entry["pfn"] = 0
                a["zapped"] = 1
                return SHARED
    return NONE


@step("kvm-fault", "check", "__direct_map", ("empty", "zapped_entry", "same"))
def read_state(w: Record, a: Record, r: Record) -> int:
    """Tell what the entry is: empty, zapped with its page kept, or mapped by another vCPU."""
    a["cursor"] = a["gfn"]
    bits = spte(w, a["gfn"], root_of(w, a))["bits"]
    if bits & SPTE_ZAPPED:
        return ZAPPED_ENTRY
    return SAME if bits & SPTE_PRESENT else EMPTY


@step("kvm-fault", "refcount", "set_private_spte", ("shared",))
def pin_page(w: Record, a: Record, r: Record) -> int:
    """Pin a private page for as long as its entry keeps it (get_page). Shared pages are not pinned."""
    if a["is_private"] == 0:
        return SHARED
    p = page(w, a["pfn"])
    p["pins"] = p["pins"] + 1
    p["refs"] = p["refs"] + 1
    return NEXT


@step("kvm-fault", "refcount", "set_private_spte")
def unpin_page(w: Record, a: Record, r: Record) -> int:
    """The entry could not be set: drop the pin again."""
    if a["is_private"] != 0:
        drop_pin(w, a["pfn"])
    return NEXT


@step("kvm-fault", "check", "mmu_set_spte", ("mismatch",))
def check_same_pfn(w: Record, a: Record, r: Record) -> int:
    """The page of a zapped entry is pinned, so GUP must bring the same pfn again: anything else is a WARN and an error.

    KVM still has the pfn; the new translation is only a sanity check.
    """
    if spte(w, a["gfn"], root_of(w, a))["pfn"] != a["pfn"]:
        w["warns"] += 1
        a["error"] = EFAULT
        return MISMATCH
    return NEXT


@step("kvm-fault", "spte-bits", "mmu_set_spte")
def unzap_spte(w: Record, a: Record, r: Record) -> int:
    """Make the zapped entry present again. Its page has been pinned all the time."""
    spte(w, a["gfn"], root_of(w, a))["bits"] = SPTE_PRESENT
    return NEXT


@step("kvm-invalidate", "spte-bits", "kvm_zap_rmapp", ("slot", "external"))
def zap_leaf(w: Record, a: Record, r: Record) -> int:
    """Zap the shared entry of one gfn and skip a private one that is zapped already; then the next gfn.

    External: a private entry is present. It is not removed: the hardware blocks it, and its page is kept.
    """
    if a["cursor"] < a["stop"]:
        gfn = a["cursor"]
        if region_empty(w, gfn):
            pass_level(w, a, 2)
        else:
            for root in range(2):
                entry = spte(w, gfn, root)
                if entry["bits"] & SPTE_PRESENT and not entry_is_private(w, gfn, root):
                    entry["bits"] = 0
                    entry["pfn"] = 0
                    a["zapped"] += 1
            if (spte(w, gfn, 0)["bits"] | spte(w, gfn, 1)["bits"]) & SPTE_PRESENT:
                return EXTERNAL
            a["cursor"] = gfn + 1
        if a["cursor"] < a["stop"]:
            return AGAIN
    return SLOT if walk_on(w, a, False) else NEXT


@step("kvm-invalidate", "spte-bits", "kvm_zap_rmapp")
def mark_zapped(w: Record, a: Record, r: Record) -> int:
    """Mark the private entry at the cursor as zapped and keep its pfn; it stays on the rmap. Then the next gfn."""
    for root in range(2):
        entry = spte(w, a["cursor"], root)
        if entry["bits"] & SPTE_PRESENT:
            entry["bits"] = SPTE_ZAPPED
            a["zapped"] += 1
    a["cursor"] += 1
    return NEXT


@step("kvm-invalidate", "state", "drop_spte", ("none",))
def begin_drop(w: Record, a: Record, r: Record) -> int:
    """Begin to drop zapped entries: of the gfn in hand, the operation's range, a memslot, or the whole VM.

    A conversion to private has none to drop.
    """
    a["zapped"] = 0
    a["cursor"], a["stop"] = 0, w["frames_n"]
    if r["value"] == OF_GFN:
        a["cursor"], a["stop"] = a["gfn"], a["gfn"] + 1
    elif r["value"] == OF_RANGE:
        a["cursor"], a["stop"] = a["first"], a["end"]
        if a["flags"] & PRIVATE:
            return NONE
    elif r["value"] == OF_SLOT:
        s = slot(w, a["range_slot"])
        a["cursor"], a["stop"] = s["base"], s["base"] + s["npages"]
    a["walk"], a["walk_end"] = a["stop"], a["stop"]
    return NEXT


@step("kvm-invalidate", "check", "drop_spte", ("none",))
def find_zapped(w: Record, a: Record, r: Record) -> int:
    """Find the next zapped entry at or after the cursor."""
    while a["cursor"] < a["stop"]:
        if region_empty(w, a["cursor"]):
            pass_level(w, a, 2)
        elif zapped_root(w, a["cursor"]) >= 0:
            return NEXT
        else:
            a["cursor"] += 1
    return NONE


@step("kvm-invalidate", "spte-bits", "drop_spte")
def drop_spte(w: Record, a: Record, r: Record) -> int:
    """Empty the zapped entry at the cursor: it is on no rmap any more. The hardware has given the page back."""
    entry = spte(w, a["cursor"], zapped_root(w, a["cursor"]))
    a["old_pfn"] = entry["pfn"]
    entry["bits"] = 0
    entry["pfn"] = 0
    return NEXT


@step("kvm-invalidate", "refcount", "drop_private_spte")
def unpin(w: Record, a: Record, r: Record) -> int:
    """Drop the pin that the entry held (put_page): the page is freed if its VMA let it go meanwhile."""
    drop_pin(w, a["old_pfn"])
    a["cursor"] += 1
    return NEXT


@step("mm", "lock", "mmap_write_lock")
def lock_mmap_write(w: Record, a: Record, r: Record) -> int:
    """Take mmap_lock for writing: nobody finds a page or a VMA meanwhile."""
    if w["mmap_writer"] != 0 or w["mmap_readers"] != 0:
        return BLOCKED
    w["mmap_writer"] = a["number"] + 1
    a["request_end"] = a["end"]
    a["end"] = a["first"]
    return NEXT


@step("mm", "lock", "mmap_write_unlock")
def unlock_mmap_write(w: Record, a: Record, r: Record) -> int:
    """Drop mmap_lock."""
    w["mmap_writer"] = 0
    return NEXT


@step("mm", "check", "mprotect_fixup", ("none",))
def next_vma(w: Record, a: Record, r: Record) -> int:
    """Find the next VMA of the request whose VM_GUEST differs from what is wanted: the others stay untouched."""
    wanted = wanted_attr(a)
    first = a["end"]
    while first < a["request_end"] and frame(w, first)["attr"] == wanted:
        first += 1
    if first == a["request_end"]:
        return NONE
    end = first + 1
    while end < a["request_end"] and frame(w, end)["attr"] != wanted:
        end += 1
    a["first"], a["gfn"], a["end"] = first, first, end
    return NEXT


@step("mm", "state", "mprotect_fixup")
def set_vma(w: Record, a: Record, r: Record) -> int:
    """Set or clear VM_GUEST of one part of the VMA. Faults see it as the attribute of each of its gfns."""
    for gfn in range(a["first"], a["end"]):
        frame(w, gfn)["attr"] = wanted_attr(a)
    a["gfn"] = a["first"]
    return NEXT
