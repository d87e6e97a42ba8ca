"""Fingerprints of states, and the set of those that were seen.

A fingerprint is a u8: the sum of folded 128-bit products of pairs of words, each word with a key of its own added, and
folded once more. A sum of folds with one multiplier for all words lost 595 of 2 million states; products of two keyed
words are a universal hash (NH of UMAC), so equal fingerprints of different states are as rare as for random numbers.
"""

import numpy as np

from gmembench.core.jit import (
    ALL_ONES,
    LANES,
    compare_line,
    fold_product,
    hash_words,
    high_product,
    inlined_part,
    lean_kernel,
    lowest_bit,
)
from gmembench.core.views import Record, Word

BUCKET = 2 * LANES
"""Fingerprints of a bucket: two cache lines, both of which are fetched ahead. A full bucket overflows into the next.

With one line, a third of all searches in a table 85 % full went on into a line that nobody had fetched.
"""

WHOLE_LINE = (1 << LANES) - 1

EMPTY = 0

SPREAD = 0x9E3779B97F4A7C15
"""Odd number from the golden ratio: the last fold, and the keys."""


def hash_keys(words: int) -> np.ndarray:
    """Keys (u8) of as many words: splitmix64 of the index."""
    keys = np.zeros(words, np.uint64)
    for i in range(words):
        x = (i + 1) * SPREAD & ALL_ONES
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & ALL_ONES
        x = (x ^ x >> 27) * 0x94D049BB133111EB & ALL_ONES
        keys[i] = x ^ x >> 31
    return keys


def empty_table(buckets: int) -> np.ndarray:
    """A table (u8 array) of so many buckets, which begin at even cache lines."""
    spare = np.zeros((buckets + 1) * BUCKET, np.uint64)
    first = -spare.ctypes.data // 8 % BUCKET
    return spare[first : first + buckets * BUCKET]


@inlined_part
def fingerprint(w: Record, at: int, keys: np.ndarray) -> Word:
    """The fingerprint of len(keys) words (an even number) at a distance in bytes from the header. Never EMPTY."""
    total = fold_product(hash_words(w, at, keys) ^ np.uint64(SPREAD), np.uint64(SPREAD))
    return total if total != np.uint64(EMPTY) else np.uint64(1)


@inlined_part
def bucket_of(table: np.ndarray, fingerprint: Word) -> int:
    """Where the search for a fingerprint begins: one of the two lines of a bucket."""
    at: Word = BUCKET * np.int64(high_product(fingerprint, np.uint64(len(table) // BUCKET)))
    return at + LANES * np.int64(fingerprint & np.uint64(1))


@inlined_part
def find_or_insert(table: np.ndarray, fingerprint: Word) -> int:
    """Put a fingerprint into the table (u8 array, buckets). Its position if it is new, else -1 - its position."""
    at = bucket_of(table, fingerprint)
    second = 0
    while True:
        found = compare_line(table, at, fingerprint)
        if found & WHOLE_LINE != 0:
            return -1 - at - lowest_bit(found)
        if found != 0:
            at += lowest_bit(found) - LANES
            table[at] = fingerprint
            return at
        at ^= LANES
        if second != 0:
            at += BUCKET
            if at >= len(table):
                at -= len(table)
        second ^= 1


@lean_kernel
def move_fingerprints(old: np.ndarray, old_ids: np.ndarray, table: np.ndarray, ids: np.ndarray) -> None:
    """Put all fingerprints of a table, and what belongs to them, into a larger one."""
    for i in range(len(old)):
        if old[i] != np.uint64(EMPTY):
            at = find_or_insert(table, old[i])
            if len(ids) > 0:
                ids[at] = old_ids[i]
