"""What the kernel's own selftests assert about private memory, as far as the model can say it.

One row of a table each: the selftest and the number of its assertion, what it asserts, the designs it applies
to, and operations with their expected outcomes. `NOT_EXPRESSIBLE` lists the assertions that the model has no
words for, with the reason. Sources: tools/testing/selftests/kvm of Linux 7.3 (guest_memfd_test.c,
pre_fault_memory_test.c, set_memory_region_test.c, x86/private_mem_conversions_test.c,
x86/private_mem_kvm_exits_test.c), and the in-place conversion series (x86/guest_memfd_conversions_test.c).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from small_worlds import ALL_DESIGNS, H0, H1, V0, V1, Machine, code_of, geometry

PAGES = 16
"""Gfns of the guest; a region of 2M has 4 of them."""
REGION = 4
ACTORS = {"V0": V0, "V1": V1, "H0": H0, "H1": H1}
ZERO = "zero"


@dataclass(frozen=True)
class Do:
    """An operation and the result it must have: `program actor gfn count`, flags by name."""

    program: str
    gfn: int = 0
    count: int = 1
    result: str = "OK"
    actor: str = "H0"
    private: bool = False
    slot: int = 0
    node: int = 0
    long: bool = False
    done: int | None = None


@dataclass(frozen=True)
class Write:
    """A store to each gfn of a range; what was stored has a name from then on. `result`: how it ends."""

    who: str
    name: str
    gfn: int = 0
    count: int = 1
    result: str = "OK"


@dataclass(frozen=True)
class Read:
    """A load from each gfn of a range, which must find what was stored under a name, or zero."""

    who: str
    name: str
    gfn: int = 0
    count: int = 1
    result: str = "OK"


@dataclass(frozen=True)
class Policy:
    """mbind() of the whole mapping: "interleave", or "bind:NODE"."""

    policy: str


@dataclass(frozen=True)
class OnNode:
    """The file's page behind each gfn of a range lies on the node given for it."""

    nodes: tuple[int, ...]
    gfn: int = 0


Operation = Do | Write | Read | Policy | OnNode


@dataclass(frozen=True)
class Assertion:
    """One assertion of a selftest. `changes`: of the geometry of a small world."""

    source: str
    what: str
    designs: tuple[str, ...]
    operations: tuple[Operation, ...]
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the test."""
        return f"{self.source}: {self.what}"


DUAL = ("guest-memfd", "fd-restricted")
"""Attributes in KVM, private memory in a file, shared memory in a VMA."""
FILES = ("guest-memfd", "guest-memfd-mmap", "guest-memfd-inplace")
MMAP = ("guest-memfd-mmap",)
INPLACE = ("guest-memfd-inplace",)


def host_write(name: str, gfn: int = 0, count: int = 1) -> Write:
    """The VMM stores."""
    return Write("H0", name, gfn, count)


def host_read(name: str, gfn: int = 0, count: int = 1) -> Read:
    """The VMM loads."""
    return Read("H0", name, gfn, count)


def guest_write(name: str, gfn: int = 0, count: int = 1) -> Write:
    """The guest stores."""
    return Write("V0", name, gfn, count)


def guest_read(name: str, gfn: int = 0, count: int = 1) -> Read:
    """The guest loads."""
    return Read("V0", name, gfn, count)


def to_private(gfn: int = 0, count: int = 1) -> Do:
    """Make a range private."""
    return Do("convert", gfn, count, private=True)


def to_shared(gfn: int = 0, count: int = 1) -> Do:
    """Make a range shared."""
    return Do("convert", gfn, count)


GUEST_MEMFD_TEST = (
    Assertion(
        "guest_memfd_test 7",
        "without INIT_SHARED every touch of the mapping is SIGBUS",
        INPLACE,
        (
            Write("H0", "x", 0, 1, "SIGBUS"),
            Read("H0", "x", 0, 1, "SIGBUS"),
        ),
    ),
    Assertion(
        "guest_memfd_test 8",
        "a pattern reads back; after a punch of page 0 it reads 0, the rest keeps the pattern, and it can be written",
        MMAP,
        (
            host_write("aa", 0, 4),
            host_read("aa", 0, 4),
            Do("punch", 0, 1),
            host_read(ZERO, 0),
            host_read("aa", 1, 3),
            host_write("bb", 0),
            host_read("bb", 0),
        ),
    ),
    Assertion(
        "guest_memfd_test 11",
        "pages land on the bound node; a policy set after the allocation takes effect only after a punch",
        MMAP,
        (
            Policy("bind:1"),
            host_write("aa", 0, 4),
            OnNode((1, 1, 1, 1)),
            Policy("bind:0"),
            host_read("aa", 0, 4),
            OnNode((1, 1, 1, 1)),
            Do("punch", 0, 4),
            host_write("bb", 0, 4),
            OnNode((0, 0, 0, 0)),
        ),
        {"nodes": 2},
    ),
    Assertion(
        "guest_memfd_test 11",
        "interleaved pages alternate between the nodes, whoever touches them",
        MMAP,
        (Policy("interleave"), Write("V0", "aa", 0, 2), Write("V1", "aa", 2, 2), OnNode((0, 1, 0, 1))),
        {"nodes": 2},
    ),
    Assertion("guest_memfd_test 12", "MADV_COLLAPSE fails with EINVAL", MMAP, (Do("collapse", 0, REGION, "EINVAL"),)),
    Assertion("guest_memfd_test 14", "allocating the whole file succeeds", FILES, (Do("allocate", 0, PAGES),)),
    Assertion("guest_memfd_test 14", "allocating at the size fails", FILES, (Do("allocate", PAGES, 1, "EINVAL"),)),
    Assertion(
        "guest_memfd_test 14", "allocating beyond the size fails", FILES, (Do("allocate", PAGES + 1, 1, "EINVAL"),)
    ),
    Assertion("guest_memfd_test 14", "punching at the size succeeds", FILES, (Do("punch", PAGES, 1),)),
    Assertion("guest_memfd_test 14", "punching beyond the size succeeds", FILES, (Do("punch", PAGES + 1, 1),)),
    Assertion(
        "guest_memfd_test 14",
        "a page can be punched and allocated again",
        FILES,
        (Do("allocate", 0, PAGES), Do("punch", 1, 1), Do("allocate", 1, 1)),
    ),
    Assertion(
        "guest_memfd_test 17",
        "host and guest see each other's stores in the whole file",
        MMAP,
        (
            host_write("aa", 0, PAGES),
            guest_read("aa", 0, PAGES),
            guest_write("ff", 0, PAGES),
            host_read("ff", 0, PAGES),
        ),
    ),
)

RANGES = ((0, 1), (0, REGION), (1, 1), (1, REGION), (REGION, 1))
"""(first gfn, gfns) of the selftest: (0,4K) (0,2M) (4K,4K) (4K,2M) (2M,4K)."""


def conversion(first: int, count: int, fallocate: bool, size: str) -> Assertion:
    """Items 1 to 4: a range goes private, its odd pages back to shared, then all of it.

    With `fallocate` the VMM punches what becomes shared, and allocates what becomes private, before it sets the
    attributes, as the selftest's handler does.
    """
    odd = [gfn for gfn in range(first, first + count) if (gfn - first) % 2]
    even = [gfn for gfn in range(first, first + count) if (gfn - first) % 2 == 0]
    alloc: tuple[Operation, ...] = (Do("allocate", first, count),) if fallocate else ()

    def punch(gfn: int, gfns: int) -> tuple[Operation, ...]:
        return (Do("punch", gfn, gfns),) if fallocate else ()

    steps: list[Operation] = [
        guest_write("init", 0, PAGES),
        guest_read("init", 0, PAGES),
        host_read("init", 0, PAGES),
        guest_write("p1", first, count),
        host_read("p1", first, count),
        *alloc,
        to_private(first, count),
        guest_write("p2", first, count),
        host_read("p1", first, count),
        guest_read("p2", first, count),
        *(guest_read("init", gfn) for gfn in range(PAGES) if not first <= gfn < first + count),
    ]
    for gfn in odd:
        steps += [*punch(gfn, 1), to_shared(gfn), host_read("p1", gfn), host_write("p3", gfn), guest_read("p3", gfn)]
    steps += [guest_read("p2", gfn) for gfn in even] + [host_read("p1", gfn) for gfn in even]
    steps += [*punch(first, count), to_shared(first, count)]
    for gfn in range(first, first + count):
        steps += [guest_write("p4", gfn), host_read("p4", gfn), host_write("p5", gfn), guest_read("p5", gfn)]
    how = "punching and allocating" if fallocate else "attributes alone"
    changes = {"shared_order": 2} if size == "2M" else {}
    what = f"gfns {first} to {first + count - 1} go private, odd pages and all come back, {how}, shared pages of {size}"
    return Assertion("private_mem_conversions_test 1-4", what, DUAL, tuple(steps), changes)


def pure_punch(precise: bool) -> Assertion:
    """Item 5: punched without a conversion, private memory reads 0."""
    punches = (
        tuple(Do("punch", gfn, 1) for gfn in range(REGION, 2 * REGION)) if precise else (Do("punch", REGION, REGION),)
    )
    return Assertion(
        "private_mem_conversions_test 5",
        f"private memory that is punched, {'page by page' if precise else 'at once'}, reads 0",
        (*DUAL, *INPLACE),
        (to_private(0, PAGES), guest_write("aa", 0, PAGES), *punches, guest_read(ZERO, REGION, REGION)),
    )


CONVERSIONS_TEST = (
    *(conversion(first, count, way, size) for size in ("4K", "2M") for way in (False, True) for first, count in RANGES),
    pure_punch(precise=True),
    pure_punch(precise=False),
)

EXITS_TEST = (
    Assertion(
        "private_mem_kvm_exits_test 1",
        "a private read after its memslot went exits with EFAULT, a private access of one page at its gpa",
        DUAL,
        (to_private(0, PAGES), guest_read(ZERO, 3), Do("slot_delete"), Read("V0", "x", 3, 1, "EFAULT PRIVATE 3")),
    ),
    Assertion(
        "private_mem_kvm_exits_test 2",
        "a private read in a memslot without a file exits with the same values",
        ("guest-memfd",),
        (to_private(0, PAGES), Read("V0", "x", 3, 1, "EFAULT PRIVATE 3")),
        {"file": False},
    ),
)


def prefaults(private: bool) -> tuple[Assertion, ...]:
    """Items 1 to 4, with shared or private memory: how much is left, with which errno; then the guest reads all."""
    kind, begin = ("private", (to_private(0, PAGES),)) if private else ("shared", ())
    slots = {"slots": ((0, REGION + 1),)}
    return (
        Assertion(
            "pre_fault_memory_test 2, 3",
            f"2M of {kind} memory at 0: nothing is left, and the guest reads it",
            ("guest-memfd",),
            (*begin, Do("prefault", 0, REGION, actor="V0", done=REGION), guest_read(ZERO, 0, REGION + 1)),
            slots,
        ),
        Assertion(
            "pre_fault_memory_test 2, 3",
            f"2 pages of {kind} memory of which the memslot holds one: one page is left",
            ("guest-memfd",),
            (*begin, Do("prefault", REGION, 2, actor="V0", done=1), guest_read(ZERO, 0, REGION + 1)),
            slots,
        ),
    )


PREFAULT_TEST = (
    *prefaults(private=False),
    *prefaults(private=True),
    Assertion(
        "pre_fault_memory_test 2, 3",
        "2M of shared memory that is mapped as one page: nothing is left",
        ("guest-memfd",),
        (Do("prefault", 0, REGION, actor="V0", done=REGION),),
        {"shared_order": 2},
    ),
    Assertion(
        "pre_fault_memory_test 2, 3",
        "a page behind the memslot: one page is left, ENOENT",
        ("guest-memfd",),
        (Do("prefault", REGION + 1, 1, "ENOENT", actor="V0", done=0),),
        {"slots": ((0, REGION + 1),)},
    ),
)

MEMORY_REGION_TEST = (
    Assertion(
        "set_memory_region_test 2",
        "a memslot with a file cannot log dirty pages",
        ("guest-memfd", "guest-memfd-mmap", "guest-memfd-inplace"),
        (Do("slot_flags", 0, 1, "EINVAL"),),
    ),
    Assertion(
        "set_memory_region_test 4",
        "a file of the same VM can be bound",
        FILES,
        (Do("slot_create", 8, 8, slot=1), guest_write("aa", 8, 8)),
        {"slots": ((0, 8),)},
    ),
    Assertion(
        "set_memory_region_test 5",
        "a memslot that overlaps another at its front or back is refused with EEXIST",
        FILES,
        (Do("slot_create", 2, 3, "EEXIST", slot=1), Do("slot_create", 11, 3, "EEXIST", slot=1)),
        {"slots": ((4, 8),)},
    ),
)


def private_turn(old: str, new: str, gfn: int = 0) -> tuple[Operation, ...]:
    """PRIVATE(old -> new) of the selftest: the host cannot touch the page, the guest reads old and writes new."""
    return (
        Write("H0", "x", gfn, 1, "SIGBUS"),
        guest_read(old, gfn),
        guest_write(new, gfn),
        Read("H0", "x", gfn, 1, "SIGBUS"),
    )


def shared_turn(old: str, host: str, new: str, gfn: int = 0) -> tuple[Operation, ...]:
    """SHARED(old -> host -> new): the host reads old and writes host, the guest reads it and writes new."""
    return (
        host_read(old, gfn),
        host_write(host, gfn),
        guest_read(host, gfn),
        guest_write(new, gfn),
        host_read(new, gfn),
    )


IN_PLACE_TEST = (
    Assertion(
        "guest_memfd_conversions_test 1",
        "init_private: data stay where they are through private, shared, private",
        INPLACE,
        (*private_turn(ZERO, "A"), to_shared(), *shared_turn("A", "B", "C"), to_private(), *private_turn("C", "E")),
    ),
    Assertion(
        "guest_memfd_conversions_test 2",
        "init_shared: data stay where they are through shared, private, shared",
        INPLACE,
        (*shared_turn(ZERO, "A", "B"), to_private(), *private_turn("B", "C"), to_shared(), *shared_turn("C", "D", "E")),
        {"init_private": False},
    ),
    *(
        Assertion(
            "guest_memfd_conversions_test 3",
            f"indexing: converting page {chosen} of four leaves the other three shared with their data",
            INPLACE,
            (
                *(part for gfn in range(4) for part in shared_turn(ZERO, "A", "B", gfn)),
                to_private(chosen),
                *private_turn("B", "C", chosen),
                *(part for gfn in range(4) if gfn != chosen for part in shared_turn("B", "D", "E", gfn)),
                to_shared(chosen),
                *shared_turn("C", "F", "G", chosen),
            ),
            {"init_private": False},
        )
        for chosen in range(4)
    ),
    Assertion(
        "guest_memfd_conversions_test 4",
        "a conversion before any allocation is remembered: to private",
        INPLACE,
        (to_private(), *private_turn(ZERO, "A")),
        {"init_private": False},
    ),
    Assertion(
        "guest_memfd_conversions_test 4",
        "a conversion before any allocation is remembered: to shared",
        INPLACE,
        (to_shared(), *shared_turn(ZERO, "A", "B")),
    ),
    *(
        Assertion(
            "guest_memfd_conversions_test 5",
            f"unallocated folios: all eight pages convert with only {present} present; those keep A, the others read 0",
            INPLACE,
            (
                *(host_write("A", gfn) for gfn in present),
                to_private(0, 8),
                *(guest_read("A" if gfn in present else ZERO, gfn) for gfn in range(8)),
                *(to_shared(gfn) for gfn in range(8)),
                *(host_read("A" if gfn in present else ZERO, gfn) for gfn in range(8)),
            ),
            {"init_private": False},
        )
        for present in ((0,), (3,), (7,), (2, 5))
    ),
    Assertion(
        "guest_memfd_conversions_test 6",
        "truncate: a punch keeps a private page private, its data read 0",
        INPLACE,
        (*private_turn(ZERO, "A"), Do("punch", 0, 1), *private_turn(ZERO, "B")),
    ),
    Assertion(
        "guest_memfd_conversions_test 6",
        "truncate: a punch keeps a shared page shared, its data read 0",
        INPLACE,
        (to_shared(), *shared_turn(ZERO, "A", "B"), Do("punch", 0, 1), *shared_turn(ZERO, "C", "D")),
    ),
    Assertion(
        "guest_memfd_conversions_test 7",
        "forked accesses: after the conversion both processes get SIGBUS",
        INPLACE,
        (
            to_shared(),
            host_write("A"),
            Read("H1", "A"),
            to_private(),
            Read("H0", "x", 0, 1, "SIGBUS"),
            Read("H1", "x", 0, 1, "SIGBUS"),
            guest_read("A"),
        ),
    ),
    Assertion(
        "guest_memfd_conversions_test (elevated refcount)",
        "a page that is pinned refuses to become private with EAGAIN, and converts after the pin went",
        INPLACE,
        (
            to_shared(0, 4),
            host_write("A", 0, 4),
            Do("host_pin", 2, 1),
            Do("convert", 0, 4, "EAGAIN", private=True),
            host_read("A", 0, 4),
            Do("host_unpin", 2, 1),
            to_private(0, 4),
            guest_read("A", 0, 4),
        ),
    ),
)

TABLE = (
    *GUEST_MEMFD_TEST,
    *CONVERSIONS_TEST,
    *EXITS_TEST,
    *PREFAULT_TEST,
    *MEMORY_REGION_TEST,
    *IN_PLACE_TEST,
)

NOT_EXPRESSIBLE = {
    "guest_memfd_test 1": "flags of KVM_CREATE_GUEST_MEMFD: a world has its file from the start",
    "guest_memfd_test 2": "two files, their sizes and inode numbers: a world has one file",
    "guest_memfd_test 3": "sizes that are no multiple of a page: the model counts in pages",
    "guest_memfd_test 4": "read, write, pread and pwrite: no such operations, since the file has none",
    "guest_memfd_test 5": "mmap without the MMAP flag: mapping is not an operation, a design has it or not",
    "guest_memfd_test 6": "MAP_PRIVATE: mappings of the file are shared ones",
    "guest_memfd_test 9": "a mapping four times the file: the file is as large as the guest",
    "guest_memfd_test 10": "reading a policy back: a policy is part of a world's geometry, no operation sets it",
    "guest_memfd_test 10 (refusal)": "a policy that does not exist is refused when a world is made",
    "guest_memfd_test 12 (other advice)": "MADV_HUGEPAGE and MADV_DONTNEED on the file's mapping: no such operations",
    "guest_memfd_test 13": "st_size and st_blksize: there is no stat",
    "guest_memfd_test 14 (unaligned)": "punches at and of one byte less than a page: the model counts in pages",
    "guest_memfd_test 15": "unaligned punches: the model counts in pages",
    "guest_memfd_test 16": "an offset near INT64_MAX: index and gfn are one number",
    "guest_memfd_test 17 (capabilities)": "what KVM_CHECK_EXTENSION says: a design has an operation or not",
    "private_mem_conversions_test 6": "kinds of exits: the VMM converts, the hypercall is not modelled",
    "private_mem_conversions_test 7": "the fallocate helper of the selftest finds the right memslot: one file",
    "private_mem_conversions_test 8": "the size of the file divides by the memslots: arithmetic of the selftest",
    "private_mem_conversions_test 9": "punch and allocate after the VM fd was closed: no operation closes it",
    "pre_fault_memory_test 1": "the size goes down exactly if there is no error: follows from the rows for 2 and 3",
    "pre_fault_memory_test 4": "the guest reads all pages at the end: part of the rows for 2 and 3",
    "pre_fault_memory_test (racing)": "memslot deletion beside the prefault: a schedule, not a sequence",
    "set_memory_region_test 1": "flags of the ioctl that do not exist",
    "set_memory_region_test 2 (read only)": "KVM_MEM_READONLY beside a file: read-only memory is out of scope",
    "set_memory_region_test 3": "file descriptors of another kind, of another VM, unaligned offsets",
    "set_memory_region_test 5 (file offsets)": "ranges of the file that overlap where gfns do not: both are one number",
    "sev_smoke_test": "MSRs and the GHCB of SEV: needs the hardware",
}
"""Assertion, or in parentheses a part of one that has a row -> why the model cannot express it."""


class Actors:
    """A machine, and the contents that were stored under names."""

    def __init__(self, design: str, changes: dict[str, Any]) -> None:
        self.machine = Machine(code_of(design), geometry(design, **changes))
        self.stored: dict[tuple[str, int], tuple[int, int, int]] = {}

    def run(self, operation: Operation) -> None:
        """Run one operation and assert its outcome."""
        if isinstance(operation, Do):
            self.do(operation)
        elif isinstance(operation, Policy):
            self.set_policy(operation)
        elif isinstance(operation, OnNode):
            self.check_nodes(operation)
        else:
            self.touch(operation)

    def do(self, op: Do) -> None:
        """An operation other than a load or store."""
        actor = ACTORS[op.actor]
        slot = op.node if op.program == "migrate" else op.slot
        result = self.machine.do(op.program, actor, op.gfn, op.count, private=op.private, slot=slot)
        assert result == op.result, op
        if op.done is not None:
            assert self.machine.actor(actor)["done"] == op.done, op

    def set_policy(self, op: Policy) -> None:
        """Another policy from here on."""
        numbers = replace(self.machine.world.geometry, policy=op.policy).policy_numbers
        self.machine.world.header["policy"], self.machine.world.header["policy_node"] = numbers

    def check_nodes(self, op: OnNode) -> None:
        """The nodes of the file's pages."""
        pfns = self.machine.world.arrays["cache"]["pfn"][op.gfn : op.gfn + len(op.nodes)]
        assert tuple(self.machine.world.arrays["pages"]["node"][pfns].tolist()) == op.nodes, op

    def touch(self, op: Write | Read) -> None:
        """Loads or stores, page by page, so that each page's content is compared."""
        actor, write = ACTORS[op.who], isinstance(op, Write)
        program = "access" if op.who.startswith("V") else "host_access"
        for gfn in range(op.gfn, op.gfn + op.count):
            result = self.machine.do(program, actor, gfn, write=write)
            record = self.machine.actor(actor)
            if op.result != "OK":
                assert op.result in {result, f"{result} {self.exit_of(record)}"}, op
                continue
            assert result == "OK", (op, gfn)
            content = tuple(int(record[name]) for name in ("content", "content_gfn", "content_gen"))
            if write:
                self.stored[op.name, gfn] = content
            else:
                expected = (0,) if op.name == ZERO else self.stored[op.name, gfn]
                assert content[: len(expected)] == expected, (op, gfn, content)

    @staticmethod
    def exit_of(record: Any) -> str:
        """Flags and gfn of the memory fault exit. Its size is always one page."""
        return f"{'PRIVATE' if record['is_private'] else 'SHARED'} {record['gfn']}"


def cases() -> Iterable[Any]:
    """Each assertion for each design that it applies to."""
    for number, assertion in enumerate(TABLE):
        for design in assertion.designs:
            yield pytest.param(assertion, design, id=f"{number}-{design}-{assertion.source.replace(' ', '_')}")


@pytest.mark.parametrize(("assertion", "design"), list(cases()))
def test_the_kernel_s_own_expectations(assertion: Assertion, design: str) -> None:
    """What a selftest of the kernel asserts holds in the model."""
    actors = Actors(design, assertion.changes)
    for operation in assertion.operations:
        actors.run(operation)


def test_every_assertion_is_in_the_table_or_has_a_reason() -> None:
    """Each numbered assertion of the selftests has a row, or a reason why it has none."""
    numbers = {
        "guest_memfd_test": range(1, 18),
        "private_mem_conversions_test": range(1, 10),
        "private_mem_kvm_exits_test": range(1, 3),
        "pre_fault_memory_test": range(1, 5),
        "set_memory_region_test": range(1, 6),
        "guest_memfd_conversions_test": range(1, 8),
    }
    expressed = {label for assertion in TABLE for label in labels(assertion.source)}
    for test, items in numbers.items():
        for item in items:
            assert (f"{test} {item}" in expressed) != (f"{test} {item}" in NOT_EXPRESSIBLE), f"{test} {item}"


def labels(source: str) -> list[str]:
    """`test 1-4` and `test 2, 3` as single labels."""
    test, _, numbers = source.partition(" ")
    if "-" in numbers:
        first, last = numbers.split("-")
        return [f"{test} {number}" for number in range(int(first), int(last) + 1)]
    return [f"{test} {number.strip()}" for number in numbers.split(",")]


def test_the_table_names_designs_that_exist() -> None:
    """A row for a design that is not there would never run."""
    assert {design for assertion in TABLE for design in assertion.designs} <= set(ALL_DESIGNS)
