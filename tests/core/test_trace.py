"""Reading trace files: containers, variants of the line, what is counted, what is refused."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from gmembench.core.errors import UserError
from gmembench.core.trace import (
    CHANGE_SET,
    CHANGE_ZAP,
    EVENT,
    EVENT_KINDS,
    KIND_NUMBER,
    Events,
    read_events,
)
from gmembench.core.traces.importer import COMPILE_FROM_BYTES

TRACES = Path(__file__).resolve().parents[2] / "benchmarks" / "traces"

FAULT = "kvm_page_fault: vcpu 3 rip 0x402dc0 address 0x0000000000180000 error_code 0x200000006"
LINE = f" private_mem_con-72      [001] .....     7.022684: {FAULT}\n"


def read(folder: Path, text: str | bytes) -> Events:
    """Read a text as a file."""
    path = folder / "kvm.trace"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_events(path)


def refusal(path: Path) -> str:
    """The one line that says why a file is refused."""
    with pytest.raises(UserError) as caught:
        read_events(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (
            "private_mem_conversions_test",
            {
                "kvm_page_fault": 28116,
                "kvm_tdp_mmu_spte_changed": 55768,
                "kvm_vm_set_mem_attributes": 64,
                "kvm_hypercall": 104,
                "kvm_unmap_hva_range": 92,
                "kvm_userspace_exit": 254,
                "kvm_mmu_spte_requested": 27878,
            },
        ),
        (
            "demand_paging_test",
            {
                "kvm_page_fault": 4125,
                "kvm_tdp_mmu_spte_changed": 8280,
                "kvm_unmap_hva_range": 21,
                "kvm_userspace_exit": 3,
                "kvm_mmu_spte_requested": 4125,
            },
        ),
        (
            "private_mem_kvm_exits_test",
            {
                "kvm_page_fault": 16,
                "kvm_tdp_mmu_spte_changed": 44,
                "kvm_vm_set_mem_attributes": 2,
                "kvm_unmap_hva_range": 25,
                "kvm_userspace_exit": 2,
                "kvm_mmu_spte_requested": 14,
            },
        ),
    ],
)
def test_shipped_traces_are_read_without_loss(name: str, counts: dict[str, int]) -> None:
    """Every event line of the shipped traces becomes a record, as many as `grep` finds."""
    events = read_events(TRACES / f"kvm-7.3.4-{name}.trace.xz")
    assert events.counts == counts
    assert len(events.events) == sum(counts.values())
    assert (events.unplaced, events.malformed, events.lost) == ({}, [], 0)


def test_leaf_changes_of_the_conversions_trace() -> None:
    """As many leaves are zapped as set: 27,875, as all mappings are gone at the end of the test."""
    change = read_events(TRACES / "kvm-7.3.4-private_mem_conversions_test.trace.xz").events["change"]
    assert (change == CHANGE_SET).sum() == (change == CHANGE_ZAP).sum() == 27875


def test_record_has_64_bytes_and_kinds_fit_their_byte() -> None:
    """An event is one cache line."""
    assert EVENT.itemsize == 64
    assert {name: number for number, name in enumerate(EVENT_KINDS)} == KIND_NUMBER


@pytest.mark.parametrize(
    ("header", "task", "cpu"),
    [
        ("       CPU 5/KVM-4145  [002] d..1.    1.000002: ", 4145, 2),
        ("   a-b-c-77      [000] d...     1.000002: ", 77, 0),
        ("   <...>-12693   [059] .N...  1.000002: ", 12693, 59),
        ("   <idle>-0   [059]  1.000002: ", 0, 59),
        ("   lm3-16018   [001]     1.000002: ", 16018, 1),
        ("   lm3-16018   [001] d..1    1.000002000: ", 16018, 1),
        ("   lm3-16018   (  16000) [001] d..1.    1.000002: ", 16018, 1),
        ("   lm3-16018   (-------) [001] d..1.    1.000002: ", 16018, 1),
        ("CPU 5/KVM  4145 [002] 1.000002: kvm:", 4145, 2),
        ("CPU 5/KVM  4145 1.000002: kvm:", 4145, -1),
        ("qemu-kvm  4100/4145 [002] 1.000002000: kvm:", 4145, 2),
        ("qemu  4145 [002]     1.000002:       kvmmmu:", 4145, 2),
        ("> > qemu-4145 [002] .....    1.000002: ", 4145, 2),
        ("\tqemu-4145\t[002]\t.....\t1.000002: ", 4145, 2),
    ],
)
def test_headers_of_all_tracers(tmp_path: Path, header: str, task: int, cpu: int) -> None:
    """Task, CPU and time are found in the line of tracefs, trace-cmd and perf, whatever the comm."""
    events = read(tmp_path, f"{header}{FAULT}\n").events
    assert events[["task", "cpu", "time_ns"]].tolist() == [(task, cpu, 1_000_002_000)]
    assert events[["gfn", "end", "vcpu", "code"]].tolist() == [(0x180, 0x181, 3, 0x200000006)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kvm_exit: vcpu 4 reason npf rip 0x1 info1 0x1 requests 0x0000000000000000", {"vcpu": 4}),
        ("kvm_exit: reason EPT_VIOLATION rip 0x1 info 184 0", {"vcpu": -1}),
        ("kvm_entry: vcpu 4, rip 0x1 intr_info 0x1 error_code 0x0 [immediate exit]", {"vcpu": 4}),
        ("kvm_entry: vcpu 4", {"vcpu": 4}),
        ("kvm_mmu_spte_requested: gfn 180 pfn 1485 level 1 access f", {"gfn": 0x180, "code": 0x1485, "level": 1}),
        ("kvm_hypercall: nr 0xc a0 0x4000 a1 0x201 a2 0x7 a3 0x0", {"gfn": 4, "end": 0x205, "code": 7, "old": 12}),
        ("kvm_hypercall: nr 0x5 a0 0x1000 a1 0x1 a2 0x2 a3 0x9", {"gfn": -1, "end": -1, "code": 2, "new": 9}),
        ("kvm_hypercall: nr 0xc a0 0x0 a1 0xffffffffffffffff a2 0x10 a3 0x0", {"gfn": 0, "end": 1 << 52}),
        ("kvm_userspace_exit: reason KVM_EXIT_HYPERCALL (3)", {"code": 3}),
        ("kvm_userspace_exit: reason 0x27 (39)", {"code": 39}),
        ("kvm_userspace_exit: reason restart (4)", {"code": -4}),
        (
            "kvm_vmgexit_enter: vcpu 1, exit_reason 80000010, exit_info1 0, exit_info2 0",
            {"code": 0x80000010, "vcpu": 1},
        ),
        (
            "kvm_rmp_fault: vcpu 1 gpa 0000000100003000 pfn 0x99 error_code 0x580000004 rmp_level 2 psmash_ret 0",
            {"gfn": 0x100003, "new": 0x99, "level": 2, "code": 0x580000004},
        ),
        (
            "kvm_tdp_mmu_spte_changed: as id 0 gfn 0 level 4 old_spte ffffffffffffffff new_spte 8000000000000000",
            {"old": -1, "new": -(1 << 63), "level": 4},
        ),
        ("kvm_page_fault: vcpu 0 rip 0x0 address 0xfffffffffffff000 error_code 0x0", {"gfn": (1 << 52) - 1}),
    ],
)
def test_fields_of_each_event(tmp_path: Path, text: str, expected: dict[str, int]) -> None:
    """The fields of an event are read in the forms of old and new kernels, 64 bits wide."""
    event = read(tmp_path, f"qemu-1 [000] ..... 1.000000: {text}\n").events[0]
    assert {name: int(event[name]) for name in expected} == expected


def test_notes_of_tracers_are_no_errors(tmp_path: Path) -> None:
    """Comments and trace-cmd's notes are skipped, lost and overwritten events are counted."""
    notes = "cpus=2\n# tracer: nop\n# entries-in-buffer/entries-written: 10/15   #P:2\n\nCPU:1 [LOST 123 EVENTS]\n"
    events = read(tmp_path, notes + LINE + "CPU 1 is empty\n")
    assert (events.lost, events.malformed_lines, len(events.events), events.lines) == (128, 0, 1, 7)


def test_call_chains_are_no_errors(tmp_path: Path) -> None:
    """The lines that perf script -g prints below an event are skipped; garbage that looks similar is not."""
    chain = (
        "\tffffffff8105b3f0 kvm_tdp_mmu_map+0x1a3 ([kernel.kallsyms])\n"
        "\t    7f12ab34cd56 std::f(int, char)+0x2 (/usr/bin/qemu (deleted))\n"
        "\t               0 [unknown] ([unknown])\n"
        "\n"
    )
    events = read(tmp_path, (LINE + chain) * 3 + "\tffffffff8105b3f0 cut+0x1a3 ([kern\n" + LINE)
    assert (len(events.events), events.malformed, events.unplaced) == (4, [16], {})


def test_carriage_returns_change_nothing(tmp_path: Path) -> None:
    """A file with CRLF holds the same events."""
    text = LINE + LINE.replace("error_code 0x200000006", "error_code 0x4")
    assert read(tmp_path, text.replace("\n", "\r\n")).events.tolist() == read(tmp_path, text).events.tolist()


def test_malformed_lines_are_told_by_number(tmp_path: Path) -> None:
    """All malformed lines are counted, the first 20 by number, and the others are used."""
    events = read(tmp_path, LINE + "garbage\n" * 30 + LINE)
    assert events.malformed == list(range(2, 22))
    assert (events.malformed_lines, len(events.events), events.events["line"].tolist()) == (30, 2, [1, 32])


@pytest.mark.parametrize("keep", range(1, len(LINE)))
def test_a_line_that_was_cut_off_is_malformed(tmp_path: Path, keep: int) -> None:
    """Wherever the last line is cut, even within its last number, it is malformed and the rest is used."""
    events = read(tmp_path, LINE * 2 + LINE[:keep])
    blank = not LINE[:keep].strip()
    assert (len(events.events), events.malformed) == (2, [] if blank else [3])


def test_an_incomplete_event_is_malformed_if_nothing_continues_it(tmp_path: Path) -> None:
    """A header whose fields never come is malformed, and so is each garbage line that was taken for its rest."""
    events = read(tmp_path, LINE + LINE[:80] + "\n" + LINE + LINE[:80] + "\nnothing\n\n" + LINE)
    assert events.malformed == [2, 4, 5]
    assert len(events.events) == 3


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_are_told_by_their_first_bytes(tmp_path: Path, container: str) -> None:
    """A compressed trace under any name, also of several parts, holds the same events."""
    pack = CONTAINERS[container]
    events = read(tmp_path, pack(LINE.encode() * 1000) + pack(LINE.encode() * 500))
    assert (len(events.events), events.lines) == (1500, 1500)


@pytest.mark.parametrize("container", ["gz", "xz", "zst"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.98])
def test_a_compressed_file_that_ends_early_is_refused(tmp_path: Path, container: str, keep: float) -> None:
    """A truncated container is one error line that says so."""
    random = np.random.default_rng(1)
    text = "".join(LINE.replace("180000", f"{n:06x}") for n in random.integers(0, 1 << 24, 2000))
    data = CONTAINERS[container](text.encode())
    path = tmp_path / "kvm.trace"
    path.write_bytes(data[: int(len(data) * keep)])
    assert "ends in the middle" in refusal(path)


@pytest.mark.parametrize("container", ["gz", "xz", "zst"])
def test_a_damaged_container_is_refused(tmp_path: Path, container: str) -> None:
    """Bytes that were changed within the compressed data are one error line."""
    random = np.random.default_rng(1)
    text = "".join(LINE.replace("180000", f"{n:06x}") for n in random.integers(0, 1 << 24, 2000))
    data = bytearray(CONTAINERS[container](text.encode()))
    data[len(data) // 2 : len(data) // 2 + 64] = b"\xff" * 64
    path = tmp_path / "kvm.trace"
    path.write_bytes(data)
    assert "compressed data" in refusal(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02" * 100, "is no text"),
        (bytes(range(1, 256)) * 50, "holds no KVM event"),
        (b"hello\n", "the first is line 1"),
        (b"# tracer: nop\n", "holds no KVM event in 1 lines"),
        (b"a-1 [000] ..... 1.000000: sched_switch: x\n", "other events: sched_switch"),
        (b"\x17\x08\x44tracing\x00", "trace-cmd report"),
        (b"PERFILE2\x00", "perf script"),
        (b"x" * (6 << 20), "line 1 is longer"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    """A file without a usable event is one error line that says why."""
    path = tmp_path / "kvm.trace"
    path.write_bytes(data)
    assert says in refusal(path)


def test_paths_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A missing file and a folder are one error line each."""
    assert "does not exist" in refusal(tmp_path / "missing")
    assert "is a folder" in refusal(tmp_path)


def test_zstandard_is_named_if_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the zstandard package the error names it; other traces do not need it."""
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    assert len(read(tmp_path, LINE).events) == 1
    path = tmp_path / "kvm.trace"
    path.write_bytes(CONTAINERS["zst"](LINE.encode()))
    assert "pip install zstandard" in refusal(path)


def test_progress_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    """The callback gets bytes of the file as stored, rising to its size."""
    calls: list[tuple[int, int]] = []
    path = TRACES / "kvm-7.3.4-private_mem_conversions_test.trace.xz"
    read_events(path, lambda done, total: calls.append((done, total)))
    size = path.stat().st_size
    assert calls == sorted(calls)
    assert calls[-1] == (size, size)
    assert len(calls) > 3


def test_names_of_unplaced_events_are_bounded(tmp_path: Path) -> None:
    """A file of ever new event names does not grow the table without end, and all are counted."""
    lines = "".join(f"a-1 [000] ..... 1.000000: name{n}: x\n" for n in range(1500))
    events = read(tmp_path, LINE + lines)
    assert len(events.unplaced) == 1001
    assert sum(events.unplaced.values()) == 1500


def test_odd_lines_of_a_long_file_keep_their_place(tmp_path: Path) -> None:
    """In a file that goes to the compiled parser, wrapped, quoted and malformed lines are read in order too."""
    fault, rest = LINE.rstrip("\n").split(" address")
    odd = f"garbage\n{fault}\naddress{rest}\n> {LINE}"
    count = COMPILE_FROM_BYTES // len(LINE) // 2
    events = read(tmp_path, (LINE * count + odd) * 3)
    assert len(events.events) == 3 * (count + 2)
    assert events.malformed == [count + 1, 2 * count + 5, 3 * count + 9]
    assert (np.diff(events.events["line"]) > 0).all()
    assert set(events.events["gfn"].tolist()) == {0x180}
