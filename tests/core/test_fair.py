"""Running scripts to their end fairly, on a twin whose states and moves are written down, and on the model."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import numpy as np
import pytest
from interleavings import operation, tiny

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.fair import finish, without_end
from gmembench.core.drivers.instance import EXIT, Instance
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.judges import SHIPPED, Panel
from gmembench.core.operations import OPERATION, WRITE
from gmembench.core.outcomes import BLOCKED
from gmembench.core.programs import assemble

A, B, END = 0, 1, 9

Moves = Mapping[tuple[int, int], int]
"""(state, actor) -> state. No entry: the actor has to wait."""


class Twin:
    """Two actors, and a state that is one number; all is done in END. What running fairly uses of a stepper."""

    def __init__(self, moves: Moves) -> None:
        self.moves = moves
        self.world = SimpleNamespace(buffer=np.zeros(1, np.int64), arrays={"actors": np.zeros(2, [("kicked", "u1")])})
        self.panel = Panel({"LIVE": SHIPPED["LIVE"]})
        self.violation: object = None

    @property
    def finished(self) -> bool:
        """Whether the end is reached."""
        return self.state() == END

    def state(self) -> int:
        """The number."""
        return int(self.world.buffer[0])

    def unfinished(self, number: int) -> bool:
        """Whether an actor has something to do; who waits for ever has."""
        return not self.finished

    def options(self) -> np.ndarray:
        """Nobody can leave a guest."""
        return np.zeros((0, 2), np.int64)

    def take(self, number: int, kind: int = 0) -> int:
        """Go where the move leads."""
        if (self.state(), number) not in self.moves:
            return BLOCKED
        self.world.buffer[0] = self.moves[self.state(), number]
        return 0

    def followers(self, state: np.ndarray) -> Iterator[np.ndarray]:
        """States that one move leads to."""
        for (here, _), there in self.moves.items():
            if here == state[0]:
                self.world.buffer[0] = there
                yield self.world.buffer.copy()
        self.world.buffer[:] = state

    def fail(self, found: object) -> None:
        """Note what was found."""
        self.violation = found


WAYS: dict[str, tuple[Moves, int, bool]] = {
    "one after the other": ({(0, A): 1, (1, B): END}, 0, False),
    "deadlock": ({(0, A): 1, (1, B): 2}, 1, True),
    "livelock": ({(0, A): 1, (1, A): 0, (0, B): 2, (2, B): 0, (1, B): 0}, 3, True),
    "a circle that another order leaves": (
        {(0, A): 1, (1, A): 0, (0, B): 2, (2, B): 0, (1, B): 0, (2, A): END},
        0,
        False,
    ),
}
"""Moves from state 0, how many states show that there is no end, and whether LIVE is violated."""


@pytest.mark.parametrize("name", WAYS)
def test_live_is_violated_where_no_order_leads_to_an_end(name: str) -> None:
    """A fair circle alone is no violation: somebody may leave it in another order."""
    moves, states, broken = WAYS[name]
    twin = Twin(moves)
    assert finish(twin) == states  # type: ignore[arg-type]  # a twin
    assert (twin.violation is not None) == broken
    assert twin.finished == (name == "one after the other")


def test_too_many_states_say_nothing() -> None:
    """Where a bound is passed before all states were seen, nobody knows."""
    twin = Twin(WAYS["livelock"][0])
    assert without_end(twin, most=2) == 0  # type: ignore[arg-type]  # a twin
    assert without_end(twin, most=3) == 3  # type: ignore[arg-type]
    assert twin.state() == 0


def instance(without: str = "") -> Instance:
    """A vCPU that writes a gfn of guest_memfd while a host thread punches it; perhaps without a row of the punch."""
    design, hardware = load_designs()["guest-memfd"], load_hardware()["none"]
    if without:
        design = design.edited("planted", punch=design.programs["punch"].without(without))
    shape = tiny(design, hardware, gfns=1, pages=3, nodes=1, init_private=True, region_gfns=1, tlb_entries=1)
    scripts = (operation("access", 0, 0, 1, WRITE), np.zeros(0, OPERATION), operation("punch", 2, 0, 1))
    return Instance(assemble(design, hardware), shape, scripts, panel=Panel({"LIVE": SHIPPED["LIVE"]}))


def test_a_retry_that_nobody_can_end_is_told_with_what_was_visited() -> None:
    """The count of invalidations stays up, and the fault retries for ever: few states, and no end among them."""
    stepper = Stepper.of(instance("end.count_dec"))
    while stepper.unfinished(2):
        stepper.take(2)
    states = finish(stepper)
    assert stepper.violation is not None
    assert stepper.violation.invariant == "LIVE"
    assert 1 < states < 100
    shipped = Stepper.of(instance())
    assert finish(shipped) == 0
    assert shipped.finished


def test_a_stepper_anew_stands_alone() -> None:
    """It begins where the other one stands, and neither moves the other."""
    first = Stepper.of(instance())
    for _ in range(9):
        first.take(0)
    state, other = first.state(), first.anew()
    assert (other.state(), other.choices) == (state, ())
    other.take(2)
    assert other.state() != state
    assert first.state() == state
    finish(other)
    assert other.finished
    assert not first.finished


def test_what_can_follow_is_what_can_be_taken() -> None:
    """Along a run: each option that is made leads to a state that can follow, and there are no others."""
    stepper = Stepper.of(instance())
    for turn in range(60):
        options = [tuple(option) for option in stepper.options().tolist()]
        after = set()
        for option in options:
            one = stepper.anew()
            if one.take(*option) & 0xFF != BLOCKED or option[1] == EXIT:
                after.add(one.state())
        before = stepper.world.buffer.copy()
        followers = {stepper.state() for _ in stepper.followers(before)}
        assert np.array_equal(stepper.world.buffer, before)
        assert followers == after
        stepper.take(*options[turn % len(options)])
        if stepper.finished:
            break
