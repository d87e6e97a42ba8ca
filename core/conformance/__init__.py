"""Checking a model against a trace: whether it makes the stage-2 changes that the kernel made."""
