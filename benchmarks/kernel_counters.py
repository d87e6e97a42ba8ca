"""Counters of the suite of our own kernels (`pytest benchmarks`): stored as JSON, compared exactly."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gmembench.benchmarks.output import replace_file
from gmembench.core.errors import UserError

STORED = Path("tests", "data", "kernel_counters.json")
"""Where they are in a checkout."""

REGENERATE = "pytest benchmarks --benchmark-disable --write-counters"
"""The command that stores the counters of now."""

Counts = Mapping[str, int | str]

Kernel = Callable[..., None]
"""The fixture `kernel`."""

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a function is called with."""


def differences(stored: Counts, found: Counts) -> list[str]:
    """Each counter that is not as stored, in words."""
    names = sorted(set(stored) | set(found))
    return [
        f"{name}: {stored.get(name, 'nothing')} stored, {found.get(name, 'nothing')} counted"
        for name in names
        if stored.get(name) != found.get(name)
    ]


class KernelCounters:
    """The counters of a file, and those of this session, by the name of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored: dict[str, Counts] = {}
        self.found: dict[str, Counts] = {}
        if path.exists():
            try:
                self.stored = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"is no JSON ({error})", str(path), f"make it anew: {REGENERATE}") from None

    def note(self, name: str, counts: Counts) -> list[str]:
        """Take the counters of a test; what differs from those stored. Nothing differs where nothing is stored."""
        self.found[name] = dict(counts)
        return differences(self.stored[name], counts) if name in self.stored else []

    def save(self) -> None:
        """Store the counters of this session; those of tests that did not run stay."""
        text = json.dumps(self.stored | self.found, indent=1, sort_keys=True)
        replace_file(self.path, f"{text}\n")

    def summary(self) -> str:
        """What was compared, in a line."""
        without = [name for name in self.found if name not in self.stored]
        same = sum(self.found[name] == self.stored[name] for name in self.found if name in self.stored)
        told = f"counters: {same} of {len(self.found)} kernels are as stored in {self.path}"
        if not without:
            return told
        which = "all" if len(without) == len(self.found) else ", ".join(sorted(without))
        return f"{told}; there is no baseline for {which}, so nothing was compared there. To store one: {REGENERATE}"
