"""Programs that leave the model, as edited ones may: what is not there is neither read nor written, and is told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gmembench.core import world
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.exhaustive import Explorer
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.prepared import small_copy, told_outside
from gmembench.core.drivers.sampling import Sampler
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errors import OutsideError, UserError
from gmembench.core.jit import INTERPRETED, kernel
from gmembench.core.world import SMALL, Geometry, World, small_head
from gmembench.inject.question import Words, ask

ASKED = ("frames", "cache", "pages", "regions", "slots", "files", "septs", "consumers")
"""Arrays whose indices are those of programs."""

FAR = (-128, -1, 100, 255)
"""Beside the first index behind an array, those that fit a byte."""


@kernel
def _write(buffer: np.ndarray, which: int, index: int) -> None:
    w = small_head(buffer)
    if which == 0:
        world.frame(w, index)["attr"] = 7
    if which == 1:
        world.cache(w, index)["tag"] = 7
    if which == 2:
        world.page(w, index)["hw"] = 7
    if which == 3:
        world.region(w, index)["tables"] = 7
    if which == 4:
        world.slot(w, index)["pgoff"] = 7
    if which == 5:
        world.file(w, index)["owner_tag"] = 7
    if which == 6:
        world.sept(w, index)["epoch"] = 7
    if which == 7:
        world.consumer(w, index)["pfn"] = 7


@kernel
def _write_entry(buffer: np.ndarray, gfn: int, k: int) -> None:
    world.spte(small_head(buffer), gfn, k)["pfn"] = 7


def new_world() -> World:
    """A small world with some of everything."""
    return small_copy(World(Geometry(gfns=4, file=True, sept=True, slots=((0, 4),))))


def asked(*edits: str) -> Instance:
    """A fault and a punch of guest-memfd, with edits."""
    return ask(Words("guest-memfd", "fault-vs-punch", "none", edits=edits)).instance


DMA = "insert pin.dma,before=access.fault.topup_caches"
"""The device writes to the gfn before the one in hand, which is -1."""

SAID = r"frames\[-1\], and there are 1"


@pytest.mark.parametrize("far", [*FAR, "behind"])
@pytest.mark.parametrize("array", ASKED)
def test_an_element_that_is_not_there_is_not_written(array: str, far: int | str) -> None:
    """The state stays as it was, and the header tells the array and the index; interpreted, it is told at once."""
    w = new_world()
    index, before = w[f"{array}_n"] if far == "behind" else int(far), w.buffer.copy()
    if INTERPRETED:
        with pytest.raises(OutsideError):
            _write(w.buffer, ASKED.index(array), index)
        return
    _write(w.buffer, ASKED.index(array), index)
    assert np.array_equal(w.buffer[SMALL.state_at :], before[SMALL.state_at :])
    assert w["outside"] >> 8 == index
    assert list(SMALL.arrays)[(w["outside"] & 0xFF) - 1] == array


@pytest.mark.parametrize("array", ASKED)
def test_the_last_element_is_there(array: str) -> None:
    """It is written, and nothing is told."""
    w = new_world()
    before = w.buffer.copy()
    _write(w.buffer, ASKED.index(array), w[f"{array}_n"] - 1)
    assert (w.buffer != before).sum() == 1
    assert w["outside"] == 0


@pytest.mark.skipif(INTERPRETED, reason="interpreted records raise at once")
@pytest.mark.parametrize(
    ("gfn", "k", "told"),
    [
        (0, 2, "frames[...].spte[2], and there are 2"),
        (0, -1, "frames[...].spte[-1], and there are 2"),
        (4, 0, "frames[4], and there are 4"),
        (-1, 1, "frames[-1], and there are 4"),
    ],
)
def test_an_entry_that_is_not_there_is_not_written(gfn: int, k: int, told: str) -> None:
    """A frame has two entries. Which index was wrong is told."""
    w = new_world()
    before = w.buffer.copy()
    _write_entry(w.buffer, gfn, k)
    assert np.array_equal(w.buffer[SMALL.state_at :], before[SMALL.state_at :])
    assert told in told_outside(w, w["outside"], "a row").what


@pytest.mark.parametrize(
    "how", [{}, {"reductions": ()}, {"reductions": (), "collapse": False}, {"reductions": ("pages",), "order": "depth"}]
)
def test_an_exhaustive_search_tells_who_leaves(how: dict[str, Any]) -> None:
    """Whatever the reductions: without asking, a search with pages that are told apart by number went on for ever."""
    with pytest.raises(OutsideError, match=SAID):
        Explorer(asked(DMA), states=2000, **how).run()


@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_schedules_tell_who_leaves(strategy: Any) -> None:
    """As soon as one does; the next run begins anew."""
    sampler = Sampler(asked(DMA), strategy=strategy, length=50)
    with pytest.raises(OutsideError, match=SAID):
        sampler.run(50, seed=1)
    sampler.run(0)
    assert not sampler.work[: SMALL.header.itemsize].view(SMALL.header)["outside"].any()


def run_to_the_end(stepper: Stepper) -> None:
    """Take the first option each time."""
    while len(options := stepper.options()):
        stepper.take(*options[0].tolist())


def test_a_stepper_tells_the_row() -> None:
    """A mistake in usage: one line with the row, exit 2. Rows before it are made."""
    stepper = Stepper.of(asked(DMA))
    with pytest.raises(UserError) as told:
        run_to_the_end(stepper)
    assert stepper.steps > 3
    assert f"{'a row' if INTERPRETED else 'access.new.dma'} uses frames[-1]" in told.value.what


LOOP = "redirect access.fault.topup_caches,next=access.fault.topup_caches"


@pytest.mark.parametrize("edits", [(DMA,), (DMA, LOOP)])
def test_what_runs_before_may_leave_too(edits: tuple[str, ...]) -> None:
    """It is told before anything is explored, also of an operation that then never ends."""
    instance = asked(*edits)
    first = next(script[:1] for script in instance.scripts if len(script))
    with pytest.raises(OutsideError, match=SAID):
        Explorer(replace(instance, prepare=(first,)))


@pytest.mark.parametrize("hardware", load_hardware())
def test_designs_stay_inside(hardware: str) -> None:
    """Controls: no schedule of an unedited design leaves its arrays."""
    on_it = [name for name, design in load_designs().items() if hardware not in design.not_on]
    samplers = [Sampler(ask(Words(design, "fault-vs-slot-delete", hardware)).instance) for design in on_it]
    assert sum(sampler.run(20, seed=3).finished for sampler in samplers) == 20 * len(on_it) > 0
