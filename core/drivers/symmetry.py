"""Symmetry: actors that do the same are told apart only by number, so a state has a canonical form without it.

Actors with the same script, of one kind, on one node, whom no event, gate or watched state treats differently, may be
exchanged: their records and translations, and their numbers wherever a lock or a pin says who holds it. No step looks
at a number but to compare it with a holder, and no loop over actors stops at one of them, so exchanging two is an
automorphism of the whole search. gfns are never exchanged: zaps ascend, and a range has a first gfn.
"""

from itertools import combinations

import numpy as np

from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.pages import NAMES, PAGES
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.intrinsics.words import load_word, store_word
from gmembench.core.jit import inlined_part, kernel
from gmembench.core.operations import PROGRAM_NUMBER
from gmembench.core.views import Record
from gmembench.core.world import CONSUMER_NONE, PFN_CHAINS, PFN_FIELDS, actor, consumer, file, page, small_head, tlb

HEADER_HOLDERS = (
    "mmu_writer",
    "slots_lock",
    "slots_arch_lock",
    "mmap_writer",
    "mf_mutex",
    "mn_lock",
    "vm_lock",
    "tdx_tree_lock",
)
FILE_HOLDERS = ("inval_writer", "inode_lock")
PAGE_HOLDERS = ("lock",)
HOLDERS = (
    *(f"header.{name}" for name in HEADER_HOLDERS),
    *(f"files.{name}" for name in FILE_HOLDERS),
    *(f"pages.{name}" for name in PAGE_HOLDERS),
)
"""Fields that hold the number of an actor + 1. `consumers.actor` holds the number itself."""

BY_NAME = tuple(path.removeprefix("actors.") for path in (*PFN_FIELDS, *PFN_CHAINS) if path.startswith("actors."))
"""Fields of an actor's record that hold a page, which `compare_pages` tells by its name."""

OF_SCRIPT = ("number", "next")
"""Fields of an actor's record that are compared by other means, or not at all."""

CONDITIONS_REFUSED = ("actors", "tlbs", "consumers")
"""Arrays of which a watched field names one actor."""


@inlined_part
def exchanged(number: int, i: int, j: int) -> int:
    """The number that two exchanged actors, and all others, have afterwards."""
    if number == i:
        return j
    if number == j:
        return i
    return number


@inlined_part
def earlier(found: int, held: int, i: int, j: int) -> int:
    """What was found before, if it was; else a holder, if it is one of two numbers; else 0."""
    if found == 0 and (held == i or held == j):  # noqa: PLR1714, SIM109 - compiles as it stands
        return held
    return found


@inlined_part
def first_holder(w: Record, i: int, j: int, naming: np.ndarray) -> int:
    """Which of two numbers of actors + 1 stands in the first field that holds one of them; 0 if none does.

    Pages come by their names; those that have none yet are left out.
    """
    found = earlier(0, w["mmu_writer"], i, j)
    found = earlier(found, w["slots_lock"], i, j)
    found = earlier(found, w["slots_arch_lock"], i, j)
    found = earlier(found, w["mmap_writer"], i, j)
    found = earlier(found, w["mf_mutex"], i, j)
    found = earlier(found, w["mn_lock"], i, j)
    found = earlier(found, w["vm_lock"], i, j)
    found = earlier(found, w["tdx_tree_lock"], i, j)
    for k in range(w["files_n"]):
        found = earlier(found, file(w, k)["inval_writer"], i, j)
        found = earlier(found, file(w, k)["inode_lock"], i, j)
    for name in range(1, naming.shape[1]):
        found = earlier(found, page(w, naming[PAGES, name])["lock"], i, j)
    for k in range(w["consumers_n"]):
        c = consumer(w, k)
        if c["kind"] != CONSUMER_NONE:
            found = earlier(found, c["actor"] + 1, i, j)
    return found


@inlined_part
def rename_holders(w: Record, i: int, j: int) -> None:
    """Exchange two numbers of actors + 1 wherever one is held."""
    w["mmu_writer"] = exchanged(w["mmu_writer"], i, j)
    w["slots_lock"] = exchanged(w["slots_lock"], i, j)
    w["slots_arch_lock"] = exchanged(w["slots_arch_lock"], i, j)
    w["mmap_writer"] = exchanged(w["mmap_writer"], i, j)
    w["mf_mutex"] = exchanged(w["mf_mutex"], i, j)
    w["mn_lock"] = exchanged(w["mn_lock"], i, j)
    w["vm_lock"] = exchanged(w["vm_lock"], i, j)
    w["tdx_tree_lock"] = exchanged(w["tdx_tree_lock"], i, j)
    for k in range(w["files_n"]):
        f = file(w, k)
        f["inval_writer"] = exchanged(f["inval_writer"], i, j)
        f["inode_lock"] = exchanged(f["inode_lock"], i, j)
    for k in range(w["pages_n"]):
        p = page(w, k)
        p["lock"] = exchanged(p["lock"], i, j)
    for k in range(w["consumers_n"]):
        c = consumer(w, k)
        if c["kind"] != CONSUMER_NONE:
            c["actor"] = exchanged(c["actor"] + 1, i, j) - 1


@inlined_part
def differing(differs: int, here: int, there: int, naming: np.ndarray) -> int:
    """What told two actors apart before, if something did; else the difference of the names of two pages."""
    return differs if differs != 0 else naming[NAMES, here] - naming[NAMES, there]


@inlined_part
def compare_pages(w: Record, i: int, j: int, naming: np.ndarray) -> int:
    """Below 0 if actor i comes first by the names of the pages that it refers to, above 0 if actor j does."""
    a, b = actor(w, i), actor(w, j)
    differs = differing(0, a["pfn"], b["pfn"], naming)
    differs = differing(differs, a["old_pfn"], b["old_pfn"], naming)
    differs = differing(differs, a["target"], b["target"], naming)
    differs = differing(differs, a["gathered"], b["gathered"], naming)
    entries = w["tlb_mask"] + 1
    for k in range(entries):
        differs = differing(differs, tlb(w, i * entries + k)["pfn"], tlb(w, j * entries + k)["pfn"], naming)
    return differs


@inlined_part
def comes_first(w: Record, i: int, j: int, begins: np.ndarray, compared: np.ndarray, naming: np.ndarray) -> bool:
    """Whether actor j must stand before actor i. False if they cannot be told apart.

    `naming`: names of the pages, as pages.py has them; each its own number where pages are not renamed.
    """
    a, b = actor(w, i), actor(w, j)
    for word in range(len(compared)):
        here, there = load_word(a, 8 * word) & compared[word], load_word(b, 8 * word) & compared[word]
        if here != there:
            return there < here
    here, there = a["next"] - begins[i], b["next"] - begins[j]
    if here != there:
        return there < here
    entries = w["tlb_mask"] + 1
    for k in range(entries):
        s, t = tlb(w, i * entries + k), tlb(w, j * entries + k)
        if s["gfn"] != t["gfn"]:
            return t["gfn"] < s["gfn"]
        if s["generation"] != t["generation"]:
            return t["generation"] < s["generation"]
    differs = compare_pages(w, i, j, naming)
    if differs != 0:
        return differs > 0
    return first_holder(w, i + 1, j + 1, naming) == j + 1


@inlined_part
def exchange(w: Record, i: int, j: int, begins: np.ndarray, words: int) -> None:
    """Let two actors have each other's number."""
    a, b = actor(w, i), actor(w, j)
    for word in range(words):
        kept = load_word(a, 8 * word)
        store_word(a, 8 * word, load_word(b, 8 * word))
        store_word(b, 8 * word, kept)
    a["number"] = i
    b["number"] = j
    moved = begins[j] - begins[i]
    a["next"] = a["next"] - moved
    b["next"] = b["next"] + moved
    entries = w["tlb_mask"] + 1
    for k in range(entries):
        s, t = tlb(w, i * entries + k), tlb(w, j * entries + k)
        gfn, pfn, generation = s["gfn"], s["pfn"], s["generation"]
        s["gfn"], s["pfn"], s["generation"] = t["gfn"], t["pfn"], t["generation"]
        t["gfn"], t["pfn"], t["generation"] = gfn, pfn, generation
    rename_holders(w, i + 1, j + 1)


@inlined_part
def sort_actors(
    w: Record, twins: np.ndarray, begins: np.ndarray, compared: np.ndarray, was: np.ndarray, naming: np.ndarray
) -> None:
    """Bring actors that may be exchanged into order. `was`, i8: which actor each had been, exchanged with them."""
    for k in range(len(twins)):
        i, j = twins[k, 0], twins[k, 1]
        if comes_first(w, i, j, begins, compared, naming):
            exchange(w, i, j, begins, len(compared))
            kept = was[i]
            was[i] = was[j]
            was[j] = kept


@kernel
def _exchange(buffer: np.ndarray, i: int, j: int, begins: np.ndarray, words: int) -> None:
    exchange(small_head(buffer), i, j, begins, words)


def _alike(mask: int, i: int, j: int) -> bool:
    """Whether two actors are both in a mask, or both not."""
    return mask >> i & 1 == mask >> j & 1


def names_actors(instance: Instance) -> bool:
    """Whether a watched state looks at a field of one actor, or at who holds something."""
    for item in instance.sometimes:
        for path, operator, value in item.fields:
            array, _, field = path.partition("[")[0].partition(".")[0], *path.rpartition(".")[1:]
            held = f"{array}.{field}" in HOLDERS and not (value == 0 and operator in {"==", "!="})
            if array in CONDITIONS_REFUSED or held:
                return True
    return False


class Symmetry:
    """The actors of an instance that may be exchanged, as the search takes them.

    `twins`: i8 (n, 2), pairs in the order in which they are compared; none if there is nothing to exchange. `begins`:
    i8 by actor, where its script begins. `compared`: u8 by word of ACTOR, what is compared of it. `was`: i8 by actor.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        actors = prepared.world.arrays["actors"]
        self.begins = np.concatenate([[0], prepared.ends[:-1]]).astype(np.int64)
        bytes_compared = np.full(actors.dtype.itemsize, 0xFF, np.uint8)
        for name in (*OF_SCRIPT, *BY_NAME):
            bytes_compared[actors.dtype.fields[name][1]] = 0  # type: ignore[index]
        self.compared = bytes_compared.view(np.uint64)
        self.was = np.arange(len(actors))
        named = names_actors(prepared.instance) or PROGRAM_NUMBER["vmsa_load"] in prepared.programs
        pairs = [] if named else [pair for pair in combinations(range(len(actors)), 2) if self._twins(*pair)]
        self.twins = np.array(pairs, np.int64).reshape(-1, 2)

    @property
    def why_not(self) -> str:
        """Why nobody may be exchanged; "" if somebody may."""
        return "" if self.applies else "no two actors may be exchanged"

    @property
    def applies(self) -> bool:
        """Whether there is anybody to exchange."""
        return len(self.twins) > 0

    def _script(self, number: int) -> list[tuple[int, ...]]:
        operations = self.prepared.operations[self.begins[number] : self.prepared.ends[number]]
        return operations[["gfn", "count", "program", "flags", "slot"]].tolist()

    def _twins(self, i: int, j: int) -> bool:
        p = self.prepared
        vcpus = p.instance.geometry.vcpus
        actors = p.world.arrays["actors"]
        masks = [force.actors for force in p.instance.forces] + [gate.actors for gate in p.instance.gates]
        return (
            (i < vcpus) == (j < vcpus)
            and len(self._script(i)) > 0
            and self._script(i) == self._script(j)
            and actors["node"][i] == actors["node"][j]
            and bool((p.watches.tags[i] == p.watches.tags[j]).all())
            and p.gate_of[i] == p.gate_of[j] == -1
            and all(_alike(mask, i, j) for mask in masks)
        )

    def exchange(self, buffer: np.ndarray, i: int, j: int) -> None:
        """Exchange two actors of a small world."""
        _exchange(buffer, i, j, self.begins, len(self.compared))
