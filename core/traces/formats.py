"""How each event prints its fields: one table, read by the compiled parser and by the text parser.

A pattern is literal text with fields in braces. `{}` is any word. `{name}` goes to that field of
EVENT: hexadecimal with or without 0x, but `vcpu`, `level` and `{code:d}` are decimal. A space stands
for any number of spaces. Text after the pattern is ignored if a space separates it, so fields that
newer kernels append do no harm.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gmembench.core.traces.events import (
    ATTRIBUTE_PRIVATE,
    EVENT_KINDS,
    KIND_NUMBER,
    MAP_GPA_RANGE,
    spte_changes,
)

SLOTS = ("gfn", "end", "old", "new", "code", "vcpu", "level")
"""Fields that a pattern can fill, in the order of the values that the parsers hand over."""

SLOT_DEFAULTS = (-1, -1, 0, 0, 0, -1, 0)

PAGE_SHIFT = 12

LONGEST_NAME = 64
"""Characters of the name of an event."""

LONGEST_WORD = 1 << 20
_DECIMAL = {"vcpu": 4, "level": 2, "code:d": 9}

RANGE_LIMIT_PAGES = 1 << 52
"""No guest-physical address space has more pages; a longer range in a text is cut to this."""


@dataclass(frozen=True)
class Format:
    """One way an event prints. `wrapped`: fields may follow the pattern, so a mail may wrap within them."""

    kind: str
    pattern: str
    wrapped: bool = False


FORMATS = (
    Format("kvm_tdp_mmu_spte_changed", "as id {} gfn {gfn} level {level} old_spte {old} new_spte {new}"),
    Format("kvm_page_fault", "vcpu {vcpu} rip {} address {gfn} error_code {code}"),
    Format("kvm_page_fault", "address {gfn} error_code {code}"),
    Format("kvm_mmu_spte_requested", "gfn {gfn} pfn {code} level {level}", wrapped=True),
    Format("kvm_exit", "vcpu {vcpu} reason {}", wrapped=True),
    Format("kvm_exit", "reason {}", wrapped=True),
    Format("kvm_entry", "vcpu {vcpu}, rip {}", wrapped=True),
    Format("kvm_entry", "vcpu {vcpu}", wrapped=True),
    Format("kvm_userspace_exit", "reason error ({code:d})"),
    Format("kvm_userspace_exit", "reason restart ({code:d})"),
    Format("kvm_userspace_exit", "reason {} ({code:d})"),
    Format("kvm_vm_set_mem_attributes", "{gfn} -- {end} [{code}]"),
    Format("kvm_vm_set_mem_attributes", ". {gfn} -- {end} [{code}]"),
    Format("kvm_hypercall", "nr {old} a0 {gfn} a1 {end} a2 {code} a3 {new}"),
    Format("kvm_unmap_hva_range", "mmu notifier unmap range: {gfn} -- {end}"),
    Format("kvm_mmu_set_spte", "gfn {gfn} spte {new} ({}) level {level}", wrapped=True),
    Format("fast_page_fault", "vcpu {vcpu} gva {gfn} error_code {} sptep {} old {old} new {new}", wrapped=True),
    Format("kvm_rmp_fault", "vcpu {vcpu} gpa {gfn} pfn {new} error_code {code} rmp_level {level}", wrapped=True),
    Format("kvm_vmgexit_enter", "vcpu {vcpu}, exit_reason {code}, exit_info1 {}", wrapped=True),
    Format("kvm_convert_memory", "start {gfn} size {end} shared_to_private"),
    Format("kvm_convert_memory", "start {gfn} size {end} private_to_shared"),
)
"""Frequent events first. Old and new forms of an event are separate rows."""

FORMAT_KIND = np.array([KIND_NUMBER[form.kind] for form in FORMATS], dtype=np.uint8)


@dataclass(frozen=True)
class Field:
    """A field of a pattern: index in SLOTS (-1: not kept), base 10 or 16 (0: a word), least and most characters."""

    slot: int
    base: int
    least: int
    most: int


def fields(pattern: str) -> list[str | Field]:
    """The parts of a pattern: literal text and fields, in order."""
    parts = re.split(r"\{([a-z:]*)\}", pattern)
    return [_field(part) if number % 2 else part for number, part in enumerate(parts) if number % 2 or part]


def _field(name: str) -> Field:
    if not name:
        return Field(-1, 0, 1, LONGEST_WORD)
    if name in _DECIMAL:
        return Field(SLOTS.index(name.removesuffix(":d")), 10, 1, _DECIMAL[name])
    return Field(SLOTS.index(name), 16, 1, 16)


def _rows(*kinds: str) -> npt.NDArray[np.bool_]:
    """For each number of EVENT_KINDS, if it is one of these."""
    return np.array([name in kinds for name in EVENT_KINDS], dtype=np.bool_)


_HAS_ADDRESS = _rows("kvm_page_fault", "fast_page_fault", "kvm_rmp_fault")
_HAS_ONE_GFN = _rows("kvm_tdp_mmu_spte_changed", "kvm_mmu_spte_requested", "kvm_mmu_set_spte")


def complete(events: npt.NDArray[np.void]) -> None:
    """Turn printed values into those of EVENT, in place: addresses to gfns, ends, signs, `change`.

    On entry `pad` is the index in FORMATS; on return it is 0. Both parsers end here, so they cannot differ in it.
    """
    form = events["pad"].copy()
    kind = FORMAT_KIND[form]
    events["kind"] = kind
    events["pad"] = 0
    at = np.flatnonzero(_HAS_ADDRESS[kind])
    gfn = _pages(events["gfn"][at])
    events["gfn"][at], events["end"][at] = gfn, gfn + 1
    at = np.flatnonzero(_HAS_ONE_GFN[kind])
    events["end"][at] = events["gfn"][at] + 1
    at = np.flatnonzero(kind == KIND_NUMBER["kvm_tdp_mmu_spte_changed"])
    events["change"][at] = spte_changes(events["old"][at], events["new"][at], events["level"][at])
    _complete_rare(events, form, kind)


def _complete_rare(events: npt.NDArray[np.void], form: npt.NDArray[np.uint8], kind: npt.NDArray[np.uint8]) -> None:
    at = np.flatnonzero(kind == KIND_NUMBER["kvm_unmap_hva_range"])
    events["gfn"][at], events["end"][at] = _pages(events["gfn"][at]), _pages(events["end"][at], up=True)
    at = np.flatnonzero(kind == KIND_NUMBER["kvm_userspace_exit"])
    sign = np.array([-1 if "error" in f.pattern or "restart" in f.pattern else 1 for f in FORMATS])
    events["code"][at] *= sign[form[at]]
    _complete_hypercalls(events, np.flatnonzero(kind == KIND_NUMBER["kvm_hypercall"]))
    at = np.flatnonzero(kind == KIND_NUMBER["kvm_convert_memory"])
    gfn = _pages(events["gfn"][at])
    events["gfn"][at], events["end"][at] = gfn, gfn + _pages(events["end"][at], up=True)
    to_private = np.array([f.pattern.endswith("shared_to_private") for f in FORMATS])
    events["code"][at] = np.where(to_private[form[at]], ATTRIBUTE_PRIVATE, 0)


def _complete_hypercalls(events: npt.NDArray[np.void], at: npt.NDArray[np.int64]) -> None:
    mapping = events["old"][at] == MAP_GPA_RANGE
    gfn = _pages(events["gfn"][at])
    pages = np.minimum(events["end"][at].view(np.uint64), RANGE_LIMIT_PAGES).astype(np.int64)
    events["gfn"][at] = np.where(mapping, gfn, -1)
    events["end"][at] = np.where(mapping, gfn + pages, -1)


def _pages(address: npt.NDArray[np.int64], up: bool = False) -> npt.NDArray[np.int64]:
    """Page numbers of 64-bit addresses, rounded down or up."""
    number = (address.view(np.uint64) >> np.uint64(PAGE_SHIFT)).astype(np.int64)
    rest = address & ((1 << PAGE_SHIFT) - 1)
    return number + (rest != 0) if up else number
