"""The search over collapsed states finds what the search over whole ones does, and notices what it must not miss."""

from dataclasses import replace

import numpy as np
import pytest

from gmembench.benchmarks.peers.instances import TWINS, Twin
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers import blocks
from gmembench.core.drivers.collapsed import REMEMBERED, SEES_ALL
from gmembench.core.drivers.exhaustive import Exploration, Explorer
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.footprints import FootprintError
from gmembench.core.intrinsics import lanes
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

TWINS_TRIED = [(SHORT, "", live) for live in (False, True)]
if not INTERPRETED:
    huge = replace(TWINS["fault-vs-convert-huge-1"], scripts=(("access 1 write",), (), ("convert 0 1 private",)))
    TWINS_TRIED += [(twin, mutant, True) for twin in (SHORT, huge) for mutant in twin.mutants]


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


def test_a_sight_that_is_too_small_is_noticed() -> None:
    """A row that reads what it is not said to read finds an effect that is not its own."""
    explorer = collapsed(SHORT.instance(), live=False)
    assert explorer.collapsed is not None
    sees = explorer.collapsed.sights.sees
    own = sees[:, :1]
    sees[:] = np.where(sees & SEES_ALL != 0, sees, sees & own)
    with pytest.raises(FootprintError, match="touches what its footprint does not name"):
        explorer.run()


def test_more_blocks_than_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search begins again with whole states, and comes to the same."""
    instance = SHORT.instance()
    whole = Explorer(instance, live=False, reductions=(), collapse=False).run()
    monkeypatch.setattr(blocks, "FEWEST_BLOCKS", 600)
    monkeypatch.setattr(blocks, "MOST_BLOCKS", 600)
    explorer = collapsed(instance, live=False)
    found = explorer.run()
    assert explorer.collapsed is None
    assert_same(whole, found)


@kernel
def _hashes(states: np.ndarray, keys: np.ndarray, sight: int, found: np.ndarray) -> None:
    found[0] = lanes.state_hash(states, 4, keys)
    found[1] = lanes.seen_hash(states, 4, sight, 17, keys)
    lanes.put_seen(found, 2, states, 4, sight, 17)
    found[6] = lanes.seen_before(states, 4, sight, 17, found, 2)
    found[7] = lanes.seen_before(states, 4, sight, 18, found, 2)
    lanes.change_state(found, 8, states, 0, states, 4)


@pytest.mark.parametrize("sight", [0b1, 0b100101, 0x7FFF])
def test_lanes(sight: int) -> None:
    """What is seen of a state is its lanes in the mask and the move; a change is an exclusive-or without two lanes."""
    states = np.arange(1, 9, dtype=np.uint64) * np.uint64(0x0123_4567_89AB_CDEF)
    keys = np.arange(8, dtype=np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15)
    found = np.zeros(12, np.uint64)
    _hashes(states, keys, sight, found)
    seen = states[4:].view(np.uint16) * np.array([sight >> lane & 1 for lane in range(16)], np.uint16)
    seen[15] = 17
    assert found[2:6].view(np.uint16).tolist() == seen.tolist()
    assert found[6:8].tolist() == [1, 0]
    changed = (states[:4] ^ states[4:]).view(np.uint16)
    assert found[8:].view(np.uint16).tolist() == [*changed[:14].tolist(), 0, 0]

    def keyed_sum(words: np.ndarray, first: int) -> int:
        halves = [int(half) for half in (words.view(np.uint32) + keys[first : first + 4].view(np.uint32))]
        return sum(low * high for low, high in zip(halves[::2], halves[1::2], strict=True)) % 2**64

    product = keyed_sum(states[4:], 0) * keyed_sum(states[4:], 4)
    assert int(found[0]) == product % 2**64 ^ product >> 64
    assert int(found[1]) == keyed_sum(seen.view(np.uint64), 0) * lanes.MIX % 2**64
