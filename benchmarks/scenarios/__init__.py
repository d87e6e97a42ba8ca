"""Scenarios: one file each, with a value `SCENARIO`."""
