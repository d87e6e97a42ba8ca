"""The parts of the trace check: dense gfns, and which VM an event belongs to."""

import random

import numpy as np
import numpy.typing as npt
import pytest

from gmembench.core.conformance.gfns import dense_gfns
from gmembench.core.conformance.vms import vm_of_events
from gmembench.core.traces.events import EVENT, KIND_NUMBER


def ints(*numbers: int) -> npt.NDArray[np.int64]:
    """An i8 array."""
    return np.array(numbers, dtype=np.int64)


def spte(task: int, gfn: int, old: int, new: int, level: int = 1) -> npt.NDArray[np.void]:
    """A change of a stage-2 entry; values are pages, 0 for none."""
    record = np.zeros(1, EVENT)
    record["kind"], record["task"] = KIND_NUMBER["kvm_tdp_mmu_spte_changed"], task
    record["gfn"], record["level"] = gfn, level
    record["old"], record["new"] = [value << 12 | (1 << 11) if value else 0 for value in (old, new)]
    return record


class TestDenseGfns:
    """Only what is touched takes room."""

    def test_clusters_join_neighbours(self) -> None:
        """Adjacent 2 MiB regions are one cluster."""
        world = dense_gfns(ints(5, 600, 5000), ints(), ints())
        assert world.clusters() == [(0, 1024), (4608, 512)]

    def test_gap_in_a_range_keeps_one_region(self) -> None:
        """Untouched space inside a converted range is one region, outside none."""
        far = 1 << 30
        world = dense_gfns(ints(0, 2 * far), ints(0), ints(far))
        assert world.clusters() == [(0, 1024), (far - 512, 512), (2 * far, 512)]

    def test_nothing_touched(self) -> None:
        """A trace without gfns has no clusters."""
        assert dense_gfns(ints(), ints(), ints()).clusters() == []

    @pytest.mark.parametrize("seed", range(10))
    def test_dense_gfns_count_through_the_clusters(self, seed: int) -> None:
        """The dense gfn is the offset in the clusters laid side by side; order and ranges survive."""
        chosen = random.Random(seed)
        touched = sorted(chosen.randrange(1 << 22) for _ in range(50))
        start = chosen.randrange(1 << 21)
        end = start + chosen.randrange(1, 1 << 21)
        world = dense_gfns(ints(*touched), ints(start), ints(end))
        offsets = {}
        total = 0
        for first, count in world.clusters():
            offsets |= {first + place: total + place for place in range(count)}
            total += count
        expected = [offsets[gfn] for gfn in touched]
        assert world.of(ints(*touched)).tolist() == expected
        assert world.of(ints(start, end - 1)).tolist() == [offsets[start], offsets[end - 1]]

    def test_span_of_large_leaves(self) -> None:
        """A leaf at level 2 maps 512 dense gfns, one at level 3 the touched regions of its GiB."""
        world = dense_gfns(ints(5, 600, 1 << 18), ints(), ints())
        assert world.span(600, 2) == (512, 1024)
        assert world.span(5, 3) == (0, 1024)
        assert world.gib_starts() == [0, 0, 1024]


class TestVms:
    """Stage-2 entries tell which tasks work on one VM."""

    def test_one_task_zaps_what_another_set(self) -> None:
        """Tasks that change each other's entries share a VM, even if they hold one gfn at once."""
        events = [spte(1, 5, 0, 10), spte(2, 5, 0, 11), spte(3, 5, 10, 0), spte(3, 5, 11, 0)]
        assert vm_of_events(np.concatenate(events)).tolist() == [0, 0, 0, 0]

    def test_same_gfn_at_the_same_time(self) -> None:
        """Two groups that hold an entry at one gfn are two VMs."""
        events = [spte(1, 5, 0, 10), spte(2, 5, 0, 11), spte(2, 5, 11, 0), spte(1, 5, 10, 0)]
        assert vm_of_events(np.concatenate(events)).tolist() == [0, 1, 1, 0]

    def test_one_after_the_other(self) -> None:
        """Without evidence of two VMs there is one."""
        events = [spte(1, 5, 0, 10), spte(1, 5, 10, 0), spte(2, 5, 0, 11)]
        assert vm_of_events(np.concatenate(events)).tolist() == [0, 0, 0]

    def test_tasks_without_entries(self) -> None:
        """A task that changes no entry belongs to the VM of the nearest thread id."""
        call = np.zeros(1, EVENT)
        call["kind"], call["task"] = KIND_NUMBER["kvm_vm_set_mem_attributes"], 99
        events = [spte(1, 5, 0, 10), spte(100, 5, 0, 11), call]
        assert vm_of_events(np.concatenate(events)).tolist() == [0, 1, 1]

    def test_no_events(self) -> None:
        """An empty trace has no VM."""
        assert vm_of_events(np.zeros(0, EVENT)).tolist() == []
