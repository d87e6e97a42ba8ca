"""What Numba has no words for: operations whose machine code is written by hand, each with an interpreted twin."""
