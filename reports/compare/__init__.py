"""Comparing a run with a pool of earlier runs: counted numbers exactly, times by a test over processes."""
