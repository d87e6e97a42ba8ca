"""From the events of a trace to operations of the model, over gfns that lie close together.

Faults become `access` by their vCPU, attribute changes become `convert`, and the hypercall MAP_GPA_RANGE of
KVM's selftests becomes `punch` or `allocate`. All but the accesses are done by one host actor, whichever
task did them: the model's host side is one VMM.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmembench.core.errors import UserError
from gmembench.core.operations import OPERATION, PRIVATE, PROGRAM_NUMBER, WRITE
from gmembench.core.traces.events import (
    ATTRIBUTE_PRIVATE,
    EVENT_KINDS,
    EXIT_HYPERCALL,
    KIND_NUMBER,
    MAP_GPA_RANGE,
    Events,
)
from gmembench.core.traces.space import Space, touched_space

Array = npt.NDArray[np.void]
Indices = npt.NDArray[np.int64]

ERROR_WRITE = 2
"""Bit 1 of error_code: a write. So in PFERR of x86 (AMD and shadow paging) and in Intel's EPT exit qualification."""

SELFTEST_ATTRIBUTES, SELFTEST_SHARED, SELFTEST_FALLOCATE = 1, 2, 4
"""Bits of a2 in private_mem_conversions_test.c: set attributes, make it shared, call fallocate."""

SELFTEST_BITS = 7

MAP_GPA_ENCRYPTED = 16
"""KVM_MAP_GPA_RANGE_ENCRYPTED, bit 4 of a2; bits 0 to 3 are the page size (0: 4K, 1: 2M, 2: 1G)."""

MOST_VCPUS = 254
"""`actor` of an operation is one byte, and the host actor needs a number too."""

MOST_OPERATIONS = 1 << 26
"""A conversion is one operation in each slot it meets; more than this many are refused."""

REASONS = {
    "kvm_unmap_hva_range": "carries a host virtual address, and no event tells which gfn lies there",
    "kvm_tdp_mmu_spte_changed": "an effect, not a cause: what the kernel set or zapped",
    "kvm_mmu_spte_requested": "an effect, not a cause: what a fault asked for",
    "kvm_mmu_set_spte": "an effect, not a cause: what a fault set",
    "fast_page_fault": "an effect, not a cause: how a fault ended",
    "kvm_userspace_exit": "places hypercalls in time, asks for nothing itself",
    "kvm_exit": "its cause, if it concerns memory, is a kvm_page_fault",
    "kvm_entry": "the end of an exit",
    "kvm_rmp_fault": "its cause is a kvm_page_fault too",
    "kvm_vmgexit_enter": "the range of a page state change is in guest memory, not in the event",
    "kvm_hypercall": "another hypercall, or one that asks for nothing, or its conversion is an event of its own",
    "kvm_convert_memory": "the same conversions are given by another event",
    "kvm_page_fault": "outside the range of gfns",
    "kvm_vm_set_mem_attributes": "an empty range, or one that meets no gfn of a fault, punch or allocation",
}
"""Why events of a kind are not operations."""


@dataclass(frozen=True)
class TraceOperations:
    """The operations of a trace.

    operations: OPERATION array. `gfn` is dense (world gfns), `line` the line of the cause, `time_ns` from the
        first event. In the order in which they happened: a punch comes after its task's KVM_EXIT_HYPERCALL.
    slots: (first guest gfn, gfns, first world gfn), ascending; 2 MiB aligned, no two adjacent.
    vcpus: vCPU actors; actor numbers 0 to vcpus - 1. host_actor: the number of the one host actor, = vcpus.
    actor_names: what each vCPU actor is in the trace: `vcpu 3`, or `task 123` where faults name no vCPU.
    not_placed: events that are no operation, by kind. REASONS says why.
    hypercall_flags: how a2 of MAP_GPA_RANGE is read: `selftest`, `kvm` or `none` (see `hypercall_flags`).
    conversions_from: the kind that gives the conversions, `none` if there is none.
    """

    operations: Array
    slots: list[tuple[int, int, int]]
    vcpus: int
    host_actor: int
    actor_names: tuple[str, ...]
    not_placed: dict[str, int]
    hypercall_flags: str
    conversions_from: str

    @property
    def gfns(self) -> int:
        """World gfns: the sum of all slots."""
        return sum(count for _, count, _ in self.slots)


def operations(events: Events) -> TraceOperations:
    """The operations that the events ask for.

    Conversions come from kvm_vm_set_mem_attributes; where the file has none, hypercalls stand in; where it
    has none either, QEMU's kvm_convert_memory. Only 2 MiB regions with a fault, a punch or an allocation
    become gfns of the world, and a conversion counts where it meets them. Without any, the conversions'
    own ranges are taken.
    Raises UserError if nothing can be placed, for more than 64 Mi dense gfns, more than 254 vCPUs, or a
    trace whose conversions meet too many slots.
    """
    array = events.events
    flags = hypercall_flags(events)
    source = _conversion_source(events)
    accesses, names = _accesses(array, events.path)
    punches = _punches(array) if flags == "selftest" else _none()
    conversions = _conversions(array, source, flags)
    causes = [accesses, punches, conversions]
    touched = np.concatenate([part.operations for part in causes[:2]])
    space = touched_space(touched if len(touched) else conversions.operations, events.path)
    order = np.concatenate([part.order for part in causes])
    placed, sources = _placed(space, np.concatenate([part.operations for part in causes]), order, events.path)
    if not len(placed):
        raise UserError("holds no fault, conversion or punch", events.path, "record the event kvm_page_fault too")
    placed["actor"][placed["program"] != PROGRAM_NUMBER["access"]] = len(names)
    placed["time_ns"] -= array["time_ns"].min()
    used = np.unique(np.concatenate([part.sources for part in causes])[sources])
    left = np.delete(array["kind"], used)
    not_placed = {EVENT_KINDS[kind]: int(n) for kind, n in enumerate(np.bincount(left)) if n}
    return TraceOperations(placed, space.slots(), len(names), len(names), names, not_placed, flags, source)


def hypercall_flags(events: Events) -> str:
    """How a2 of the MAP_GPA_RANGE hypercalls is used in this file.

    `kvm`: the ABI, page size in bits 0 to 3 and `encrypted` in bit 4 (Documentation/virt/kvm/x86/hypercalls.rst).
    `selftest`: the flags of KVM's private_mem_conversions_test in bits 0 to 2. They are assumed only if no value
    has a higher bit and one is 3 to 7, which is no page size; so an ordinary guest is never taken for the test.
    `none`: there is no such hypercall.
    """
    calls = events.of_kind("kvm_hypercall")
    used = np.unique(calls["code"][calls["old"] == MAP_GPA_RANGE])
    if not used.size:
        return "none"
    selftest = not (used & ~SELFTEST_BITS).any() and (used >= 3).any()
    return "selftest" if selftest else "kvm"


def conversions(events: Events) -> Array:
    """The conversions that a file asks for, as OPERATION over guest gfns, whole and in order (times as printed)."""
    return _conversions(events.events, _conversion_source(events), hypercall_flags(events)).operations


def _conversion_source(events: Events) -> str:
    calls = events.of_kind("kvm_hypercall")
    if "kvm_vm_set_mem_attributes" in events.counts:
        return "kvm_vm_set_mem_attributes"
    if (calls["old"] == MAP_GPA_RANGE).any():
        return "kvm_hypercall"
    return "kvm_convert_memory" if "kvm_convert_memory" in events.counts else "none"


@dataclass(frozen=True)
class _Causes:
    """Operations over guest gfns; `order` says where they come among the events, `sources` which event each is of."""

    operations: Array
    order: npt.NDArray[np.float64]
    sources: Indices


def _none() -> _Causes:
    return _Causes(np.zeros(0, dtype=OPERATION), np.zeros(0), np.zeros(0, dtype=np.int64))


def _make(array: Array, sources: Indices, order: npt.NDArray[np.float64]) -> _Causes:
    """One operation for each of the events `sources`, with its range and line, at the time of event `order`."""
    out = np.zeros(len(sources), dtype=OPERATION)
    out["gfn"] = array["gfn"][sources]
    out["count"] = np.maximum(array["end"][sources] - array["gfn"][sources], 0)
    out["line"] = array["line"][sources]
    out["time_ns"] = array["time_ns"][order.astype(np.int64)]
    return _Causes(out, order, sources)


def _accesses(array: Array, path: str) -> tuple[_Causes, tuple[str, ...]]:
    """Every kvm_page_fault as an access of its vCPU, or of its task where the old form names no vCPU."""
    at = np.flatnonzero(array["kind"] == KIND_NUMBER["kvm_page_fault"])
    causes = _make(array, at, at.astype(np.float64))
    vcpu, task = array["vcpu"][at].astype(np.int64), array["task"][at].astype(np.int64)
    named, actor = np.unique(np.where(vcpu >= 0, vcpu, (task + 1) << 16), return_inverse=True)
    if named.size > MOST_VCPUS:
        raise UserError(f"has faults of {named.size} vCPUs, at most {MOST_VCPUS} fit", path, "cut the trace by vCPU")
    causes.operations["program"] = PROGRAM_NUMBER["access"]
    causes.operations["actor"] = actor
    causes.operations["flags"] = np.where(array["code"][at] & ERROR_WRITE, WRITE, 0)
    names = tuple(f"task {(n >> 16) - 1}" if n >> 16 else f"vcpu {n}" for n in named.tolist())
    return causes, names


def _hypercalls(array: Array) -> tuple[Indices, npt.NDArray[np.float64]]:
    """MAP_GPA_RANGE hypercalls, and for each where the VMM acts on it.

    That is at the task's next KVM_EXIT_HYPERCALL if it comes before the task's next such hypercall, else at
    the hypercall itself (the event of exits was not recorded).
    """
    is_call = (array["kind"] == KIND_NUMBER["kvm_hypercall"]) & (array["old"] == MAP_GPA_RANGE)
    is_exit = (array["kind"] == KIND_NUMBER["kvm_userspace_exit"]) & (array["code"] == EXIT_HYPERCALL)
    calls, both = np.flatnonzero(is_call), np.flatnonzero(is_call | is_exit)
    by_task = both[np.argsort(array["task"][both], kind="stable")]
    follower = np.append(by_task[1:], -1)
    same = array["task"][follower] == array["task"][by_task]
    acted = np.where(same & is_exit[follower] & (follower >= 0), follower, by_task)
    place = np.zeros(len(array), dtype=np.int64)
    place[by_task] = acted
    return calls, place[calls].astype(np.float64)


def _punches(array: Array) -> _Causes:
    """Selftest hypercalls with the fallocate flag: a punch if the range becomes shared, else an allocation."""
    calls, order = _hypercalls(array)
    wanted = (array["code"][calls] & SELFTEST_FALLOCATE) != 0
    causes = _make(array, calls[wanted], order[wanted])
    shared = (array["code"][calls[wanted]] & SELFTEST_SHARED) != 0
    causes.operations["program"] = np.where(shared, PROGRAM_NUMBER["punch"], PROGRAM_NUMBER["allocate"])
    return causes


def _conversions(array: Array, source: str, flags: str) -> _Causes:
    """The conversions that events of the kind `source` ask for."""
    if source == "none":
        return _none()
    if source != "kvm_hypercall":
        at = np.flatnonzero(array["kind"] == KIND_NUMBER[source])
        causes = _make(array, at, at.astype(np.float64))
        private = (array["code"][at] & ATTRIBUTE_PRIVATE) != 0
    else:
        at, order = _hypercalls(array)
        code = array["code"][at]
        wanted = (code & SELFTEST_ATTRIBUTES) != 0 if flags == "selftest" else np.ones(len(at), dtype=np.bool_)
        causes = _make(array, at[wanted], order[wanted] + 0.5)
        private = (code[wanted] & SELFTEST_SHARED) == 0 if flags == "selftest" else (code & MAP_GPA_ENCRYPTED) != 0
    causes.operations["program"] = PROGRAM_NUMBER["convert"]
    causes.operations["flags"] = np.where(private, PRIVATE, 0)
    return causes


def _placed(space: Space, wanted: Array, order: npt.NDArray[np.float64], path: str) -> tuple[Array, Indices]:
    """The operations over world gfns in order, cut at the slots; with the index in `wanted` of each."""
    first, last = space.slots_met(wanted["gfn"], wanted["gfn"] + wanted["count"])
    pieces = np.maximum(last - first, 0)
    total = int(pieces.sum())
    if total > MOST_OPERATIONS:
        raise UserError(
            f"needs {total} operations, one a slot", path, "cut the trace, or leave out the widest conversions"
        )
    index = np.repeat(np.arange(len(wanted)), pieces)
    slot = first[index] + np.arange(total) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    out = wanted[index]
    begin = np.maximum(out["gfn"], space.first[slot])
    end = np.minimum(out["gfn"] + out["count"], space.first[slot] + space.count[slot])
    out["gfn"], out["count"] = begin - space.first[slot] + space.world[slot], end - begin
    ranks = np.argsort(order[index], kind="stable")
    return out[ranks], index[ranks]
