"""Menus: what all actors can do next where no event is about, as bits of one number.

Schedules keep the menu from step to step. Few steps change it, and which these are is known before: so whoever steps
next can be drawn, and its row looked up, while the processor is still busy with the step before. Listing all moves
after each step took a third of the time.
"""

import numpy as np

from gmembench.core.drivers.instance import EXIT, IDLE, STEP, YIELD
from gmembench.core.drivers.moves import CHOICE_SHIFT, EXIT_BIT, LEFT, MAY_EXIT, MAY_YIELD, YIELD_BIT
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.sequential import OUTCOME_MASK
from gmembench.core.footprints import footprints_in
from gmembench.core.footprints.kinds import SELF
from gmembench.core.intrinsics.blocks import lowest_bit
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.intrinsics.items import item
from gmembench.core.jit import inlined_part
from gmembench.core.liveness import OTHERS
from gmembench.core.locations import EXIT_WRITES
from gmembench.core.outcomes import OUTCOMES
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, actor

MENU_SHIFT = 2
"""Four bits of each actor, by the kind of the choice; the fourth is never set."""

MENU_BITS = 1 << MENU_SHIFT
KINDS_MASK = MENU_BITS - 1
MENU_MASK = (1 << MENU_BITS) - 1

SAME, OWN, ALL = range(3)
"""What a step changes of the menu: nothing, what its own actor can do, or what others can, too."""

LEAVING = tuple(name.removeprefix(f"{OTHERS}.") for name in EXIT_WRITES)
"""Registers that say whether a vCPU can leave the guest."""


def menu_changes(prepared: Prepared) -> np.ndarray:
    """u1 (row, outcome): what a row that ends so changes of the menu: SAME, OWN or ALL.

    Nothing if the row that follows offers the same, and no register is written that says who can leave the guest.
    """
    offered = prepared.flags & (MAY_YIELD | MAY_EXIT)
    targets = prepared.targets
    found = np.where((targets == IDLE) | (offered[targets + 1] != offered[1:, None]), OWN, SAME).astype(np.uint8)
    for row, info in enumerate(prepared.code.info):
        written = footprints_in().of(info.step).writes
        if any(f"{OTHERS}.{name}" in written for name in LEAVING):
            found[row] = ALL
        elif any(f"{SELF}.{name}" in written for name in LEAVING):
            found[row] = OWN
    return found


@inlined_part
def menu_of(w: Record, number: int, flags: np.ndarray, ends: np.ndarray, timer: int) -> int:
    """What one actor can do, in its place in the menu. As `list_moves_of` without events; no branch is taken."""
    a = actor(w, number)
    may = item(flags, a["row"] + 1)
    steps = 1 - int((a["row"] == IDLE) & (a["next"] == item(ends, number)))
    leaves = int((number < w["vcpus"]) & (a["mode"] == IN_GUEST) & (a["kicked"] | timer != 0))
    found: int = steps << STEP | (may >> YIELD_BIT & 1) << YIELD | (may >> EXIT_BIT & leaves) << EXIT
    return found << (number << MENU_SHIFT)


@inlined_part
def whole_menu(w: Record, flags: np.ndarray, ends: np.ndarray, timer: int) -> int:
    """What everybody can do; some of it may turn out to have to wait."""
    menu = 0
    for number in range(w["actors_n"]):
        menu |= menu_of(w, number, flags, ends, timer)
    return menu


@inlined_part
def part_of_menu(menu: int, number: int) -> int:
    """What one actor can do, in its place."""
    return menu & MENU_MASK << (number << MENU_SHIFT)


@inlined_part
def menu_change(changes: np.ndarray, went: int, begins: bool) -> int:
    """What a move changes of the menu: `changes` of the row that ran; more if it left the guest, or began an operation.

    Who begins an operation runs its first row at once, and stands before another one than while idle.
    """
    if went == LEFT:
        return OWN
    change: int = item(changes, (went >> OUTCOME_BITS) * len(OUTCOMES) + (went & OUTCOME_MASK))
    return max(change, int(begins))  # OWN is 1


@inlined_part
def changed_menu(
    w: Record, menu: int, number: int, change: int, flags: np.ndarray, ends: np.ndarray, timer: int
) -> int:
    """The menu after an actor did something that changes what it can do, or what others can, too."""
    if change == ALL:
        return whole_menu(w, flags, ends, timer)
    return menu ^ part_of_menu(menu, number) | menu_of(w, number, flags, ends, timer)


@inlined_part
def picked_bit(menu: int, picked: int, count: int) -> int:
    """The bit of the choice of a menu that has a number, of `count` that there are."""
    for j in range(count - 1):  # one turn for each choice but one, whichever is picked: no branch depends on it
        menu &= menu - int(j < picked)
    return lowest_bit(menu)


@inlined_part
def choice_of(bit: int) -> int:
    """The choice that a bit of the menu stands for."""
    return bit >> MENU_SHIFT << CHOICE_SHIFT | bit & KINDS_MASK
