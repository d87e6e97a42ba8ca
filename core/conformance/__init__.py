"""Checking a model against a trace: does it make the stage-2 changes that the kernel made?"""
