"""Reading KVM traces: the text of tracefs, `trace-cmd report` or `perf script`, as events and as operations.

`read_events` reads a file, `operations` turns its causes (faults, conversions, hypercalls) into operations of
the model. The parts, in traces/: files opens, text and lines parse by the table in formats,
events says what a record means, operations places operations.
"""

from collections.abc import Callable
from pathlib import Path

from gmembench.core.errors import UserError
from gmembench.core.operations import OPERATION
from gmembench.core.traces.events import (
    CHANGE_COLLAPSE,
    CHANGE_LINK,
    CHANGE_NAMES,
    CHANGE_NONE,
    CHANGE_OTHER,
    CHANGE_SET,
    CHANGE_SPLIT,
    CHANGE_UNLINK,
    CHANGE_ZAP,
    EVENT,
    EVENT_KINDS,
    KIND_NUMBER,
    Events,
)
from gmembench.core.traces.files import open_trace
from gmembench.core.traces.importer import BLOCK_BYTES, Importer
from gmembench.core.traces.operations import TraceOperations, conversions, operations

__all__ = [
    "CHANGE_COLLAPSE",
    "CHANGE_LINK",
    "CHANGE_NAMES",
    "CHANGE_NONE",
    "CHANGE_OTHER",
    "CHANGE_SET",
    "CHANGE_SPLIT",
    "CHANGE_UNLINK",
    "CHANGE_ZAP",
    "EVENT",
    "EVENT_KINDS",
    "KIND_NUMBER",
    "OPERATION",
    "Events",
    "TraceOperations",
    "conversions",
    "operations",
    "read_events",
]

Progress = Callable[[int, int], None]
"""Called with (bytes of the file read, bytes in all; 0 if unknown)."""


def read_events(path: Path | str, progress: Progress | None = None) -> Events:
    """Read a trace: plain text, gzip, xz or zstandard.

    Lines that cannot be read are counted and the others used. Memory: 64 bytes an event and a few blocks.
    Raises UserError if the file cannot be read, is no text, or holds no event of EVENT_KINDS.
    """
    path = Path(path)
    importer = Importer()
    with open_trace(path) as file:
        for block in file.blocks(BLOCK_BYTES):
            importer.feed(block, str(path))
            if progress is not None:
                progress(file.bytes_read(), file.total_bytes)
    events = importer.finish(str(path))
    if not len(events.events):
        raise _nothing(events)
    return events


def _nothing(events: Events) -> UserError:
    """What to say of a file without events."""
    what = f"holds no KVM event in {events.lines} lines"
    if events.malformed:
        what += f" ({events.malformed_lines} cannot be read, the first is line {events.malformed[0]})"
    elif events.unplaced:
        what += f" (other events: {', '.join(sorted(events.unplaced)[:3])})"
    mend = "record with trace-cmd record -e kvm -e kvmmmu, and give the text of trace-cmd report"
    return UserError(what, events.path, mend)
