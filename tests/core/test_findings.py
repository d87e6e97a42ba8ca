"""Every finding that a design ships with is seen, or it is written down why it is only predicted."""

from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import numpy as np
import pytest
from interleavings import operation, random_run, tiny

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.fair import let_kicked_leave
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.operations import PRIVATE, WRITE
from gmembench.core.programs import Code, Finding, assemble
from gmembench.core.world import World

DESIGNS, HARDWARE = load_designs(), load_hardware()

V0, V1, H0, H1 = range(4)

Operations = tuple[np.ndarray, ...]

TO_PRIVATE, TO_SHARED = operation("convert", H0, 0, 1, PRIVATE), operation("convert", H0, 0, 1)
WRITES, READS = operation("access", V0, 0, 1, WRITE), operation("access", V0, 0, 1)
PUNCHES, ALLOCATES = operation("punch", H0), operation("allocate", H0)
ZAPS = operation("zap_gfn_range", H0)

ONE_AFTER_THE_OTHER: dict[tuple[str, str], Operations] = {
    ("vma-gup", "2X"): (TO_PRIVATE, WRITES, PUNCHES),
    ("guest-memfd", "LOSS"): (TO_PRIVATE, WRITES, ZAPS, READS),
    ("guest-memfd-inplace", "LOSS"): (WRITES, ZAPS, READS),
    ("guest-memfd-inplace-1g", "LOSS"): (WRITES, ZAPS, READS),
    ("fd-restricted", "LOSS"): (TO_PRIVATE, WRITES, ZAPS, READS),
    ("fd-private", "LOSS"): (TO_PRIVATE, WRITES, ALLOCATES, READS),
}
"""Findings that operations show which follow one another."""

BY_CHANCE = {
    ("fd-private", "ALIAS"): ("convert",),
    ("fd-private", "HUGE"): ("convert",),
}
"""Findings that random interleavings of accesses and these programs soon show."""

SHOWN = {
    ("vma-gup", "CNT"): "test_design_vma_gup.test_finding_the_next_fault_brings_another_page",
    ("guest-memfd", ""): "test_invalidation.test_a_fault_in_flight_refills_a_punched_hole",
    ("fd-restricted", "UAF-MAP"): "test_design_fd_restricted.test_a_partial_punch_leaves_a_hole_that_a_neighbour_maps",
    ("fd-restricted", "OBJ"): "test_design_fd_restricted.test_a_binding_is_there_before_the_memslot_is_ready",
    ("fd-private", "OBJ"): "test_design_fd_private.test_the_owner_is_called_after_it_is_gone",
    ("legacy-vma", "LIVE"): "test_programs_memslots.test_a_prefault_with_a_stale_root_never_ends",
    ("guest-memfd-mmap", "LIVE"): "test_programs_memslots.test_a_prefault_with_a_stale_root_never_ends",
}
"""Findings that a test of its own steps through by hand."""

PROVED = {
    ("fd-private", "STALE-TLB"): ("fault-vs-convert-there-and-back", ("none", "tdx", "snp")),
    ("fd-private", "ALIAS"): ("fault-vs-convert-there-and-back", ("none", "tdx", "snp")),
    ("fd-private", "HUGE"): ("huge-vs-convert", ("none", "tdx", "snp")),
    ("fd-private", "OBJ"): ("teardown-vs-reuse", ("none", "tdx", "snp")),
    ("fd-restricted", "UAF-MAP"): ("huge-vs-punch", ("none", "snp")),
    ("fd-restricted", "HW"): ("huge-vs-punch", ("snp",)),
    ("fd-restricted", "OBJ"): ("punch-vs-slot-create", ("none", "tdx", "snp")),
    ("legacy-vma", "LIVE"): ("prefault-vs-slot-delete-other-slot", ("none",)),
    ("guest-memfd-mmap", "LIVE"): ("prefault-vs-slot-delete-other-slot", ("none",)),
    ("vma-gup", "2X"): ("fault-vs-punch-exits", ("none", "tdx")),
    ("vma-gup", "CNT"): ("fault-vs-punch-exits", ("none", "tdx")),
    ("guest-memfd", "LOSS"): ("fault-vs-zap", ("tdx",)),
    ("guest-memfd-inplace", "LOSS"): ("fault-vs-zap", ("tdx",)),
    ("guest-memfd-inplace-1g", "LOSS"): ("fault-vs-zap", ("tdx",)),
    ("fd-restricted", "LOSS"): ("fault-vs-zap", ("tdx",)),
    ("fd-private", "LOSS"): ("fault-vs-zap", ("tdx",)),
}
"""Findings that a scenario of exploration shows, and on which hardware: tests/inject/test_proofs.py explores it."""

PREDICTED = {
    ("fd-restricted", "HW"): "on TDX the page has left the TD when its part is cleared: there it is only predicted",
    ("fd-restricted", ""): "breaks no rule and costs what it costs guest-memfd, whose rows these are",
    ("vma-encrypted", ""): "breaks no rule and costs what it costs guest-memfd; only the allocation is another step",
}
"""Findings that are predicted and not reproduced, and why."""

EVERY = sorted({(name, f.invariant) for name, design in DESIGNS.items() for f in design.findings})
CASES = [
    (name, hardware, finding.invariant)
    for name, design in DESIGNS.items()
    for finding in design.findings
    for hardware in finding.hardware
]


def code_of(design: str, hardware: str) -> Code:
    """The rows of a shipped design on a hardware."""
    return assemble(DESIGNS[design], HARDWARE[hardware])


def in_order(code: Code, operations: Operations) -> str:
    """Run operations one after the other, all invariants on; the first that is broken, or ""."""
    sizes = {"4K": {}, "2M": {"private_order": 1, "pages": 16}, "1G": {"private_order": 2, "pages": 0}}
    world = World(tiny(code.design, code.hardware, **sizes[code.design.private_sizes[-1]]))
    of = [[op for op in operations if op["actor"][0] == number] for number in range(4)]
    stepper = Stepper(code, world, [np.concatenate(made) if made else READS[:0] for made in of])
    for op in operations:
        number = int(op["actor"][0])
        stepper.take(number)
        while stepper.violation is None and not stepper.idle(number):
            assert stepper.steps + stepper.blocked < 5000, stepper.trail[-5:]
            stepper.take(number)
            let_kicked_leave(stepper)
    return "" if stepper.violation is None else stepper.violation.invariant


def test_every_finding_is_shown_or_said_to_be_predicted_only() -> None:
    """No finding is missing from the tables above, and they hold nothing else."""
    tables = (ONE_AFTER_THE_OTHER, BY_CHANCE, SHOWN, PROVED, PREDICTED)
    assert sorted({key for table in tables for key in table}) == EVERY


@pytest.mark.parametrize(("design", "hardware", "invariant"), [c for c in CASES if (c[0], c[2]) in ONE_AFTER_THE_OTHER])
def test_operations_one_after_the_other_show_it(design: str, hardware: str, invariant: str) -> None:
    """The scenario breaks the invariant that the finding names, on each hardware that it names."""
    assert in_order(code_of(design, hardware), ONE_AFTER_THE_OTHER[design, invariant]) == invariant


@pytest.mark.parametrize(("design", "hardware", "invariant"), sorted({c for c in CASES if (c[0], c[2]) in BY_CHANCE}))
def test_a_random_interleaving_shows_it(design: str, hardware: str, invariant: str) -> None:
    """One of a few dozen seeds breaks the invariant."""
    code, only = code_of(design, hardware), BY_CHANCE[design, invariant]
    runs = (random_run(code, seed, only=only) for seed in range(200))
    assert any(run.violation is not None and run.violation.invariant == invariant for run in runs)


@pytest.mark.parametrize(("design", "hardware", "invariant"), [c for c in CASES if c[2] == "LOSS" and c[1] == "tdx"])
def test_the_data_stay_where_zaps_keep_them(design: str, hardware: str, invariant: str) -> None:
    """The same operations lose nothing without a table of the hardware's own."""
    assert in_order(code_of(design, "none"), ONE_AFTER_THE_OTHER[design, invariant]) == ""


@pytest.mark.parametrize(("design", "invariant"), PROVED)
def test_a_proof_shows_it(design: str, invariant: str) -> None:
    """What is recorded of the scenario names the invariant, on each hardware."""
    scenario, hardware = PROVED[design, invariant]
    recorded = msgspec.json.decode((Path(__file__).parents[1] / "data" / "proofs.json").read_bytes())
    shown = {
        p["hardware"]
        for p in recorded
        if (p["scenario"], p["design"]) == (scenario, design) and invariant in {s["invariant"] for s in p["shown"]}
    }
    assert shown >= set(hardware)


@pytest.mark.parametrize("test", sorted(set(SHOWN.values())))
def test_the_test_that_shows_it_is_there(test: str) -> None:
    """The tables name tests that exist."""
    module, _, name = test.partition(".")
    assert f"def {name}(" in (Path(__file__).parent / f"{module}.py").read_text()


def test_findings_say_what_they_are() -> None:
    """Each finding has words for what goes wrong, a scenario, a source, and a hardware its design runs on."""
    for design in DESIGNS.values():
        for finding in design.findings:
            assert isinstance(finding, Finding)
            assert finding.what, design.name
            assert finding.scenario, design.name
            assert finding.source, design.name
            assert finding.hardware, design.name
            assert not set(finding.hardware) & set(design.not_on), design.name


@pytest.mark.parametrize("name", DESIGNS)
def test_findings_name_rows_that_there_are(name: str) -> None:
    """Whoever breaks an invariant is named by glob; each glob fits a row on a hardware of the finding."""
    for finding in DESIGNS[name].findings:
        if not finding.invariant:
            continue
        rows = [info.name for hardware in finding.hardware for info in code_of(name, hardware).info]
        at_rest = load_invariants()[finding.invariant].when == ("rest",)  # whoever ends last breaks it
        assert ("*" in finding.rows) == at_rest, finding
        assert all(any(fnmatchcase(row, glob) for row in rows) for glob in finding.rows), finding
