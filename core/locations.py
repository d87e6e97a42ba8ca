"""What rows of a code have to do with each other: masks of the locations that they touch, now and later.

A location is a bit: one field that actors share, or a few that steps use together. Registers that only their own actor
touches have none, neither have constants and counters: no two rows of different actors meet there.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from operator import or_

import numpy as np

from gmembench.core.footprints import USED, Footprints, footprint_of, footprints_in
from gmembench.core.footprints.kinds import SELF
from gmembench.core.footprints.rows import RowPrints, row_prints
from gmembench.core.invariant import Invariant
from gmembench.core.judges import SHIPPED
from gmembench.core.liveness import OTHERS
from gmembench.core.programs import Code
from gmembench.core.rows import END
from gmembench.core.steps.registry import all_steps
from gmembench.core.world import Geometry

MOST = 64
"""Locations there can be: bits of a mask."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "frames.spte": ("frames.spte.bits", "frames.spte.pfn"),
    "frames.hpte": ("frames.hpte", "frames.hpfn"),
    "frames.oracle": ("frames.oracle", "frames.punches", "frames.gen_private", "frames.gen_shared"),
    "pages.content": ("pages.content", "pages.content_gfn", "pages.content_gen"),
    "septs": ("septs.pfn", "septs.state", "septs.epoch"),
    "consumers": ("consumers.kind", "consumers.actor", "consumers.gfn", "consumers.pfn"),
    "slots.range": ("slots.base", "slots.npages", "slots.pgoff"),
    "slots.life": ("slots.life", "slots.tag"),
    "slots.kind": ("slots.number", "slots.flags", "slots.gmem_only"),
    "header.tdx": ("header.tdx_epoch", "header.tdx_tree_lock", "header.tdx_zap_wait"),
    "header.vm": ("header.vm_dead", "header.vm_refs"),
    "pages.order": ("pages.order", "pages.node"),
    "files.life": ("files.life", "files.closed", "files.unmapped"),
    "header.inval_range": ("header.inval_start", "header.inval_end", "header.inval_valid"),
    "header.roots": ("header.root", "header.root_valid_0", "header.root_valid_1"),
    "header.free": (
        "header.free_page",
        "header.free_huge",
        "header.free_gigantic",
        "header.fresh_page",
        "header.fresh_end",
        "header.fresh_block",
    ),
}
"""Locations of several fields that steps mostly use together. Every other field is a location of its own."""

EXIT_READS = ("actors.mode", "actors.kicked")
EXIT_WRITES = ("actors.mode", "actors.kicked")
"""What a driver touches when a vCPU leaves the guest without a row of its own."""

BY_OTHERS = frozenset([*EXIT_READS, *EXIT_WRITES])


def _union(names: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*names)


def met(name: str, touched: Collection[str]) -> str:
    """The name under which others see a field: own registers and translations that others touch are theirs too."""
    if name.startswith(f"{SELF}.tlbs."):
        other = name.removeprefix(f"{SELF}.")
    else:
        other = f"{OTHERS}.{name.removeprefix(f'{SELF}.')}" if name.startswith(f"{SELF}.") else name
    return other if other in touched else name


@cache
def locations() -> Mapping[str, int]:
    """Field -> bit number of its location. If there are too many, the last ones share a bit."""
    prints, source = [footprint_of(step.name) for step in all_steps()], footprints_in()
    touched = _union(item.reads | item.writes for item in prints) | BY_OTHERS
    written = {met(name, touched) for name in _union(item.writes for item in prints)}
    read = {
        met(name, touched) for name in _union(item.reads for item in prints) | source.of_rules(SHIPPED, "use", "end")
    }
    shared = sorted(name for name in (written & read) | BY_OTHERS if not name.startswith(f"{SELF}."))
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    groups = dict.fromkeys(group_of.get(name, name) for name in shared)
    bits = {group: min(bit, MOST - 1) for bit, group in enumerate(groups)}
    return {name: bits[group_of.get(name, name)] for name in shared}


def mask_of(names: Iterable[str]) -> int:
    """The mask of the locations of some fields."""
    return _mask_of(frozenset(names))


@cache
def _mask_of(names: frozenset[str]) -> int:
    bits, found = locations(), 0
    for name in names:
        bit = bits.get(met(name, bits))
        if bit is not None:
            found |= 1 << bit
    return found


@dataclass(frozen=True)
class Masks:
    """What the rows of a code touch.

    `reads`, `writes`: u8 by row, of the step and of the rules of "use" and "end" that are judged with it; the first row
    of a program has the beginning of the operation too. `holds`: by row, index in `locksets` of what an actor holds
    before it. `locksets`: masks over `locks`; the first is empty. `waits`, `takes`, `drops`: by row, masks over
    `locks` for which it waits before all else, that it may take, that it may drop. `future_reads`, `future_writes`:
    u8 (lockset, row): all that an actor may yet touch in this operation, the row itself included, while somebody
    else holds these locks. `visible`, `visible_at_rest`: u8 by row, rules of "state" and "rest", in the order of
    `judges`, that read what the row writes.
    """

    reads: np.ndarray
    writes: np.ndarray
    locks: tuple[str, ...]
    locksets: np.ndarray
    holds: np.ndarray
    waits: np.ndarray
    takes: np.ndarray
    drops: np.ndarray
    future_reads: np.ndarray
    future_writes: np.ndarray
    visible: np.ndarray
    visible_at_rest: np.ndarray


class _Locks:
    """Which locks the actors of a code hold before each row."""

    def __init__(self, rows: RowPrints) -> None:
        self.rows = rows
        self.held = self._held()
        self.names = self._names()

    def _held(self) -> dict[int, frozenset[str]]:
        """Row -> locks that an actor before it certainly holds, whichever way it came."""
        found = {row: frozenset[str]() for row in self.rows.entries}
        todo = list(self.rows.entries)
        while todo:
            row = todo.pop()
            for target, way in self.rows.following(row):
                now = (found[row] - way.writes) | way.takes  # what is surely held after it
                if target != END and found.get(target) != (merged := found.get(target, now) & now):
                    found[target] = merged
                    todo.append(target)
        return found

    def _names(self) -> tuple[str, ...]:
        """Fields that rows take and wait for, and that nobody drops who does not hold them."""
        reached = self.rows.reached
        found = _union(self.rows.prints[row].takes for row in reached)
        found &= _union(self.rows.prints[row].waits for row in reached)
        for row in reached:
            for _, way in self.rows.following(row):
                if not found.isdisjoint(way.writes):
                    found -= way.writes - way.takes - self.held[row]
        return tuple(sorted(found))


def _bits(names: Collection[str], locks: tuple[str, ...]) -> int:
    return sum(1 << bit for bit, lock in enumerate(locks) if lock in names)


def _touched(rows: RowPrints, invariants: Mapping[str, Invariant]) -> tuple[np.ndarray, np.ndarray]:
    """Masks of what each row reads and writes."""
    reads, writes = (np.zeros(len(rows.prints), np.uint64) for _ in range(2))
    of_use, of_end = (mask_of(rows.source.of_rules(invariants, when)) for when in ("use", "end"))
    begun = rows.source.of_begin()
    for row, item in enumerate(rows.prints):
        read, written = mask_of(item.reads), mask_of(item.writes)
        if USED in item.writes:
            read |= of_use
        if any(target == END for target, _ in rows.following(row)):
            read |= of_end
        if row in rows.entries:
            read, written = read | mask_of(begun.reads), written | mask_of(begun.writes)
        reads[row], writes[row] = read, written
    return reads, writes


def _future(rows: RowPrints, own: np.ndarray, locksets: np.ndarray, waits: np.ndarray) -> np.ndarray:
    """u8 (kind, lockset, row): union of `own` over all that can be reached without passing a row that waits for a lock.

    `own`: u8 (kind, row), what each row reads, and what it writes.
    """
    passes = (locksets[:, None] & waits[None, :]) == 0
    for row, _ in rows.forced:
        passes[:, row] = True
    kinds, sets = len(own), len(locksets)
    # All masks of a row are one long number: joining those of two rows is one operation, and there are many.
    through = [_as_number(column) for column in np.where(np.tile(passes, (kinds, 1)).T, ~np.uint64(0), np.uint64(0))]
    found = [_as_number(column) & way for column, way in zip(np.repeat(own, sets, axis=0).T, through, strict=True)]
    following = {row: sorted({t for t, _ in rows.following(row)} - {END, row}) for row in rows.reached}
    inner = [(row, later) for row, later in reversed(following.items()) if later]
    changed = True
    while changed:
        changed = False
        for row, later in inner:
            joined = found[row] | reduce(or_, (found[other] for other in later)) & through[row]
            if joined != found[row]:
                found[row], changed = joined, True
    raw = b"".join(number.to_bytes(8 * kinds * sets, "little") for number in found)
    return np.ascontiguousarray(np.frombuffer(raw, np.uint64).reshape(-1, kinds * sets).T).reshape(kinds, sets, -1)


def _as_number(words: np.ndarray) -> int:
    """Words (u8) behind one another as one number, the first one lowest."""
    return int.from_bytes(words.astype("<u8").tobytes(), "little")


@lru_cache(maxsize=64)
def fields_of_rules(source: Footprints, when: str, judged: tuple[str, ...]) -> tuple[frozenset[str], ...]:
    """Fields that the rules of one kind read, by the bits that the judges give them; none of others than `judged`."""
    of_kind = [item for item in SHIPPED.values() if when in item.when]
    return tuple(source.of_rule(item, when) if item.name in judged else frozenset() for item in of_kind)


@lru_cache(maxsize=1 << 15)
def _rules_that_read(writes: frozenset[str], rules: tuple[frozenset[str], ...]) -> int:
    """Mask of the rules that read a field that is written."""
    touched = _union(rules)
    seen = {met(name, touched) for name in writes}
    return sum(1 << number for number, names in enumerate(rules) if names & seen)


def _seen_by(rows: RowPrints, when: str, invariants: Mapping[str, Invariant]) -> np.ndarray:
    """u8 by row: rules of one kind that read a field that the row writes, by the bits that the judges give them."""
    rules = fields_of_rules(rows.source, when, tuple(name for name in SHIPPED if name in invariants))
    begun = _rules_that_read(rows.source.of_begin().writes, rules)
    found = [
        _rules_that_read(item.writes, rules) | begun * (row in rows.entries) for row, item in enumerate(rows.prints)
    ]
    return np.array(found, np.uint64)


def masks_of(
    code: Code,
    geometry: Geometry | None = None,
    *,
    programs: Collection[int] | None = None,
    forced: Collection[tuple[int, int]] = (),
    invariants: Mapping[str, Invariant] = SHIPPED,
) -> Masks:
    """The masks of a code. The other arguments are those of `liveness.live_registers`."""
    rows = row_prints(code, geometry, programs, forced)
    locks = _Locks(rows)
    by_row = [_bits(locks.held.get(row, ()), locks.names) for row in range(len(rows.prints))]
    locksets = np.array(sorted({0, *by_row}), np.int64)
    waits, takes, drops = (np.zeros(len(rows.prints), np.int64) for _ in range(3))
    for row, item in enumerate(rows.prints):
        waits[row] = _bits(item.waits, locks.names)
        takes[row] = _bits(item.takes, locks.names)
        drops[row] = _bits(item.writes, locks.names) & ~takes[row]
    reads, writes = _touched(rows, invariants)
    future_reads, future_writes = _future(rows, np.stack([reads, writes]), locksets, waits)
    return Masks(
        reads=reads,
        writes=writes,
        locks=locks.names,
        locksets=locksets,
        holds=np.searchsorted(locksets, by_row),
        waits=waits,
        takes=takes,
        drops=drops,
        future_reads=future_reads,
        future_writes=future_writes,
        visible=_seen_by(rows, "state", invariants),
        visible_at_rest=_seen_by(rows, "rest", invariants),
    )
