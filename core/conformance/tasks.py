"""What each task was doing: faults and their answers, runs of zaps, windows of invalidations.

One forward pass over the events of each task, without a model. It finds what no model could predict from
faults and calls alone: a fault that ends in an exit instead of an entry (the memslot or the file is not
there), a fault that KVM made for userspace (KVM_PRE_FAULT_MEMORY emits no kvm_page_fault,
arch/x86/kvm/mmu/mmu.c:5051-5072), the teardown of page tables, the pieces of a region that becomes one
large page.
"""

import errno
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gmembench.core.traces.events import (
    CHANGE_COLLAPSE,
    CHANGE_OTHER,
    CHANGE_SET,
    CHANGE_UNLINK,
    CHANGE_ZAP,
    EXIT_HYPERCALL,
    KIND_NUMBER,
    SPTE_PRESENT,
)

FAULT = KIND_NUMBER["kvm_page_fault"]
CHANGED = KIND_NUMBER["kvm_tdp_mmu_spte_changed"]
ATTRIBUTES = KIND_NUMBER["kvm_vm_set_mem_attributes"]
HYPERCALL = KIND_NUMBER["kvm_hypercall"]
UNMAP = KIND_NUMBER["kvm_unmap_hva_range"]
EXIT = KIND_NUMBER["kvm_userspace_exit"]
REQUESTED = KIND_NUMBER["kvm_mmu_spte_requested"]
CONVERT = KIND_NUMBER["kvm_convert_memory"]

CAUSES = frozenset({FAULT, ATTRIBUTES, HYPERCALL, CONVERT})
"""Kinds of events that close whatever their task did before."""

INVALIDATIONS = frozenset({ATTRIBUTES, CONVERT, UNMAP})
"""Kinds of events that announce an invalidation; a punch shows only as KVM_EXIT_HYPERCALL before it."""

NO_SLOT_EXITS = frozenset({6, 39})
"""KVM_EXIT_MMIO and KVM_EXIT_MEMORY_FAULT: KVM found nothing to map."""

_SWEEPS = (CHANGE_ZAP, CHANGE_UNLINK)

_Row = tuple[int, int, int, int, int, int, int]
"""kind, gfn, level, change, code, old, new of one event."""


@dataclass
class TaskFacts:
    """What the pass found, as indices into the EVENT array.

    exits: faults answered by an exit. open: faults that were still running when the trace ended.
    retries: faults without an answer, with the index at which their task went on.
    prefaults: requests that no fault asked for. teardown: zaps in a run that ends with page tables.
    pieces: zaps below an entry that became one large leaf. windows: invalidations (first, last) by task.
    """

    exits: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    retries: dict[int, int] = field(default_factory=dict)
    prefaults: set[int] = field(default_factory=set)
    teardown: set[int] = field(default_factory=set)
    pieces: set[int] = field(default_factory=set)
    windows: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


def task_facts(events: npt.NDArray[np.void]) -> TaskFacts:
    """Read an EVENT array task by task."""
    facts = TaskFacts()
    names = ["kind", "gfn", "level", "change", "code", "old", "new"]
    rows: list[_Row] = events[names].tolist()
    order = np.argsort(events["task"], kind="stable")
    for indices in np.split(order, np.flatnonzero(np.diff(events["task"][order])) + 1):
        places: list[int] = indices.tolist()
        if places:
            _read_faults(rows, places, facts)
            _read_sweeps(rows, places, facts)
            facts.windows[int(events["task"][places[0]])] = _windows(rows, places)
    return facts


def _read_faults(rows: list[_Row], places: list[int], facts: TaskFacts) -> None:
    """Follow the open fault of one task to its answer: an entry, an exit, or none."""
    fault = -1
    for place in places:
        kind, gfn = rows[place][:2]
        if kind in CAUSES:
            if fault >= 0:
                facts.retries[fault] = place
            fault = place if kind == FAULT else -1
        elif kind == REQUESTED and (fault < 0 or rows[fault][1] != gfn):
            facts.prefaults.add(place)
        elif fault >= 0 and _finds_nothing(rows[place], rows[fault][1]):
            facts.exits.add(fault)
            fault = -1
        elif fault >= 0 and _answers(rows[place], rows[fault][1]):
            fault = -1
    if fault >= 0 and _still_runs(rows, places, fault):
        facts.open.add(fault)
    elif fault >= 0:
        facts.retries[fault] = places[-1]


def _still_runs(rows: list[_Row], places: list[int], fault: int) -> bool:
    """Whether nothing but the request for its page follows `fault` in its task."""
    return all(rows[place][0] == REQUESTED for place in places[places.index(fault) + 1 :])


def _finds_nothing(row: _Row, gfn: int) -> bool:
    """Whether an event says that the running fault on `gfn` had no page to map."""
    kind, at, level, change, code, _, new = row
    if kind == EXIT:
        return code in NO_SLOT_EXITS or (code < 0 and code != -errno.EINTR)
    emulated = kind == CHANGED and change == CHANGE_OTHER and not new & SPTE_PRESENT
    return emulated and level == 1 and at == gfn


def _answers(row: _Row, gfn: int) -> bool:
    """Whether an event is an entry over `gfn` that its task set or changed."""
    kind, at, level, change = row[:4]
    if kind != CHANGED or change not in {CHANGE_SET, CHANGE_COLLAPSE, CHANGE_OTHER}:
        return False
    return at == gfn >> 9 * (level - 1) << 9 * (level - 1)


def _read_sweeps(rows: list[_Row], places: list[int], facts: TaskFacts) -> None:
    """Find the runs of zaps of one task: those that end in page tables, and those around a large leaf."""
    run: list[int] = []
    collapse: _Row | None = None
    for place in [*places, -1]:
        row = rows[place] if place >= 0 else None
        if row is not None and row[0] == CHANGED and row[3] in _SWEEPS:
            run.append(place)
            continue
        made = row if row is not None and row[0] == CHANGED and row[3] == CHANGE_COLLAPSE else None
        pieces = {at for at in run if _lies_below(rows[at], collapse) or _lies_below(rows[at], made)}
        facts.pieces.update(at for at in pieces if rows[at][3] == CHANGE_ZAP)
        rest = [at for at in run if at not in pieces]
        if rest and rows[rest[-1]][3] == CHANGE_UNLINK:
            facts.teardown.update(at for at in rest if rows[at][3] == CHANGE_ZAP)
        run, collapse = [], made


def _lies_below(row: _Row, collapse: _Row | None) -> bool:
    """Whether the entry of `row` lies under the large leaf of `collapse`."""
    if collapse is None or row[2] >= collapse[2]:
        return False
    shift = 9 * (collapse[2] - 1)
    return row[1] >> shift == collapse[1] >> shift


def _windows(rows: list[_Row], places: list[int]) -> list[tuple[int, int]]:
    """The invalidations of one task: each event that belongs to one, up to the task's next event."""
    after = dict(pairwise(places))
    return [(place, after.get(place, len(rows))) for place in places if _invalidates(rows[place])]


def _invalidates(row: _Row) -> bool:
    kind, change, code = row[0], row[3], row[4]
    return kind in INVALIDATIONS or change == CHANGE_ZAP or (kind == EXIT and code == EXIT_HYPERCALL)


def explained_retries(events: npt.NDArray[np.void], vms: npt.NDArray[np.int64], facts: TaskFacts) -> int:
    """How many retries overlap an invalidation by another task, or the entry that another task set there.

    events: EVENT array. vms: the VM of each event. The windows are coarse: they open when the call is
    announced, before it takes mmu_lock, and close with the task's next event that is no zap.
    """
    vm_of_task = dict(zip(events["task"].tolist(), vms.tolist(), strict=True))
    retries = facts.retries.items()
    return sum(_is_explained(events, fault, until, facts, vm_of_task) for fault, until in retries)


def _is_explained(
    events: npt.NDArray[np.void], fault: int, until: int, facts: TaskFacts, vm_of_task: dict[int, int]
) -> bool:
    task = int(events["task"][fault])
    for other, windows in facts.windows.items():
        if other != task and vm_of_task[other] == vm_of_task[task]:
            place = bisect_right(windows, until, key=lambda window: window[0]) - 1
            if place >= 0 and windows[place][1] >= fault:
                return True
    between = events[fault:until]
    shift = 9 * (np.maximum(between["level"], 1).astype(np.int64) - 1)
    covers = between["gfn"] >> shift == int(events["gfn"][fault]) >> shift
    theirs = (between["change"] == CHANGE_SET) & (between["task"] != task)
    return bool((covers & theirs).any())
