"""Fingerprints of states, and the set of those that were seen.

A fingerprint is a u8: two sums of products of the halves of words, each half with a key of its own added, then both
sums folded into one word. A sum of folds with one multiplier for all words lost 595 of 2 million states; products of
keyed halves are a universal hash (NH of UMAC), and two of them with keys of their own are equal for different states
as rarely as 64 random bits.
"""

import numpy as np

from gmembench.core.intrinsics.blocks import LANES, compare_line, hash_words, lowest_bit
from gmembench.core.intrinsics.items import put_item
from gmembench.core.intrinsics.words import fold_product, high_product
from gmembench.core.jit import inlined_part, lean_kernel
from gmembench.core.views import Record, Word

BUCKET = 2 * LANES
"""Fingerprints of a bucket: two cache lines. A full line overflows into the other, a full bucket into the next.

The search fetches the first line ahead, and the other one only where that is full: fetching both for all kept as many
lines on their way as the processor can, and took a tenth of the time. With buckets of one line, a third of all searches
in a table 85 % full went on into a line that nobody had fetched.
"""

WHOLE_LINE = (1 << LANES) - 1

EMPTY = 0

FULL = -(1 << 62)
"""In place of a position: the line has no room."""

SPREAD = 0x9E3779B97F4A7C15
"""Odd number from the golden ratio: the last fold, and the keys."""


def hash_keys(words: int) -> np.ndarray:
    """Keys (u8) for as many words, two for each: splitmix64 of the index."""
    x = np.arange(1, 2 * words + 1, dtype=np.uint64) * np.uint64(SPREAD)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def aligned_words(words: int) -> np.ndarray:
    """So many words (u8 array, zeros), which begin at an even cache line."""
    spare = np.zeros(words + BUCKET, np.uint64)
    first = -spare.ctypes.data // 8 % BUCKET
    return spare[first : first + words]


def empty_table(buckets: int) -> np.ndarray:
    """A table (u8 array) of so many buckets."""
    return aligned_words(buckets * BUCKET)


@inlined_part
def print_of(hashed: Word) -> Word:
    """The fingerprint of what has this hash (u8). Never EMPTY."""
    total = fold_product(hashed ^ np.uint64(SPREAD), np.uint64(SPREAD))
    return total if total != np.uint64(EMPTY) else np.uint64(1)


@inlined_part
def fingerprint(w: Record, at: int, keys: np.ndarray) -> Word:
    """The fingerprint of half as many words as there are keys, at a distance in bytes from the header. Never EMPTY."""
    return print_of(hash_words(w, at, keys))


@inlined_part
def bucket_of(table: np.ndarray, fingerprint: Word) -> int:
    """Where the search for a fingerprint begins: one of the two lines of a bucket."""
    at: Word = BUCKET * np.int64(high_product(fingerprint, np.uint64(len(table) // BUCKET)))
    return at + LANES * np.int64(fingerprint & np.uint64(1))


@inlined_part
def find_in_line(table: np.ndarray, at: int, fingerprint: Word) -> int:
    """Put a fingerprint into one line. Its position if it is new, else -1 - its position; FULL if there is no room."""
    found = compare_line(table, at, fingerprint)
    if found & WHOLE_LINE != 0:
        return -1 - at - lowest_bit(found)
    if found != 0:
        at += lowest_bit(found) - LANES
        put_item(table, at, fingerprint)
        return at
    return FULL


@inlined_part
def find_beyond(table: np.ndarray, at: int, fingerprint: Word) -> int:
    """Put a fingerprint into the other line of a bucket, or the next buckets, after the line at `at` was full."""
    second = 1
    at ^= LANES
    while True:
        place = find_in_line(table, at, fingerprint)
        if place != FULL:
            return place
        at ^= LANES
        if second != 0:
            at += BUCKET
            if at >= len(table):
                at -= len(table)
        second ^= 1


@inlined_part
def find_or_insert(table: np.ndarray, fingerprint: Word) -> int:
    """Put a fingerprint into the table (u8 array, buckets). Its position if it is new, else -1 - its position."""
    at = bucket_of(table, fingerprint)
    place = find_in_line(table, at, fingerprint)
    return place if place != FULL else find_beyond(table, at, fingerprint)


@lean_kernel
def move_fingerprints(old: np.ndarray, old_ids: np.ndarray, table: np.ndarray, ids: np.ndarray) -> None:
    """Put all fingerprints of a table, and what belongs to them, into a larger one."""
    for i in range(len(old)):
        if old[i] != np.uint64(EMPTY):
            at = find_or_insert(table, old[i])
            if len(ids) > 0:
                ids[at] = old_ids[i]
