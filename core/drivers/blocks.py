"""Collapsed states of an instance: what has numbers, and which of it a row can see."""

from functools import cached_property, reduce
from operator import or_

import numpy as np

from gmembench.core.drivers.collapsed import (
    BATCH,
    EFFECT_WORDS,
    FIRST_EFFECT,
    NO_ROW,
    NUMBER_BITS,
    NUMBERED,
    REMEMBERED,
    SEES_ALL,
    index_effects,
    move_numbers,
    number_all,
)
from gmembench.core.drivers.fingerprints import aligned_words, hash_keys
from gmembench.core.drivers.moves import MAY_COUNT
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.footprints.kinds import HEADER_KIND, OWN_TLB, SELF
from gmembench.core.footprints.rows import RowPrints, row_prints
from gmembench.core.intrinsics.blocks import BLOCK
from gmembench.core.intrinsics.lanes import MOST_BLOCKS, STATE_WORDS
from gmembench.core.judges import SHIPPED
from gmembench.core.liveness import OTHERS
from gmembench.core.locations import fields_of_rules
from gmembench.core.rows import END
from gmembench.core.world import SMALL

BLOCK_BYTES = 8 * BLOCK

SETTLED = {
    "header.inval_seq": ("header.inval_seq", f"{OTHERS}.seq"),
    f"{SELF}.tlb_generation": (OWN_TLB,),
    f"{OTHERS}.tlb_generation": (OWN_TLB,),
    "header.tdx_epoch": ("header.tdx_epoch", f"{OTHERS}.entered_epoch", "septs.epoch"),
}
"""Field that only counts up -> what is changed with it where a state is settled (moves.py, settle_counts)."""

CHECKED = 4093
"""One in so many effects is compared with what its row does, as it is looked up: a prime, so that all come up."""

FEWEST_BLOCKS, FEWEST_EFFECTS = 1 << 10, 1 << 11

MOST_NUMBERS = 1 << 16
"""Of blocks: they are 16 bits."""

MOST_LANES = MOST_BLOCKS
"""Of a state in which what others look at in actors is apart."""

MOST_MASK = 1 << 16
"""Of rules about states: an effect has a lane for it."""

MOST_EFFECTS = 1 << NUMBER_BITS

INDEX_ROOM = 8
"""Entries of the index for each effect that there is room for."""


class Lanes:
    """Which parts of a state have numbers of their own: its blocks, and apart from them what others look at in actors.

    `block_of`: i8, by lane, the block it lies in. `parts`: u8 (lane, word), ones where its bits are. `whole`: so many
    lanes are one for each block, in order. `public`: fields of actors in the lanes from `first_public` on; none, and
    that lane the actor's own, where there is no room for both.
    """

    def __init__(self, prepared: Prepared, public: frozenset[str]) -> None:
        self.actors, self.whole = prepared.actors, prepared.words // BLOCK
        self.first_actor = (int(prepared.world["actors_at"]) - SMALL.state_at) // BLOCK_BYTES
        self.public = public if self.whole + self.actors <= MOST_LANES else frozenset[str]()
        self.first_public = self.whole if self.public else self.first_actor
        own = slice(self.first_actor, self.first_actor + self.actors)
        blocks = np.arange(self.whole)
        self.block_of = np.concatenate([blocks, blocks[own] if self.public else blocks[:0]])
        bits = np.full((len(self.block_of), BLOCK_BYTES), 0xFF, np.uint8)
        if self.public:
            bits[own] &= ~self._bytes_of_public()
            bits[self.first_public :] &= self._bytes_of_public()
        self.parts = bits.view(np.uint64)

    def _bytes_of_public(self) -> np.ndarray:
        """Mask (u1) of the bytes of an actor that hold fields that others look at."""
        bits, fields = np.zeros(BLOCK_BYTES, np.uint8), SMALL.arrays["actors"].fields
        for name in self.public:
            dtype, at = fields[name][:2]  # type: ignore[index]
            bits[at : at + dtype.itemsize] = 0xFF
        return bits

    def own(self, number: int) -> int:
        """Mask of an actor's lanes."""
        return 1 << self.first_actor + number | 1 << self.first_public + number

    def of_actors(self, field: str) -> int:
        """Mask of the lanes in which a field of all actors lies."""
        first = self.first_public if field in self.public else self.first_actor
        return (1 << self.actors) - 1 << first

    @property
    def everybody(self) -> int:
        """Mask of the lanes of all actors' own blocks."""
        return (1 << self.actors) - 1 << self.first_actor


class Sights:
    """Which lanes of a state a row can see, or what is judged after it. `sees`: i8 (actor, row + 1), masks."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared, self.world = prepared, prepared.world
        geometry = prepared.instance.geometry
        self.rows: RowPrints = row_prints(prepared.code, geometry, prepared.programs)
        self.lanes = Lanes(prepared, self._public())
        of_use = self.rows.source.of_rules(SHIPPED, "use")
        of_end = self.rows.source.of_rules(SHIPPED, "end")
        self.header = self._stretch(SMALL.state_at, SMALL.header.itemsize)
        everything = (1 << len(self.lanes.block_of)) - 1
        self.sees = np.full((prepared.actors, len(prepared.rows) + 1), everything | SEES_ALL, np.int64)
        self.sees[:, 0] = [self.lanes.own(number) for number in range(prepared.actors)]
        self.near = np.zeros(len(prepared.rows), np.int64)
        for row in self.rows.reached:
            names = self._touched(row) | self._judged(row, of_use, of_end)
            self.sees[:, row + 1] = [self._mask(names, number) for number in range(prepared.actors)]
            self._add_near(row)

    def _public(self) -> frozenset[str]:
        """Fields of actors that rows of others look at, and what takes a vCPU out of the guest."""
        names = frozenset[str]().union(*(self._touched(row) for row in self.rows.reached))
        kinds = (name.partition(".") for name in names)
        return frozenset({"mode", "kicked", *(field for kind, _, field in kinds if kind == OTHERS)})

    def _touched(self, row: int) -> frozenset[str]:
        """Fields that a row touches, and what is settled after it."""
        print_ = self.rows.prints[row]
        names = print_.reads | print_.writes | {f"{SELF}.{name}" for name in print_.uses}
        if self.prepared.flags[row + 1] & MAY_COUNT:
            for name, settled in SETTLED.items():
                if name in print_.writes:
                    names |= set(settled)
        return names

    def _judged(self, row: int, of_use: frozenset[str], of_end: frozenset[str]) -> frozenset[str]:
        """Fields that rules read which are asked as the row ends."""
        names = of_use if any(way.used for way in self.rows.prints[row].ways) else frozenset[str]()
        return names | of_end if any(target == END for target, _ in self.rows.following(row)) else names

    def _mask(self, names: frozenset[str], number: int) -> int:
        found = self.lanes.own(number) | self.header  # with what only counts there, which footprints leave out
        for name in names:
            found |= self._lanes_of(name, number)
        everybody = self.lanes.everybody
        return found | SEES_ALL if found & everybody == everybody and self.lanes.actors > 1 else found

    def _add_near(self, row: int) -> None:
        """Have the rules about states that a row may break judged with it, but for those that look at all actors."""
        if self.sees[0, row + 1] & SEES_ALL:
            return
        for rule, lanes in enumerate(self.lanes_of_rules):
            if self.prepared.judged[row] >> rule & 1 and lanes & self.lanes.everybody == 0:
                self.near[row] |= 1 << rule
                self.sees[:, row + 1] |= lanes

    @cached_property
    def lanes_of_rules(self) -> list[int]:
        """Masks of the lanes that each rule about states looks at."""
        read = fields_of_rules(self.rows.source, "state", tuple(SHIPPED))
        return [reduce(or_, (self._lanes_of(name, 0) for name in names), 0) for names in read]

    def _lanes_of(self, name: str, number: int) -> int:
        """Mask of the lanes that a field may lie in."""
        kind, _, field = name.partition(".")
        if name.startswith(OWN_TLB):
            return self._stretch(*self._array("tlbs"))
        if kind == SELF:
            return self.lanes.own(number)
        if kind == OTHERS:
            return self.lanes.of_actors(field)
        if kind == HEADER_KIND:
            dtype, at = SMALL.header.fields[field][:2]  # type: ignore[index]
            return self._stretch(int(at), int(at) + dtype.itemsize)
        return self._stretch(*self._array(kind))

    def _array(self, name: str) -> tuple[int, int]:
        first = int(self.world[f"{name}_at"])
        return first, first + self.world.arrays[name].nbytes

    def _stretch(self, first: int, end: int) -> int:
        """Mask of the blocks that hold some bytes of the world."""
        if first == end:
            return 0
        begin, last = (first - SMALL.state_at) // BLOCK_BYTES, (end - 1 - SMALL.state_at) // BLOCK_BYTES
        return sum(1 << block for block in range(begin, last + 1))


class Collapsed:
    """The blocks and effects of a search, as collapsed.py takes them; they grow."""

    def __init__(self, prepared: Prepared, check: int = CHECKED) -> None:
        self.prepared, self.sights, self.check = prepared, Sights(prepared), check
        self.lanes = self.sights.lanes
        self.block_keys, self.keys = hash_keys(BLOCK), hash_keys(STATE_WORDS)
        self.counts = np.array([1, FIRST_EFFECT, 0], np.int64)
        self.uncounted = prepared.ways.copy()
        self._room_for_blocks(FEWEST_BLOCKS)
        self.effects = aligned_words(FEWEST_EFFECTS * EFFECT_WORDS)
        self.index = np.zeros(INDEX_ROOM * FEWEST_EFFECTS, np.uint32)

    @staticmethod
    def applies(prepared: Prepared) -> bool:
        """Whether states can be collapsed: at most 12 blocks, an actor one of them, no events, and room for numbers."""
        fits = prepared.words // BLOCK <= MOST_BLOCKS and SMALL.arrays["actors"].itemsize == BLOCK_BYTES
        fits = fits and prepared.most_moves <= BATCH
        fits = fits and len(prepared.rows) < NO_ROW and int(prepared.judged.max(initial=0)) < MOST_MASK
        return fits and not prepared.instance.forces and not prepared.instance.gates

    @property
    def block_bytes(self) -> int:
        """Bytes of the blocks and their numbers."""
        arrays = (self.blocks, self.lane_of, self.numbers, self.told, self.leaves, self.block_prints)
        return sum(array.nbytes for array in arrays)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that grow."""
        return self.block_bytes + self.effect_bytes

    @property
    def effect_bytes(self) -> int:
        """Bytes of the effects and their index."""
        return self.effects.nbytes + self.index.nbytes

    @property
    def has_all_blocks(self) -> bool:
        """Whether there is room for as many blocks as there are numbers."""
        return len(self.lane_of) >= MOST_NUMBERS

    @property
    def has_all_effects(self) -> bool:
        """Whether there is room for as many effects as there are numbers."""
        return len(self.effects) // EFFECT_WORDS >= MOST_EFFECTS

    def _room_for_blocks(self, room: int) -> None:
        self.blocks = aligned_words(room * BLOCK)
        self.lane_of, self.told, self.leaves = (np.zeros(room, dtype) for dtype in (np.uint8, np.int64, np.uint8))
        self.numbers = np.zeros(2 * room, np.uint32)
        self.block_prints = hash_keys(room // 2)

    def first(self, work: np.ndarray) -> np.ndarray:
        """The collapsed form (u8) of the world in `work`."""
        p, state = self.prepared, np.zeros(STATE_WORDS, np.uint64)
        number_all(
            work,
            work.view(np.uint64),
            SMALL.state_at,
            state,
            state.view(np.uint16),
            len(self.lanes.block_of),
            self.lanes.first_actor,
            self.lanes.first_public,
            self.lanes.block_of,
            self.lanes.parts.reshape(-1),
            self.blocks,
            self.blocks.view(np.uint8),
            self.lane_of,
            self.numbers,
            self.told,
            self.leaves,
            self.block_keys,
            self.block_prints,
            self.counts,
            p.flags,
            p.entries,
            p.operations,
            p.ends,
            int(p.instance.timer),
            self.sights.sees,
        )
        return state

    def grow_blocks(self) -> None:
        """Make room for twice as many blocks."""
        blocks, by_number = self.blocks, (self.lane_of, self.told, self.leaves)
        self._room_for_blocks(2 * len(self.lane_of))
        self.blocks[: len(blocks)] = blocks
        for larger, old in zip((self.lane_of, self.told, self.leaves), by_number, strict=True):
            larger[: len(old)] = old
        count = int(self.counts[NUMBERED])
        move_numbers(self.blocks.view(np.uint8), self.lane_of, count, self.numbers, self.block_keys)

    def grow_effects(self) -> None:
        """Make room for twice as many effects."""
        effects = self.effects
        self.effects = aligned_words(2 * len(effects))
        self.effects[: len(effects)] = effects
        self.index = np.zeros(2 * len(self.index), np.uint32)
        lanes = self.effects.view(np.uint16)
        index_effects(self.effects, lanes, int(self.counts[REMEMBERED]), self.index, self.keys)
