"""The search over collapsed states finds what the search over whole ones does, and notices what it must not miss."""

from dataclasses import replace

import numpy as np
import pytest

from gmembench.benchmarks.peers.instances import TWINS, Twin
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers import blocks
from gmembench.core.drivers.collapsed import EFFECT_WORDS, REMEMBERED, SEES_ALL
from gmembench.core.drivers.exhaustive import Exploration, Explorer
from gmembench.core.drivers.fingerprints import hash_keys
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.footprints import FootprintError
from gmembench.core.intrinsics import lanes
from gmembench.core.intrinsics.lanes import MOST_BLOCKS, PRINT, STATE_WORDS
from gmembench.core.intrinsics.words import ALL_ONES
from gmembench.core.jit import INTERPRETED, kernel
from gmembench.inject.scenario import instance_of, load_scenarios

SHORT = replace(TWINS["fault-vs-punch-1-1"], scripts=(("access 0 write",), (), ("punch 0 1",)))
"""Few states, for interpreted runs too."""

CELLS = [
    ("fault-vs-slot-delete", "guest-memfd", "none"),
    ("convert-vs-punch", "guest-memfd-inplace", "tdx"),
    ("poison-vs-slot-delete", "guest-memfd", "none"),
    ("fault-vs-numa-zap", "vma-gup", "tdx"),
    ("close-vs-punch", "fd-private", "none"),
    ("migrate-vs-fault", "legacy-vma", "none"),
    ("huge-vs-convert", "guest-memfd", "none"),
]
STATES = 20_000

TWINS_TRIED = [*((SHORT, "", live) for live in (False, True)), *((SHORT, mutant, True) for mutant in SHORT.mutants)]
if not INTERPRETED:
    huge = replace(TWINS["fault-vs-convert-huge-1"], scripts=(("access 1 write",), (), ("convert 0 1 private",)))
    TWINS_TRIED += [(huge, mutant, True) for mutant in huge.mutants]


def collapsed(instance: Instance, check: int = 1, **how: object) -> Explorer:
    """A search over collapsed states which runs each row all the same, and compares."""
    explorer = Explorer(instance, reductions=(), **how)  # type: ignore[arg-type]  # keywords by name
    assert explorer.collapsed is not None
    explorer.collapsed.check = check
    return explorer


def assert_same(one: Exploration, other: Exploration) -> None:
    """Both came to the same; numbers of states are compared where all were visited."""
    assert one.verdict == other.verdict
    assert (one.violation and one.violation.invariant) == (other.violation and other.violation.invariant)
    if one.verdict == "holds":
        assert (one.states, one.transitions, one.finished) == (other.states, other.transitions, other.finished)
        assert np.array_equal(one.taken, other.taken)
        assert one.seen == other.seen


@pytest.mark.parametrize(
    ("twin", "mutant", "live"), TWINS_TRIED, ids=[f"{t.name} {m} {live}" for t, m, live in TWINS_TRIED]
)
def test_the_same_is_found(twin: Twin, mutant: str, live: bool) -> None:
    """States, transitions, ends and how often each way was taken, or the violation; its choices lead to it."""
    instance = twin.instance(mutant)
    whole = Explorer(instance, live=live, reductions=(), collapse=False).run()
    found = collapsed(instance, live=live).run()
    assert_same(whole, found)
    if found.violation is not None:
        stepper = Stepper.of(instance)
        for choice in found.choices:
            stepper.take(*choice)
        assert stepper.violation is not None
        assert stepper.violation.invariant == found.violation.invariant


@pytest.mark.skipif(INTERPRETED, reason="twenty thousand states of each take minutes when interpreted")
@pytest.mark.parametrize(("scenario", "design", "hardware"), CELLS, ids=["/".join(cell) for cell in CELLS])
def test_the_same_is_found_in_scenarios(scenario: str, design: str, hardware: str) -> None:
    """Where all states are visited, all numbers are the same; and up to a bound every effect is what its row does."""
    instance = instance_of(load_scenarios()[scenario], load_designs()[design], load_hardware()[hardware])
    whole = Explorer(instance, reductions=(), collapse=False, states=STATES).run()
    found = collapsed(instance, states=STATES).run()
    assert whole.stopped == found.stopped
    assert_same(whole, found)


def test_what_a_row_does_is_run_once() -> None:
    """Most transitions are looked up: there are many times fewer effects."""
    explorer = collapsed(SHORT.instance(), check=1 << 40, live=False)
    found = explorer.run()
    assert explorer.collapsed is not None
    assert explorer.collapsed.counts[REMEMBERED] < found.transitions / 3


def test_a_row_that_writes_beyond_its_sight_is_noticed() -> None:
    """The first time that it runs."""
    explorer = collapsed(SHORT.instance(), check=1 << 40, live=False)
    assert explorer.collapsed is not None
    sees = explorer.collapsed.sights.sees
    sees[:, 1:] &= sees[:, :1] | SEES_ALL
    with pytest.raises(FootprintError, match="touches what its footprint does not name"):
        explorer.run()


def blind(explorer: Explorer, row: str, lane: int) -> None:
    """Have a row not see a lane."""
    assert explorer.collapsed is not None
    at = next(at for at, item in enumerate(explorer.prepared.code.info) if item.name == row)
    assert (explorer.collapsed.sights.sees[:, at + 1] >> lane & 1).all()
    explorer.collapsed.sights.sees[:, at + 1] &= ~(1 << lane)


BLIND = [("access.fault.recheck_stale", 0), ("punch.start.flush_wait", 6)]
"""A row, and a lane that it reads and does not write: the header, and what others look at in a vCPU."""


@pytest.mark.parametrize(("row", "lane"), BLIND)
def test_a_row_that_reads_beyond_its_sight_is_noticed(row: str, lane: int) -> None:
    """It finds an effect that is not its own: what is looked up is compared with what the row does."""
    explorer = collapsed(SHORT.instance())
    blind(explorer, row, lane)
    with pytest.raises(FootprintError, match="touches what its footprint does not name"):
        explorer.run()


@pytest.mark.parametrize(("row", "lane"), BLIND)
def test_a_violation_that_does_not_show_is_none(row: str, lane: int) -> None:
    """Where nothing is compared, effects of others lead to a violation; running the rows tells that there is none."""
    explorer = collapsed(SHORT.instance(), check=1 << 40)
    blind(explorer, row, lane)
    with pytest.raises(FootprintError, match="does not show when it is stepped"):
        explorer.run()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_rules_that_are_judged_with_a_row_see_no_more(number: int) -> None:
    """The lanes of each are in the sight of the row, for every actor."""
    explorer = collapsed(SHORT.instance())
    assert explorer.collapsed is not None
    sights = explorer.collapsed.sights
    assert sights.near.any()
    for rule, lanes_of_rule in enumerate(sights.lanes_of_rules):
        rows = np.flatnonzero(sights.near >> rule & 1)
        assert (lanes_of_rule & ~sights.sees[number, rows + 1] == 0).all()


def test_growing_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and effects get larger arrays on the way."""
    whole = Explorer(SHORT.instance(), reductions=(), collapse=False).run()
    monkeypatch.setattr(blocks, "FEWEST_BLOCKS", 600)
    monkeypatch.setattr(blocks, "FEWEST_EFFECTS", 130)
    explorer = collapsed(SHORT.instance())
    assert_same(whole, explorer.run())
    assert explorer.collapsed is not None
    assert len(explorer.collapsed.lane_of) > 600
    assert len(explorer.collapsed.effects) // EFFECT_WORDS > 130


def test_more_blocks_than_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search begins again with whole states, and comes to the same."""
    instance = SHORT.instance()
    whole = Explorer(instance, live=False, reductions=(), collapse=False).run()
    monkeypatch.setattr(blocks, "FEWEST_BLOCKS", 600)
    monkeypatch.setattr(blocks, "MOST_NUMBERS", 600)
    explorer = collapsed(instance, live=False)
    found = explorer.run()
    assert explorer.collapsed is None
    assert_same(whole, found)


def test_more_effects_than_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search begins again with whole states here too."""
    instance = SHORT.instance()
    whole = Explorer(instance, live=False, reductions=(), collapse=False).run()
    monkeypatch.setattr(blocks, "FEWEST_EFFECTS", 200)
    monkeypatch.setattr(blocks, "MOST_EFFECTS", 400)
    explorer = collapsed(instance, live=False)
    found = explorer.run()
    assert explorer.collapsed is None
    assert_same(whole, found)


@pytest.mark.parametrize("most", [MOST_BLOCKS, 0])
def test_actors_are_split_where_there_is_room(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """What others look at in an actor is seen by rows that look at all of them; without room they see all of it."""
    monkeypatch.setattr(blocks, "MOST_LANES", most)
    whole = Explorer(SHORT.instance(), live=False, reductions=(), collapse=False).run()
    explorer = collapsed(SHORT.instance(), live=False)
    assert_same(whole, explorer.run())
    assert explorer.collapsed is not None
    sights, lanes = explorer.collapsed.sights, explorer.collapsed.lanes
    row = next(at for at, item in enumerate(explorer.prepared.code.info) if item.name == "punch.start.flush_kick")
    sees = int(sights.sees[0, row + 1])
    assert ("kicked" in lanes.public) == (most != 0)
    assert (sees & SEES_ALL != 0) == (most == 0)
    bits = [int(word) for word in np.bitwise_or.reduce(lanes.parts[lanes.block_of == lanes.first_actor])]
    assert bits == [ALL_ONES] * 8
    assert sum(int(word).bit_count() for word in lanes.parts.ravel()) == 512 * lanes.whole


def test_fingerprints_are_those_of_the_blocks() -> None:
    """The fingerprint of every state that waited is what its blocks add up to, however many moves led to it."""
    explorer = collapsed(SHORT.instance(), live=False, states=300, order="breadth")
    explorer.run()
    c = explorer.collapsed
    assert c is not None
    waited = explorer.waiting.reshape(-1, STATE_WORDS)[:300]
    assert waited.any(axis=1).all()
    for state in waited:
        numbers = state.view(np.uint16)[: len(c.lanes.block_of)]
        assert int(state[PRINT]) == int(np.bitwise_xor.reduce(c.block_prints[numbers]))


def test_random_words_are_those_of_splitmix64() -> None:
    """As its authors give them for the seed 0; the first ones do not depend on how many there are."""
    words = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    assert hash_keys(2).tolist() == hash_keys(1 << 10)[:4].tolist() == words


@kernel
def _lanes(states: np.ndarray, keys: np.ndarray, sight: int, masks: np.ndarray, found: np.ndarray) -> None:
    found[0] = lanes.seen_hash(states, 4, sight, 17, keys)
    lanes.put_seen(found, 2, states, 4, sight, 17)
    found[1] = lanes.seen_before(states, 4, sight, 17, found, 2)
    found[6] = lanes.seen_before(states, 4, sight, 18, found, 2)
    found[5] |= np.uint64(3 << 32)
    found[7] = lanes.seen_before(states, 4, sight, 17, found, 2)
    lanes.change_state(found, 8, states, 0, states, 4)
    lanes.mask_block(found, 12, states, 0, masks, 0)
    found[20] = lanes.same_part(states, 0, found, 12, masks, 0)
    found[21] = lanes.same_part(states, 0, found, 12, masks, 8)
    lanes.mask_block(found, 24, states, 0, masks, 8)
    lanes.join_block(found, 24, found, 12)


@pytest.mark.parametrize("sight", [0b1, 0b100101, 0xFFF])
def test_lanes(sight: int) -> None:
    """What is seen of a state is its lanes in the mask, and the move; what stands above the move is not compared."""
    states = np.arange(1, 9, dtype=np.uint64) * np.uint64(0x0123_4567_89AB_CDEF)
    keys = np.arange(8, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    masks = np.tile(np.array([0xFF00, ALL_ONES ^ 0xFF00], np.uint64).reshape(2, 1), 8).ravel()
    found = np.zeros(32, np.uint64)
    _lanes(states, keys, sight, masks, found)
    seen = states[4:].view(np.uint16) * np.array([sight >> lane & 1 for lane in range(16)], np.uint16)
    seen[12] = 17
    assert found[2:5].tolist() == seen.view(np.uint64)[:3].tolist()
    assert int(found[5]) == 17 | 3 << 32
    assert found[[1, 6, 7]].tolist() == [1, 0, 1]
    assert found[8:12].tolist() == (states[:4] ^ states[4:]).tolist()
    halves = [int(half) for half in (seen.view(np.uint32) + keys[:4].view(np.uint32))]
    keyed_sum = sum(low * high for low, high in zip(halves[::2], halves[1::2], strict=True))
    assert int(found[0]) == keyed_sum * lanes.MIX % 2**64
    assert found[12:20].tolist() == (states & np.uint64(0xFF00)).tolist()
    assert found[20:22].tolist() == [1, 0]
    assert found[24:32].tolist() == states.tolist()
