"""The menu that schedules keep says at every step what listing all moves anew says."""

import random

import numpy as np
import pytest
from interleavings import random_script, tiny

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.instance import EXIT, Instance
from gmembench.core.drivers.menus import (
    ALL,
    SAME,
    changed_menu,
    choice_of,
    menu_change,
    menu_changes,
    part_of_menu,
    picked_bit,
    whole_menu,
)
from gmembench.core.drivers.moves import LEFT
from gmembench.core.drivers.sequential import OUTCOME_MASK
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.intrinsics.blocks import count_ones
from gmembench.core.jit import kernel
from gmembench.core.outcomes import BLOCKED
from gmembench.core.programs import assemble
from gmembench.core.world import small_head
from gmembench.inject.mutants import mutated

DESIGNS, HARDWARE = load_designs(), load_hardware()
KICKS_FIRST = ("insert flush.kick,before=punch.fdget",)
"""A punch begins with a row that changes what others can do."""

EVERYWHERE = [
    *((name, "none", ()) for name in sorted(DESIGNS)),
    *(("guest-memfd", *rest) for rest in (("snp", ()), ("tdx", ()), ("none", KICKS_FIRST))),
]
STEPS = 50


@kernel
def whole(buffer: np.ndarray, flags: np.ndarray, ends: np.ndarray, timer: int) -> int:
    """The menu, made anew."""
    return whole_menu(small_head(buffer), flags, ends, timer)


@kernel
def change_of(changes: np.ndarray, went: int, begins: bool) -> int:
    """What a move changes of the menu."""
    return menu_change(changes, went, begins)


@kernel
def changed(
    buffer: np.ndarray, menu: int, number: int, change: int, flags: np.ndarray, ends: np.ndarray, timer: int
) -> int:
    """The menu after a change."""
    return changed_menu(small_head(buffer), menu, number, change, flags, ends, timer)


@kernel
def choices(menu: int, found: np.ndarray) -> int:
    """All choices of a menu, picked one after the other; how many."""
    count = count_ones(menu)
    for i in range(count):
        found[i] = choice_of(picked_bit(menu, i, count))
    return count


def listed(menu: int) -> list[int]:
    """All choices of a menu."""
    found = np.zeros(64, np.int64)
    return found[: choices(menu, found)].tolist()


@pytest.mark.parametrize(("design", "hardware", "edits"), EVERYWHERE)
def test_the_kept_menu_is_the_list_of_moves(design: str, hardware: str, edits: tuple[str, ...]) -> None:
    """After each of many random moves of two vCPUs and two host threads, which zap what the vCPUs use."""
    h, rng = HARDWARE[hardware], random.Random(7)
    d = mutated(DESIGNS[design], h, edits)
    zaps = [name for name in ("convert", "punch", "swap_out", "migrate") if name in d.programs]
    scripts = tuple(random_script(rng, d, actor, 25, only=zaps, gfns=1) for actor in range(4))
    stepper = Stepper.of(Instance(assemble(d, h), tiny(d, h, consumers=4), scripts, timer=False))
    p, buffer = stepper.prepared, stepper.world.buffer
    changes, rest = menu_changes(p), (p.flags, p.ends, int(stepper.timer))
    menu, kept, stirred = whole(buffer, *rest), 0, 0
    for _ in range(20 * STEPS):
        if stirred > 12 and kept > STEPS:
            break
        moves = stepper._list()
        assert listed(menu) == moves
        options = stepper.options()
        if not len(options):
            break
        number, kind = options[
            rng.choice((-1, 0, 0, rng.randrange(len(options)), rng.randrange(len(options))))
        ].tolist()
        begins, ended = stepper.idle(number), stepper.take(number, kind)
        if ended & OUTCOME_MASK == BLOCKED and kind != EXIT:
            continue
        change = change_of(changes, LEFT if kind == EXIT else ended, begins)
        kept += change == SAME
        stirred += change == ALL
        if change != SAME:
            menu = changed(buffer, menu, number, change, *rest)
    assert kept > STEPS
    assert stirred or not zaps


def test_a_part_of_the_menu_is_one_actors() -> None:
    """The choices of each actor in turn are all choices."""
    menu = 0b0101_0011_0001_0111
    parts = [listed(part_of_menu_of(menu, number)) for number in range(4)]
    assert [len(part) for part in parts] == [3, 1, 2, 2]
    assert [choice for part in parts for choice in part] == listed(menu)


@kernel
def part_of_menu_of(menu: int, number: int) -> int:
    """What one actor can do."""
    return part_of_menu(menu, number)
