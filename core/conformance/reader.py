"""Reading events as steps: what was a cause, and which leaf changes can follow from one.

A punch emits no event. It shows as KVM_HC_MAP_GPA_RANGE whose a2 has bits 1 (shared) and 2 (fallocate), the
flags of the kernel's own private_mem_conversions_test, and happens after KVM_EXIT_HYPERCALL and before the
task's kvm_vm_set_mem_attributes. Where a trace has no such attribute event (Linux 6.12), the hypercall
stands in for it at the same exit: bit 0 says "set attributes". A guest that follows the ABI instead sets
bit 4 for private (KVM_MAP_GPA_RANGE_ENCRYPTED); one such call in a trace makes all calls be read that way,
and then no punch is known. QEMU's own kvm_convert_memory lines stand in likewise.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmembench.core.conformance import tasks
from gmembench.core.conformance.gfns import REGION_SHIFT, DenseGfns, dense_gfns
from gmembench.core.conformance.steps import (
    CONVERT,
    EXIT_FAULT,
    FAULT,
    HYPERCALL,
    JOIN,
    OLD_SET,
    OLD_ZAP,
    PIECE,
    PREFAULT,
    PRIVATE,
    PUNCH,
    RESET,
    ROOT,
    SET,
    SPLIT,
    TEARDOWN,
    UNMAP,
    UNSURE,
    WRITE,
    ZAP,
    Script,
    Step,
)
from gmembench.core.conformance.vms import vm_of_events
from gmembench.core.traces.events import (
    ATTRIBUTE_PRIVATE,
    CHANGE_COLLAPSE,
    CHANGE_LINK,
    CHANGE_SET,
    CHANGE_SPLIT,
    CHANGE_UNLINK,
    CHANGE_ZAP,
    EXIT_HYPERCALL,
    MAP_GPA_RANGE,
)

SET_ATTRIBUTES, TO_SHARED, FALLOCATE = 1, 2, 4
"""Bits of a2 in private_mem_conversions_test.c: MAP_GPA_SET_ATTRIBUTES, _SHARED, _DO_FALLOCATE."""

ABI_PRIVATE = 1 << 4
"""KVM_MAP_GPA_RANGE_ENCRYPTED, bit 4 of a2 in the kernel's ABI (from memory, the header was not read)."""

ERROR_WRITE = 1 << 1
"""Bit 1 of a fault's error code: PFERR_WRITE on AMD, a data write in an EPT violation's qualification."""

ERROR_PRIVATE = 1 << 49
"""PFERR_PRIVATE_ACCESS."""

TOP_LEVEL = 4
"""Entries at level 4 hang on the root, or (five levels) under its few entries; all go when the VM goes."""

_LEAF_CHANGES = (CHANGE_SET, CHANGE_ZAP, CHANGE_COLLAPSE, CHANGE_SPLIT)
_BY_VCPU = frozenset({FAULT, EXIT_FAULT, PREFAULT, SET})


def read_script(events: npt.NDArray[np.void]) -> Script:
    """Turn an EVENT array into steps. Does not change the array."""
    vms = vm_of_events(events)
    facts = tasks.task_facts(events)
    gfns = _world(events)
    reader = _Reader(events, vms, facts, gfns)
    for index in range(len(events)):
        reader.read(index)
    return Script(
        steps=reader.steps,
        gfns=gfns,
        vcpus=reader.actors.vcpus,
        vms=len(reader.lives),
        facts=facts,
        retries_explained=tasks.explained_retries(events, vms, facts),
        faults=int((events["kind"] == tasks.FAULT).sum()),
        large_leaves=int((_is_leaf_change(events) & (events["level"] > 1)).sum()),
    )


def _calls(events: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Which events name a range of gfns to convert or punch."""
    named = np.isin(events["kind"], (tasks.ATTRIBUTES, tasks.CONVERT))
    hypercall = (events["kind"] == tasks.HYPERCALL) & (events["old"] == MAP_GPA_RANGE)
    return np.asarray((named | hypercall) & (events["gfn"] >= 0) & (events["end"] > events["gfn"]))


def _is_leaf_change(events: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    return np.isin(events["change"], _LEAF_CHANGES)


def _world(events: npt.NDArray[np.void]) -> DenseGfns:
    asked = np.isin(events["kind"], (tasks.FAULT, tasks.REQUESTED))
    touched = events["gfn"][_is_leaf_change(events) | asked]
    calls = events[_calls(events)]
    return dense_gfns(touched[touched >= 0], calls["gfn"], calls["end"])


def _spans(events: npt.NDArray[np.void], gfns: DenseGfns) -> list[tuple[int, int]]:
    """The dense gfns (first, end) of every event; meaningless where an event names none."""
    first = gfns.of(events["gfn"])
    last = gfns.of(np.where(_calls(events), events["end"] - 1, events["gfn"]))
    spans: list[tuple[int, int]] = list(zip(first.tolist(), (last + 1).tolist(), strict=True))
    for index in np.flatnonzero(_is_leaf_change(events) & (events["level"] > 1)).tolist():
        spans[index] = gfns.span(int(events["gfn"][index]), int(events["level"][index]))
    return spans


class _Actors:
    """Who faults: vCPUs by their number, tasks whose faults name no vCPU (older kernels) after them."""

    def __init__(self, events: npt.NDArray[np.void]) -> None:
        faults = events[events["kind"] == tasks.FAULT]
        self.vcpus = max(int(faults["vcpu"].max(initial=-1)) + 1, 1)
        self.of_task: dict[int, int] = {}
        for task, vcpu in faults[["task", "vcpu"]].tolist():
            if vcpu < 0 and task not in self.of_task:
                self.of_task[task] = self.vcpus
                self.vcpus += 1
            elif vcpu >= 0:
                self.of_task[task] = vcpu


class _Tables:
    """The top page tables of each VM: entries at level 4, by gfn."""

    def __init__(self) -> None:
        self.links: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))

    def link(self, vm: int, gfn: int) -> bool:
        """Count an entry; whether the VM had one there, so that this is another root."""
        self.links[vm][gfn] += 1
        return self.links[vm][gfn] > 1

    def unlink(self, vm: int, gfn: int) -> bool:
        """Drop an entry; whether it was the last one of the VM."""
        links = self.links[vm]
        links[gfn] -= 1
        if links[gfn] <= 0:
            del links[gfn]
        return not links


class _Births:
    """Which VMs are older than the trace, and what it has told of their attributes.

    A VM is older if the first page table that changes is not an entry at the top being linked. Where a trace
    holds no page tables at all, it is taken to be complete.
    """

    def __init__(self, events: npt.NDArray[np.void], vms: npt.NDArray[np.int64], gfns: int) -> None:
        tables = np.flatnonzero(np.isin(events["change"], (CHANGE_LINK, CHANGE_UNLINK)))
        self.known: dict[int, npt.NDArray[np.bool_]] = {}
        for vm, first in zip(*np.unique(vms[tables], return_index=True), strict=True):
            event = events[tables[first]]
            if event["change"] != CHANGE_LINK or event["level"] < TOP_LEVEL:
                self.known[int(vm)] = np.zeros(gfns, dtype=np.bool_)

    def seen(self, vm: int) -> bool:
        """Whether the trace saw the VM from its first page table on."""
        return vm not in self.known

    def learn(self, vm: int, gfn: int, end: int) -> bool:
        """Note that the range gets an attribute; whether all of it was known before."""
        if vm not in self.known:
            return True
        known = bool(self.known[vm][gfn:end].all())
        self.known[vm][gfn:end] = True
        return known

    def reset(self, vm: int) -> None:
        """The VM is gone; the next one will be seen from the start."""
        self.known.pop(vm, None)


class _Reader:
    """Turns one event after the other into steps."""

    def __init__(
        self,
        events: npt.NDArray[np.void],
        vms: npt.NDArray[np.int64],
        facts: tasks.TaskFacts,
        gfns: DenseGfns,
    ) -> None:
        self.kinds: list[int] = events["kind"].tolist()
        self.codes: list[int] = events["code"].tolist()
        self.gfn_of: list[int] = events["gfn"].tolist()
        self.change_of: list[int] = events["change"].tolist()
        self.level_of: list[int] = events["level"].tolist()
        self.vcpu_of: list[int] = events["vcpu"].tolist()
        self.vms: list[int] = vms.tolist()
        self.tasks: list[int] = events["task"].tolist()
        self.facts, self.gfns = facts, gfns
        self.spans = _spans(events, gfns)
        self.actors, self.tables = _Actors(events), _Tables()
        self.abi = _hypercall_abi(events)
        self.steps: list[Step] = []
        self.lives: set[tuple[int, int]] = set()
        self.resets: defaultdict[int, int] = defaultdict(int)
        self.depth: defaultdict[tuple[int, tuple[int, int]], int] = defaultdict(int)
        self.pending: dict[int, int] = {}
        self.met: set[int] = set()
        self.births = _Births(events, vms, len(gfns.regions) << REGION_SHIFT)

    def read(self, index: int) -> None:
        """Append the steps of one event."""
        kind = self.kinds[index]
        if kind != tasks.CHANGED:
            self.met.add(self.tasks[index])
        if kind == tasks.FAULT:
            self._fault(index)
        elif kind == tasks.CHANGED:
            self._changed(index)
        elif kind == self.abi.converts and self.abi.named[index]:
            self._convert(index, PRIVATE if self.codes[index] & ATTRIBUTE_PRIVATE else 0, index)
        elif kind == tasks.HYPERCALL:
            self._hypercall(index)
        elif kind == tasks.EXIT:
            self._exit(index)
        elif kind == tasks.UNMAP:
            self._step(UNMAP, index)
        elif index in self.facts.prefaults:
            self._step(PREFAULT, index, 0)

    def _step(self, operation: int, index: int, flags: int = 0, source: int | None = None) -> None:
        first, end = self.spans[index if source is None else source]
        task = self.tasks[index]
        actor = self.actors.of_task.get(task, 0) if operation in _BY_VCPU else self.actors.vcpus
        self.steps.append((operation, self.vms[index], task, first, end, flags, actor, index))

    def _fault(self, index: int) -> None:
        error, vcpu, task = self.codes[index], self.vcpu_of[index], self.tasks[index]
        flags = (WRITE if error & ERROR_WRITE else 0) | (PRIVATE if error & ERROR_PRIVATE else 0)
        if vcpu >= 0:
            self.actors.of_task[task] = vcpu
        self.pending.pop(task, None)
        self._step(EXIT_FAULT if index in self.facts.exits else FAULT, index, flags)

    def _hypercall(self, index: int) -> None:
        self._step(HYPERCALL, index)
        if self.abi.named[index] and self.abi.at_exit:
            self.pending[self.tasks[index]] = index
        elif self.abi.named[index]:
            self._call(index, index)

    def _exit(self, index: int) -> None:
        if self.codes[index] == EXIT_HYPERCALL and self.tasks[index] in self.pending:
            self._call(index, self.pending.pop(self.tasks[index]))

    def _call(self, index: int, hypercall: int) -> None:
        """What userspace does at `index` for the hypercall before: punch first, then convert."""
        punch, convert = self.abi.read(self.codes[hypercall])
        if punch:
            self._step(PUNCH, index, 0, hypercall)
        if convert is not None and self.abi.stands_in:
            self._convert(index, convert | (JOIN if punch else 0), hypercall)

    def _convert(self, index: int, flags: int, source: int) -> None:
        known = self.births.learn(self.vms[index], *self.spans[source])
        self._step(CONVERT, index, flags | (0 if known else UNSURE), source)

    def _changed(self, index: int) -> None:
        change, level, vm = self.change_of[index], self.level_of[index], self.vms[index]
        if change in _LEAF_CHANGES:
            self._leaf(index, change, level, (vm, self.spans[index]))
            self.lives.add((vm, self.resets[vm]))
        elif level == TOP_LEVEL and change == CHANGE_LINK and self.tables.link(vm, self.gfn_of[index]):
            self._step(ROOT, index)
        elif level == TOP_LEVEL and change == CHANGE_UNLINK and self.tables.unlink(vm, self.gfn_of[index]):
            self._step(RESET, index)
            self.resets[vm] += 1
            self.births.reset(vm)

    def _leaf(self, index: int, change: int, level: int, leaf: tuple[int, tuple[int, int]]) -> None:
        if change == CHANGE_ZAP:
            self._zap(index, level, self.depth[leaf])
            self.depth[leaf] = max(0, self.depth[leaf] - 1)
        elif change == CHANGE_SPLIT:
            self._step(SPLIT, index, level)
        else:
            self.depth[leaf] += 1
            self._step(SET if self._has_cause(index) else OLD_SET, index, level)

    def _zap(self, index: int, level: int, depth: int) -> None:
        """`depth`: sets of this leaf without a zap so far; more than one if there are several roots."""
        if index in self.facts.pieces:
            self._step(PIECE, index, level)
        elif index in self.facts.teardown:
            self._step(TEARDOWN, index, 0 if depth > 1 else level)
        elif self._has_cause(index) and (depth or self.births.seen(self.vms[index])):
            self._step(ZAP, index, level)
        else:
            self._step(OLD_ZAP, index, level)

    def _has_cause(self, index: int) -> bool:
        """Whether the trace can hold the cause of a change."""
        return self.births.seen(self.vms[index]) or self.tasks[index] in self.met


@dataclass(frozen=True)
class _HypercallAbi:
    """How the hypercalls of a trace are to be read.

    named: which events name a range. converts: the kind of event that is a conversion, -1 if none is.
    at_exit: userspace's part starts at KVM_EXIT_HYPERCALL, else (no such exit recorded) at the hypercall.
    stands_in: the hypercall is the only sign of a conversion. selftest: a2 holds the selftest's flags.
    """

    named: list[bool]
    converts: int
    at_exit: bool
    stands_in: bool
    selftest: bool

    def read(self, a2: int) -> tuple[bool, int | None]:
        """Whether a hypercall punches, and to what it converts (PRIVATE or 0; None: it does not)."""
        if not self.selftest:
            return False, PRIVATE if a2 & ABI_PRIVATE else 0
        punch = a2 & (TO_SHARED | FALLOCATE) == TO_SHARED | FALLOCATE
        if not a2 & SET_ATTRIBUTES:
            return punch, None
        return punch, 0 if a2 & TO_SHARED else PRIVATE


def _hypercall_abi(events: npt.NDArray[np.void]) -> _HypercallAbi:
    kinds, named = events["kind"], _calls(events)
    met = [kind for kind in (tasks.ATTRIBUTES, tasks.CONVERT) if (named & (kinds == kind)).any()]
    hypercalls = events["code"][named & (kinds == tasks.HYPERCALL)]
    return _HypercallAbi(
        named=named.tolist(),
        converts=met[0] if met else -1,
        at_exit=bool(((kinds == tasks.EXIT) & (events["code"] == EXIT_HYPERCALL)).any()),
        stands_in=not met,
        selftest=not (hypercalls & ABI_PRIVATE).any(),
    )
