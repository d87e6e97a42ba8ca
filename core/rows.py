"""The record of a row: programs are arrays of it."""

import numpy as np

OPERANDS = ("may_yield", "kind", "level", "value")
"""Operands a row can give its step; what they mean is the step's business, 0 is the default."""

ROW = np.dtype(
    [
        ("address", "i8"),  # machine code of the step; 0 when interpreted
        ("step", "i4"),  # code of the step
        ("jump", "i4"),  # not 0: *next* leads elsewhere than to the row below
        *((name, "i4") for name in OPERANDS),
    ]
)
"""One row, 32 bytes."""

END = -1
"""Target of an outcome that ends the program."""
