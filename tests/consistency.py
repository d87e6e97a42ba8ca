"""What must hold in a world whenever no operation is under way: the model's own data, checked from outside.

`faults(world)` lists what does not. It reads the arrays of the world and calls no step or part.
"""

from collections.abc import Iterator

import numpy as np

from gmembench.core.world import (
    ATTR_PRIVATE,
    CONSUMER_PIN_LONG,
    CONSUMER_PIN_SHORT,
    CONTENT_DATA,
    CONTENT_ZERO,
    FILE_LIVE,
    HARDWARE_NONE,
    HPTE_GUEST,
    HPTE_HUGE,
    HPTE_MIGRATION,
    HPTE_POISON,
    HPTE_PROTNONE,
    HPTE_RW,
    HPTE_STATE,
    HPTE_SWAP,
    LIFE_READY,
    PAGE_ANON,
    PAGE_FILE,
    PAGE_FREE,
    PG_GUEST,
    PG_IN_MAPPING,
    PG_LRU_BATCH,
    PG_MOVABLE,
    PG_PINNED_LONG,
    PG_POISONED,
    PG_UPTODATE,
    SPTE_FROZEN,
    SPTE_GIGANTIC,
    SPTE_HUGE,
    SPTE_PRESENT,
    SPTE_ZAPPED,
    World,
)

AT_REST = (
    "mmu_writer",
    "mmu_readers",
    "slots_lock",
    "slots_arch_lock",
    "mmap_writer",
    "mmap_readers",
    "inval_count",
    "mn_active",
    "gp_waiting",
)
"""Locks, counts and readers that are 0 between operations."""

PINS = (CONSUMER_PIN_SHORT, CONSUMER_PIN_LONG)
"""Kinds of consumers that hold a reference."""


def faults(world: World, *, torn_down: bool = False, without: frozenset[str] = frozenset()) -> list[str]:
    """Everything that is wrong, in words; empty if nothing is. vCPUs of a VM that is torn down never run again.

    `without`: rules that the design does not keep: "mixed", it has a record of regions with mixed attributes;
    "broken", nobody has a broken page mapped.
    """
    checks = [locks, pages, pins, entries_without_page, host_entries, markers, stage2, kept_entries, tables, bindings]
    if not torn_down:
        checks.append(tlbs)
    checks += [check for name, check in {"mixed": mixed, "broken": broken_entries}.items() if name not in without]
    return [fault for check in checks for fault in check(world)]


def locks(world: World) -> Iterator[str]:
    """All locks free, all counts zero, no register holds something back."""
    for name in AT_REST:
        if world[name] != 0:
            yield f"{name} is {world[name]}"
    for f in world.arrays["files"]:
        held = bool((world.arrays["slots"]["file"] >= 0).any())  # a memslot of a shmem file holds it when it is closed
        if f["inval_writer"] or f["inval_readers"] or f["inode_lock"] or f["refs"] != int(not f["closed"]):
            yield f"file: {f}"
        if f["closed"] and not held and file_pages(world):
            yield f"a file that nobody holds has pages: {f}"
    for a in world.arrays["actors"]:
        if a["srcu"] or a["awaited"] or a["gathered"]:
            yield f"actor {a['number']}: srcu {a['srcu']}, awaited {a['awaited']}, gathered {a['gathered']}"
    every = world.arrays["pages"]
    if every["lock"].any():
        yield "a page is locked"


def host_pages(world: World) -> dict[int, int]:
    """gfn -> page of the VMA."""
    frames, size = world.arrays["frames"], 1 << world["region_shift"]
    found: dict[int, int] = {}
    for gfn in np.flatnonzero(frames["hpte"]).tolist():
        if int(frames["hpte"][gfn]) in {HPTE_SWAP, HPTE_POISON}:
            continue
        first = int(frames["hpfn"][gfn])
        for i in range(size if frames["hpte"][gfn] & HPTE_HUGE else 1):
            assert gfn + i not in found, f"gfn {gfn + i} lies in two host entries"
            found[gfn + i] = first + i
    return found


def file_pages(world: World) -> dict[int, int]:
    """gfn -> page of the file."""
    pfns = world.arrays["cache"]["pfn"]
    return {index: int(pfns[index]) for index in np.flatnonzero(pfns).tolist()}


def in_vma(world: World) -> dict[int, int]:
    """gfn -> page of the VMA that is its own, not the file's."""
    state = world.arrays["pages"]["state"]
    return {gfn: pfn for gfn, pfn in host_pages(world).items() if state[head_of(world, pfn)] != PAGE_FILE}


def in_host_table(world: World) -> dict[int, int]:
    """gfn -> page of the file that the host page table maps there."""
    return dict(host_pages(world).items() - in_vma(world).items())


def behind_flagged_vma(world: World) -> bool:
    """Whether private memory lies behind a VMA: KVM pins it, and marks its pages."""
    return bool(world["private_memory"]) and len(world.arrays["files"]) == 0


def free_list(world: World) -> list[int]:
    """Every free page, as often as it is listed."""
    index, shift = world.arrays["pages"]["index"], world["region_shift"]
    found = [*range(world["fresh_page"], world["fresh_end"]), *range(world["fresh_block"], world["fresh_blocks_end"])]
    for field, order in (("free_page", 0), ("free_huge", shift), ("free_gigantic", 2 * shift)):
        pfn = world[field]
        while pfn != 0:
            found += range(pfn, pfn + (1 << order))
            pfn = int(index[pfn])
    return found


def head_of(world: World, pfn: int) -> int:
    """The head of the huge page that holds a page, or the page itself."""
    order = world.arrays["pages"]["order"]
    for shift in (world["region_shift"], 2 * world["region_shift"]):
        head = pfn >> shift << shift
        if order[head] and pfn < head + (1 << int(order[head])):
            return head
    return pfn


def kept_by_kvm(world: World) -> list[int]:
    """Pages that private entries pin, mapped or zapped; only where private memory lies behind a VMA."""
    if not behind_flagged_vma(world):
        return []
    table, entries = world.arrays["pages"], world.arrays["frames"]["spte"]
    found = []
    for gfn, root in np.argwhere(entries["bits"] & (SPTE_PRESENT | SPTE_ZAPPED)).tolist():
        pfn, bits = int(entries["pfn"][gfn, root]), int(entries["bits"][gfn, root])
        if root == 1 if world["separate_roots"] else bits & SPTE_ZAPPED or table["flags"][pfn] & PG_GUEST:
            found.append(pfn)
    return found


def pins_of(world: World) -> dict[int, int]:
    """Page, or head of a huge page -> how often it is pinned, as the records and KVM's entries say."""
    found: dict[int, int] = {}
    by_records = [int(c["pfn"]) for c in world.arrays["consumers"] if c["kind"] in PINS]
    for pfn in [*by_records, *kept_by_kvm(world)]:
        head = head_of(world, pfn)
        found[head] = found.get(head, 0) + 1
    return found


def broken_pages(world: World) -> set[int]:
    """Pages that were freed while poisoned: nobody gets them again."""
    table = world.arrays["pages"]
    return set(np.flatnonzero((table["state"] == PAGE_FREE) & (table["flags"] & PG_POISONED != 0)).tolist())


def usable_pages(world: World) -> range:
    """All pages of the host. Page 0 is nobody's, and behind a pool of 1G one is left over."""
    return range(1, len(world.arrays["pages"]) - int(world["private_order"] > world["region_shift"]))


def pages(world: World) -> Iterator[str]:
    """Every page is free, backs one gfn, is only pinned, or broken, and its references are exactly explained."""
    free, vma, file = free_list(world), in_vma(world), file_pages(world)
    table, pinned, broken = world.arrays["pages"], pins_of(world), broken_pages(world)
    backing = {*vma.values(), *file.values()}
    left = [p for p in pinned if p not in backing]
    only_pinned = [p + i for p in left for i in range(1 << int(table["order"][p]))]
    lost = broken - backing  # the tail of a folio of 1G that is merged again keeps its flag
    if sorted([*free, *vma.values(), *file.values(), *only_pinned, *(lost - set(free))]) != list(usable_pages(world)):
        yield f"a page is lost or used twice: free {free}, VMA {vma}, file {file}, pinned {only_pinned}, broken {lost}"
    for pfn in left:
        if table["state"][pfn] == PAGE_FREE or table["refs"][pfn] != pinned[pfn]:
            yield f"page {pfn} is held by {pinned[pfn]} pins only: {table[pfn]}"
    if len(free) != world["free_pages"]:
        yield f"{len(free)} pages are free, {world['free_pages']} are counted"
    for pfn in free:
        if table["state"][pfn] != PAGE_FREE or (table["refs"][pfn] != 0):
            yield f"free page {pfn}: {table[pfn]}"
    yield from vma_pages(world, vma)
    yield from folios(world, file)
    yield from account(world, vma, file)


def vma_pages(world: World, vma: dict[int, int]) -> Iterator[str]:
    """The pages of the VMA are of the right kind, order and number of references."""
    table, frames, size = world.arrays["pages"], world.arrays["frames"], 1 << world["region_shift"]
    pinned = pins_of(world)
    for gfn in sorted(vma.keys() & set(np.flatnonzero(frames["hpte"]).tolist())):
        pfn, huge = int(frames["hpfn"][gfn]), frames["hpte"][gfn] & HPTE_HUGE != 0
        p, refs = table[pfn], 1 + pinned.get(pfn, 0)
        if (p["state"], p["refs"], 1 << int(p["order"])) != (PAGE_ANON, refs, size if huge else 1):
            yield f"page of the VMA at gfn {gfn}, huge {huge}: {p}"


def folios(world: World, file: dict[int, int]) -> Iterator[str]:
    """Each folio of the file lies in one piece; who holds it: the file, host entries, an LRU batch, pins."""
    table, pinned, mapped = world.arrays["pages"], pins_of(world), in_host_table(world)
    for index, pfn in file.items():
        head = head_of(world, pfn)
        h, first = table[head], index - (pfn - head)
        whole = range(first, first + (1 << int(h["order"])))
        if (h["state"], h["index"]) != (PAGE_FILE, first) or not h["flags"] & PG_IN_MAPPING:
            yield f"page {pfn} of the file's index {index}: {h}"
        if [file.get(i) for i in whole] != list(range(head, head + len(whole))):
            yield f"the folio at index {first} is not in one piece"
        batch = int(h["flags"] & PG_LRU_BATCH != 0)
        if h["refs"] != 1 + batch + pinned.get(head, 0) + len(mapped.keys() & set(whole)):
            yield f"references of the folio at index {first}, mapped {mapped}, pinned {pinned.get(head, 0)}: {h}"


def account(world: World, vma: dict[int, int], file: dict[int, int]) -> Iterator[str]:
    """The account of backing is what the page tables and the page cache say."""
    private, shared = len(file), len(vma)
    if behind_flagged_vma(world):
        flags = world.arrays["pages"]["flags"]
        private = sum(1 for pfn in vma.values() if flags[pfn] & PG_GUEST)
        shared -= private
    yield from counters(world, private, shared, len(file.keys() & vma.keys()))


def host_entries(world: World) -> Iterator[str]:
    """What the host page table maps of the file is the file's, and not private; nothing is left half migrated."""
    frames, file = world.arrays["frames"], file_pages(world)
    for gfn, pfn in in_host_table(world).items():
        if file.get(gfn) != pfn or int(frames["hpte"][gfn]) not in {HPTE_RW, HPTE_PROTNONE}:
            yield f"the host maps page {pfn} at gfn {gfn}, entry {frames['hpte'][gfn]}; the file has {file.get(gfn)}"
        if frames["attr"][gfn] & ATTR_PRIVATE:
            yield f"the host maps page {pfn} of the private gfn {gfn}"
    for gfn in np.flatnonzero(frames["hpte"] & HPTE_STATE == HPTE_MIGRATION).tolist():
        yield f"gfn {gfn} still has a migration entry"


def markers(world: World) -> Iterator[str]:
    """A marked page is the guest's: behind a private part of the VMA and not accessible, or ready in the file."""
    table, frames, vma = world.arrays["pages"], world.arrays["frames"], in_vma(world)
    marked = {
        int(p)
        for p in np.flatnonzero((table["flags"] & PG_GUEST != 0) & (table["state"] != PAGE_FREE))
        if table["refs"][p]
    }
    if not behind_flagged_vma(world):
        ready = {pfn for pfn in file_pages(world).values() if table["flags"][pfn] & PG_UPTODATE}
        if not marked <= ready:
            yield f"markers of pages {marked - ready}, which are not ready in the file"
        return
    private = {gfn: pfn for gfn, pfn in vma.items() if frames["attr"][gfn] & ATTR_PRIVATE}
    if marked - set(kept_by_kvm(world)) - set(private.values()) or not marked >= set(private.values()):
        held = {int(c["pfn"]) for c in world.arrays["consumers"] if c["kind"]}
        if marked - set(kept_by_kvm(world)) - set(private.values()) - held:
            yield f"pages marked as the guest's: {marked}, behind private gfns: {private}"
    for gfn, pfn in vma.items():
        if (gfn in private) != bool(table["flags"][pfn] & PG_GUEST):
            yield f"page {pfn} behind gfn {gfn}, private {gfn in private}: {table[pfn]}"
        if (gfn in private) != (frames["hpte"][gfn] == HPTE_PROTNONE | HPTE_GUEST):
            yield f"entry {frames['hpte'][gfn]} of gfn {gfn}, private {gfn in private}"


def kept_entries(world: World) -> Iterator[str]:
    """A zapped entry that keeps its page belongs to a private gfn of a memslot; one a gfn at most."""
    frames = world.arrays["frames"]
    inside = {gfn for _number, base, end in active_slots(world) for gfn in range(base, end)}
    for gfn, _root in np.argwhere(frames["spte"]["bits"] & SPTE_ZAPPED).tolist():
        if not behind_flagged_vma(world) or not frames["attr"][gfn] & ATTR_PRIVATE or gfn not in inside:
            yield f"gfn {gfn} keeps a page in a zapped entry"
        if np.count_nonzero(frames["spte"]["bits"][gfn]) > 1:
            yield f"gfn {gfn} has two entries: {frames['spte'][gfn]}"


def pins(world: World) -> Iterator[str]:
    """Each page has the pins that the records say, its flag tells a long one, and then it is not movable."""
    table, pinned = world.arrays["pages"], pins_of(world)
    consumers = world.arrays["consumers"]
    long = {head_of(world, int(c["pfn"])) for c in consumers if c["kind"] == CONSUMER_PIN_LONG}
    used = table["state"] != PAGE_FREE
    if {int(p): int(table["pins"][p]) for p in np.flatnonzero(table["pins"])} != pinned:
        yield f"pinned pages: {np.flatnonzero(table['pins'])}, by the records {pinned}"
    if set(np.flatnonzero(used & (table["flags"] & PG_PINNED_LONG != 0)).tolist()) != long:
        yield f"pages pinned for long, by the records {long}"
    for pfn in long:
        if table["flags"][pfn] & PG_MOVABLE and not table["order"][pfn]:
            yield f"page {pfn} is pinned for long in a movable zone"


def entries_without_page(world: World) -> Iterator[str]:
    """A swap entry holds what a page may hold; a poison entry names a page that is marked."""
    frames = world.arrays["frames"]
    for gfn in np.flatnonzero(frames["hpte"] == HPTE_SWAP).tolist():
        if int(frames["hpfn"][gfn]) >> 8 not in {CONTENT_ZERO, CONTENT_DATA}:
            yield f"gfn {gfn}: nobody's data in swap"
    for gfn in np.flatnonzero(frames["hpte"] == HPTE_POISON).tolist():
        if not world.arrays["pages"]["flags"][frames["hpfn"][gfn]] & PG_POISONED:
            yield f"gfn {gfn}: a poison entry without a poisoned page"


def counters(world: World, private: int, shared: int, double: int) -> Iterator[str]:
    """The account of backing is what the page tables and the page cache say."""
    counted = world["private_pages"], world["shared_pages"], world["double_backed_pages"]
    if counted != (private, shared, double):
        yield f"private, shared, double backed: counted {counted}, there are {(private, shared, double)}"


def active_slots(world: World) -> list[tuple[int, int, int]]:
    """(object, first gfn, end) of every memslot in the active set."""
    return [
        (number, int(s["base"]), int(s["base"] + s["npages"]))
        for number, s in enumerate(world.arrays["slots"])
        if s["active"] and s["life"] == LIFE_READY
    ]


def translations(world: World, root: int) -> dict[int, int]:
    """gfn -> page, as the stage-2 tables below a root say."""
    entries = world.arrays["frames"]["spte"][:, root]
    found: dict[int, int] = {}
    for gfn in np.flatnonzero(entries["bits"] & SPTE_PRESENT).tolist():
        for i in range(gfns_of_entry(world, int(entries["bits"][gfn]))):
            assert gfn + i not in found, f"gfn {gfn + i} lies in two entries"
            found[gfn + i] = int(entries["pfn"][gfn]) + i
    return found


def gfns_of_entry(world: World, bits: int) -> int:
    """How many gfns an entry maps."""
    shift = world["region_shift"]
    return 1 << (2 * shift if bits & SPTE_GIGANTIC else shift if bits & SPTE_HUGE else 0)


def roots(world: World) -> dict[int, str]:
    """Roots in use -> the kind of gfns below them."""
    if world["separate_roots"]:
        return {0: "shared", 1: "private"}
    return {world["root"]: "both"}


def stage2(world: World) -> Iterator[str]:
    """Every entry maps the page that backs the gfn, of the kind that the attribute names, inside one memslot."""
    for root in range(2):
        if root in roots(world):
            yield from stage2_below(world, root)
        elif world.arrays["frames"]["spte"]["bits"][:, root].any():
            yield "an entry below a root that is not in use"


def backing_of(world: World, gfn: int, host: dict[int, int], file: dict[int, int]) -> int | None:
    """The page that the guest may have mapped at a gfn."""
    if world["gmem_only"]:
        return file.get(gfn)
    if world.arrays["frames"]["attr"][gfn] and not behind_flagged_vma(world):
        return file.get(gfn)
    return host.get(gfn)


def stage2_below(world: World, root: int) -> Iterator[str]:
    """The same of the entries below one root."""
    frames, host, file = world.arrays["frames"], host_pages(world), file_pages(world)
    inside = {gfn: number for number, base, end in active_slots(world) for gfn in range(base, end)}
    entries = frames["spte"][:, root]
    for gfn in np.flatnonzero(entries["bits"]).tolist():
        bits = int(entries["bits"][gfn])
        if bits & SPTE_FROZEN or not bits & (SPTE_PRESENT | SPTE_ZAPPED) or gfn % gfns_of_entry(world, bits):
            yield f"entry of gfn {gfn}: bits {bits}"
    for gfn, pfn in translations(world, root).items():
        kind = "private" if frames["attr"][gfn] else "shared"
        backing = backing_of(world, gfn, host, file)
        if backing != pfn or gfn not in inside or roots(world)[root] not in (kind, "both"):
            yield f"gfn {gfn} (memslot {inside.get(gfn)}) maps page {pfn}, {kind}, backed by {backing}"
    for gfn in np.flatnonzero(entries["bits"] & (SPTE_HUGE | SPTE_GIGANTIC)).tolist():
        region = range(gfn, gfn + gfns_of_entry(world, int(entries["bits"][gfn])))
        if len({(inside.get(g), int(frames["attr"][g])) for g in region}) > 1:
            yield f"the huge entry of gfn {gfn} crosses a memslot's end or mixed attributes"
        if any(entries["bits"][g] for g in region[1:]):
            yield f"small entries below the huge one of gfn {gfn}"


def broken_entries(world: World) -> Iterator[str]:
    """No entry maps a broken page."""
    for root in roots(world):
        for gfn, pfn in translations(world, root).items():
            if world.arrays["pages"]["flags"][pfn] & PG_POISONED:
                yield f"gfn {gfn} maps the poisoned page {pfn}"


def tables(world: World) -> Iterator[str]:
    """Every entry hangs below linked page tables, and the count of tables is right."""
    linked, shift = world.arrays["regions"]["tables"], world["region_shift"]
    count = int(np.bitwise_count(linked).sum())
    if count != world["tables"]:
        yield f"{world['tables']} tables are counted, {count} are linked"
    bits = world.arrays["frames"]["spte"]["bits"]
    for gfn, root in np.argwhere(bits).tolist():
        above = [world["regions_4"] + (gfn >> 3 * shift)]
        if not bits[gfn, root] & SPTE_GIGANTIC:
            above.append(world["regions_3"] + (gfn >> 2 * shift))
            if not bits[gfn, root] & SPTE_HUGE:
                above.append(gfn >> shift)
        if not all(linked[i] >> root & 1 for i in above):
            yield f"the entry of gfn {gfn} hangs below a table that is not linked"


def guest_translations(world: World, root: int) -> dict[int, int]:
    """What a vCPU's TLB may hold: gfn -> page, a private one of hardware with a private bit as -1 - gfn."""
    if world["hardware"] == HARDWARE_NONE:
        return translations(world, root) if root >= 0 else {}
    private = translations(world, 1 if world["separate_roots"] else root)
    both = private if not world["separate_roots"] else translations(world, 0)
    attr = world.arrays["frames"]["attr"]
    shared = {gfn: pfn for gfn, pfn in both.items() if not attr[gfn]}
    return shared | {-1 - gfn: pfn for gfn, pfn in private.items() if attr[gfn]}


def tlbs(world: World) -> Iterator[str]:
    """A translation that a vCPU or host thread could use now is what the tables say."""
    host, entries = host_pages(world), world["tlb_mask"] + 1
    for a in world.arrays["actors"]:
        number = int(a["number"])
        if number < world["vcpus"]:
            if a["requests"]:
                continue
            truth = guest_translations(world, int(a["root"]))
        else:
            truth = host
        for t in world.arrays["tlbs"][number * entries : (number + 1) * entries]:
            if t["generation"] == a["tlb_generation"] and truth.get(int(t["gfn"])) != t["pfn"]:
                yield f"actor {number} would use page {t['pfn']} for gfn {t['gfn']}, not {truth.get(int(t['gfn']))}"


def bindings(world: World) -> Iterator[str]:
    """The open file's bindings are the memslots of the active set, each with its tag; no other object names a file."""
    for number, s in enumerate(world.arrays["slots"]):
        if s["life"] != LIFE_READY and (s["file"] >= 0 or s["bound"] or s["active"]):
            yield f"memslot object {number} is gone and still in use: {s}"
    if len(world.arrays["files"]) == 0:
        return
    expected = {g: number for number, base, end in active_slots(world) for g in range(base, end)}
    if world.arrays["files"]["life"][0] != FILE_LIVE:
        expected = {}
    for index, c in enumerate(world.arrays["cache"]):
        owner = expected.get(index, -1)
        tag = int(world.arrays["slots"]["tag"][owner]) if owner >= 0 else 0
        if (int(c["slot"]) - 1, int(c["tag"])) != (owner, tag):
            yield f"index {index} is bound to {int(c['slot']) - 1}, tag {c['tag']}; the memslot is {owner}, tag {tag}"


def mixed(world: World) -> Iterator[str]:
    """A region inside one memslot is marked as mixed exactly if its attributes differ."""
    attr, flags, size = world.arrays["frames"]["attr"], world.arrays["regions"]["mixed"], 1 << world["region_shift"]
    for _number, base, end in active_slots(world):
        for first in range(-(-base // size) * size, end - size + 1, size):
            differ = len(np.unique(attr[first : first + size])) > 1
            if bool(flags[first // size]) != differ:
                yield f"the region of gfn {first} is marked mixed {flags[first // size]}, its attributes: {differ}"
