"""Bytes a second of the importer of traces."""

from functools import cache

import pytest

from gmembench.benchmarks.kernel_counters import Kernel
from gmembench.benchmarks.scenarios.trace import SHIPPED
from gmembench.core.traces.files import open_trace
from gmembench.core.traces.importer import Importer

BYTES = {"compiled": 4 << 20, "plain": 1 << 18}
"""Of the trace that is read; the parser in plain Python is slower."""


@cache
def text() -> bytes:
    """The text of the trace that comes with the package."""
    with open_trace(SHIPPED) as file:
        return b"".join(file.blocks(1 << 20))


@pytest.mark.parametrize("parser", BYTES)
def test_importer(kernel: Kernel, parser: str) -> None:
    """A trace is read, from its text in memory to the events."""
    whole = text()[: BYTES[parser]]
    block = whole[: whole.rindex(b"\n") + 1]

    def read() -> dict[str, int]:
        importer = Importer(compiled=parser == "compiled")
        importer.feed(block, "trace")
        events = importer.finish("trace")
        return {"bytes": len(block), "events": len(events.events), "lines": events.lines, "lost": events.lost}

    kernel("importer", read, dict, rate=("bytes", "bytes"))
