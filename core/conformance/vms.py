"""Which VM an event belongs to: KVM's trace events carry no VM id, the stage-2 entries give it away.

Two tasks work on one VM if one changes an entry that the other set: the old value names the same page at
the same gfn and level. Groups of tasks that this evidence leaves apart are still taken for one VM, unless
both hold an entry at the same gfn and level at the same time. Tasks that never change an entry belong to
the VM of the nearest thread id, because the threads of a process are created one after the other.
What this cannot see: a second VM that maps no gfn while another VM has it mapped.
"""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from gmembench.core.traces.events import KIND_NUMBER, SPTE_PRESENT

PFN_MASK = ((1 << 52) - 1) & ~0xFFF
"""Bits 12 to 51 of an entry: the page that it names."""

_Change = tuple[int, int, int, int, int]
"""task, gfn, level, old and new value of an entry."""


def vm_of_events(events: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """The VM of each event of an EVENT array (i8, same length), numbered from 0 by first appearance."""
    tasks = np.unique(events["task"])
    numbers = np.zeros(len(tasks), dtype=np.int64)
    picked = events[events["kind"] == KIND_NUMBER["kvm_tdp_mmu_spte_changed"]]
    owners = np.unique(picked["task"])
    if len(owners) > 1:
        changes: list[_Change] = picked[["task", "gfn", "level", "old", "new"]].tolist()
        vm_of_owner = _number_groups(changes, _Groups(changes))
        nearest = np.abs(tasks[:, None].astype(np.int64) - owners[None, :]).argmin(axis=1)
        numbers = np.array([vm_of_owner[int(owners[place])] for place in nearest], dtype=np.int64)
    return numbers[np.searchsorted(tasks, events["task"])]


class _Groups:
    """Tasks that changed each other's entries: a union-find over thread ids."""

    def __init__(self, changes: list[_Change]) -> None:
        self.parent = {change[0]: change[0] for change in changes}
        live: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
        for task, gfn, level, old, new in changes:
            pages = live[gfn, level]
            if old & SPTE_PRESENT:
                self.parent[self.of(pages.pop(old & PFN_MASK, task))] = self.of(task)
            if new & SPTE_PRESENT:
                pages[new & PFN_MASK] = task

    def of(self, task: int) -> int:
        """The task that stands for the group of `task`."""
        while self.parent[task] != task:
            task = self.parent[task]
        return task


def _number_groups(changes: list[_Change], groups: _Groups) -> dict[int, int]:
    """The VM of each task: the first one whose groups never hold an entry at the same time as its own."""
    members: list[set[int]] = []
    vm_of_group: dict[int, int] = {}
    rivals = _rivals(changes, groups)
    for task in dict.fromkeys(change[0] for change in changes):
        group = groups.of(task)
        if group in vm_of_group:
            continue
        free = (vm for vm, others in enumerate(members) if not others & rivals[group])
        vm_of_group[group] = next(free, len(members))
        if vm_of_group[group] == len(members):
            members.append(set())
        members[vm_of_group[group]].add(group)
    return {task: vm_of_group[groups.of(task)] for task in groups.parent}


def _rivals(changes: list[_Change], groups: _Groups) -> defaultdict[int, set[int]]:
    """For each group the other groups that held an entry at the same gfn and level at the same time."""
    rivals: defaultdict[int, set[int]] = defaultdict(set)
    group_of = {task: groups.of(task) for task in groups.parent}
    if len(set(group_of.values())) == 1:
        return rivals
    live: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for task, gfn, level, old, new in changes:
        group, holders = group_of[task], live[gfn, level]
        if old & SPTE_PRESENT:
            holders.discard(group)
        if new & SPTE_PRESENT:
            for other in holders - {group}:
                rivals[group].add(other)
                rivals[other].add(group)
            holders.add(group)
    return rivals
