"""The text parser: reads every line by regular expressions, whatever tracer, mail or log it came through.

It decides what a line means. The compiled parser is a shortcut for the common case and must agree with it.
"""

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gmembench.core.traces.events import EVENT
from gmembench.core.traces.formats import FORMATS, LONGEST_NAME, SLOT_DEFAULTS, SLOTS, Field, fields

MALFORMED_KEPT = 20
"""So many line numbers of malformed lines are kept; all are counted."""

NAMES_KEPT = 1000
"""Names of unplaced events beyond this many are counted together, so that garbage cannot fill the memory."""

OTHER_NAMES = "(more names)"

WRAP_MOST_LINES = 4
"""A wrapped event takes at most so many lines (a kvm_exit of 200 characters at 72 columns takes three)."""

WRAP_COLUMNS = (40, 64, 84)
"""A mail wraps a line where the next word would pass column 64 to 80; what it leaves has 40 characters or more,
and quoting adds up to 4."""

_TIME = rb"(\d{1,9})\.(\d{9}|\d{6}):"
_FLAGS = rb"(?:[^ \d\r\n][^ \r\n]{2,7} +)?"
_EVENT = rb" +(?:\w+:)?(\w{1,%d}):(?: +(.*)|\Z)" % LONGEST_NAME

_TRACEFS = re.compile(rb"[^\[]+[- ](\d{1,9}) +\[(\d{1,4})\] +" + _FLAGS + _TIME + _EVENT, re.DOTALL)
"""tracefs and trace-cmd: `comm-pid [cpu] flags time: name: fields`; perf: `comm pid [cpu] time: group:name: fields`."""

_OTHER = re.compile(
    rb".+?[- ](?:\d{1,9}/)?(\d{1,9}) +(?:\( *[-\d]+\) +)?(?:\[(\d{1,4})\] +)?" + _FLAGS + _TIME + _EVENT,
    re.DOTALL,
)
"""The same with `pid/tid` or without the CPU (perf), or with the thread group (tracefs option record-tgid).
Groups of these, and of _QEMU_LOG: task, CPU, seconds, fraction, name, fields."""

_QEMU_LOG = re.compile(rb"(\d{1,9})@()(\d{1,9})\.(\d{6}):(\w{1,64}) (.*)", re.DOTALL)
_QEMU_MESSAGE = re.compile(rb"\bkvm_convert_memory (start .*)$")
_LOG = re.compile(rb"\b(MemoryFault|SEV-SNP|kvm_memory_fault|kvm_set_user_memory)\b")
_HEADER_BEGUN = re.compile(rb"[^\[]*[- ]\d{1,9} +\[\d{1,4}\](?: |$)")
_QUOTED = re.compile(rb"(?:> ?)+")
_LOST = re.compile(rb"\[LOST (\d{1,18}) EVENTS?\]|PERF_RECORD_LOST.* lost (\d{1,18})")
_WRITTEN = re.compile(rb"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})")
_NOTE = re.compile(
    rb"#|cpus=\d+$|version = \d+$|CPU \d+ is empty$|CPU:? ?\d+ \[(?:LOST|EVENTS DROPPED)|.*PERF_RECORD_LOST"
    rb"|[0-9a-f]{1,16} +[^ (].* \(.*\)$"
)
"""Lines that tracers print and that are no events; the last form is a line of a call chain of `perf script -g`:
`ffffffff8105b3f0 kvm_mmu_page_fault+0x55 ([kvm])`."""

_PRINTED = np.dtype(
    [(name, "u8" if name in ("gfn", "end", "old", "new", "code") else EVENT[name]) for name in EVENT.fields or ()]
)
"""EVENT with the 64-bit values unsigned, as they are printed."""

_COLUMNS = [list(EVENT.fields or ()).index(name) for name in SLOTS]
"""The column of each slot."""

_TIME_COLUMN = 0
_ORIGIN_COLUMNS = slice(6, 9)
"""line, task, cpu"""

Row = tuple[int, ...]


def _expression(parts: list[str | Field]) -> re.Pattern[bytes]:
    """The regular expression of a pattern of `formats`."""
    text = "".join(_literal(part) if isinstance(part, str) else _group(part) for part in parts)
    return re.compile(text.encode() + rb"(?=[ \r]|\Z)")


def _literal(text: str) -> str:
    return " +".join(re.escape(word) for word in text.split(" "))


def _group(part: Field) -> str:
    if part.slot < 0:
        return r"[^\x00-\x20()]+"
    if part.base == 16:
        return rf"(?:0x)?([0-9a-f]{{1,{part.most}}})(?![0-9a-f])"
    return rf"(\d{{1,{part.most}}})(?!\d)"


@dataclass(frozen=True)
class _Form:
    """A format ready for use. `fields`: (column of the row, base) of each group of the expression."""

    expression: re.Pattern[bytes]
    fields: tuple[tuple[int, int], ...]
    row: tuple[int, ...]  # what the columns hold where the text says nothing
    open_end: bool  # the last field may be cut off without a trace of it
    wrapped: bool

    @classmethod
    def of(cls, number: int) -> "_Form":
        form = FORMATS[number]
        parts = fields(form.pattern)
        kept = tuple((_COLUMNS[p.slot], p.base) for p in parts if isinstance(p, Field) and p.slot >= 0)
        row = [0] * len(EVENT.fields or ())
        for column, default in zip(_COLUMNS, SLOT_DEFAULTS, strict=True):
            row[column] = default % (1 << 64) if _PRINTED[column] == np.uint64 else default
        row[-1] = number
        return cls(_expression(parts), kept, tuple(row), isinstance(parts[-1], Field), form.wrapped)


_FORMS: dict[bytes, list[_Form]] = {}
for _number, _format in enumerate(FORMATS):
    _FORMS.setdefault(_format.kind.encode(), []).append(_Form.of(_number))


@dataclass
class _Pending:
    """Lines of an event that is not complete yet."""

    text: bytes
    lines: list[int]


@dataclass
class TextParser:
    """Reads lines one at a time; `rows` collects events as printed (see `formats.complete`)."""

    unplaced: dict[str, int] = field(default_factory=dict)
    malformed: list[int] = field(default_factory=list)
    malformed_lines: int = 0
    lost: int = 0
    rows: list[Row] = field(default_factory=list)
    _pending: _Pending | None = None
    _last_length: int = 0
    _last_wraps: bool = False
    _last_time_ns: int = 0

    @property
    def waiting(self) -> bool:
        """An event is incomplete, so the next line must come here."""
        return self._pending is not None

    def take(self) -> npt.NDArray[np.void]:
        """The rows collected since the last call as an EVENT array, as printed."""
        events = np.array(self.rows, dtype=_PRINTED).view(EVENT)
        self.rows = []
        return events

    def after(self, length: int, wraps: bool, time_ns: int) -> None:
        """The lines before the next one were read elsewhere.

        The last one has `length` characters, and `wraps` if a mail could have wrapped it. `time_ns` is the last
        time stamp, -1 if there was none.
        """
        self._last_length, self._last_wraps = length, wraps
        if time_ns >= 0:
            self._last_time_ns = time_ns

    def count(self, name: str, number: int = 1) -> None:
        """Count `number` events that are no kind of ours."""
        if name not in self.unplaced and len(self.unplaced) >= NAMES_KEPT:
            name = OTHER_NAMES
        self.unplaced[name] = self.unplaced.get(name, 0) + number

    def feed(self, line: bytes, number: int, terminated: bool = True) -> None:
        """Read line `number`, without its newline; `terminated` is False if the file ends without one."""
        text = line.replace(b"\t", b" ").strip(b" \r")
        quote = _QUOTED.match(text)
        if quote:
            text = text[quote.end() :].lstrip(b" ")
        cut = not terminated and not line.endswith(b"\r")
        match = _TRACEFS.match(text) or _OTHER.match(text)
        if match:
            self.finish()
            if not self._event(match, number, cut):
                self._pending = _Pending(text, [number])
        elif not self._note(text) and not self._log(text, number, cut):
            self._continuation(text, number, cut)
        self._last_length = len(line.rstrip(b" \r"))

    def finish(self) -> None:
        """No more lines: an event that is still incomplete is malformed."""
        if self._pending:
            pending, self._pending = self._pending, None
            for number in pending.lines:
                self._refuse(number)

    def _event(self, match: re.Match[bytes], number: int, cut: bool) -> bool:
        """Take the event of a line with a header; False if its fields are incomplete."""
        task, cpu, seconds, fraction, name, text = match.groups()
        time_ns = int(seconds) * 1_000_000_000 + int(fraction) * (1000 if len(fraction) == 6 else 1)
        self._last_time_ns = time_ns
        forms = _FORMS.get(name)
        if forms is None:
            self.count(name.decode())
            self._last_wraps = True
            return True
        return self._place(forms, text or b"", (number, int(task), int(cpu) if cpu else -1), cut)

    def _place(self, forms: list[_Form], text: bytes, origin: tuple[int, int, int], cut: bool) -> bool:
        """Add the row of an event; `origin` is (line, task, cpu). False if no form fits."""
        for form in forms:
            match = form.expression.match(text)
            if match is None:
                continue
            if cut and form.open_end and match.end() == len(text):
                return False
            row = list(form.row)
            for (column, base), digits in zip(form.fields, match.groups(), strict=True):
                row[column] = int(digits, base)
            row[_TIME_COLUMN] = self._last_time_ns
            row[_ORIGIN_COLUMNS] = origin
            self.rows.append(tuple(row))
            self._last_wraps = form.wrapped
            return True
        return False

    def _note(self, text: bytes) -> bool:
        """Take a line that tracers print beside the events, or an empty one."""
        if text and not _NOTE.match(text):
            return False
        self.finish()
        self._last_wraps = False
        lost, written = _LOST.search(text), _WRITTEN.match(text)
        if lost:
            self.lost += int(lost[1] or lost[2])
        if written:
            self.lost += max(0, int(written[2]) - int(written[1]))
        return True

    def _log(self, text: bytes, number: int, cut: bool) -> bool:
        """Take a line of a log of QEMU, libkrun or the kernel."""
        match = _QEMU_LOG.match(text)
        if match:
            self.finish()
            return self._event(match, number, cut)
        message = _QEMU_MESSAGE.search(text)
        if message:
            self.finish()
            return self._place(_FORMS[b"kvm_convert_memory"], message[1], (number, -1, -1), cut)
        log = _LOG.search(text)
        if log is None or self._pending:
            return False
        self.count(log[1].decode())
        self._last_wraps = True
        return True

    def _continuation(self, text: bytes, number: int, cut: bool) -> None:
        """Take a line without a header: the rest of a wrapped event, or its beginning, or garbage."""
        if self._pending:
            self._join(self._pending, text, number, cut)
        elif _HEADER_BEGUN.match(text):
            self._pending = _Pending(text, [number])
        elif not self._is_tail(text):
            self._last_wraps = False
            self._refuse(number)

    def _join(self, pending: _Pending, text: bytes, number: int, cut: bool) -> None:
        pending.text += b" " + text
        pending.lines.append(number)
        match = _TRACEFS.match(pending.text) or _OTHER.match(pending.text)
        if match and self._event(match, pending.lines[0], cut):
            self._pending = None
        elif len(pending.lines) == WRAP_MOST_LINES:
            self.finish()

    def _is_tail(self, text: bytes) -> bool:
        """A mail could have wrapped the last event here, which was complete without this text."""
        shortest, column, longest = WRAP_COLUMNS
        word = text.split(b" ", 1)[0]
        fits = shortest <= self._last_length <= longest and self._last_length + 1 + len(word) > column
        return self._last_wraps and fits

    def _refuse(self, number: int) -> None:
        self.malformed_lines += 1
        if len(self.malformed) < MALFORMED_KEPT:
            self.malformed.append(number)
