"""Trace conformance, pinned with a dictionary as the model.

The dictionary is the naive twin of the real model: the rules of guest_memfd on hardware without private
memory of its own, as far as leaf entries go, in slow and obvious Python.
"""

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gmembench.core.conformance.check import CONTROLS, Conformance, check
from gmembench.core.trace import read_events
from gmembench.core.traces.events import (
    CHANGE_SET,
    CHANGE_ZAP,
    EVENT,
    EXIT_HYPERCALL,
    KIND_NUMBER,
    MAP_GPA_RANGE,
    spte_changes,
)

TRACES = Path(__file__).parents[2] / "benchmarks" / "traces"
CONVERSIONS = "kvm-7.3.4-private_mem_conversions_test.trace.xz"
DEMAND_PAGING = "kvm-7.3.4-demand_paging_test.trace.xz"
EXITS = "kvm-7.3.4-private_mem_kvm_exits_test.trace.xz"

SOME = 20_000
"""Events that are enough where the whole trace would only take longer."""

Events = npt.NDArray[np.void]

NOTHING = -(1 << 63)
TABLE = 0x41BB0827
LARGE = 1 << 7


class DictionaryModel:
    """Which gfns are private, and which are mapped as what kind: nothing else."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.private: set[int] = set()
        self.mapped: dict[int, bool] = {}

    def apply(
        self, program: str, gfn: int, count: int, *, actor: int, write: bool, private: bool
    ) -> list[tuple[int, int, int]]:
        """Run a program."""
        gfns = range(gfn, gfn + count)
        if program == "convert":
            return self._convert(gfns, private)
        if program == "punch":
            return self._zap([gfn for gfn in gfns if self._obeys(gfn, True)])
        missing = [gfn for gfn in gfns if gfn not in self.mapped]
        self.mapped |= {gfn: gfn in self.private for gfn in missing}
        return [(gfn, 1, CHANGE_SET) for gfn in missing]

    def zap(self, gfn: int, count: int, kind: str) -> list[tuple[int, int, int]]:
        """Zap a range for a reason that the trace does not tell."""
        gfns = range(gfn, gfn + count)
        immune = self.variant == "private-immune" and kind == "unmap"
        return self._zap([gfn for gfn in gfns if not (immune and self.mapped.get(gfn))])

    def _convert(self, gfns: range, private: bool) -> list[tuple[int, int, int]]:
        if self.variant != "ignore-noop" and all((gfn in self.private) == private for gfn in gfns):
            return []
        if private:
            self.private.update(gfns)
        else:
            self.private.difference_update(gfns)
        if self.variant == "conversion-does-not-zap":
            return []
        return self._zap([gfn for gfn in gfns if self._obeys(gfn, not private)])

    def _obeys(self, gfn: int, kind: bool) -> bool:
        return self.variant != "obey-filter" or self.mapped.get(gfn) == kind

    def _zap(self, gfns: Sequence[int]) -> list[tuple[int, int, int]]:
        mapped = [gfn for gfn in gfns if gfn in self.mapped]
        for gfn in mapped:
            del self.mapped[gfn]
        return [(gfn, 1, CHANGE_ZAP) for gfn in mapped]


def run(events: Events, **options: Any) -> Conformance:
    """Check `events` with the dictionary."""
    return check(events, lambda variant, _clusters, _vcpus: DictionaryModel(variant), **options)


@cache
def trace(name: str) -> Events:
    """The events of a trace that comes with the suite."""
    return read_events(TRACES / name).events


@cache
def checked(name: str) -> Conformance:
    """The check of such a trace."""
    return run(trace(name))


def event(kind: str, task: int, gfn: int = 0, end: int | None = None, **fields: int) -> Events:
    """One event."""
    record = np.zeros(1, EVENT)
    record["kind"], record["task"], record["gfn"] = KIND_NUMBER[kind], task, gfn
    record["end"] = gfn + 1 if end is None else end
    for name, value in fields.items():
        record[name] = value
    return record


def fault(task: int, gfn: int) -> Events:
    """A fault by vCPU `task`."""
    return event("kvm_page_fault", task, gfn, vcpu=task)


def spte(task: int, gfn: int, old: int, new: int, level: int = 1) -> Events:
    """A stage-2 entry changes."""
    record = event("kvm_tdp_mmu_spte_changed", task, gfn, old=old, new=new, level=level)
    record["change"] = spte_changes(record["old"], record["new"], record["level"])
    return record


def leaf(gfn: int) -> int:
    """The value of a leaf entry for a gfn."""
    return (gfn + 0x1000) << 12 | 0xE67


def sets(task: int, gfn: int) -> Events:
    """A 4K leaf is set."""
    return spte(task, gfn, NOTHING, leaf(gfn))


def zaps(task: int, gfn: int) -> Events:
    """A 4K leaf is zapped."""
    return spte(task, gfn, leaf(gfn), NOTHING)


def touch(task: int, *gfns: int) -> Events:
    """Faults that set their entries."""
    return np.concatenate([part for gfn in gfns for part in (fault(task, gfn), sets(task, gfn))])


def table(task: int) -> Events:
    """A table below the top is linked."""
    return spte(task, 0, NOTHING, TABLE, 2)


def top(task: int) -> Events:
    """The first table of a VM is linked."""
    return spte(task, 0, NOTHING, TABLE + (task << 16), 4)


def unlink(task: int, owner: int) -> Events:
    """The last table of a VM is gone."""
    return spte(task, 0, TABLE + (owner << 16), NOTHING, 4)


def convert(task: int, gfn: int, end: int, private: bool) -> Events:
    """An attribute call."""
    return event("kvm_vm_set_mem_attributes", task, gfn, end, code=8 if private else 0)


def hypercall(task: int, gfn: int, end: int, flags: int) -> Events:
    """MAP_GPA_RANGE and its exit."""
    asked = event("kvm_hypercall", task, gfn, end, old=MAP_GPA_RANGE, code=flags)
    return np.concatenate([asked, event("kvm_userspace_exit", task, code=EXIT_HYPERCALL)])


def unmap(task: int) -> Events:
    """A host unmap somewhere."""
    return event("kvm_unmap_hva_range", task, 0x7F0000, 0x7F0001)


def join(*parts: Events) -> Events:
    """Events one after the other."""
    return np.concatenate(parts)


class TestRecordedTraces:
    """The three traces of Linux 7.3.4; the numbers are facts of the files."""

    def test_conversions_agree(self) -> None:
        """All 53,545 leaf changes that are no input are predicted, 2,205 zaps are given."""
        result = checked(CONVERSIONS)
        assert (result.agreement, result.verdict, result.vms) == (1.0, "agrees", 1)
        assert (result.counts["matched"], result.counts["leaf_changes"]) == (53_545, 55_750)
        assert result.counts["inputs"] == {"unmap": 2_205, "exit": 0, "prefault": 0, "slot": 0, "value": 0}
        assert result.inputs_share == pytest.approx(2_205 / 55_750)

    def test_conversions_pure(self) -> None:
        """Without inputs 51,364 are right; 2,205 zaps and 2,181 sets are missed, none is extra."""
        result = checked(CONVERSIONS)
        expected = {
            "matched": 51_364,
            "missed_sets": 2_181,
            "missed_zaps": 2_205,
            "extra_sets": 0,
            "extra_zaps": 0,
        }
        assert result.counts["pure"] == expected
        assert result.agreement_pure == pytest.approx(51_364 / 55_750)

    def test_conversions_retries(self) -> None:
        """All 241 faults without an entry overlap what another task did."""
        counts = checked(CONVERSIONS).counts
        assert (counts["faults"], counts["retries"], counts["retries_explained"]) == (28_116, 241, 241)

    @pytest.mark.parametrize(
        ("control", "agreement"),
        [
            ("obey-filter", 43_293 / 53_033),
            ("no-punch", 31_993 / 53_033),
            ("conversion-does-not-zap", 49_427 / 53_545),
            ("private-immune", 52_852 / 53_545),
            ("ignore-noop", 52_519 / (53_545 + 1_026)),
        ],
    )
    def test_conversions_controls(self, control: str, agreement: float) -> None:
        """Every wrong rule lowers the figure, by so many events."""
        result = checked(CONVERSIONS).controls[control]
        assert result.judged
        assert result.agreement == pytest.approx(agreement)

    def test_noop_calls_with_entries_left(self) -> None:
        """Two calls that change nothing leave 513 entries each in place: that judges the no-op test."""
        found = []
        private: set[int] = set()
        mapped: set[int] = set()
        for kind, gfn, end, code, change, line in trace(CONVERSIONS)[
            ["kind", "gfn", "end", "code", "change", "line"]
        ].tolist():
            if change == CHANGE_SET:
                mapped.add(gfn)
            elif change == CHANGE_ZAP:
                mapped.discard(gfn)
            elif kind == KIND_NUMBER["kvm_vm_set_mem_attributes"]:
                gfns, to_private = set(range(gfn, end)), bool(code & 8)
                if (gfns <= private if to_private else not gfns & private) and gfns & mapped:
                    found.append((line, len(gfns & mapped)))
                private = private | gfns if to_private else private - gfns
        assert found == [(93_440, 513), (96_779, 513)]

    def test_demand_paging(self) -> None:
        """Half of the leaf changes are first touches, the other half the unmap at the end."""
        result = checked(DEMAND_PAGING)
        assert (result.agreement, result.agreement_pure, result.inputs_share) == (1.0, 0.5, 0.5)
        assert (result.counts["matched"], result.counts["inputs"]["unmap"]) == (4_125, 4_125)
        assert result.retries_explained is None

    def test_exits(self) -> None:
        """Two VMs, one after the other; two faults on a missing slot are input."""
        result = checked(EXITS)
        assert (result.agreement, result.vms) == (1.0, 2)
        assert (result.counts["matched"], result.counts["inputs"]["unmap"]) == (14, 14)
        assert result.counts["inputs"]["exit"] == 2
        assert result.agreement_pure == pytest.approx(7 / 29)

    @pytest.mark.parametrize("name", [DEMAND_PAGING, EXITS])
    def test_traces_without_conversions_judge_no_control(self, name: str) -> None:
        """Where nothing converts or punches, each control says that the trace cannot judge."""
        controls = checked(name).controls
        assert {control.note for control in controls.values()} == {"this trace cannot judge"}
        assert not any(control.judged for control in controls.values())

    def test_half_is_not_above_half(self) -> None:
        """The headline speaks of more than half only above one half."""
        assert "more than half" not in checked(DEMAND_PAGING).headline

    @pytest.mark.parametrize("missing", ["vm_set_mem_attributes", "userspace_exit", "mmu_spte_requested"])
    def test_older_kernels_and_fewer_events(self, missing: str) -> None:
        """The hypercall stands in for attribute events (6.12), and other events may be left out."""
        events = trace(CONVERSIONS)[:SOME]
        whole, result = run(events), run(events[events["kind"] != KIND_NUMBER[f"kvm_{missing}"]])
        assert (result.agreement, result.counts["matched"]) == (1.0, whole.counts["matched"])

    def test_without_vcpu_numbers(self) -> None:
        """Old kvm_page_fault lines name no vCPU; the task stands for it."""
        events = trace(CONVERSIONS)[:SOME].copy()
        events["vcpu"] = -1
        assert run(events).agreement == 1.0

    @pytest.mark.parametrize("part", [slice(-SOME, None), slice(None, SOME)])
    def test_part_of_a_trace(self, part: slice) -> None:
        """A trace that starts late or ends early is no reason to disagree."""
        result = run(trace(CONVERSIONS)[part])
        assert result.agreement == 1.0
        assert result.counts["excluded"]["before"] + result.counts["excluded"]["open"] > 0

    def test_missing_hypercalls_fail(self) -> None:
        """Zaps without a cause above one percent fail the check, and the headline says so."""
        events = trace(CONVERSIONS)[:SOME]
        result = run(events[events["kind"] != KIND_NUMBER["kvm_hypercall"]])
        assert result.verdict == "disagrees"
        assert "have no cause in the trace" in result.headline

    @pytest.mark.parametrize("seed", [1, 2])
    def test_two_virtual_machines_at_once(self, seed: int) -> None:
        """However the events of two VMs interleave, each is checked against a model of its own."""
        first, second = trace(DEMAND_PAGING), trace(EXITS).copy()
        second["task"] += 1_000
        for name in ("old", "new"):
            changed = second["kind"] == KIND_NUMBER["kvm_tdp_mmu_spte_changed"]
            present = changed & (second[name] & (1 << 11) != 0)
            second[name][present] += 1 << 40
        result = run(shuffled(first, second, seed))
        assert (result.agreement, result.vms) == (1.0, 3)
        assert result.counts["matched"] == 4_125 + 14


def shuffled(first: Events, second: Events, seed: int) -> Events:
    """Two lists merged at random, each in its own order."""
    chosen = random.Random(seed)
    take = [False] * len(first) + [True] * len(second)
    chosen.shuffle(take)
    merged = np.empty(len(take), EVENT)
    merged[~np.array(take)], merged[np.array(take)] = first, second
    return merged


class TestMatching:
    """Each rule on a handful of events."""

    def test_a_fault_sets(self) -> None:
        """A fault on a gfn that is not mapped sets its entry."""
        result = run(touch(0, 5))
        assert (result.agreement, result.counts["matched_sets"]) == (1.0, 1)

    def test_set_on_the_wrong_gfn(self) -> None:
        """A planted error, one entry on another gfn, is a missed and an extra set."""
        result = run(join(touch(0, 5), fault(0, 6), sets(0, 7), touch(0, 8)))
        assert (result.counts["missed_sets"], result.counts["extra_sets"]) == (1, 1)
        assert result.agreement == 0.5
        assert result.verdict == "disagrees"

    def test_planted_error_in_a_trace(self) -> None:
        """One wrong gfn among thousands of leaf changes is seen."""
        events = trace(CONVERSIONS)[:SOME].copy()
        place = np.flatnonzero(events["change"] == CHANGE_SET)[3_000]
        events["gfn"][place] += 0x10_000
        result = run(events)
        assert result.agreement is not None
        assert result.agreement < 1
        assert result.counts["missed_sets"] >= 1

    def test_conversion_zaps(self) -> None:
        """An attribute call zaps what is mapped in its range, and nothing else."""
        result = run(join(touch(0, 5, 6), convert(1, 4, 6, True), zaps(1, 5)))
        assert (result.agreement, result.counts["matched_zaps"]) == (1.0, 1)

    def test_missing_zap_is_extra(self) -> None:
        """A zap that the model makes and the kernel does not is extra once the task goes on."""
        result = run(join(touch(0, 5, 6), convert(1, 5, 7, True), zaps(1, 5), touch(1, 9)))
        assert (result.counts["matched_zaps"], result.counts["extra_zaps"]) == (1, 1)

    def test_zap_that_the_model_lacks_is_missed(self) -> None:
        """A zap inside the range of a call that changes nothing is missed."""
        result = run(join(top(0), touch(0, 5), convert(1, 5, 6, False), zaps(1, 5)))
        assert result.counts["missed_zaps"] == 1
        assert result.verdict == "disagrees"

    def test_zap_belongs_to_the_latest_cause(self) -> None:
        """A zap predicted for one call does not match a zap that a later call of the task made."""
        calls = join(convert(1, 5, 6, True), convert(1, 0, 9, True), zaps(1, 5))
        result = run(join(touch(0, 5), calls))
        assert (result.counts["matched_zaps"], result.counts["extra_zaps"]) == (0, 1)

    def test_punch_zaps_at_the_exit(self) -> None:
        """Bits 1 and 2 of the hypercall punch at KVM_EXIT_HYPERCALL; shared entries go too."""
        result = run(join(touch(0, 5), hypercall(0, 5, 6, 7), zaps(0, 5), convert(0, 5, 6, False)))
        assert (result.agreement, result.counts["matched_zaps"]) == (1.0, 1)

    def test_allocation_changes_nothing(self) -> None:
        """Bit 2 without bit 1 allocates, which leaves entries alone."""
        result = run(join(top(0), touch(0, 5), hypercall(0, 5, 6, 4), zaps(0, 5)))
        assert result.counts["matched_zaps"] == 0

    def test_abi_hypercall_does_not_punch(self) -> None:
        """With bit 4 set somewhere, a2 holds the ABI's flags: bits 0 to 3 are a page size."""
        calls = join(hypercall(0, 5, 6, 0x10), zaps(0, 5), touch(0, 5), hypercall(0, 5, 6, 6), zaps(0, 5))
        result = run(join(touch(0, 5), calls))
        assert (result.agreement, result.counts["matched"]) == (1.0, 4)

    def test_missing_gap_is_remembered(self) -> None:
        """A call that changes only gfns that were never touched zaps the touched ones all the same."""
        far = 1 << 20
        calls = join(convert(1, 5, 6, True), zaps(1, 5), touch(0, 5), convert(1, 0, far, True), zaps(1, 5))
        result = run(join(touch(0, 5), calls, touch(0, far)))
        assert (result.agreement, result.counts["matched_zaps"]) == (1.0, 2)


class TestInputs:
    """What no model can know is input, counted by class."""

    def test_unmap(self) -> None:
        """A zap after the task's host unmap is given, and the next fault sets again."""
        result = run(join(touch(0, 5), unmap(1), zaps(1, 5), touch(0, 5)))
        assert (result.agreement, result.counts["inputs"]["unmap"]) == (1.0, 1)

    def test_unmap_in_a_call(self) -> None:
        """Zaps that a call owes are the call's, even after a host unmap."""
        result = run(join(touch(0, 5), convert(1, 5, 6, True), unmap(1), zaps(1, 5)))
        assert (result.counts["matched_zaps"], result.counts["inputs"]["unmap"]) == (1, 0)

    def test_share_above_one_half(self) -> None:
        """More than half of input is said in the headline."""
        half = join(touch(0, 5), unmap(1), zaps(1, 5))
        more = join(half, event("kvm_mmu_spte_requested", 1, 6), sets(1, 6))
        assert "more than half" not in run(half).headline
        assert "more than half" in run(more).headline

    def test_exit(self) -> None:
        """A fault that ends in an error exit maps nothing; retried after that, it does."""
        failed = join(fault(0, 5), event("kvm_userspace_exit", 0, code=-14))
        result = run(join(failed, touch(0, 5)))
        assert (result.agreement, result.counts["inputs"]["exit"]) == (1.0, 1)

    def test_signal_is_no_exit(self) -> None:
        """A fault cut short by a signal is a retry."""
        result = run(join(fault(0, 5), event("kvm_userspace_exit", 0, code=-4), touch(0, 5)))
        assert (result.counts["inputs"]["exit"], result.counts["retries"]) == (0, 1)

    def test_prefault(self) -> None:
        """A request without a fault makes its set an input, and the model has it mapped."""
        asked = join(event("kvm_mmu_spte_requested", 0, 5), sets(0, 5))
        result = run(join(asked, convert(1, 5, 6, True), zaps(1, 5)))
        assert (result.agreement, result.counts["inputs"]["prefault"]) == (1.0, 1)

    def test_slot(self) -> None:
        """A zap in a task that did nothing is given; above one percent it fails, unless explained."""
        events = join(top(0), touch(0, 5), zaps(1, 5), touch(0, 5))
        result = run(events)
        assert (result.agreement, result.counts["inputs"]["slot"]) == (1.0, 1)
        assert result.verdict == "disagrees"
        assert run(events, slot_reason="a kprobe saw the memslot go").verdict == "agrees"

    def test_teardown(self) -> None:
        """A run of zaps that ends in page tables is left out, and the VM starts anew."""
        end = join(zaps(0, 5), unlink(0, 0))
        result = run(join(top(0), touch(0, 5), end, top(0), touch(0, 5)))
        assert (result.agreement, result.counts["excluded"]["teardown"], result.vms) == (1.0, 1, 2)

    def test_entries_older_than_the_trace(self) -> None:
        """A zap of an entry that was there before the trace began is left out."""
        events = join(table(0), touch(0, 6), zaps(1, 5))
        result = run(events)
        assert (result.agreement, result.counts["excluded"]["before"]) == (1.0, 1)
        assert run(join(top(0), events)).counts["inputs"]["slot"] == 1

    def test_fault_older_than_the_trace(self) -> None:
        """A set whose fault came before the trace began is left out, and the entry is known."""
        result = run(join(table(0), sets(0, 5), touch(0, 6), unmap(1), zaps(1, 5), touch(0, 5)))
        assert (result.agreement, result.counts["excluded"]["before"]) == (1.0, 1)

    @pytest.mark.parametrize("changes", [True, False])
    def test_attributes_older_than_the_trace(self, changes: bool) -> None:
        """Of a call on gfns whose attribute is unknown, the kernel alone knows whether it changes any."""
        answer = join(zaps(1, 5), touch(0, 5)) if changes else zaps(2, 9)
        later = join(convert(1, 5, 6, False), zaps(1, 5))
        result = run(join(table(0), touch(0, 5), convert(1, 5, 6, True), answer, later))
        assert (result.agreement, result.counts["matched_zaps"]) == (1.0, 1)

    def test_second_root(self) -> None:
        """A second root beside the first drops all entries at once; the old root's zaps come late."""
        old_root = join(zaps(1, 5), spte(1, 0, TABLE, NOTHING, 4))
        result = run(join(top(0), touch(0, 5), top(0), touch(0, 5), old_root, touch(0, 6)))
        assert (result.agreement, result.counts["matched_sets"]) == (1.0, 3)
        assert result.counts["excluded"]["root"] == 1


class TestRaces:
    """Faults and calls that overlap are no error."""

    def test_retry(self) -> None:
        """A fault that sets nothing and comes again is a retry, explained by the other task's call."""
        events = join(touch(0, 6), convert(1, 5, 9, True), fault(0, 5), zaps(1, 6), touch(0, 5))
        result = run(events)
        assert result.agreement == 1.0
        assert (result.counts["retries"], result.retries_explained) == (1, 1.0)

    def test_unexplained_retry(self) -> None:
        """A retry for no visible reason is no error either, but is not explained."""
        result = run(join(fault(0, 5), touch(0, 5)))
        assert (result.agreement, result.retries_explained) == (1.0, 0.0)

    def test_lost_to_another_vcpu(self) -> None:
        """Of two faults on a gfn one sets, no matter which."""
        result = run(join(fault(0, 5), fault(1, 5), sets(1, 5), touch(0, 6)))
        assert (result.agreement, result.counts["retries_explained"]) == (1.0, 1)

    def test_fault_in_flight_at_a_call(self) -> None:
        """A fault that is running when a call zaps its gfn may set before the zap, or be retried."""
        before = join(fault(0, 5), convert(1, 5, 6, True), sets(0, 5), zaps(1, 5), touch(0, 5))
        retried = join(fault(0, 5), convert(1, 5, 6, True), touch(1, 9), touch(0, 5))
        assert run(before).agreement == 1.0
        assert run(retried).agreement == 1.0

    def test_set_between_announcement_and_zap(self) -> None:
        """A gfn set after a call was announced, and zapped by it, is matched late."""
        result = run(join(touch(0, 6), convert(1, 5, 9, True), touch(0, 5), zaps(1, 5), zaps(1, 6)))
        assert (result.agreement, result.counts["late"]) == (1.0, 1)

    def test_overlapping_calls(self) -> None:
        """Where two calls overlap, either may zap."""
        calls = join(convert(1, 5, 7, True), convert(2, 4, 6, True), zaps(2, 5))
        assert run(join(touch(0, 5), calls)).agreement == 1.0

    def test_running_fault_at_the_end(self) -> None:
        """A fault that the end of the trace cuts off is left out."""
        result = run(join(touch(0, 5), fault(0, 6)))
        assert (result.agreement, result.counts["excluded"]["open"]) == (1.0, 1)


class TestLargePages:
    """Entries at level 2 map 512 gfns; levels are not compared."""

    def test_large_set_and_zap(self) -> None:
        """One entry answers the fault, and one zap takes it away."""
        large = leaf(512) | LARGE
        events = join(
            fault(0, 700),
            spte(0, 512, NOTHING, large, 2),
            convert(1, 512, 1024, True),
            spte(1, 512, large, NOTHING, 2),
            touch(0, 700),
        )
        result = run(events)
        assert (result.agreement, result.counts["matched"]) == (1.0, 3)
        assert result.counts["large_leaf_changes"] == 2

    def test_collapse(self) -> None:
        """A table of small leaves becomes one large leaf: its pieces are input."""
        large = leaf(512) | LARGE
        events = join(
            touch(0, 513, 514),
            fault(0, 700),
            spte(0, 512, TABLE, large, 2),
            zaps(0, 513),
            zaps(0, 514),
            convert(1, 512, 1024, True),
            spte(1, 512, large, NOTHING, 2),
        )
        result = run(events)
        assert (result.agreement, result.counts["inputs"]["value"]) == (1.0, 2)

    def test_split(self) -> None:
        """A large leaf that became a table is 512 leaves from then on."""
        large = leaf(512) | LARGE
        events = join(
            fault(0, 700),
            spte(0, 512, NOTHING, large, 2),
            spte(0, 512, large, TABLE, 2),
            convert(1, 600, 602, True),
            zaps(1, 600),
            zaps(1, 601),
        )
        result = run(events)
        assert (result.agreement, result.counts["matched_zaps"]) == (1.0, 2)

    def test_range_that_cuts_a_large_page(self) -> None:
        """A range that covers only gfns never touched zaps the whole large leaf: input."""
        large = leaf(512) | LARGE
        events = join(
            top(0),
            fault(0, 700),
            spte(0, 512, NOTHING, large, 2),
            convert(1, 600, 602, True),
            spte(1, 512, large, NOTHING, 2),
            touch(0, 700),
        )
        result = run(events)
        assert (result.agreement, result.counts["inputs"]["value"]) == (1.0, 1)


class TestOutcome:
    """What the result says, whatever the trace."""

    def test_empty(self) -> None:
        """An empty trace cannot judge."""
        result = run(np.zeros(0, EVENT))
        assert (result.agreement, result.verdict) == (None, "cannot judge")

    def test_no_answers(self) -> None:
        """A trace without leaf changes cannot judge, however many faults it has."""
        assert run(join(fault(0, 5), fault(0, 6))).verdict == "cannot judge"

    def test_json(self) -> None:
        """The result is JSON with the documented keys."""
        data = json.loads(json.dumps(checked(EXITS).to_json()))
        assert set(data) == {
            "agreement",
            "agreement_pure",
            "inputs_share",
            "retries_explained",
            "counts",
            "controls",
            "headline",
            "design",
            "vms",
            "verdict",
        }
        assert set(data["controls"]) == set(CONTROLS)

    @pytest.mark.parametrize("seed", range(20))
    def test_shares_stay_in_range(self, seed: int) -> None:
        """Whatever events come in whatever order, every share lies between 0 and 1."""
        chosen = random.Random(seed)
        kinds = (fault, sets, zaps)
        parts = [top(0)]
        for _ in range(200):
            task, gfn = chosen.randrange(3), chosen.choice([1, 2, 3, 600, 5000])
            parts += [
                chosen.choice(kinds)(task, gfn),
                *chosen.choice(
                    [
                        (),
                        (unmap(task),),
                        (convert(task, gfn, gfn + chosen.randrange(1, 700), chosen.random() < 0.5),),
                        (hypercall(task, gfn, gfn + 3, chosen.randrange(8)),),
                        (spte(task, gfn & ~511, NOTHING, leaf(gfn) | LARGE, 2),),
                        (spte(task, gfn & ~511, leaf(gfn) | LARGE, TABLE, 2),),
                        (unlink(task, 0), top(task)),
                    ]
                ),
            ]
        result = run(join(*parts))
        shares = [result.agreement, result.agreement_pure, result.inputs_share, result.retries_explained]
        shares += [control.agreement for control in result.controls.values()]
        assert all(share is None or 0 <= share <= 1 for share in shares)

    @pytest.mark.parametrize("seed", range(10))
    def test_independent_tasks_commute(self, seed: int) -> None:
        """Two tasks that work on different gfns give the same figures in every interleaving."""
        lists = [
            join(
                touch(task, gfn, gfn + 1),
                convert(task, gfn, gfn + 2, True),
                zaps(task, gfn),
                touch(task, gfn),
            )
            for task, gfn in ((0, 10), (1, 2_000))
        ]
        apart, mixed = run(join(*lists)), run(shuffled(lists[0], lists[1], seed))
        assert apart.agreement == mixed.agreement == 0.8
        assert apart.agreement_pure == mixed.agreement_pure

    def test_clusters_are_dense(self) -> None:
        """The factory is told which real gfns the dense ones stand for, and how many vCPUs there are."""
        seen: list[tuple[str, list[tuple[int, int]], int]] = []

        def factory(variant: str, clusters: Sequence[tuple[int, int]], vcpus: int) -> DictionaryModel:
            seen.append((variant, list(clusters), vcpus))
            return DictionaryModel(variant)

        check(join(touch(0, 5), touch(1, 1 << 30)), factory)
        assert seen[0] == ("base", [(0, 512), (1 << 30, 512)], 2)
        assert {variant for variant, _, _ in seen} == {"base", *CONTROLS} - {"no-punch"}
