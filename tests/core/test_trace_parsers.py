"""The compiled parser and the text parser read every line the same way."""

import lzma
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gmembench.core.jit import INTERPRETED
from gmembench.core.trace import Events
from gmembench.core.traces.formats import FORMATS, Field, fields
from gmembench.core.traces.importer import Importer
from gmembench.core.traces.lines import FOREIGN_MOST
from gmembench.core.traces.text import TextParser

TRACES = sorted((Path(__file__).resolve().parents[2] / "benchmarks" / "traces").glob("*.xz"))

pytestmark = pytest.mark.skipif(INTERPRETED, reason="without compilation the text parser reads everything")

HEADERS = (
    " private_mem_con-68      [000] ...2.    18.605247: ",
    "CPU 5/KVM-4145 [000] d... 18.605247123: ",
    "<...>-1 [1]  18.605247: ",
    "qemu 12 [001] 3.000001: kvm:",
    "qemu 12 [001] 3.000001:  kvmmmu:",
    "qemu 12/13 [001] 3.000001: kvm:",
    "> qemu-12 [001] ..... 3.000001: ",
    "qemu-12 [001] 123 3.000001: ",
    "a 5 3.000001: 12/13 [001] 3.000001: kvm:",
)

PERF_HEADERS = (
    "       CPU 5/KVM    4145 [002]     3.000001:            kvm:",
    "        qemu-kvm    4145 [002]     3.000001:         kvmmmu:",
    "CPU 5/KVM    4100/4145  [002]     3.000001234:      kvm:",
    "qemu-kvm-4145 [002] d..1. 3.000001: kvm:",
)

CHAIN = (
    "\tffffffff8105b3f0 kvm_tdp_mmu_map+0x1a3 ([kernel.kallsyms])",
    "\t    7f12ab34cd56 std::f(int, char)+0x2 (/usr/bin/qemu (deleted))",
    "               0 [unknown] ([unknown])",
    "",
)
"""Lines of a call chain as perf script -g prints them, with the empty line that ends it."""

FOREIGN = (
    "sched_switch: prev_comm=a prev_pid=1 ==> next_comm=b [120]",
    "kvm_msr: msr_read 10 = 0x0",
    "kvm_page_fault_more: address 0x1000 error_code 0x6",
    "kvm:kvm_fpu: load",
    "fpu:x:y: 1",
    "nothing:",
    f"{'n' * 64}: x",
    f"{'n' * 65}: x",
)

PIECES = (
    "\n",
    "\r",
    "\t",
    " ",
    "  ",
    "0x",
    "x",
    "f",
    "0",
    "[",
    "]",
    "-",
    ":",
    ".",
    "> ",
    "#",
    "(",
    ")",
    " (",
    "/",
    ",",
    "1 [2] 3.000000: ",
    "\xff",
)


def both(data: bytes) -> tuple[Events, Events]:
    """What the compiled parser and the text parser make of the same bytes."""
    results = []
    for compiled in (True, False):
        importer = Importer(compiled)
        importer.feed(data, "trace")
        results.append(importer.finish("trace"))
    return results[0], results[1]


def assert_equal(data: bytes) -> None:
    """Both parsers must agree in everything."""
    fast, text = both(data)
    assert fast.events.tobytes() == text.events.tobytes()
    assert (fast.counts, fast.unplaced, fast.lost) == (text.counts, text.unplaced, text.lost)
    assert (fast.malformed, fast.malformed_lines, fast.lines) == (text.malformed, text.malformed_lines, text.lines)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_shipped_traces_are_read_the_same(path: Path) -> None:
    """Both parsers make the same bytes of each shipped trace."""
    assert_equal(lzma.decompress(path.read_bytes()))


def printed(pattern: str, number: int) -> str:
    """A pattern with numbers in its fields."""
    parts = []
    for part in fields(pattern):
        if isinstance(part, str):
            parts.append(part)
        elif part.slot < 0:
            parts.append("word")
        else:
            parts.append(f"{number % 10**part.most}" if part.base == 10 else f"{number:#x}")
    return "".join(parts)


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line of some tracer, most often with a few pieces put in or cut out."""
    form = draw(st.sampled_from(FORMATS))
    number = draw(st.integers(0, (1 << 64) - 1))
    event = draw(st.sampled_from(FOREIGN) | st.just(f"{form.kind}: " + printed(form.pattern, number)))
    headed = draw(st.sampled_from(HEADERS + PERF_HEADERS)) + event
    text = draw(st.sampled_from(CHAIN) | st.just(headed) | st.just(headed))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at + draw(st.integers(0, 3)) :]
    return text


@settings(max_examples=200, deadline=None)
@given(st.lists(lines(), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", ""]))
@example([HEADERS[0] + "kvm_entry: vcpu 1", ", rip 0x1"], "\n")
@example([HEADERS[0] + "kvm_msr: 1234567890123456789012345678", "tail", "tail"], "\n")
@example([HEADERS[0] + "kvm_entry: vcpu 1, rip 0x1", *CHAIN, "tail"], "\r\n")
@example([HEADERS[0] + "kvm_page_fault: vcpu 1 rip 0x1", "address 0x1000 error_code 0x6"], "\n")
def test_mutated_lines_are_read_the_same(texts: list[str], end: str) -> None:
    """Both parsers agree on lines that are almost right, also where the last one has no newline."""
    assert_equal(("\n".join(texts) + end).encode("latin-1"))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.kind)
def test_every_format_is_read_compiled(form: object) -> None:
    """A line of each format, as tracefs prints it, is one event of its kind for both parsers."""
    kind, pattern = form.kind, form.pattern  # type: ignore[attr-defined]  # a parameter of pytest
    data = f"{HEADERS[0]}{kind}: {printed(pattern, 3)}\n".encode()
    fast, text = both(data)
    assert fast.counts == text.counts == {kind: 1}
    assert fast.events.tobytes() == text.events.tobytes()


def refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Events, list[bytes]]:
    """What is read of a trace, and the lines that the compiled parser left to the text parser."""
    lines: list[bytes] = []
    feed = TextParser.feed

    def noting(parser: TextParser, line: bytes, number: int, terminated: bool = True) -> None:
        lines.append(line)
        feed(parser, line, number, terminated)

    with monkeypatch.context() as patch:
        patch.setattr(TextParser, "feed", noting)
        importer = Importer(compiled=True)
        importer.feed(data, "trace")
        return importer.finish("trace"), lines


@pytest.mark.parametrize("header", PERF_HEADERS)
def test_a_perf_trace_is_read_compiled(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of perf script with groups, call chains and other events is left to the text parser."""
    chain = "\n".join(CHAIN)
    texts = [header + f"{form.kind}: {printed(form.pattern, 3)}" for form in FORMATS]
    data = "".join(f"{text}\n{chain}\n{header}kvm_msr: msr_read 10 = 0x0\n" for text in texts).encode()
    events, lines = refused(data, monkeypatch)
    assert lines == []
    assert len(events.events) == events.unplaced["kvm_msr"] == len(FORMATS)
    assert set(events.events["task"].tolist()) == {4145}
    assert_equal(data)


def test_foreign_events_are_counted_the_same() -> None:
    """Both parsers count events that are no kind of ours by name, also beyond what a buffer of names holds."""
    foreign = "".join(f"{HEADERS[0]}{text}\n" for text in FOREIGN[:4])
    data = (foreign * (FOREIGN_MOST // 2) + HEADERS[0] + "kvm_entry: vcpu 1\n").encode()
    fast, _ = both(data)
    assert fast.counts == {
        "kvm_entry": 1,
        **dict.fromkeys(("sched_switch", "kvm_msr", "kvm_page_fault_more", "kvm_fpu"), FOREIGN_MOST // 2),
    }
    assert_equal(data)


def test_too_many_foreign_names_are_counted_the_same() -> None:
    """Both parsers keep the same names of those that are too many."""
    assert_equal("".join(f"{HEADERS[0]}name{n % 1500}: x\n" for n in range(4000)).encode())


def test_blocks_may_be_cut_anywhere() -> None:
    """The events do not depend on where the blocks of a file end."""
    data = lzma.decompress(TRACES[-1].read_bytes())
    whole, _ = both(data)
    for size in (1, 7, 1000):
        importer = Importer(compiled=False)
        for at in range(0, len(data), size):
            importer.feed(data[at : at + size], "trace")
        assert importer.finish("trace").events.tobytes() == whole.events.tobytes()


def test_fields_have_room_for_the_largest_numbers() -> None:
    """No field admits a number that its column in EVENT cannot hold."""
    for form in FORMATS:
        for part in fields(form.pattern):
            if isinstance(part, Field) and part.base == 10:
                assert part.most <= 9
