"""The events of a KVM trace as one record array, and what the numbers in it mean."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

EVENT = np.dtype(
    [
        ("time_ns", "i8"),  # time stamp as printed
        ("gfn", "i8"),  # first gfn; -1 if the event has none
        ("end", "i8"),  # gfn after the last; -1 if the event has none
        ("old", "i8"),  # spte before (kvm_hypercall: nr)
        ("new", "i8"),  # spte after (kvm_hypercall: a3)
        ("code", "i8"),  # see EVENT_KINDS
        ("line", "i4"),  # line of the file, from 1; the first one of an event that was wrapped
        ("task", "i4"),  # thread id; -1 in log lines without one
        ("cpu", "i2"),  # CPU; -1 if the text has none
        ("vcpu", "i2"),  # vCPU; -1 if the text has none
        ("kind", "u1"),  # index in EVENT_KINDS
        ("level", "u1"),  # page table level, 1 = 4K; 0 if the event has none
        ("change", "u1"),  # one of CHANGE_*
        ("pad", "u1"),  # 0
    ]
)
"""One event, 64 bytes. 64-bit values of the kernel (sptes, codes) are the same bits viewed as i8."""

EVENT_KINDS = (
    "kvm_page_fault",  # gfn of the address; code = error_code
    "kvm_tdp_mmu_spte_changed",  # gfn, level, old, new, change
    "kvm_vm_set_mem_attributes",  # gfn to end; code = attributes (8 = private)
    "kvm_hypercall",  # old = nr, new = a3, code = a2; nr 0xc: gfn of a0, end = gfn + a1
    "kvm_unmap_hva_range",  # gfn and end are host virtual pages (hva >> 12)
    "kvm_userspace_exit",  # code = KVM_EXIT reason, or the negative errno of `error (14)` and `restart (4)`
    "kvm_mmu_spte_requested",  # gfn, level; code = pfn
    "kvm_mmu_set_spte",  # gfn, level; new = spte
    "kvm_exit",  # vcpu
    "kvm_entry",  # vcpu
    "fast_page_fault",  # vcpu, gfn of the address, old, new
    "kvm_rmp_fault",  # vcpu, gfn, level; new = pfn, code = error_code
    "kvm_vmgexit_enter",  # vcpu; code = exit_reason
    "kvm_convert_memory",  # QEMU: gfn to end; code = 8 to private, 0 to shared
)
"""The events that are read; the index is the number in `kind`. Formats: arch/x86/kvm/trace.h,
arch/x86/kvm/mmu/mmutrace.h, include/trace/events/kvm.h; the last one: QEMU accel/kvm/trace-events."""

KIND_NUMBER = {name: number for number, name in enumerate(EVENT_KINDS)}

MAP_GPA_RANGE = 0xC
"""`nr` of the hypercall KVM_HC_MAP_GPA_RANGE."""

ATTRIBUTE_PRIVATE = 8
"""KVM_MEMORY_ATTRIBUTE_PRIVATE, bit 3 of the attributes."""

EXIT_HYPERCALL = 3
"""KVM_EXIT_HYPERCALL, a reason of kvm_userspace_exit."""

CHANGE_NONE = 0
"""The event is no kvm_tdp_mmu_spte_changed."""
CHANGE_SET = 1
"""Not present -> leaf."""
CHANGE_ZAP = 2
"""Leaf -> not present or frozen."""
CHANGE_LINK = 3
"""Not present -> page table."""
CHANGE_UNLINK = 4
"""Page table -> not present or frozen."""
CHANGE_OTHER = 5
"""Leaf -> leaf or table -> table (aging, dirty logging), not present -> not present (unfreezing)."""
CHANGE_COLLAPSE = 6
"""Page table -> leaf: the entries below are reported as zaps of their own."""
CHANGE_SPLIT = 7
"""Leaf -> page table: a large page was split."""

CHANGE_NAMES = ("none", "set", "zap", "link", "unlink", "other", "collapse", "split")

SPTE_PRESENT = 1 << 11
SPTE_LARGE = 1 << 7

_NONPRESENT, _TABLE, _LEAF = 0, 1, 2
_CHANGES = np.array(
    [
        [CHANGE_OTHER, CHANGE_LINK, CHANGE_SET],
        [CHANGE_UNLINK, CHANGE_OTHER, CHANGE_COLLAPSE],
        [CHANGE_ZAP, CHANGE_SPLIT, CHANGE_OTHER],
    ],
    dtype=np.uint8,
)


@dataclass
class Events:
    """What a trace file holds.

    events: EVENT array in the order of the lines.
    counts: events by name, all names met, also those that are no kind of ours.
    unplaced: the part of `counts` that is in no record: names that are no kind of ours.
    malformed: numbers of the first lines that could not be read; `malformed_lines` is how many there are.
    lines: lines of the file. lost: events that the tracer says it lost or overwrote.
    path: the file, as given.
    """

    events: npt.NDArray[np.void]
    counts: dict[str, int]
    unplaced: dict[str, int]
    malformed: list[int]
    malformed_lines: int
    lines: int
    lost: int
    path: str = field(default="")

    def of_kind(self, name: str) -> npt.NDArray[np.void]:
        """The events of one kind (a copy)."""
        chosen: npt.NDArray[np.void] = self.events[self.events["kind"] == KIND_NUMBER[name]]
        return chosen


def spte_changes(
    old: npt.NDArray[np.int64], new: npt.NDArray[np.int64], level: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """CHANGE_* of each entry that went from `old` to `new` at `level` (i8, i8, u1, one shape).

    Present is bit 11, a leaf is at level 1 or has bit 7 (arch/x86/kvm/mmu/spte.h). A frozen entry
    (0x80000000000001a0, before 6.9 0x5a0) has no bit 11 and counts as not present.
    """
    return np.asarray(_CHANGES[_state(old, level), _state(new, level)], dtype=np.uint8)


def _state(spte: npt.NDArray[np.int64], level: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    leaf = np.where((level == 1) | ((spte & SPTE_LARGE) != 0), _LEAF, _TABLE)
    return np.where((spte & SPTE_PRESENT) != 0, leaf, _NONPRESENT)
