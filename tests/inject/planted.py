"""Planted bugs: a shipped design with a row left out or moved, a small world, and a schedule that fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from interleavings import operation, tiny

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.stepper import EXIT, KINDS, STEP, Stepper
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.operations import OPERATION, WRITE
from gmembench.core.outcomes import BLOCKED
from gmembench.core.programs import Program, assemble
from gmembench.inject.failure import Failure
from gmembench.inject.recording import record
from gmembench.inject.setting import setting_of, stepper_of

V0, V1, H0, H1 = range(4)
END = "END"

Leg = tuple[int, str]
"""An actor, and the row before which it stops: END after its script, EXIT for a vCPU that leaves the guest."""

Choices = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Planted:
    """A bug and how it shows.

    `edit`: what is wrong. `scripts`: by actor. `legs`: an interleaving that shows it. `items`: runs of one actor in the
    published interleaving.
    """

    design: str
    program: str
    edit: Callable[[Program], Program]
    scripts: tuple[np.ndarray, ...]
    legs: tuple[Leg, ...]
    invariant: str
    items: int
    private: bool = True


def script(*operations: np.ndarray) -> np.ndarray:
    """Operations as one script."""
    return np.concatenate([*operations, np.zeros(0, OPERATION)])


WRITES = {number: script(operation("access", number, 0, 1, WRITE)) for number in (V0, V1)}
NOTHING = script()
PUNCH = script(operation("punch", H0, 0, 1))
SHARE = script(operation("convert", H0, 0, 1))

PLANTED = {
    "no-recheck": Planted(
        "guest-memfd",
        "access",
        lambda p: p.without("fault.recheck_stale"),
        (WRITES[V0], WRITES[V1], PUNCH, NOTHING),
        ((V1, "access.fault.classify"), (V0, "access.fault.lock_mmu"), (H0, END), (V0, END)),
        "UAF-MAP",
        3,
    ),
    "attribute-before-snapshot": Planted(
        "guest-memfd",
        "access",
        lambda p: p.moved("fault.check_attr", "fault.snapshot_seq"),
        (WRITES[V0], WRITES[V1], SHARE, NOTHING),
        ((V0, "access.fault.snapshot_seq"), (H0, END), (V0, END)),
        "ALIAS",
        3,
    ),
    "no-flush": Planted(
        "guest-memfd",
        "punch",
        lambda p: p.without("start.flush_request").without("start.flush_wait"),
        (script(*[operation("access", V0, 0, 1, WRITE)] * 2), NOTHING, PUNCH, NOTHING),
        ((V0, "access.guest.use"), (H0, END), (V0, END)),
        "STALE-TLB",
        3,
    ),
    "count-left": Planted(
        "guest-memfd",
        "punch",
        lambda p: p.without("end.count_dec"),
        (WRITES[V0], NOTHING, PUNCH, NOTHING),
        ((H0, END),),
        "CNT",
        1,
    ),
    "slots-lock-left": Planted(
        "guest-memfd",
        "convert",
        lambda p: p.without("convert.unlock_slots"),
        (NOTHING, NOTHING, SHARE, script(operation("convert", H1, 1, 1))),
        ((H0, END),),
        "LIVE",
        2,
    ),
}


def instance_of(bug: Planted) -> Instance:
    """The instance with the bug in it."""
    design, hardware = load_designs()[bug.design], load_hardware()["none"]
    edited = replace(design, programs={**design.programs, bug.program: bug.edit(design.programs[bug.program])})
    shape = tiny(edited, hardware, init_private=bug.private, nodes=1)
    return Instance(assemble(edited, hardware), shape, bug.scripts)


def walk(stepper: Stepper, legs: Sequence[Leg]) -> Choices:
    """Step legs; the (actor, kind) choices that were made."""
    for actor, stop in legs:
        for _ in range(1000):
            if stepper.violation is not None or stepper.next_row(actor) == stop or not stepper.unfinished(actor):
                break
            if stop == "EXIT":
                stepper.take(actor, EXIT)
                break
            if stepper.take(actor, STEP) & ((1 << OUTCOME_BITS) - 1) == BLOCKED:
                break
    return tuple((taken.actor, KINDS.index(taken.kind)) for taken in stepper.trail)


@cache
def found(name: str) -> tuple[Failure, Choices]:
    """A planted bug as a failure, and the choices that lead to it."""
    bug = PLANTED[name]
    setting = setting_of(instance_of(bug))
    choices = walk(stepper_of(setting), bug.legs)
    failure = record(setting, choices)
    assert failure is not None, f"{name} does not fail"
    return failure, choices
