"""The state: one contiguous buffer that holds a header and arrays of records.

The dtypes below are the data dictionary. A snapshot is a copy of the buffer, and every distance in
the header is relative to the header itself, so a copy works wherever it lies. Large worlds keep 20
bytes a gfn in `FRAME`, 6 a file page in `CACHE` and 19 a page in `PAGE`: 39 bytes a gfn with one
backing, 64 with two; 7 more in `SEPT` where the hardware has a table of its own.
"""

from dataclasses import dataclass

import numpy as np

from gmembench.core.errors import UserError
from gmembench.core.intrinsics.records import (
    element_getter,
    element_prefetcher,
    header_at_getter,
    header_getter,
    nested_getter,
)
from gmembench.core.layouts import ALIGNMENT, Layout, small_layout

# --- spte bits ---
SPTE_PRESENT = 1
SPTE_FROZEN = 2
SPTE_HUGE = 4
"""The entry maps a whole region (2M); it stands at the region's first gfn."""
SPTE_GIGANTIC = 8
"""The entry maps a region of regions (1G); it stands at its first gfn."""
SPTE_ZAPPED = 16
"""Not present, but the page is kept: a private entry that was zapped while its page is pinned."""

# --- host page table entry of the VMM ---
HPTE_NONE, HPTE_RW, HPTE_PROTNONE, HPTE_MIGRATION, HPTE_SWAP, HPTE_POISON = 0, 1, 2, 3, 4, 5
HPTE_STATE = 7
HPTE_HUGE = 8
HPTE_GUEST = 16
"""Flag of an entry: the page behind it is the guest's (PageGuest, or the marker of an encrypted page)."""

# --- frame ---
ATTR_PRIVATE, ATTR_RESERVED = 1, 2
"""RESERVED: the entry is there and empty, so that storing it cannot fail."""

# --- page ---
PAGE_FREE, PAGE_FILE, PAGE_ANON = 0, 1, 2
PG_IN_MAPPING, PG_UPTODATE, PG_GUEST, PG_POISONED = 1, 2, 4, 8
PG_LRU_BATCH, PG_KEY_DIRTY, PG_MOVABLE, PG_PINNED_LONG = 16, 32, 64, 128
"""In a per-CPU LRU batch, which holds a reference; cache lines dirty under a private key; in a movable zone; pinned
for long (FOLL_LONGTERM) by one of `pins`."""
HW_OWNED, HW_VALIDATED, HW_HUGE = 1, 2, 4
"""`PAGE.hw`: the owner table gives the page to the VM (PAMT or RMP); the guest validated it; its entry covers 2M."""
CONTENT_ZERO, CONTENT_DATA, CONTENT_JUNK = 0, 1, 2

# --- SEPT entry (TDX) ---
SEPT_FREE, SEPT_PENDING, SEPT_MAPPED, SEPT_BLOCKED, SEPT_PENDING_BLOCKED = 0, 1, 2, 3, 4

# --- consumers of a page other than stage-2 entries ---
CONSUMER_NONE, CONSUMER_PIN_SHORT, CONSUMER_PIN_LONG, CONSUMER_VMSA = 0, 1, 2, 3
"""A VMSA holds no reference: it is the page that a vCPU of SNP runs on, 0 while it has none."""

# --- objects that an actor uses by a pointer ---
OBJECT_NONE, OBJECT_REGION, OBJECT_VM, OBJECT_INODE = 0, 1, 2, 3

# --- life of an object ---
LIFE_UNUSED, LIFE_BUILDING, LIFE_READY, LIFE_INVALID, LIFE_FREED = 0, 1, 2, 3, 5
FILE_LIVE, FILE_DYING, FILE_FREED = 0, 1, 2

# --- vCPU ---
OUTSIDE_GUEST, IN_GUEST = 0, 1
REQUEST_TLB_FLUSH, REQUEST_FREE_ROOTS, REQUEST_VMSA = 1, 2, 4

# --- NUMA policy that the VMM gave its mapping with mbind() ---
POLICY_DEFAULT, POLICY_INTERLEAVE, POLICY_BIND = 0, 1, 2

SPTE = np.dtype([("pfn", "u4"), ("bits", "u1")])
"""A leaf stage-2 entry."""

FRAME = np.dtype(
    [
        ("spte", SPTE, (2,)),  # by root: kind where roots are separate, else number of the root in use
        ("attr", "u1"),  # ATTR_PRIVATE
        ("hpte", "u1"),  # host mapping of the VMM: HPTE_*
        ("hpfn", "u4"),  # page of the host mapping; kept while protnone
        ("gen_private", "u1"),  # oracle: generation of the last write to the private copy
        ("gen_shared", "u1"),  # oracle: generation of the last write to the shared copy
        ("oracle", "u1"),  # oracle: ORACLE_*
        ("punches", "u1"),  # oracle: requests under way that empty the gfn
    ]
)
"""What belongs to a gfn (and to the hva behind it)."""

ORACLE_ZERO_PRIVATE, ORACLE_ZERO_SHARED = 1, 2
ORACLE_DATA_PRIVATE, ORACLE_DATA_SHARED = 4, 8
ORACLE_RACED_PRIVATE, ORACLE_RACED_SHARED = 16, 32
ORACLE_JUNK = 64
"""Oracle, out of the programs' reach, of a gfn's private and its shared copy. ZERO: it was legally emptied, so zeros
may be read. DATA: it was written, so the data of its generation may be read. RACED: it was written while a request to
empty it was under way, so nobody can tell which of them came last. Without DATA, zeros may be read too. JUNK: the
hardware changed the key of the gfn's only page, so anything may be read until it is written or emptied.
"""

CACHE = np.dtype(
    [
        ("pfn", "u4"),  # folio at this index of the file; 0 none
        ("slot", "u1"),  # binding: slot object + 1; 0 none
        ("tag", "u1"),  # tag of that slot object when it was bound
    ]
)
"""One index of the guest_memfd file: its page cache and its bindings."""

PAGE = np.dtype(
    [
        ("state", "u1"),  # PAGE_*
        ("flags", "u1"),  # PG_*
        ("refs", "u2"),  # references: page cache or PTE, and every taker
        ("pins", "u1"),  # pins by DMA (FOLL_PIN), or by KVM itself
        ("order", "u1"),  # 0, or the order of the huge page that this page heads
        ("node", "u1"),  # NUMA node
        ("lock", "u1"),  # folio lock: actor + 1; 0 free
        ("index", "u4"),  # file index or gfn it backs; next free page while free
        ("content_gfn", "u4"),
        ("content_gen", "u1"),
        ("content", "u1"),  # CONTENT_*
        ("hw", "u1"),  # owner table of the hardware: HW_*; the gfn in it is `index`
    ]
)
"""A physical page."""

REGION = np.dtype([("mixed", "u1"), ("tables", "u1")])
"""A region of one level: mixed attributes (a flag), page tables linked below it, a bit for each root."""

TLB = np.dtype([("gfn", "i4"), ("pfn", "u4"), ("generation", "i4")])
"""A cached translation of a vCPU or of a host thread; valid if its generation is its owner's."""

SEPT = np.dtype(
    [
        ("pfn", "u4"),
        ("state", "u1"),  # SEPT_*
        ("epoch", "u2"),  # TD epoch in which it was blocked, modulo 65,536
    ]
)
"""The secure EPT entry of a gfn, which only the TDX module writes; spte[1] of the frame mirrors it."""

CONSUMER = np.dtype(
    [
        ("kind", "u1"),  # CONSUMER_*
        ("actor", "u2"),
        ("gfn", "i4"),
        ("pfn", "u4"),
    ]
)
"""A user of a page that no stage-2 entry shows: a DMA pin, a registered region, a VMSA."""

SLOT = np.dtype(
    [
        ("life", "u1"),  # LIFE_*
        ("tag", "u1"),  # changes when the object is reused
        ("number", "u1"),  # slot number of the VMM
        ("active", "u1"),  # in the active set
        ("bound", "u1"),  # in the file's bindings
        ("gmem_only", "u1"),  # all faults go to the file: memslots of a file with mmap
        ("flags", "u1"),  # SLOT_*
        ("file", "i2"),  # guest_memfd file; -1 none
        ("base", "i8"),  # first gfn
        ("npages", "i8"),
        ("pgoff", "i8"),  # first index in the file
    ]
)
"""A memslot object."""

SLOT_LOG_DIRTY, SLOT_GUEST_MEMFD = 1, 2
"""Dirty logging is on; the memslot was made with a guest_memfd file, whether that is open or not."""

FILE = np.dtype(
    [
        ("life", "u1"),  # FILE_*
        ("closed", "u1"),  # the VMM has closed its descriptor; calls and faults may hold the file longer
        ("unmapped", "u1"),  # the VMM has unmapped it
        ("refs", "i4"),
        ("inval_writer", "i4"),  # invalidate_lock, or the rwsem of restrictedmem: actor + 1
        ("inval_readers", "i4"),
        ("inode_lock", "i4"),  # of the shmem file behind it: actor + 1
        ("inode_freed", "u1"),  # its inode, and the mapping of its folios, are gone
        ("owner_tag", "u1"),  # tag of the VM object that it was paired with, and calls back
    ]
)
"""A guest_memfd file, or one like it."""

ACTOR = np.dtype(
    [
        # what it was asked to do
        ("number", "i8"),
        ("first", "i8"),  # range of the operation in gfns
        ("end", "i8"),
        ("request_end", "i8"),  # end of the whole request, where it is worked off piece by piece
        ("flags", "i8"),  # of the operation: WRITE, PRIVATE, ...
        ("wanted_slot", "i8"),
        # cursors
        ("gfn", "i8"),
        ("walk", "i8"),  # next gfn or file index at which a walk looks for a memslot
        ("walk_end", "i8"),
        ("cursor", "i8"),  # gfn of a zap inside one memslot; region of an update
        ("stop", "i8"),  # where that cursor ends
        ("notified", "i8"),  # range of the notification under way, from its start to its end
        ("notified_end", "i8"),
        ("round", "i8"),  # which of a few additions comes next
        # registers
        ("slot", "i8"),  # slot object; -1 none
        ("slot_tag", "i8"),
        ("range_slot", "i8"),  # memslot object of the range being walked
        ("new_slot", "i8"),  # memslot object that a slot program makes
        ("file", "i8"),
        ("index", "i8"),
        ("pfn", "i8"),
        ("order", "i8"),
        ("level", "i8"),
        ("seq", "i8"),  # snapshot of the invalidation sequence
        ("old_pfn", "i8"),
        ("old_bits", "i8"),
        ("is_private", "i8"),
        ("zapped", "i8"),
        ("stale", "i8"),  # the fault ended in RETRY
        ("froze", "i8"),  # the entry in hand is frozen by this actor
        ("tries", "i8"),  # how often a step that may be done once more was done
        ("target", "i8"),  # page a migration copies to
        ("gathered", "i8"),  # pages taken out of the host page table and not freed yet, by first page
        ("error", "i8"),  # errno of an unwinding exit
        ("done", "i8"),  # pages a prefault has finished; where a failed fallocate stopped
        ("yield_now", "i8"),  # choice of the driver: this zap yields
        # what it holds
        ("srcu", "i8"),  # SRCU read lock depth
        ("awaited", "i8"),  # a grace period waits for this reader
        # vCPU and host thread
        ("mode", "i8"),
        ("requests", "i8"),
        ("kicked", "i8"),
        ("root", "i8"),
        ("node", "i8"),
        ("tlb_generation", "i8"),
        ("in_td", "i8"),  # the module let it enter since it published IN_GUEST_MODE
        ("entered_epoch", "i8"),  # TD epoch at the last entry
        ("same_faults", "i8"),  # faults in a row on one gfn: zero-step mitigation
        ("denied", "i8"),  # the last exit was a fault by the owner table
        # an object other than a memslot that it uses by a pointer
        ("object", "i8"),  # OBJECT_*, while it uses it
        ("object_tag", "i8"),  # tag of that object when the pointer was taken
        # what it just did, for invariants that judge a use; they clear it
        ("used", "i8"),  # 1: the page `pfn` was read or written as gfn - 1; 2: by the host's kernel or a device
        # what the operation came to
        ("result", "i8"),
        ("content", "i8"),  # last content read or overwritten: kind, gfn, generation
        ("content_gfn", "i8"),
        ("content_gen", "i8"),
    ]
)
"""A vCPU or a host thread, with its registers."""

ARRAYS = {
    "frames": FRAME,
    "cache": CACHE,
    "pages": PAGE,
    "regions": REGION,
    "actors": ACTOR,
    "tlbs": TLB,
    "slots": SLOT,
    "files": FILE,
    "septs": SEPT,
    "consumers": CONSUMER,
}

PFN_FIELDS = (
    *("frames.spte.pfn", "frames.hpfn", "cache.pfn", "septs.pfn", "consumers.pfn"),
    *("actors.pfn", "actors.old_pfn", "actors.target", "tlbs.pfn"),
)
"""Fields that hold a pfn, or 0. `frames.hpfn` holds something else while the entry is one of swap."""

PFN_CHAINS = ("header.free_page", "header.free_huge", "header.free_gigantic", "actors.gathered")
"""Fields that hold the first pfn of a chain of pages: `index` of each is the next one, and the last one has 0."""

HEADER = np.dtype(
    [(f"{name}_{part}", "i8") for name in ARRAYS for part in ("at", "n")]
    + [
        # geometry: constant during a run
        ("vcpus", "i8"),
        ("region_shift", "i8"),  # gfns of a region = 1 << region_shift
        ("regions_3", "i8"),  # first index in `regions` of levels 3 and 4; level 2 starts at 0
        ("regions_4", "i8"),
        ("tlb_mask", "i8"),  # entries of a TLB - 1
        ("shared_order", "i8"),  # order of pages behind the VMA
        ("private_order", "i8"),  # order of folios of the file
        ("largest_order", "i8"),  # the larger of both
        ("hardware", "i8"),  # HARDWARE_*
        ("one_copy", "i8"),  # a gfn has one page, private or shared, and conversion keeps it
        ("gmem_only", "i8"),  # memslots take every page from the file
        ("nodes", "i8"),  # NUMA nodes
        ("movable", "i8"),  # pages behind the VMA come from a movable zone
        ("policy", "i8"),  # NUMA policy of the mapping: POLICY_*
        ("policy_node", "i8"),  # node of POLICY_BIND
        ("separate_roots", "i8"),  # private and shared entries under different roots
        ("private_memory", "i8"),  # the VM has private memory (attributes exist)
        ("fresh_junk", "i8"),  # the hardware does not define what a page holds that was just given to the guest
        # locks: holder + 1, or a count of readers
        ("mmu_writer", "i8"),
        ("mmu_readers", "i8"),
        ("slots_lock", "i8"),
        ("slots_arch_lock", "i8"),
        ("mmap_writer", "i8"),
        ("mmap_readers", "i8"),
        ("mf_mutex", "i8"),  # memory_failure() works on one page at a time: actor + 1
        # the VM, and the TDX module's part of it
        ("vm_refs", "i8"),  # the VM fd, and files that pin the VM
        ("vm_tag", "i8"),  # changes when the VM object is freed
        ("vm_dead", "i8"),  # the guest can run no more
        ("vm_lock", "i8"),  # kvm->lock: actor + 1
        # the region of memory that the VMM registered for encryption, if its end is not 0
        ("region_first", "i8"),
        ("region_end", "i8"),
        ("region_tag", "i8"),  # changes when the region object is freed
        ("tdx_epoch", "i8"),  # TD epoch: TRACK increments it
        ("tdx_tree_lock", "i8"),  # SEPT tree lock, exclusive: actor + 1
        ("tdx_zap_wait", "i8"),  # wait_for_sept_zap: nobody enters the guest
        # invalidation
        ("inval_count", "i8"),
        ("inval_seq", "i8"),
        ("inval_start", "i8"),  # gfns; valid if inval_valid
        ("inval_end", "i8"),
        ("inval_valid", "i8"),
        ("mn_active", "i8"),
        ("mn_lock", "i8"),  # mn_invalidate_lock, from the updater's test of the count to its publication: actor + 1
        # memslots, SRCU, roots
        ("slot_generation", "i8"),
        ("gp_waiting", "i8"),  # readers the grace period still waits for
        ("root", "i8"),  # root that new entries load
        ("root_valid_0", "i8"),
        ("root_valid_1", "i8"),
        # page allocator: free lists by first page, 0 empty
        ("free_page", "i8"),
        ("free_huge", "i8"),
        ("free_gigantic", "i8"),
        ("fresh_page", "i8"),  # pages fresh_page .. fresh_end - 1 are free too, and listed nowhere
        ("fresh_end", "i8"),
        ("fresh_block", "i8"),  # the same for blocks, by their heads
        ("fresh_blocks_end", "i8"),
        ("free_pages", "i8"),
        # backing, in pages: counted numbers
        ("private_pages", "i8"),
        ("shared_pages", "i8"),
        ("double_backed_pages", "i8"),
        ("private_pages_peak", "i8"),
        ("shared_pages_peak", "i8"),
        ("backing_pages_peak", "i8"),
        ("double_backed_pages_peak", "i8"),
        ("tables", "i8"),  # page tables below the root
        ("zeroed_pages", "i8"),  # pages filled with zeros so far
        ("ipis", "i8"),
        ("warns", "i8"),  # WARN_ONs hit
    ]
)
"""The header of a world: where its arrays lie, geometry, and the state of the VM."""

COUNTERS = (
    *(name for name in HEADER.names or () if name.endswith("_peak")),
    *("private_pages", "shared_pages", "double_backed_pages", "tables", "free_pages", "zeroed_pages", "ipis"),
)
"""Fields of the header that only count: no program and no invariant reads them."""

CONSTANTS = (HEADER.names or ())[: (HEADER.names or ()).index("mmu_writer")]
"""Fields of the header that never change during a run."""

WIDE = Layout("wide", HEADER, ARRAYS)
SMALL = small_layout(WIDE, CONSTANTS, COUNTERS)
LAYOUTS = (WIDE, SMALL)

head = header_getter(WIDE)
small_head = header_getter(SMALL)
small_head_at = header_at_getter(SMALL)
frame = element_getter(LAYOUTS, "frames")
spte = nested_getter(LAYOUTS, "frames", "spte")
cache = element_getter(LAYOUTS, "cache")
page = element_getter(LAYOUTS, "pages")
region = element_getter(LAYOUTS, "regions")
actor = element_getter(LAYOUTS, "actors", known=True)  # numbers of loops, and of who has put down its own
tlb = element_getter(LAYOUTS, "tlbs", known=True)  # indices are masked
slot = element_getter(LAYOUTS, "slots")
file = element_getter(LAYOUTS, "files")
sept = element_getter(LAYOUTS, "septs")
consumer = element_getter(LAYOUTS, "consumers")
event = element_getter((SMALL,), "events", known=True)
prefetch_frame = element_prefetcher(WIDE, "frames")
prefetch_cache = element_prefetcher(WIDE, "cache")


HARDWARE_NONE, HARDWARE_TDX, HARDWARE_SNP = 0, 1, 2
"""`hardware` of the header; a kind of hardware names its own in its file."""


@dataclass(frozen=True)
class Geometry:
    """Size and shape of a world.

    `gfns`: guest size in 4 KiB gfns. `slots`: (first gfn, gfns) of each memslot, ascending. A gfn's page
    in the VMA and its index in the guest_memfd file have the gfn's own number. `file`: there is such a
    file, as large as the guest. `pages`: host pages; 0 means enough to back everything. `region_gfns`:
    gfns of a 2M region, 512 of 4 KiB; less in small worlds. A 1G region is `region_gfns` of them.
    `shared_order`, `private_order`: orders of the pages behind the VMA and in the file. `one_backing`:
    no gfn ever needs a page in the VMA and one in the file. `one_copy`: and a conversion keeps its data.
    `gmem_only`: memslots take every page from the file. `init_private`: every gfn begins private.
    `movable`: pages behind the VMA come from a zone that no page pinned for long may lie in.
    `sept`: the hardware keeps a table of its own. `fresh_junk`: a page just given to the guest
    may hold anything. `consumers`: pins there can be at once.
    `policy`: the mbind() policy of the VMM's mapping: "default" (the node of whoever touches first),
    "interleave" (by index) or "bind:N".
    """

    gfns: int
    vcpus: int = 1
    host_actors: int = 1
    slots: tuple[tuple[int, int], ...] = ()
    file: bool = False
    pages: int = 0
    region_gfns: int = 512
    tlb_entries: int = 64
    shared_order: int = 0
    private_order: int = 0
    nodes: int = 1
    movable: bool = False
    separate_roots: bool = False
    private_memory: bool = False
    one_backing: bool = False
    one_copy: bool = False
    gmem_only: bool = False
    init_private: bool = False
    hardware: int = HARDWARE_NONE
    sept: bool = False
    fresh_junk: bool = False
    consumers: int = 8
    policy: str = "default"

    def __post_init__(self) -> None:
        _check_geometry(self)

    @property
    def policy_numbers(self) -> tuple[int, int]:
        """The policy as POLICY_* and the node that it binds to."""
        name, _, node = self.policy.partition(":")
        return (POLICY_DEFAULT, POLICY_INTERLEAVE, POLICY_BIND)[POLICIES.index(name)], int(node or 0)

    @property
    def region_shift(self) -> int:
        """Order of a 2M region."""
        return self.region_gfns.bit_length() - 1


POLICIES = ("default", "interleave", "bind")
"""Names of NUMA policies; "bind" is followed by a colon and a node."""

MAX_GFNS = 1 << 31
MAX_ACTORS = 254
"""`OPERATION.actor` is one byte, and so is `PAGE.lock`, which holds an actor + 1."""

SLOT_OBJECTS_SPARE = 2
"""Objects beyond one a slot: the INVALID copy, and a slot being created."""

MAX_SLOTS = 255 - SLOT_OBJECTS_SPARE
"""`CACHE.slot` holds the number of an object + 1 in one byte."""


def _refuse(what: str, mend: str) -> None:
    raise UserError(what, "world geometry", mend)


def _check_geometry(g: Geometry) -> None:
    if not 1 <= g.gfns < MAX_GFNS:
        _refuse(f"{g.gfns} gfns", f"choose 1 to {MAX_GFNS - 1} gfns of 4 KiB")
    if g.vcpus < 1 or g.host_actors < 0 or g.vcpus + g.host_actors > MAX_ACTORS:
        _refuse(
            f"{g.vcpus} vCPUs and {g.host_actors} host actors",
            f"choose at least 1 vCPU and at most {MAX_ACTORS} actors",
        )
    if g.tlb_entries < 1 or g.tlb_entries & (g.tlb_entries - 1):
        _refuse(f"{g.tlb_entries} TLB entries", "choose a power of two")
    if not 0 <= g.consumers <= 65536:
        _refuse(f"{g.consumers} consumers of pages", "choose 0 to 65536")
    if len(g.slots) > MAX_SLOTS:
        _refuse(f"{len(g.slots)} memslots", f"choose at most {MAX_SLOTS}")
    _check_sizes(g)
    _check_policy(g)
    _check_slots(g)


def _check_sizes(g: Geometry) -> None:
    if not 1 <= g.region_gfns <= 512 or g.region_gfns & (g.region_gfns - 1):
        _refuse(f"regions of {g.region_gfns} gfns", "choose a power of two from 1 to 512")
    shift = g.region_shift
    if g.shared_order not in {0, shift}:
        _refuse(f"pages of order {g.shared_order} behind the VMA", f"choose 0, or {shift} for regions of {1 << shift}")
    if g.private_order not in {0, shift, 2 * shift}:
        _refuse(f"folios of order {g.private_order} in the file", f"choose 0, {shift} or {2 * shift}")
    if g.pages < 0:
        _refuse(f"{g.pages} host pages", "choose a number of pages, or 0 for enough")
    pages = g.pages or g.gfns
    if not 1 <= g.nodes <= min(pages, 255):
        _refuse(
            f"{g.nodes} NUMA nodes for {pages} pages", f"choose 1 to {min(pages, 255)}: every node has a page at least"
        )


def _check_policy(g: Geometry) -> None:
    name, colon, node = g.policy.partition(":")
    bound = name == "bind" and node.isdecimal() and int(node) < g.nodes
    if not bound and (colon or name not in POLICIES or name == "bind"):
        _refuse(f"NUMA policy {g.policy!r}", f"choose default, interleave, or bind:0 to bind:{g.nodes - 1}")


def _check_slots(g: Geometry) -> None:
    reached = 0
    for base, count in g.slots:
        if count < 1:
            _refuse(f"memslot of {count} gfns at gfn {base}", "give it at least one gfn")
        if base < 0 or base + count > g.gfns:
            _refuse(
                f"memslot of {count} gfns at gfn {base} leaves the guest",
                f"keep memslots within gfns 0 to {g.gfns - 1}",
            )
        if base < reached:
            _refuse(
                f"memslot of {count} gfns at gfn {base} overlaps the one before it, which ends at gfn {reached}",
                "keep memslots ascending and apart",
            )
        reached = base + count


def _lengths(g: Geometry) -> dict[str, int]:
    shift = g.region_shift
    levels = [-(-g.gfns // (1 << shift * level)) for level in (1, 2, 3)]
    actors = g.vcpus + g.host_actors
    region_gfns = 1 << shift
    backings = 2 if g.file and not g.one_backing else 1
    pages = g.pages or backings * g.gfns + (2 * region_gfns if g.shared_order or g.private_order else 0)
    if g.private_order > shift:
        gigantic = 1 << g.private_order
        pages = gigantic + -(-pages // gigantic) * gigantic
    return {
        "frames": g.gfns,
        "cache": g.gfns if g.file else 0,
        "pages": pages + 1,
        "regions": sum(levels),
        "actors": actors,
        "tlbs": actors * g.tlb_entries,
        "slots": len(g.slots) + SLOT_OBJECTS_SPARE,
        "files": int(g.file),
        "septs": g.gfns if g.sept else 0,
        "consumers": g.consumers,
    }


class World:
    """A world: `buffer` (u1) and NumPy views of its parts, all sharing the buffer's memory.

    A new world holds the geometry's memslots, bound and active, nothing mapped and nothing allocated.
    """

    def __init__(self, geometry: Geometry, layout: Layout = WIDE, **more: int) -> None:
        self.geometry, self.layout = geometry, layout
        lengths = {**_lengths(geometry), **more}
        header, arrays = layout.header, layout.arrays
        starts, size = {}, header.itemsize
        for name, dtype in arrays.items():
            aligned = layout is WIDE or name == "actors"
            starts[name] = -(-size // ALIGNMENT) * ALIGNMENT if aligned else size
            size = starts[name] + lengths[name] * dtype.itemsize
        size = -(-size // ALIGNMENT) * ALIGNMENT
        try:
            self.buffer = np.zeros(size, np.uint8)
        except MemoryError:
            _refuse(f"{size} bytes of state do not fit in memory", "choose fewer gfns")
        self.header = self.buffer[: header.itemsize].view(header)
        self.arrays = {
            name: self.buffer[starts[name] : starts[name] + lengths[name] * dtype.itemsize].view(dtype)
            for name, dtype in arrays.items()
        }
        for name in arrays:
            self.header[f"{name}_at"] = starts[name]
            self.header[f"{name}_n"] = lengths[name]
        self._fill_header()
        self._fill_objects()
        self._fill_pages()

    def __getitem__(self, field: str) -> int:
        return int(self.header[field][0])

    @property
    def state_bytes(self) -> int:
        """Bytes of the whole state, with everything that is not per gfn."""
        return len(self.buffer)

    @property
    def bytes_per_gfn(self) -> float:
        """Bytes of state that each further gfn costs: its frame, cache entry, page or pages, and share of regions."""
        g = self.geometry
        backings = 2 if g.file and not g.one_backing else 1
        fixed = FRAME.itemsize + CACHE.itemsize * g.file + SEPT.itemsize * g.sept + backings * PAGE.itemsize
        return fixed + REGION.itemsize * len(self.arrays["regions"]) / self.geometry.gfns

    def _fill_header(self) -> None:
        g, header = self.geometry, self.header
        two = -(-g.gfns // (1 << g.region_shift))
        three = -(-two // (1 << g.region_shift))
        for name in (
            "vcpus",
            "region_shift",
            "shared_order",
            "private_order",
            "hardware",
            "one_copy",
            "gmem_only",
            "nodes",
            "movable",
            "separate_roots",
            "private_memory",
            "fresh_junk",
        ):
            header[name] = getattr(g, name)
        header["policy"], header["policy_node"] = g.policy_numbers
        header["largest_order"] = max(g.shared_order, g.private_order)
        header["vm_refs"] = 1 + g.file
        header["regions_3"] = two
        header["regions_4"] = two + three
        header["tlb_mask"] = g.tlb_entries - 1
        header["root_valid_0"] = 1

    def _fill_objects(self) -> None:
        actors, slots = self.arrays["actors"], self.arrays["slots"]
        actors["number"] = np.arange(len(actors))
        actors["slot"] = -1
        actors["tlb_generation"] = 1
        actors["node"] = np.arange(len(actors)) % self.geometry.nodes
        slots["file"] = -1
        if self.geometry.init_private:
            self.arrays["frames"]["attr"] = ATTR_PRIVATE
        for number, (base, count) in enumerate(self.geometry.slots):
            slots[number] = (LIFE_READY, 1, number, 1, 0, 0, 0, -1, base, count, 0)
            if len(self.arrays["files"]):
                slots[number]["file"] = 0
                slots[number]["pgoff"] = base
                slots[number]["bound"] = 1
                slots[number]["flags"] = SLOT_GUEST_MEMFD
                slots[number]["gmem_only"] = self.geometry.gmem_only
                self.arrays["cache"]["slot"][base : base + count] = number + 1
                self.arrays["cache"]["tag"][base : base + count] = 1
        if len(self.arrays["files"]):
            self.arrays["files"]["refs"] = 1

    def _fill_pages(self) -> None:
        """Pages 1.. are free: aligned blocks and the pages before them fresh, the rest one by one.

        Fresh pages are not written, so that what a world never uses takes no memory of the host.
        Where folios are of 1G, every whole block of that size is kept for them, as a pool of huge pages is.
        """
        pages, order = self.arrays["pages"], self.geometry.private_order
        block = 1 << self.geometry.region_shift
        gigantic = 1 << order if order > self.geometry.region_shift else 0
        ordinary = gigantic or len(pages)
        blocks_end = ordinary // block * block if ordinary >= 2 * block else 0
        tail = np.arange(blocks_end or ordinary, ordinary, dtype=np.int64)
        pool = np.arange(gigantic, len(pages) - gigantic + 1, gigantic, dtype=np.int64) if gigantic else tail[:0]
        for chain, field in ((tail, "free_page"), (pool, "free_gigantic")):
            if len(chain):
                self.header[field] = chain[0]
                pages["index"][chain[:-1]] = chain[1:]
        self.header["fresh_page"] = 1
        self.header["fresh_end"] = block if blocks_end else ordinary
        self.header["fresh_block"] = block if blocks_end else 0
        self.header["fresh_blocks_end"] = blocks_end
        self.header["free_pages"] = ordinary - 1 + len(pool) * gigantic
