"""Bounds of the exhaustive driver: memory a state, what counts as memory, how many states, and interrupts."""

import tracemalloc

import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers import exhaustive
from gmembench.core.drivers.exhaustive import MOST_FULL, Exploration, Explorer, more_buckets
from gmembench.core.drivers.fingerprints import BUCKET
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.search import DONE
from gmembench.core.jit import INTERPRETED
from gmembench.inject.scenario import instance_of, load_scenarios

BYTES_A_STATE = 16
"""Of the visited set, at most, where it has this many states or more:"""
FEW_STATES = 2048
"""With fewer it is the table of 32 KiB that every search begins with."""

SIZES = (2048, 3400) if INTERPRETED else (2048, 10_000, 100_000, 200_000)


def instance(scenario: str = "fault-vs-numa-zap", design: str = "legacy-vma") -> Instance:
    """A world of 1.7 million states; `teardown-vs-reuse` is one of few hundred."""
    return instance_of(load_scenarios()[scenario], load_designs()[design], load_hardware()["none"])


def small() -> Instance:
    """A world of 207 states."""
    return instance("teardown-vs-reuse", "guest-memfd")


class Noting(Explorer):
    """Notes how large the visited set is for its states whenever it has grown."""

    grown: tuple[tuple[int, int], ...] = ()

    def _grow_table(self) -> bool:
        grown = super()._grow_table()
        self.grown += ((int(self.search[0]["states"]), self.table.nbytes),)
        return grown


def test_memory_a_state_by_count() -> None:
    """Whenever the table has grown, up to 2^31 states, it takes at most 16 bytes a state."""
    explorer = Explorer(small())
    buckets, fewest = len(explorer.table) // BUCKET, 0
    while fewest < 1 << 31:
        fewest = int(buckets * BUCKET * MOST_FULL) - explorer.batch + 1  # it grows when there is no room for a batch
        buckets = more_buckets(buckets)
        assert fewest > FEW_STATES
        assert buckets * BUCKET * 8 <= BYTES_A_STATE * fewest


@pytest.mark.parametrize("states", SIZES)
def test_memory_a_state_as_it_is(states: int) -> None:
    """Right after each growth, and at the end, the table that is there takes at most 16 bytes a state."""
    explorer = Noting(instance(), states=states)
    e = explorer.run()
    noted = [(count, size) for count, size in (*explorer.grown, (e.states, e.table_bytes)) if count >= FEW_STATES]
    assert noted
    assert e.states == states
    assert all(size <= BYTES_A_STATE * count for count, size in noted)


def test_a_table_for_the_states_that_are_expected_does_not_grow() -> None:
    """It is as large as one that has grown to them, or smaller, and the search finds the same."""
    grown, made = Explorer(small()).run(), Noting(small(), expected=207)
    e = made.run()
    assert (e.states, e.transitions, made.grown) == (grown.states, grown.transitions, ())
    assert Explorer(small(), expected=100_000).table.nbytes <= BYTES_A_STATE * 100_000


@pytest.mark.parametrize("more", [0, 10_000, 60_000] if INTERPRETED else [0, 10_000, 1 << 20, 8 << 20])
def test_a_search_stops_before_memory_is_used_up(more: int) -> None:
    """It tells what it has covered, and never had more than it was given, moments of growth included."""
    first = Explorer(instance())
    given = first.table.nbytes + first.other_bytes + more
    e = Explorer(instance(), memory_bytes=given).run()
    assert (e.verdict, e.stopped) == ("bound", f"{given:,} bytes of memory")
    assert e.states > more // 1000
    assert e.table_bytes + e.other_bytes <= e.peak_bytes <= given


def test_a_search_that_has_no_room_to_begin_stops_at_once() -> None:
    """The arrays that it begins with count too."""
    e = Explorer(instance(), memory_bytes=1000).run()
    assert (e.verdict, e.states, e.peak_bytes) == ("bound", 1, e.table_bytes + e.other_bytes)


def test_no_memory_is_used_that_is_not_counted() -> None:
    """The peak that is told grows by no less than what was allocated, growth and the judging of LIVE included."""
    asked = small() if INTERPRETED else instance("fault-vs-punch", "guest-memfd")
    Explorer(asked, states=1000).run()  # what is made once and kept is made
    tracemalloc.start()
    try:
        explorer = Explorer(asked)
        counted, before = explorer.table.nbytes + explorer.other_bytes, tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        e = explorer.run()
        allocated = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert e.verdict == "holds"
    assert e.table_bytes + e.other_bytes <= e.peak_bytes
    assert allocated <= e.peak_bytes - counted + UNCOUNTED_BYTES


UNCOUNTED_BYTES = 64 << 10
"""Of the interpreter, and of what came of it: they do not grow with the states."""


class Tight(Explorer):
    """Has so many bytes left when all states are visited."""

    left = 0

    def _on(self) -> int:
        why = super()._on()
        if why == DONE:
            self.memory_bytes = self.table.nbytes + self.other_bytes + self.left
        return why


@pytest.mark.parametrize(("lacks", "verdict"), [(1, "bound"), (0, "holds")])
def test_judging_who_can_end_needs_a_byte_a_state(lacks: int, verdict: str) -> None:
    """Without room for it the search stops, says so, and claims nothing about LIVE."""
    states = Explorer(small()).run().states
    explorer = Tight(small())
    explorer.left = states - lacks
    e = explorer.run()
    assert (e.verdict, e.complete, e.states) == (verdict, lacks == 1, states)


@pytest.mark.parametrize("order", ["breadth", "depth"])
@pytest.mark.parametrize("states", [1, 2, 100, 127, 128, 129, 200])
def test_as_many_states_as_were_asked_for(states: int, order: str) -> None:
    """No more, and no fewer while there are more."""
    e = Explorer(small(), states=states, order=order).run()
    assert (e.verdict, e.states, e.stopped) == ("bound", states, f"{states} states")


def test_a_bound_that_is_not_reached_is_none() -> None:
    """As many states as there are suffice, and one less does not; transitions are those that were looked up."""
    whole = Explorer(small()).run()
    same = Explorer(small(), states=whole.states).run()
    less = Explorer(small(), states=whole.states - 1).run()
    assert (same.verdict, same.states, same.transitions) == ("holds", whole.states, whole.transitions)
    assert (less.verdict, less.states) == ("bound", whole.states - 1)
    assert less.states - 1 <= less.transitions < whole.transitions


class Interrupted(Explorer):
    """Is interrupted when it has searched for a while; `found`: while it was about to tell what it found."""

    found = False

    def _on(self) -> int:
        why = super()._on()
        if why == exhaustive.FAILED or not self.found:
            raise KeyboardInterrupt
        return why


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop returns every hundred transitions."""
    monkeypatch.setattr(exhaustive, "PAUSE_TRANSITIONS", 100)


@pytest.mark.usefixtures("short_pauses")
def test_an_interrupt_is_a_bound_or_is_raised() -> None:
    """What was covered is told to whoever wants it; other callers get the interrupt."""
    e: Exploration = Interrupted(small()).run(interruptible=True)
    assert (e.verdict, e.stopped, e.violation) == ("bound", "an interrupt", None)
    assert 1 < e.states < 207
    with pytest.raises(KeyboardInterrupt):
        Interrupted(small()).run()
