"""The designs' own programs against the kernel's stage-2 changes in the shipped traces."""

from pathlib import Path

import pytest

import gmembench.benchmarks
from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.conformance.check import Conformance
from gmembench.core.conformance.design_model import EDITS, check_design, variant_of
from gmembench.core.jit import INTERPRETED
from gmembench.core.trace import read_events

TRACES = Path(gmembench.benchmarks.__file__).resolve().parent / "traces"


def checked(trace: str, design: str = "guest-memfd") -> Conformance:
    """The check of a shipped trace by a design on hardware `none`."""
    events = read_events(TRACES / f"kvm-7.3.4-{trace}_test.trace.xz").events
    return check_design(events, load_designs()[design], load_hardware()["none"])


@pytest.mark.skipif(INTERPRETED, reason="28,116 faults in seven replays take minutes as plain Python")
def test_guest_memfd_makes_the_changes_of_the_conversions_trace() -> None:
    """All 53,545 changes that follow from the inputs are made, no other, and each control costs what it should."""
    found = checked("private_mem_conversions")
    assert found.counts["matched"] == 53_545
    assert found.agreement == 1.0
    assert found.agreement_pure == pytest.approx(0.921, abs=5e-4)
    assert found.inputs_share == 2_205 / 55_750
    assert found.retries_explained == 1.0
    assert found.counts["retries"] == 241
    figures = {name: round(control.agreement or 0.0, 3) for name, control in found.controls.items()}
    assert figures == {
        "obey-filter": 0.816,
        "no-punch": 0.603,
        "conversion-does-not-zap": 0.923,
        "private-immune": 0.987,
        "ignore-noop": 0.962,
    }


def test_guest_memfd_makes_the_changes_of_both_machines_of_the_exits_trace() -> None:
    """Two VMs follow one another in this trace: 14 changes are made, 14 are given, none is wrong."""
    found = checked("private_mem_kvm_exits")
    assert (found.vms, found.counts["matched"], found.agreement) == (2, 14, 1.0)


def test_a_design_without_conversions_does_not_agree() -> None:
    """legacy-vma ignores conversions, so it misses the zaps that they cause."""
    found = checked("private_mem_kvm_exits", "legacy-vma")
    assert found.agreement is not None


@pytest.mark.parametrize("variant", sorted(EDITS))
def test_each_control_changes_the_design(variant: str) -> None:
    """A control is the design with other rows, or it would show nothing."""
    design = load_designs()["guest-memfd"]
    assert variant_of(design, variant).programs != design.programs
