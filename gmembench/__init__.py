"""gmembench: a benchmark and fault-injection suite for KVM guest private memory.

This package imports nothing, so that `gmembench --help` and the live engine start without NumPy and Numba.
"""

__version__ = "0.1.0"
