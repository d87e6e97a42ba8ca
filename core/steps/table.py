"""The compiled table of all steps: their addresses, and the call of a row's step."""

import numpy as np

from gmembench.core.jit import INTERPRETED, kernel, step_filler, step_invoker
from gmembench.core.rows import ROW
from gmembench.core.steps.registry import all_steps
from gmembench.core.world import ACTOR, HEADER

_functions = [step.function for step in all_steps()]
_fill = step_filler(_functions, (HEADER, ACTOR, ROW))

invoke = step_invoker(_functions, (HEADER, ACTOR, ROW))


@kernel
def _fill_table(table: np.ndarray) -> None:
    _fill(table)


def step_addresses() -> np.ndarray:
    """i8 array: the address of each step's machine code by step code; zeros when interpreted."""
    table = np.zeros(len(_functions), np.int64)
    if not INTERPRETED:
        _fill_table(table)
    return table
