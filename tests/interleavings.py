"""Random interleavings of small worlds: scripts of a seed, and a chooser of the same seed."""

import random
from collections.abc import Sequence

import numpy as np

from gmembench.core.drivers.fair import finish, let_kicked_leave
from gmembench.core.drivers.stepper import EXIT, STEP, Stepper
from gmembench.core.judges import Panel
from gmembench.core.operations import LONG, OF_VCPUS, OPERATION, PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.core.programs import Code, Design, Hardware
from gmembench.core.world import Geometry, World
from gmembench.inject.small_world import small_geometry

GFNS = 4
VCPUS = 2
BURSTS = (1, 1, 2, 5, 20)
"""How many rows an actor runs before another choice is made, with equal chances."""

ONE_SLOT = ((0, GFNS),)
TWO_SLOTS = ((0, 2), (2, 1))
"""Memslots of a world; in the second the small one can move."""

LEFT_OUT = ("teardown", "close")
"""Programs after which nothing else can run."""

FLAGS = {"convert": (0, PRIVATE), "host_pin": (0, WRITE, LONG, LONG | WRITE)}


def tiny(design: Design, hardware: Hardware, **changes: object) -> Geometry:
    """Two vCPUs, two host threads, four gfns in regions of two, a dozen pages on two nodes."""
    parts: dict[str, object] = {
        "gfns": GFNS,
        "vcpus": VCPUS,
        "host_actors": 2,
        "region_gfns": 2,
        "tlb_entries": 2,
        "pages": 12,
        "nodes": 2,
        "consumers": 8,
        "private_order": 0,
    }
    return small_geometry(design, hardware, **{**parts, **changes})


def operation(program: str, actor: int, gfn: int = 0, count: int = 1, flags: int = 0, slot: int = 0) -> np.ndarray:
    """One operation, as an array of one OPERATION."""
    return np.array([(0, gfn, count, 0, PROGRAM_NUMBER[program], actor, flags, slot)], OPERATION)


def private_parts(design: Design, seed: int) -> dict[str, object]:
    """The order of the file's folios: of a seed, where a design has more than one. The rest of the world follows."""
    size = design.private_sizes[seed % len(design.private_sizes)]
    return {"4K": {}, "2M": {"private_order": 1, "pages": 16}, "1G": {"private_order": 2, "pages": 0}}[size]


def random_script(
    rng: random.Random,
    design: Design,
    actor: int,
    length: int,
    only: Sequence[str] = (),
    gfns: int = GFNS,
    slots: Sequence[tuple[int, int]] = ONE_SLOT,
) -> np.ndarray:
    """Operations of one actor. `only`: programs that host actors choose from, all by default."""
    programs = [name for name in design.programs if name not in LEFT_OUT]
    of_vcpus = ["access"] * 4 + [name for name in programs if name in OF_VCPUS[1:] and not only]
    of_host = list(only) or [name for name in programs if name not in OF_VCPUS]
    made = []
    for _ in range(length):
        name = rng.choice(of_vcpus if actor < VCPUS else of_host)
        gfn = rng.randrange(gfns)
        count = rng.randint(1, gfns - gfn)
        slot = rng.choice((0, 1)) if name == "migrate" else 0
        if name.startswith("slot_"):
            slot = rng.randrange(len(slots)) if len(slots) > 1 else 0
            target = gfn
            gfn, count = slots[slot]
            if name == "slot_move" and len(slots) > 1:
                gfn = target
        flags = rng.choice(FLAGS.get(name, (0, WRITE)))
        made.append(operation(name, actor, gfn, count, flags, slot))
    return np.concatenate(made)


def drive(stepper: Stepper, rng: random.Random) -> Stepper:
    """Step at random for a while, then fairly to the end."""
    limit = rng.randrange(50, 800)
    while stepper.violation is None:
        options = stepper.options().tolist()
        if not options:
            break
        number, kind = rng.choice(options)
        for _ in range(rng.choice(BURSTS)):
            waited = stepper.blocked
            stepper.take(number, kind)
            if kind == EXIT or stepper.blocked != waited or stepper.violation is not None:
                break
            if not stepper.unfinished(number):
                break
            kind = 0
        if stepper.steps > limit:
            finish(stepper)
    return stepper


def one_by_one(stepper: Stepper, rng: random.Random) -> Stepper:
    """Run one operation of a random actor after the other; who must wait lets another go on."""
    while stepper.violation is None:
        let_kicked_leave(stepper)
        ready = [number for number, kind in stepper.options().tolist() if kind == STEP]
        if not ready:
            finish(stepper)
            break
        number = rng.choice(ready)
        for _ in range(MOST_ROWS):
            waited = stepper.blocked
            stepper.take(number)
            if stepper.violation is not None or stepper.blocked != waited or stepper.idle(number):
                break
        else:
            finish(stepper)
    return stepper


MOST_ROWS = 5000
"""No operation of a small world alone has as many."""


def random_run(
    code: Code,
    seed: int,
    *,
    only: Sequence[str] = (),
    panel: Panel | None = None,
    slots: Sequence[tuple[int, int]] = ONE_SLOT,
    alone: bool = False,
    **changes: object,
) -> Stepper:
    """Scripts, world and interleaving of one seed, run to the end or to the first violation.

    `alone`: operations follow one another; else their rows are mixed.
    """
    rng = random.Random(seed)
    design = code.design
    huge = rng.random() < 0.5 and "2M" in design.sizes
    parts = {"shared_order": int(huge), "slots": tuple(slots), **private_parts(design, seed), **changes}
    world = World(tiny(design, code.hardware, **parts))
    length = 8 if alone else 3
    scripts = [random_script(rng, design, actor, length, only, world["frames_n"], slots) for actor in range(4)]
    stepper = Stepper(code, world, scripts, panel, timer=rng.random() < 0.5)
    return one_by_one(stepper, rng) if alone else drive(stepper, rng)
