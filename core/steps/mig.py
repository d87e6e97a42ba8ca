"""Migrating a page of the VMA to another node (migrate.c:728-765, 1116-1213; rmap.c:2489-2502)."""

from gmembench.core.errno import EBUSY, ENOMEM, EOPNOTSUPP
from gmembench.core.outcomes import AGAIN, BUSY, EXTRA, INACCESSIBLE, NEXT, NOMEM, NONE, SAME
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.pool import free_page, put_page, take_page
from gmembench.core.parts.vma import host_pfn, hpte_gfn, migrates
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    HPTE_MIGRATION,
    HPTE_RW,
    OBJECT_INODE,
    OBJECT_NONE,
    PAGE_ANON,
    PAGE_FILE,
    PG_IN_MAPPING,
    PG_MOVABLE,
    cache,
    frame,
    page,
)

BY_HINT, BY_REQUEST, UNMOVABLE = 0, 1, 2
"""Why a page moves: it was touched from another node, somebody names the node (`OPERATION.slot`), or it is to be
pinned for long and lies in a movable zone."""


@step("mm", "check", "numa_migrate_check", ("same",))
def check_node(w: Record, a: Record, r: Record) -> int:
    """A page that is on the right node already, or huge, stays. Migration of huge pages is out of scope.

    So does one whose PTE went since the walk: do_numa_page compares it under the page table's lock.
    """
    if host_pfn(w, a["gfn"]) == 0:
        return SAME
    p = page(w, frame(w, hpte_gfn(w, a["gfn"]))["hpfn"])
    if p["order"] != 0 or p["node"] == (a["wanted_slot"] if r["value"] == BY_REQUEST else a["node"]):
        return SAME
    return NEXT


@step("mm", "alloc", "alloc_misplaced_dst_folio", ("nomem",))
def alloc_target(w: Record, a: Record, r: Record) -> int:
    """Allocate the page to migrate to, on the actor's node. Operand `value`: BY_REQUEST or UNMOVABLE."""
    pfn = take_page(w, 0)
    a["target"] = pfn
    if pfn == 0:
        return NOMEM
    p = page(w, pfn)
    p["state"] = PAGE_ANON
    p["refs"] = 1
    p["node"] = a["wanted_slot"] if r["value"] == BY_REQUEST else a["node"]
    if w["movable"] != 0 and r["value"] != UNMOVABLE:
        p["flags"] = PG_MOVABLE
    return NEXT


@step("mm", "lock", "folio_trylock", ("busy",))
def lock_folio(w: Record, a: Record, r: Record) -> int:
    """Try the lock of the page that is to move; without a PTE there is none any more."""
    a["pfn"] = host_pfn(w, a["gfn"])
    if a["pfn"] == 0:
        free_page(w, a["target"])
        return BUSY
    p = page(w, a["pfn"])
    if p["lock"] != 0:
        free_page(w, a["target"])
        return BUSY
    p["lock"] = a["number"] + 1
    return NEXT


@step("mm", "state", "try_to_migrate_one")
def set_migration_pte(w: Record, a: Record, r: Record) -> int:
    """Replace the host PTE by a migration entry, if it still maps the page: whoever walks there waits."""
    f = frame(w, a["gfn"])
    if host_pfn(w, a["gfn"]) == a["pfn"]:
        f["hpte"] = HPTE_MIGRATION
    return NEXT


@step("mm", "check", "move_to_new_folio", ("inaccessible",))
def check_mapping(w: Record, a: Record, r: Record) -> int:
    """A page of a file that may not be read cannot move (-EOPNOTSUPP)."""
    if page(w, a["pfn"])["state"] == PAGE_FILE:
        free_page(w, a["target"])
        return INACCESSIBLE
    return NEXT


@step("mm", "refcount", "folio_ref_freeze", ("extra",))
def freeze_refs(w: Record, a: Record, r: Record) -> int:
    """Give up if anyone but the host PTE holds the page, a pin for example, or if the PTE was gone already."""
    p = page(w, a["pfn"])
    if p["refs"] != 1 or p["pins"] != 0 or not migrates(w, a["gfn"], a["pfn"]):
        free_page(w, a["target"])
        return EXTRA
    return NEXT


@step("mm", "state", "folio_mc_copy")
def copy(w: Record, a: Record, r: Record) -> int:
    """Copy the content."""
    old, new = page(w, a["pfn"]), page(w, a["target"])
    new["content"] = old["content"]
    new["content_gfn"] = old["content_gfn"]
    new["content_gen"] = old["content_gen"]
    new["index"] = old["index"]
    return NEXT


@step("mm", "state", "remove_migration_pte")
def install_pte(w: Record, a: Record, r: Record) -> int:
    """Map the new page in place of the migration entry."""
    f = frame(w, a["gfn"])
    f["hpfn"] = a["target"]
    f["hpte"] = HPTE_RW
    return NEXT


@step("mm", "lock", "folio_unlock")
def unlock_folio(w: Record, a: Record, r: Record) -> int:
    """Unlock the old page."""
    page(w, a["pfn"])["lock"] = 0
    return NEXT


@step("mm", "refcount", "folio_put")
def put_old(w: Record, a: Record, r: Record) -> int:
    """Drop the last reference of the old page."""
    put_page(w, a["pfn"])
    return NEXT


@step("mm", "check", "add_folio_for_migration", ("none", "inaccessible"))
def find_page(w: Record, a: Record, r: Record) -> int:
    """Find the page of the VMA behind a gfn. A page of guest_memfd is passed over (isolate_migratepages_block)."""
    if host_pfn(w, a["gfn"]) != 0:
        return NEXT
    if a["gfn"] < w["cache_n"] and cache(w, a["gfn"])["pfn"] != 0:
        return INACCESSIBLE
    return NONE


@step("mm", "refcount", "folio_get_nontail_page", ("none",))
def hold_file_page(w: Record, a: Record, r: Record) -> int:
    """Take a reference to the file's page behind a gfn, if it is still there."""
    a["pfn"] = cache(w, a["gfn"])["pfn"]
    if a["pfn"] == 0:
        return NONE
    h = page(w, block_head(w, a["pfn"]))
    h["refs"] = h["refs"] + 1
    return NEXT


@step("mm", "lock", "isolate_migratepages_block", ("busy",))
def trylock_file_page(w: Record, a: Record, r: Record) -> int:
    """Try the lock of the file's page: it keeps the page in the file, and so the mapping alive."""
    h = page(w, block_head(w, a["pfn"]))
    if h["lock"] != 0:
        return BUSY
    h["lock"] = a["number"] + 1
    return NEXT


@step("mm", "state", "folio_mapping", ("none",))
def read_mapping(w: Record, a: Record, r: Record) -> int:
    """Read which mapping the page belongs to; none if it was truncated."""
    return NEXT if page(w, block_head(w, a["pfn"]))["flags"] & PG_IN_MAPPING else NONE


@step("mm", "check", "mapping_inaccessible")
def test_mapping(w: Record, a: Record, r: Record) -> int:
    """Read the flags of that mapping: it is one that nobody may move pages of."""
    a["object"] = OBJECT_INODE
    return NEXT


@step("mm", "lock", "folio_unlock")
def unlock_file_page(w: Record, a: Record, r: Record) -> int:
    """Unlock the file's page, if this actor has its lock."""
    a["object"] = OBJECT_NONE
    h = page(w, block_head(w, a["pfn"]))
    if h["lock"] == a["number"] + 1:
        h["lock"] = 0
    return NEXT


@step("mm", "refcount", "folio_put")
def put_file_page(w: Record, a: Record, r: Record) -> int:
    """Drop the reference to the file's page."""
    put_page(w, block_head(w, a["pfn"]))
    return NEXT


@step("mm", "check", "move_pages")
def note_busy(w: Record, a: Record, r: Record) -> int:
    """Remember that a page stayed because somebody else holds it."""
    a["result"] = EBUSY
    return NEXT


@step("mm", "check", "isolate_migratepages_block")
def note_inaccessible(w: Record, a: Record, r: Record) -> int:
    """Remember that a page stayed because nobody may read it."""
    a["result"] = EOPNOTSUPP
    return NEXT


@step("mm", "check", "move_pages")
def note_nomem(w: Record, a: Record, r: Record) -> int:
    """Without a page to move to nothing more moves."""
    a["result"] = ENOMEM
    return NEXT


@step("mm", "state", "move_pages")
def next_gfn(w: Record, a: Record, r: Record) -> int:
    """Go on with the next gfn of the range."""
    a["gfn"] += 1
    if a["gfn"] < a["end"]:
        return AGAIN
    return NEXT
