"""Symmetry of pages: a pfn is only a name, so pages are renamed by the order in which a state first refers to them.

No step looks at a pfn but to find its page, to compare it with another, or to count on inside a huge page. The
allocator hands pages out by its lists, whose order is part of the state and renamed with it. So an exchange of pages
wherever they are named is an automorphism of all states and moves, but for two: pages that were never handed out are
taken by number, and huge pages lie in aligned blocks. The former keep their names, the latter are exchanged as a whole.
"""

import re
from collections.abc import Iterator

import numpy as np

from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.jit import inlined_part
from gmembench.core.views import Record, Word
from gmembench.core.world import (
    HPTE_STATE,
    HPTE_SWAP,
    PAGE_FREE,
    PFN_CHAINS,
    PFN_FIELDS,
    SMALL,
    World,
)

FIRST, SIZE, KIND, FOLLOWING = range(4)
"""Of the block that a page belongs to, by pfn: its first page, how many it has, the first page of the first block of
its kind, and of the next one (0: there is none). A page outside of all blocks is a block by itself."""

NAMES, PAGES, CHAINED, NEXT_NAME = range(4)
"""By pfn: its name, 0 for none so far. By name: the page. By pfn: whether its `index` is the next page of a chain. By
kind: the next name that may be free; 0 the first."""

FIELD, UNLESS_SWAPPED, CHAIN = range(3)
"""Of a field that holds a pfn: its distance in bytes; that of the state of a host page table entry, 0 if it has none;
NO_CHAIN or what chain begins there."""

WORD, MASK = range(2)
"""Of a word of a state: its number, and the bits of it that matter."""

NO_CHAIN, FREE_CHAIN, GATHERED_CHAIN = range(3)

PAGE_BYTES = SMALL.arrays["pages"].itemsize
STATE_IN_PAGE, INDEX_IN_PAGE = (int(SMALL.arrays["pages"].fields[name][1]) for name in ("state", "index"))  # type: ignore[index]


@inlined_part
def name_page(pfn: int, blocks: np.ndarray, naming: np.ndarray) -> None:
    """Give a page, with the block that it belongs to, the next name of its kind, unless it has one."""
    if naming[NAMES, pfn] != 0:
        return
    first, kind = blocks[FIRST, pfn], blocks[KIND, pfn]
    name = max(kind, naming[NEXT_NAME, kind])
    while naming[PAGES, name] != 0:
        name = blocks[FOLLOWING, name]
    naming[NEXT_NAME, kind] = blocks[FOLLOWING, name]
    for i in range(blocks[SIZE, pfn]):
        naming[NAMES, first + i] = name + i
        naming[PAGES, name + i] = first + i


@inlined_part
def keep_name(pfn: int, naming: np.ndarray) -> None:
    """Let a page have its own number for a name."""
    naming[NAMES, pfn] = pfn
    naming[PAGES, pfn] = pfn


@inlined_part
def keep_fresh_names(w: Record, blocks: np.ndarray, naming: np.ndarray) -> None:
    """Begin: pages that were never handed out keep their names. A block that is being handed out gets the first one."""
    for pfn in range(naming.shape[1]):
        naming[NAMES, pfn] = 0
        naming[PAGES, pfn] = 0
        naming[CHAINED, pfn] = 0
        naming[NEXT_NAME, pfn] = 0
    for pfn in range(w["fresh_block"], w["fresh_blocks_end"]):
        keep_name(pfn, naming)
    begun = w["fresh_end"] - 1
    if blocks[SIZE, begun] == 1:
        for pfn in range(w["fresh_page"], w["fresh_end"]):
            keep_name(pfn, naming)
    else:
        name_page(begun, blocks, naming)


@inlined_part
def name_chain(buffer: np.ndarray, pages: int, pfn: Word, kind: int, blocks: np.ndarray, naming: np.ndarray) -> bool:
    """Name the pages of a chain. False if it is none: something that was freed too early was written to."""
    while pfn != 0 and pfn < blocks.shape[1] and naming[CHAINED, pfn] == 0:
        at = pages + pfn * PAGE_BYTES
        if kind == FREE_CHAIN and buffer[at + STATE_IN_PAGE] != PAGE_FREE:
            return False
        name_page(pfn, blocks, naming)
        naming[CHAINED, pfn] = 1
        pfn = np.int64(buffer[at + INDEX_IN_PAGE])
    return pfn < blocks.shape[1]


@inlined_part
def holds_pfn(buffer: np.ndarray, base: int, fields: np.ndarray, i: int) -> bool:
    """Whether a field holds a pfn now: in place of one, a host page table entry can have a swap slot."""
    unless = fields[i, UNLESS_SWAPPED]
    return unless == 0 or buffer[base + unless] & HPTE_STATE != HPTE_SWAP


@inlined_part
def name_fields(
    buffer: np.ndarray,
    base: int,
    pages: int,
    begin: int,
    end: int,
    fields: np.ndarray,
    blocks: np.ndarray,
    naming: np.ndarray,
) -> bool:
    """Name the pages that a stretch of `fields` refers to. False if one holds no pfn."""
    for i in range(begin, end):
        pfn: Word = np.int64(buffer[base + fields[i, FIELD]])
        if pfn != 0 and holds_pfn(buffer, base, fields, i):
            if pfn >= blocks.shape[1]:
                return False
            if fields[i, CHAIN] == NO_CHAIN:
                name_page(pfn, blocks, naming)
            elif not name_chain(buffer, pages, pfn, fields[i, CHAIN], blocks, naming):
                return False
    return True


@inlined_part
def stands_first(buffer: np.ndarray, pages: int, pfn: int, other: int, size: int) -> bool:
    """Whether the records of a block come before those of another, byte by byte."""
    here, there = pages + pfn * PAGE_BYTES, pages + other * PAGE_BYTES
    for i in range(size * PAGE_BYTES):
        if buffer[here + i] != buffer[there + i]:
            return buffer[here + i] < buffer[there + i]
    return False


@inlined_part
def name_rest(buffer: np.ndarray, pages: int, blocks: np.ndarray, naming: np.ndarray) -> None:
    """Name the pages that nothing refers to, by what is in their records."""
    for pfn in range(1, blocks.shape[1]):
        while naming[NAMES, pfn] == 0:
            least = pfn
            for other in range(pfn + 1, blocks.shape[1]):
                alike = blocks[FIRST, other] == other and blocks[KIND, other] == blocks[KIND, pfn]
                unnamed = alike and naming[NAMES, other] == 0
                if unnamed and stands_first(buffer, pages, other, least, blocks[SIZE, pfn]):
                    least = other
            name_page(least, blocks, naming)


@inlined_part
def keep_all_names(naming: np.ndarray) -> None:
    """Let every page have its own number for a name."""
    for pfn in range(naming.shape[1]):
        keep_name(pfn, naming)


@inlined_part
def rename_fields(buffer: np.ndarray, base: int, pages: int, fields: np.ndarray, naming: np.ndarray) -> None:
    """Write the names of pages into all that refers to them."""
    for i in range(len(fields)):
        if holds_pfn(buffer, base, fields, i):
            at = base + fields[i, FIELD]
            buffer[at] = naming[NAMES, buffer[at]]
    for pfn in range(1, naming.shape[1]):
        if naming[CHAINED, pfn] != 0:
            at = pages + pfn * PAGE_BYTES + INDEX_IN_PAGE
            buffer[at] = naming[NAMES, buffer[at]]


@inlined_part
def rename_fresh(w: Record, blocks: np.ndarray, naming: np.ndarray) -> None:
    """Let the block that is being handed out have its name."""
    begun = w["fresh_end"] - 1
    moved = naming[NAMES, begun] - begun
    if blocks[SIZE, begun] != 1:
        w["fresh_page"] = w["fresh_page"] + moved
        w["fresh_end"] = w["fresh_end"] + moved


@inlined_part
def move_records(buffer: np.ndarray, pages: int, naming: np.ndarray, spare: np.ndarray) -> None:
    """Let each page's record lie where its name says. `spare`: u1, as long as all records."""
    for i in range(len(spare)):
        spare[i] = buffer[pages + i]
    for name in range(1, naming.shape[1]):
        pfn = naming[PAGES, name]
        if pfn != name:
            for i in range(PAGE_BYTES):
                buffer[pages + name * PAGE_BYTES + i] = spare[pfn * PAGE_BYTES + i]


@inlined_part
def rename_pages(
    w: Record,
    buffer: np.ndarray,
    base: int,
    fields: np.ndarray,
    blocks: np.ndarray,
    naming: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Let every page have its name, wherever it is referred to."""
    moved = False
    for pfn in range(naming.shape[1]):
        if naming[NAMES, pfn] != pfn:
            moved = True
    if moved:
        pages = base + w["pages_at"]
        rename_fields(buffer, base, pages, fields, naming)
        rename_fresh(w, blocks, naming)
        move_records(buffer, pages, naming, spare)


@inlined_part
def pages_touched(state: np.ndarray, at: int, origin: np.ndarray, begin: int, touched: np.ndarray) -> bool:
    """Whether a move changed something that names of pages follow from: else its state is as canonical as the origin.

    `state`, `origin`: u8, the words of the state from `at` and those of the state before from `begin`.
    """
    differs = np.uint64(0)
    for i in range(touched.shape[1]):
        word = np.int64(touched[WORD, i])
        differs |= (state[at + word] ^ origin[begin + word]) & touched[MASK, i]
    return differs != np.uint64(0)


@inlined_part
def name_pages(
    w: Record, buffer: np.ndarray, base: int, apart: int, fields: np.ndarray, blocks: np.ndarray, naming: np.ndarray
) -> bool:
    """Name the pages that anything but an actor refers to. False if not all fields hold what they should."""
    keep_fresh_names(w, blocks, naming)
    return name_fields(buffer, base, base + w["pages_at"], 0, apart, fields, blocks, naming)


@inlined_part
def name_others(
    w: Record, buffer: np.ndarray, base: int, apart: int, fields: np.ndarray, blocks: np.ndarray, naming: np.ndarray
) -> bool:
    """Name the pages that only actors refer to, in the order of the actors, and then all others."""
    pages = base + w["pages_at"]
    if not name_fields(buffer, base, pages, apart, len(fields), fields, blocks, naming):
        return False
    name_rest(buffer, pages, blocks, naming)
    return True


def _block_sizes(prepared: Prepared) -> Iterator[tuple[int, int]]:
    """First page and number of pages of each block of a world, in order."""
    g, world = prepared.instance.geometry, prepared.world
    end, first = len(world.arrays["pages"]), 1
    block, gigantic = 1 << g.region_shift, 1 << g.private_order
    ordinary = gigantic if g.private_order > g.region_shift else end
    while first < end:
        size = 1
        if first >= ordinary and first + gigantic <= end:
            size = gigantic
        elif world["largest_order"] != 0 and block <= first and first + block <= world["fresh_blocks_end"]:
            size = block
        yield first, size
        first += size


def _blocks(prepared: Prepared) -> np.ndarray:
    """i8 (FIRST .. FOLLOWING, pfn)."""
    blocks = np.zeros((4, len(prepared.world.arrays["pages"])), np.int64)
    blocks[SIZE, 0] = 1
    last: dict[int, int] = {}
    kinds: dict[int, int] = {}
    for first, size in _block_sizes(prepared):
        kind = kinds.setdefault(size, first)
        blocks[:, first : first + size] = np.array([first, size, kind, 0])[:, None]
        if size in last:
            blocks[FOLLOWING, last[size]] = first
        last[size] = first
    return blocks


def _distances(world: World, path: str) -> list[int]:
    """Distance in bytes of a field such as "frames.spte.pfn", of every record of its array."""
    array, *names = path.split(".")
    if array == "header":
        return [int(SMALL.header.fields[names[0]][1])]  # type: ignore[index]
    form, inside = SMALL.arrays[array], [0]
    for name in names:
        form, at = form.fields[name][:2]  # type: ignore[index]
        inside = [distance + int(at) for distance in inside]
        if form.subdtype is not None:
            form, (count,) = form.subdtype
            inside = [distance + k * form.itemsize for distance in inside for k in range(count)]
    start, size = world[f"{array}_at"], SMALL.arrays[array].itemsize
    return [start + k * size + distance for k in range(len(world.arrays[array])) for distance in inside]


def _fields(prepared: Prepared) -> tuple[np.ndarray, int]:
    """i8 (field, FIELD .. CHAIN), what only an actor has at the end; and how many come before that."""
    world, found = prepared.world, []
    for path in (*PFN_FIELDS, *PFN_CHAINS):
        distances = _distances(world, path)
        swapped = _distances(world, "frames.hpte") if path == "frames.hpfn" else [0] * len(distances)
        chain = (GATHERED_CHAIN if path.startswith("actors.") else FREE_CHAIN) if path in PFN_CHAINS else NO_CHAIN
        of_actor = path.startswith(("actors.", "tlbs."))
        found += [(of_actor, at, unless, chain) for at, unless in zip(distances, swapped, strict=True)]
    found.sort()
    apart = sum(not row[0] for row in found)
    return np.array([row[1:] for row in found], np.int64).reshape(-1, 3), apart


def _touched(prepared: Prepared, fields: np.ndarray) -> np.ndarray:
    """u8 (WORD or MASK, n): words of a state in which something stands that names of pages follow from."""
    world, mask = prepared.world, np.zeros(len(prepared.world.buffer), np.uint8)
    mask[fields[:, FIELD]] = mask[fields[:, UNLESS_SWAPPED]] = 0xFF
    for path in ("pages.state", "pages.index", "header.fresh_page", "header.fresh_end", "header.fresh_block"):
        mask[_distances(world, path)] = 0xFF
    words = mask[SMALL.state_at :].view(np.uint64)
    at = np.flatnonzero(words)
    return np.stack([at.astype(np.uint64), words[at]])


def names_pages(instance: Instance) -> bool:
    """Whether a watched state looks at one page by its number, or at which one something refers to."""
    for item in instance.sometimes:
        for path, operator, value in item.fields:
            shared = re.sub(r"\[\d+\]", "", path)
            told = shared in (*PFN_FIELDS, *PFN_CHAINS) and not (value == 0 and operator in {"==", "!="})
            if told or shared.startswith(("pages.", "header.fresh")):
                return True
    return False


class Pages:
    """The pages of an instance, as the search renames them.

    `fields`: i8 (n, 3), what holds a pfn; the first `apart` of them belong to no actor. `blocks`: i8 (4, pfn), the
    pages that are renamed together. `naming`: i8 (4, pfn), names while a state is brought to its canonical form.
    `touched`: u8 (2, n), what names follow from. `why_not`: why pages are not renamed; "" if they are.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.blocks = _blocks(prepared)
        self.fields, self.apart = _fields(prepared)
        self.touched = _touched(prepared, self.fields)
        self.naming = np.zeros_like(self.blocks)
        self.naming[[NAMES, PAGES]] = np.arange(self.naming.shape[1])
        self.spare = np.zeros(len(prepared.world.arrays["pages"]) * PAGE_BYTES, np.uint8)
        self.why_not = ""
        if not self.blocks[FOLLOWING].any():
            self.why_not = "there is one page of a kind only"
        elif names_pages(prepared.instance):
            self.why_not = "a state to be seen names a page"

    @property
    def applies(self) -> bool:
        """Whether there are pages to rename."""
        return not self.why_not
