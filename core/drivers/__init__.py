"""Drivers: who runs the next step."""
