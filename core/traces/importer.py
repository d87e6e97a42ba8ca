"""From blocks of text to an Events: cuts lines, chooses the parser for each, and grows the record array."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gmembench.core.errors import UserError
from gmembench.core.traces.events import EVENT, EVENT_KINDS, Events
from gmembench.core.traces.formats import complete
from gmembench.core.traces.text import TextParser

if TYPE_CHECKING:
    from gmembench.core.traces.lines import Stretch

BLOCK_BYTES = 1 << 21

LONGEST_LINE_BYTES = 1 << 20

ROOM_EVENTS = 1 << 15
"""At least so many records are free when a block is parsed."""

COMPILE_FROM_BYTES = 1 << 22
"""Text of more bytes goes to the compiled parser; with less, the text parser is done before Numba is imported."""


class _Records:
    """An EVENT array that grows. Events come as printed; `complete` makes them whole, once a block."""

    def __init__(self) -> None:
        self.array = np.zeros(ROOM_EVENTS, dtype=EVENT)
        self.count = 0
        self._completed = 0
        self._awaited: list[int] = []

    def room(self) -> npt.NDArray[np.void]:
        """The free records, zeroed, ROOM_EVENTS or more. Not to be kept: growing moves the array."""
        if self.array.size - self.count < ROOM_EVENTS:
            self.array.resize(self.count * 3 // 2 + ROOM_EVENTS, refcheck=False)
        return self.array[self.count :]

    def keep(self, count: int) -> None:
        """The first `count` free records hold events now."""
        self.count += count

    def await_events(self, number: int) -> None:
        """Set free records aside until `number` are: `complete` is to bring that many events."""
        for _ in range(number - len(self._awaited)):
            self.room()
            self._awaited.append(self.count)
            self.count += 1

    def complete(self, awaited: npt.NDArray[np.void]) -> None:
        """Put the awaited events in their places, and complete all that came since the last call."""
        self.array[np.array(self._awaited, dtype=np.int64)] = awaited
        self._awaited = []
        complete(self.array[self._completed : self.count])
        self._completed = self.count


def _can_compile() -> bool:
    """False where kernels run interpreted: the text parser is faster then."""
    from gmembench.core.jit import INTERPRETED

    return not INTERPRETED


class Importer:
    """Takes the text of a trace in blocks. `compiled` forces or forbids the compiled parser; None decides by size."""

    def __init__(self, compiled: bool | None = None) -> None:
        self._records = _Records()
        self._text = TextParser()
        self._compiled = compiled
        self._rest = b""
        self._lines = 0

    def feed(self, block: bytes, path: str) -> None:
        """Take the next block of text. Raises UserError if it is no text of lines."""
        if b"\0" in block:
            raise UserError(
                "is no text (it holds a zero byte)", path, "give the text of trace-cmd report or perf script"
            )
        self._rest += block
        if self._compiled is None:
            if len(self._rest) <= COMPILE_FROM_BYTES:
                return
            self._compiled = _can_compile()
        self._parse()
        if len(self._rest) > LONGEST_LINE_BYTES:
            line = self._lines + 1
            raise UserError(f"line {line} is longer than any of a trace", path, "give the text of trace-cmd report")

    def finish(self, path: str) -> Events:
        """The end of the text: what it held."""
        self._parse()
        if self._rest:
            self._lines += 1
            self._text.feed(self._rest, self._lines, terminated=False)
        self._text.finish()
        self._complete()
        records, text = self._records, self._text
        records.array.resize(records.count, refcheck=False)
        met = np.bincount(records.array["kind"], minlength=len(EVENT_KINDS))
        counts = {name: int(n) for name, n in zip(EVENT_KINDS, met, strict=True) if n}
        counts.update(text.unplaced)
        return Events(
            records.array, counts, text.unplaced, text.malformed, text.malformed_lines, self._lines, text.lost, path
        )

    def _parse(self) -> None:
        """Read the complete lines of what is there."""
        end = self._rest.rfind(b"\n") + 1
        if not end:
            return
        text, self._rest = self._rest[:end], self._rest[end:]
        if self._compiled:
            self._parse_compiled(text)
        else:
            self._parse_text(text)

    def _complete(self) -> None:
        self._records.await_events(len(self._text.rows))
        self._records.complete(self._text.take())

    def _parse_text(self, text: bytes) -> None:
        for line in text.split(b"\n")[:-1]:
            self._lines += 1
            self._text.feed(line, self._lines)
        self._complete()

    def _parse_compiled(self, text: bytes) -> None:
        """Let the compiled parser read until it refuses a line, the text parser read that one, and so on."""
        from gmembench.core.traces.lines import LineParser

        parser, block, at = LineParser(), np.frombuffer(text, dtype=np.uint8), 0
        while at < len(text):
            if not self._text.waiting:
                room = self._records.room()
                stretch = parser.parse(block, at, self._lines + 1, room)
                at = stretch.at
                self._taken(text, stretch)
                if at == len(text) or stretch.is_full(len(room)):
                    continue
            end = text.index(b"\n", at)
            self._lines += 1
            self._text.feed(text[at:end], self._lines)
            at = end + 1
            self._records.await_events(len(self._text.rows))
        self._complete()

    def _taken(self, text: bytes, stretch: "Stretch") -> None:
        """The compiled parser read some lines of `text`."""
        if not stretch.lines:
            return
        start = text.rfind(b"\n", 0, stretch.at - 1) + 1
        length = len(text[start : stretch.at].rstrip(b" \r\n"))
        self._text.after(length, stretch.may_wrap, stretch.time_ns)
        for name, number in Counter([text[start:end] for start, end in stretch.names]).items():
            self._text.count(name.decode(), number)
        self._records.keep(stretch.events)
        self._lines += stretch.lines
