"""From events to operations: who does what, where in the order, over which gfns."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmembench.core.errors import UserError
from gmembench.core.operations import OPERATION, PRIVATE, PROGRAM_NUMBER, PROGRAMS, WRITE
from gmembench.core.trace import EVENT_KINDS, TraceOperations, operations, read_events
from gmembench.core.traces.operations import REASONS, hypercall_flags
from gmembench.core.traces.space import MOST_GFNS, touched_space

TRACES = Path(__file__).resolve().parents[2] / "benchmarks" / "traces"


def place(folder: Path, *events: str, tasks: tuple[int, ...] = ()) -> TraceOperations:
    """The operations of a trace of these events, one a microsecond from second 5 on, by these tasks (or task 1)."""
    numbers = tasks or (1,) * len(events)
    lines = [f"q-{t} [000] ..... 5.{n:06d}: {e}\n" for n, (e, t) in enumerate(zip(events, numbers, strict=True))]
    path = folder / "kvm.trace"
    path.write_text("".join(lines))
    return operations(read_events(path))


def fault(gfn: int, code: int = 4, vcpu: int = 0) -> str:
    """A page fault."""
    return f"kvm_page_fault: vcpu {vcpu} rip 0x0 address {gfn << 12:#x} error_code {code:#x}"


def attributes(begin: int, end: int, value: int = 8) -> str:
    """An attribute change."""
    return f"kvm_vm_set_mem_attributes: {begin:#016x} -- {end:#016x} [{value:#x}]"


def hypercall(gfn: int, pages: int, flags: int) -> str:
    """A MAP_GPA_RANGE hypercall."""
    return f"kvm_hypercall: nr 0xc a0 {gfn << 12:#x} a1 {pages:#x} a2 {flags:#x} a3 0x0"


EXIT = "kvm_userspace_exit: reason KVM_EXIT_HYPERCALL (3)"


def told(result: TraceOperations) -> list[tuple[str, int, int, int, int]]:
    """(program, gfn, count, actor, flags) of each operation."""
    fields = result.operations[["program", "gfn", "count", "actor", "flags"]].tolist()
    return [(PROGRAMS[program], *rest) for program, *rest in fields]


def test_conversions_trace_has_the_operations_of_the_selftest() -> None:
    """64 attribute changes, 70 punches, 10 allocations and every fault, in two clusters."""
    result = operations(read_events(TRACES / "kvm-7.3.4-private_mem_conversions_test.trace.xz"))
    counts = np.bincount(result.operations["program"], minlength=len(PROGRAMS))
    assert {PROGRAMS[n]: int(c) for n, c in enumerate(counts) if c} == {
        "access": 28116,
        "convert": 64,
        "punch": 70,
        "allocate": 10,
    }
    assert result.slots == [(0, 1024, 0), (0x100000, 2048, 1024)]
    assert (result.vcpus, result.host_actor, result.gfns) == (2, 2, 3072)
    assert (result.hypercall_flags, result.conversions_from) == ("selftest", "kvm_vm_set_mem_attributes")
    assert sum(result.not_placed.values()) + 28116 + 64 + 80 == 112276


def test_every_kind_has_a_reason_for_being_left() -> None:
    """Whatever kind is not placed, there are words for it."""
    assert set(REASONS) == set(EVENT_KINDS)


def test_accesses_carry_vcpu_and_write_bit(tmp_path: Path) -> None:
    """Bit 1 of error_code is a write, also in an EPT exit qualification and beside bits above 32."""
    result = place(tmp_path, fault(0, 4), fault(1, 0x181 | 2, 7), fault(2, 0x500000004), fault(3, 0x200000006, 7))
    assert told(result) == [
        ("access", 0, 1, 0, 0),
        ("access", 1, 1, 1, WRITE),
        ("access", 2, 1, 0, 0),
        ("access", 3, 1, 1, WRITE),
    ]
    assert result.actor_names == ("vcpu 0", "vcpu 7")
    assert result.operations["time_ns"].tolist() == [0, 1000, 2000, 3000]


def test_old_faults_get_an_actor_for_each_task(tmp_path: Path) -> None:
    """Where the event names no vCPU, the thread is the actor."""
    old = ("kvm_page_fault: address 84d000 error_code 4", "kvm_page_fault: address 84e000 error_code 2")
    result = place(tmp_path, *old, old[0], tasks=(70, 50, 70))
    assert result.actor_names == ("task 50", "task 70")
    assert told(result) == [("access", 77, 1, 1, 0), ("access", 78, 1, 0, WRITE), ("access", 77, 1, 1, 0)]


def test_a_punch_comes_after_the_exit_and_before_the_attributes(tmp_path: Path) -> None:
    """The order of the selftest's VMM: exit of the hypercall, fallocate, attributes; other tasks may be between."""
    result = place(
        tmp_path,
        hypercall(0x400, 2, 7),
        fault(0x400, vcpu=1),
        EXIT,
        fault(0x401, vcpu=1),
        attributes(0x400, 0x402, 0),
        tasks=(1, 2, 1, 2, 1),
    )
    assert [name for name, *_ in told(result)] == ["access", "punch", "access", "convert"]
    assert result.operations["line"].tolist() == [2, 1, 4, 5]
    assert result.operations["time_ns"].tolist() == [1000, 2000, 3000, 4000]
    assert {row[3] for row in told(result) if row[0] != "access"} == {result.host_actor} == {1}


def test_without_the_exit_a_punch_is_at_its_hypercall(tmp_path: Path) -> None:
    """The exit of another task, or of a later hypercall, is not taken for it."""
    result = place(
        tmp_path, hypercall(0, 1, 6), fault(0), EXIT, fault(1), hypercall(1, 1, 4), EXIT, tasks=(1, 2, 2, 2, 1, 1)
    )
    assert [name for name, *_ in told(result)] == ["punch", "access", "access", "allocate"]


def test_hypercalls_stand_in_where_no_attribute_event_was_recorded(tmp_path: Path) -> None:
    """Bit 0 of the selftest's flags converts; punch and conversion of one call keep their order."""
    result = place(tmp_path, fault(0), hypercall(0, 2, 7), EXIT, hypercall(0, 2, 1), hypercall(0, 2, 6))
    assert told(result)[1:] == [
        ("punch", 0, 2, 1, 0),
        ("convert", 0, 2, 1, 0),
        ("convert", 0, 2, 1, PRIVATE),
        ("punch", 0, 2, 1, 0),
    ]
    assert result.conversions_from == "kvm_hypercall"


@pytest.mark.parametrize(
    ("values", "style"),
    [
        ((0x10, 0x0), "kvm"),
        ((0x11, 0x7), "kvm"),
        ((0, 1, 2), "kvm"),
        ((1, 3), "selftest"),
        ((6,), "selftest"),
        ((), "none"),
    ],
)
def test_flags_of_an_ordinary_guest_are_not_the_selftests(tmp_path: Path, values: tuple[int, ...], style: str) -> None:
    """Values with `encrypted` set, or that are page sizes, are the ABI's."""
    path = tmp_path / "kvm.trace"
    lines = [fault(0), *(hypercall(0, 1, value) for value in values)]
    path.write_text("".join(f"q-1 [000] ..... 5.000000: {line}\n" for line in lines))
    assert hypercall_flags(read_events(path)) == style


def test_encrypted_is_the_direction_in_the_abi(tmp_path: Path) -> None:
    """Bit 4 of a2 makes a range private, and nothing is punched."""
    result = place(tmp_path, fault(0), hypercall(0, 2, 0x10), hypercall(0, 2, 0))
    assert told(result)[1:] == [("convert", 0, 2, 1, PRIVATE), ("convert", 0, 2, 1, 0)]


def test_qemu_messages_give_conversions(tmp_path: Path) -> None:
    """A log without any KVM event of conversions is enough."""
    path = tmp_path / "qemu.log"
    path.write_text("kvm_convert_memory start 0x4000000 size 0x2000 shared_to_private\n")
    assert told(operations(read_events(path))) == [("convert", 0, 2, 0, PRIVATE)]


def test_a_conversion_counts_where_it_meets_touched_regions(tmp_path: Path) -> None:
    """A conversion of 512 GiB becomes one operation in each cluster, and costs no memory elsewhere."""
    result = place(tmp_path, attributes(0, 1 << 27), fault(0x1000), fault(0x300200), attributes(0x1001, 0x1003, 0))
    assert result.slots == [(0x1000, 512, 0), (0x300200, 512, 512)]
    assert told(result) == [
        ("convert", 0, 512, 1, PRIVATE),
        ("convert", 512, 512, 1, PRIVATE),
        ("access", 0, 1, 0, 0),
        ("access", 512, 1, 0, 0),
        ("convert", 1, 2, 1, 0),
    ]


def test_conversions_elsewhere_are_counted_as_not_placed(tmp_path: Path) -> None:
    """A conversion that meets no touched region, or is empty, is no operation."""
    result = place(tmp_path, fault(0), attributes(0x10000, 0x20000), attributes(5, 5), attributes(0, 1))
    assert result.not_placed == {"kvm_vm_set_mem_attributes": 2}


def test_conversions_alone_keep_their_ranges(tmp_path: Path) -> None:
    """Without any fault the ranges themselves are the world."""
    result = place(tmp_path, attributes(0x1000, 0x1400), attributes(0x1200, 0x1300, 0))
    assert result.slots == [(0x1000, 0x400, 0)]
    assert result.vcpus == 0
    assert told(result) == [("convert", 0, 0x400, 0, PRIVATE), ("convert", 0x200, 0x100, 0, 0)]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ((attributes(0, 1 << 27),), f"touches {1 << 27} gfns"),
        ((hypercall(0, 1 << 51, 6),), "touches"),
        (("kvm_entry: vcpu 0",), "holds no fault"),
        (tuple(fault(0, vcpu=n) for n in range(255)), "255 vCPUs"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, events: tuple[str, ...], says: str) -> None:
    """Too many gfns or vCPUs, or nothing to do, is one error line that names the file."""
    with pytest.raises(UserError, match=says) as caught:
        place(tmp_path, *events)
    assert str(tmp_path) in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 2_000)), min_size=1, max_size=12))
def test_space_holds_exactly_the_touched_regions(ranges: list[tuple[int, int]]) -> None:
    """Slots are the 2 MiB regions that some range touches, and no two are adjacent."""
    array = np.zeros(len(ranges), dtype=OPERATION)
    array["gfn"], array["count"] = zip(*ranges, strict=True)
    space = touched_space(array, "trace")
    regions = {gfn // 512 for first, count in ranges for gfn in range(first, first + count)}
    assert {first // 512 + n for first, count, _ in space.slots() for n in range(count // 512)} == regions
    assert all(a + n < b for (a, n, _), (b, _, _) in zip(space.slots(), space.slots()[1:], strict=False))
    assert sum(count for _, count, _ in space.slots()) == 512 * len(regions) <= MOST_GFNS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20_000), st.integers(1, 9_000)), min_size=1, max_size=20))
def test_conversions_are_cut_like_gfn_by_gfn(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[bool, int, int]]
) -> None:
    """Cutting ranges at slots gives each gfn the same history as converting gfn by gfn."""
    faults = [gfn for is_fault, gfn, _ in calls if is_fault] or [0]
    ranges = [(gfn, gfn + count) for is_fault, gfn, count in calls if not is_fault]
    events = [fault(gfn) for gfn in faults] + [attributes(*both) for both in ranges]
    result = place(tmp_path_factory.mktemp("trace"), *events)
    guest = {w + n: first + n for first, count, w in result.slots for n in range(count)}
    expected = {
        (gfn, n) for n, (a, b) in enumerate(ranges) for gfn in range(a, b) if gfn // 512 in {f // 512 for f in faults}
    }
    converts = result.operations[result.operations["program"] == PROGRAM_NUMBER["convert"]]
    seen = [
        (guest[gfn], int(op["line"]) - len(faults) - 1)
        for op in converts
        for gfn in range(op["gfn"], op["gfn"] + op["count"])
    ]
    assert len(seen) == len(set(seen))
    assert set(seen) == expected
