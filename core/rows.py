"""The record of a row: programs are arrays of it."""

import numpy as np

OPERANDS = ("may_yield", "kind", "level", "value")
"""Operands a row can give its step; what they mean is the step's business, 0 is the default."""

ROW = np.dtype(
    [
        # filled by a driver, in its own copy
        ("address", "i8"),  # machine code of the step; 0 when interpreted
        ("branches", "i8"),  # address of this row's BRANCH records
        ("hits", "i8"),  # times it ran
        # filled by the assembler
        ("step", "u2"),  # code of the step
        ("jump", "u2"),  # not 0: *next* is a branch like every other outcome, else it leads to the row below
        ("position", "u4"),  # index of this row
        *((name, "i4") for name in OPERANDS),
    ]
)
"""One row, 48 bytes."""

BRANCH = np.dtype(
    [
        ("taken", "i8"),  # times it was taken
        ("way", "i8"),  # bytes from its row to the row that it leads to; LEAVE: back to the driver
    ]
)
"""What comes after one outcome of a row; a driver has an array of them, (row, outcome)."""

LEAVE = -1

END = -1
"""Target of an outcome that ends the program."""
