"""Pages of a small world under other names: any that symmetry of pages may give them, and the canonical form."""

import random

import numpy as np

from gmembench.core.drivers.canonical import Canonical
from gmembench.core.drivers.pages import FIRST, KIND, SIZE
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.world import SMALL


def shuffled(canonical: Canonical, stepper: Stepper, rng: random.Random) -> np.ndarray:
    """By pfn, other names: blocks of a kind are exchanged as a whole, and what was never handed out keeps its name."""
    blocks, world = canonical.pages.blocks, stepper.world
    fixed = set(range(world["fresh_block"], world["fresh_blocks_end"])) | {0}
    if blocks[SIZE, world["fresh_end"] - 1] == 1:
        fixed |= set(range(world["fresh_page"], world["fresh_end"]))
    names = np.arange(blocks.shape[1])
    heads = [pfn for pfn in names.tolist() if blocks[FIRST, pfn] == pfn and pfn not in fixed]
    for kind in {int(blocks[KIND, pfn]) for pfn in heads}:
        mine = [pfn for pfn in heads if blocks[KIND, pfn] == kind]
        for pfn, name in zip(mine, rng.sample(mine, len(mine)), strict=True):
            names[pfn : pfn + blocks[SIZE, pfn]] = np.arange(name, name + blocks[SIZE, pfn])
    return names


def form(canonical: Canonical, stepper: Stepper) -> bytes:
    """The canonical form of the state of a stepper."""
    buffer = stepper.world.buffer.copy()
    canonical.sort(buffer)
    return buffer[SMALL.state_at :].tobytes()
