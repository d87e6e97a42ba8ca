"""Invariants: what must hold in every state. One file each, with a value `INVARIANT`."""
