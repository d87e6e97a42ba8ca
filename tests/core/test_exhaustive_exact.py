"""No state is lost: the exhaustive driver tells states by fingerprints, and counts as many as there are."""

from dataclasses import replace

import numpy as np
import pytest

from gmembench.benchmarks.peers.instances import TWINS
from gmembench.core import jit
from gmembench.core.drivers.exhaustive import Explorer
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.moves import CHOICE_SHIFT, SPARE_MOVES, WAITED, list_moves, make_move, settle
from gmembench.core.intrinsics.blocks import copy_words
from gmembench.core.jit import lean_kernel
from gmembench.core.world import SMALL, actor, small_head_at

BATCH = 1 << 14
"""States that are expanded together."""


@lean_kernel
def successors(
    work: np.ndarray,
    work_words: np.ndarray,
    states: np.ndarray,
    count: int,
    rows: np.ndarray,
    ways: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    flags: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    keep: np.ndarray,
    neutral: np.ndarray,
    moves: np.ndarray,
    made: np.ndarray,
    state_at: int,
    timer: int,
) -> int:
    """Write the successors of states (u8, behind one another) into `made`. Returns how many there are."""
    words = len(work_words) - state_at // 8
    written = 0
    for i in range(count):
        copy_words(work_words, state_at // 8, states, i * words, words)
        w = small_head_at(work, 0)
        found = list_moves(w, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves)
        for m in range(found):
            choice = moves[m]
            copy_words(work_words, state_at // 8, states, i * words, words)
            at = actor(w, choice >> CHOICE_SHIFT)["row"]
            went = make_move(w, choice, at, rows, ways, entries, operations, forces, force_rows, gates, gate_rows)
            if went != WAITED:
                settle(w, choice >> CHOICE_SHIFT, keep, neutral)
                copy_words(made, written * words, work_words, state_at // 8, words)
                written += 1
    return written


class Exact:
    """A search that keeps every state as it is."""

    def __init__(self, instance: Instance) -> None:
        explorer = Explorer(instance, live=False, reductions=(), collapse=False)
        self.prepared, self.words = explorer.prepared, explorer.words
        self.first = explorer.waiting[: self.words].copy()
        self.work = self.prepared.world.buffer.copy()
        self.moves = np.zeros(self.prepared.most_moves + SPARE_MOVES, np.int64)
        self.made = np.zeros(BATCH * 8 * self.words, np.uint64)
        self.timer = int(instance.timer)

    def expand(self, states: list[bytes]) -> list[bytes]:
        """The successors of at most BATCH states."""
        p = self.prepared
        written = successors(
            self.work,
            self.work.view(np.uint64),
            np.frombuffer(b"".join(states), np.uint64).copy(),
            len(states),
            p.rows,
            p.ways,
            p.entries,
            p.operations,
            p.ends,
            p.flags,
            p.forces,
            p.force_rows,
            p.gate_of,
            p.gates,
            p.gate_rows,
            p.keep,
            p.neutral,
            self.moves,
            self.made,
            SMALL.state_at,
            self.timer,
        )
        whole: list[bytes] = self.made[: written * self.words].view(f"V{8 * self.words}").tolist()
        return whole

    def count(self) -> tuple[int, int]:
        """How many states there are, and how many transitions."""
        seen = {self.first.tobytes()}
        waiting, transitions = list(seen), 0
        while waiting:
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            made = self.expand(batch)
            transitions += len(made)
            new = set(made) - seen
            seen |= new
            waiting += new
        return len(seen), transitions


pytestmark = pytest.mark.skipif(jit.INTERPRETED, reason="two million states take hours when interpreted")


def test_two_million_fingerprints_are_two_million_states() -> None:
    """A search without fingerprints, which compares whole states, counts the same as those with them."""
    instance = TWINS["fault-vs-punch-2-2-timer"].instance()
    whole = Explorer(instance, live=False, reductions=(), collapse=False).run()
    collapsed = Explorer(instance, live=False, reductions=()).run()
    assert whole.verdict == collapsed.verdict == "holds"
    assert whole.states >= 2_000_000
    counted = Exact(instance).count()
    assert counted == (whole.states, whole.transitions)
    assert counted == (collapsed.states, collapsed.transitions)


def test_a_bad_fingerprint_loses_states() -> None:
    """What the comparison is for: without keys, a fingerprint is 0 wherever one word of each pair is."""
    twin = replace(TWINS["fault-vs-punch-1-1"], scripts=(("access 0 write",), ("access 0 read",), ()))
    explorer = Explorer(twin.instance(), live=False, reductions=(), collapse=False)
    explorer.keys[:] = 0
    states, _ = Exact(twin.instance()).count()
    assert explorer.run().states < states == 2656
