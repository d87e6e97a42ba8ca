"""Collapsed states of an instance: numbered blocks, and which of them a row can see."""

import numpy as np

from gmembench.core.drivers.collapsed import (
    EFFECT_WORDS,
    NO_ROW,
    NUMBERED,
    SEES_ALL,
    move_effects,
    move_numbers,
    number_all,
)
from gmembench.core.drivers.fingerprints import aligned_words, hash_keys
from gmembench.core.drivers.moves import MAY_COUNT
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.footprints.kinds import HEADER_KIND, OWN_TLB, SELF
from gmembench.core.footprints.rows import RowPrints, row_prints
from gmembench.core.intrinsics.blocks import BLOCK
from gmembench.core.intrinsics.lanes import FREE, LANES, STATE_WORDS
from gmembench.core.judges import SHIPPED
from gmembench.core.liveness import OTHERS
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

MOST_BLOCKS = 1 << 16
"""Numbers of blocks are 16 bits."""


class Sights:
    """Which blocks of a state a row can see, or what is judged after it. `sees`: i8 (actor, row + 1), masks."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared, self.world = prepared, prepared.world
        geometry = prepared.instance.geometry
        self.rows: RowPrints = row_prints(prepared.code, geometry, prepared.programs)
        self.blocks = prepared.words // BLOCK
        actors_at = int(self.world["actors_at"])
        self.first_actor = (actors_at - SMALL.state_at) // BLOCK_BYTES
        of_use = self.rows.source.of_rules(SHIPPED, "use")
        of_end = self.rows.source.of_rules(SHIPPED, "end")
        self.header = self._stretch(SMALL.state_at, SMALL.header.itemsize)
        everything = (1 << self.blocks) - 1
        self.sees = np.full((prepared.actors, len(prepared.rows) + 1), everything | SEES_ALL, np.int64)
        self.sees[:, 0] = [self._own(number) for number in range(prepared.actors)]
        for row in self.rows.reached:
            names = self._names(row, of_use, of_end)
            self.sees[:, row + 1] = [self._mask(names, number) for number in range(prepared.actors)]

    def _names(self, row: int, of_use: frozenset[str], of_end: frozenset[str]) -> frozenset[str]:
        print_ = self.rows.prints[row]
        names = print_.reads | print_.writes | {f"{SELF}.{name}" for name in print_.uses}
        if any(way.used for way in print_.ways):
            names |= of_use
        if any(target == END for target, _ in self.rows.following(row)):
            names |= of_end
        if self.prepared.flags[row + 1] & MAY_COUNT:
            for name, settled in SETTLED.items():
                if name in print_.writes:
                    names |= set(settled)
        return names

    def _own(self, number: int) -> int:
        return 1 << self.first_actor + number

    def _mask(self, names: frozenset[str], number: int) -> int:
        found = self._own(number) | self.header  # with what only counts there, which footprints leave out
        for name in names:
            found |= self._blocks_of(name, number)
        actors = sum(self._own(other) for other in range(self.prepared.actors))
        return found | SEES_ALL if found & actors == actors and self.prepared.actors > 1 else found

    def _blocks_of(self, name: str, number: int) -> int:
        """Mask of the blocks that a field may lie in."""
        kind, _, field = name.partition(".")
        if name.startswith(OWN_TLB):
            return self._stretch(*self._array("tlbs"))
        if kind == SELF:
            return self._own(number)
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
        self.lanes, self.first_actor = self.sights.blocks, self.sights.first_actor
        self.block_keys, self.keys = hash_keys(BLOCK), hash_keys(STATE_WORDS)
        self.counts = np.array([1, 0, 0], np.int64)
        self.uncounted = prepared.ways.copy()
        self._room_for_blocks(FEWEST_BLOCKS)
        self.effects = aligned_words((FEWEST_EFFECTS + 1) * EFFECT_WORDS)

    @staticmethod
    def applies(prepared: Prepared) -> bool:
        """Whether states can be collapsed: at most 14 blocks, an actor one of them, and no events."""
        fits = prepared.words // BLOCK <= FREE and SMALL.arrays["actors"].itemsize == BLOCK_BYTES
        fits = fits and len(prepared.rows) < NO_ROW
        return fits and not prepared.instance.forces and not prepared.instance.gates

    @property
    def block_bytes(self) -> int:
        """Bytes of the blocks and their numbers."""
        return sum(array.nbytes for array in (self.blocks, self.lane_of, self.numbers, self.told))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that grow."""
        return self.block_bytes + self.effects.nbytes

    @property
    def has_all_numbers(self) -> bool:
        """Whether there is room for as many blocks as there are numbers."""
        return len(self.lane_of) >= MOST_BLOCKS

    def _room_for_blocks(self, room: int) -> None:
        self.blocks = aligned_words(room * BLOCK)
        self.lane_of, self.told = np.zeros(room, np.uint8), np.zeros(room, np.int64)
        self.numbers = np.zeros(2 * room, np.uint32)

    def first(self, work: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """The collapsed form (u8) of the world in `work`."""
        p, state = self.prepared, np.zeros(LANES, np.uint16)
        number_all(
            work,
            work.view(np.uint64),
            SMALL.state_at,
            state,
            self.lanes,
            self.first_actor,
            self.blocks,
            self.lane_of,
            self.numbers,
            self.told,
            self.block_keys,
            self.counts,
            p.flags,
            p.entries,
            p.operations,
            p.ends,
            int(p.instance.timer),
            p.forces,
            p.force_rows,
            p.gate_of,
            p.gates,
            p.gate_rows,
            moves,
            self.sights.sees,
        )
        return state.view(np.uint64)

    def grow_blocks(self) -> None:
        """Make room for twice as many blocks."""
        blocks, lane_of, told = self.blocks, self.lane_of, self.told
        self._room_for_blocks(2 * len(lane_of))
        self.blocks[: len(blocks)], self.lane_of[: len(lane_of)], self.told[: len(told)] = blocks, lane_of, told
        count = int(self.counts[NUMBERED])
        move_numbers(self.blocks, self.blocks.view(np.uint8), self.lane_of, count, self.numbers, self.block_keys)

    def grow_effects(self) -> None:
        """Make room for twice as many effects."""
        larger = aligned_words(2 * len(self.effects) - EFFECT_WORDS)
        move_effects(self.effects, self.effects.view(np.uint16), larger, self.keys)
        self.effects = larger
