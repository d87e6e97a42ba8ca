"""What each step may read and write, derived from its source, against what steps are seen to touch."""

from dataclasses import replace

import pytest
from interleavings import TWO_SLOTS, random_run
from recording import Notes, Seen, recording

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.footprints import (
    OF_RULE,
    Footprint,
    FootprintError,
    Footprints,
    counters,
    footprint_of,
    footprints_in,
    left_out,
    rule_reads,
)
from gmembench.core.footprints.rows import RowPrints
from gmembench.core.jit import INTERPRETED
from gmembench.core.judges import Panel
from gmembench.core.outcomes import AGAIN, BLOCKED, CODE, NEXT
from gmembench.core.parts.pool import put_page
from gmembench.core.programs import Code, assemble
from gmembench.core.steps.registry import Step, all_steps
from gmembench.core.views import Record
from gmembench.core.world import CONSTANTS, COUNTERS, actor, frame, page

DESIGNS, HARDWARE = load_designs(), load_hardware()
CASES = [(d, h) for d in DESIGNS for h in HARDWARE if h not in DESIGNS[d].not_on]


def beyond(seen: Seen, footprint: Footprint) -> set[str]:
    """What a step was seen to touch beyond its footprint."""
    touched = (seen.reads - footprint.reads) | (seen.writes - footprint.writes)
    return {name for name in touched if not left_out(name)}


RUNS: tuple[dict[str, object], ...] = ({}, {"slots": TWO_SLOTS}, {"alone": True})
"""Operations of four actors mixed, the same with two memslots, and one by one."""


def run(code: Code, number: int) -> Stepper:
    """One of the runs; nobody judges it."""
    return random_run(code, number, panel=Panel({}), **RUNS[number])  # type: ignore[arg-type]  # keywords by name


def recorded(design: str, hardware: str, number: int) -> tuple[RowPrints, Notes]:
    """What is seen in a run, and the footprints of the rows in worlds like its own."""
    code = assemble(DESIGNS[design], HARDWARE[hardware])
    with recording() as notes:
        stepper = run(code, number)
    return RowPrints(code, stepper.world.geometry), notes


needs_plain_python = pytest.mark.skipif(
    not INTERPRETED, reason="records are seen as plain Python: the environment `interpreted` runs this"
)


@needs_plain_python
@pytest.mark.parametrize("number", range(len(RUNS)))
@pytest.mark.parametrize(("design", "hardware"), CASES)
def test_rows_touch_nothing_beyond_their_footprints(design: str, hardware: str, number: int) -> None:
    """In random runs every field that a row reads or writes is in its footprint, and every outcome too."""
    rows, notes = recorded(design, hardware, number)
    assert len(notes.seen) > 50
    for (row, outcome), seen in notes.seen.items():
        found = rows.prints[row]
        assert beyond(seen, found) == set(), rows.code.info[row].name
        assert found.outcomes is None or outcome in found.outcomes, rows.code.info[row].name


@needs_plain_python
def test_a_wrong_footprint_is_caught() -> None:
    """Without one of the fields that a fault writes, its footprint is too small for what is seen."""
    rows, notes = recorded("guest-memfd", "none", 2)
    infos = rows.code.info
    at = next(row for row, outcome in notes.seen if infos[row].step.name == "fault.set_spte" and outcome == NEXT)
    seen, right = notes.seen[at, NEXT], rows.prints[at]
    wrong = replace(right, writes=right.writes - {"frames.spte.bits"})
    assert beyond(seen, right) == set()
    assert beyond(seen, wrong) == {"frames.spte.bits"}


@needs_plain_python
@pytest.mark.parametrize("design", DESIGNS)
def test_rules_read_nothing_beyond_what_is_derived(design: str) -> None:
    """Every rule, asked at the end of a run, reads what its source says."""
    code = assemble(DESIGNS[design], HARDWARE["none"])
    with recording() as notes:
        stepper = run(code, 1)
        for name, invariant in load_invariants().items():
            for when in set(OF_RULE) & set(invariant.when):
                notes.watch(name, when, stepper.world.buffer, getattr(invariant, when).judge, OF_RULE[when])
    source = footprints_in(stepper.world.geometry)
    assert len(notes.rules) > 10
    for (name, when), seen in notes.rules.items():
        derived = source.of_rule(load_invariants()[name], when)
        assert {field for field in seen.reads - derived if not left_out(field)} == set(), (name, when)
        assert seen.writes == frozenset(), (name, when)


def test_all_steps_and_rules_have_footprints() -> None:
    """The walk knows every form that steps and rules are written in."""
    for item in all_steps():
        declared = {CODE[name] for name in item.outcomes} | {NEXT, AGAIN, BLOCKED, CODE["yield"]}
        known = footprint_of(item.name).outcomes
        assert known is None or known <= declared, item.name
    for invariant in load_invariants().values():
        for when in set(OF_RULE) & set(invariant.when):
            assert rule_reads(invariant, when), (invariant.name, when)


def test_the_header_of_a_small_world_is_laid_out_rightly() -> None:
    """No step writes what is laid out as constant, and none decides by what is laid out as a counter."""
    written = {name for item in all_steps() for name in footprint_of(item.name).writes}
    assert written.isdisjoint({f"header.{name}" for name in CONSTANTS})
    assert {f"header.{name}" for name in COUNTERS} - {"header.ipis"} <= counters()


def test_two_footprints_in_full() -> None:
    """A lock, and a store that is made on one path only."""
    lock = footprint_of("mmu.lock")
    assert lock.reads == {"header.mmu_writer", "header.mmu_readers", "self.number"}
    assert lock.writes == {"header.mmu_writer"}
    assert lock.waits == {"header.mmu_writer", "header.mmu_readers"}
    assert {way.outcome: way.takes for way in lock.ways} == {BLOCKED: frozenset(), NEXT: {"header.mmu_writer"}}
    check = footprint_of("gmem.check_poison")
    assert check.reads == {"self.pfn", "pages.flags"}
    assert check.writes == {"self.error"}
    assert check.kills == frozenset()
    assert {way.outcome: way.kills for way in check.ways} == {NEXT: frozenset(), CODE["poisoned"]: {"self.error"}}


def made(function: object, operands: tuple[int, ...] | None = None, **known: int) -> Footprint:
    """The footprint of a step of a test, with fields of the header that are known."""
    step = Step("test.step", "vmm", "state", "", (), "", "", function)
    return Footprints({f"header.{name}": value for name, value in known.items()}).of(step, operands)


def _through_a_part(w: Record, a: Record, r: Record) -> int:
    """Two parts deep: the last reference frees the page."""
    put_page(w, a["pfn"])
    return NEXT


def _of_another(w: Record, a: Record, r: Record) -> int:
    """Fields of an actor that is looked up are not the step's own."""
    for i in range(w["vcpus"]):
        v = actor(w, i)
        v["kicked"] = 1
    a["kicked"] = 0
    return NEXT


def _set_on_all_paths(w: Record, a: Record, r: Record) -> int:
    """`pfn` is set on both ways before it is read, `index` on one, `slot` is read first."""
    if a["slot"] < 0:
        a["pfn"] = 1
        a["index"] = 1
    else:
        a["pfn"] = 2
    a["slot"] = 0
    for _ in range(a["pfn"]):
        a["level"] = 1
    return NEXT


def test_parts_are_followed() -> None:
    """Reads and writes of a part, and of the parts that it calls, are the step's."""
    found = made(_through_a_part)
    assert {"pages.refs", "header.free_page", "pages.index"} <= found.writes
    assert "self.pfn" in found.reads
    assert "header.free_pages" not in found.writes, "a counter"


def test_fields_of_other_actors_have_names_of_their_own() -> None:
    """An actor that is looked up may be any of them."""
    found = made(_of_another)
    assert found.writes == {"actors.kicked", "self.kicked"}
    assert found.kills == {"self.kicked"}
    assert found.reads == frozenset()


def test_kills_are_set_on_every_path() -> None:
    """A register is killed if all ways through the step set it before they read it; a loop may not run at all."""
    found = made(_set_on_all_paths)
    assert found.kills == {"self.pfn"}
    assert found.uses == {"self.slot"}


def _by_operand(w: Record, a: Record, r: Record) -> int:
    """Two ways, of which a row takes one."""
    if r["value"] == 1 and w["largest_order"] != 0:
        a["index"] = a["first"]
        return AGAIN
    return NEXT


def _drops_in_a_loop(w: Record, a: Record, r: Record) -> int:
    """A lock that is dropped in a loop is perhaps no longer held behind it."""
    w["mf_mutex"] = a["number"] + 1
    for _ in range(a["level"]):
        w["mf_mutex"] = 0
    return NEXT


def test_ways_that_constants_close_are_left_out() -> None:
    """Known operands of the row and known constants of the world decide tests."""
    assert made(_by_operand).outcomes == {AGAIN, NEXT}
    assert made(_by_operand, (0, 0, 0, 1), largest_order=2).writes == {"self.index"}
    for closed in (made(_by_operand, (0, 0, 0, 0)), made(_by_operand, (0, 0, 0, 1), largest_order=0)):
        assert closed.outcomes == {NEXT}
        assert closed.reads | closed.writes == frozenset()


def test_a_lock_dropped_on_some_path_is_not_surely_taken() -> None:
    """What is held is underestimated where it is unsure."""
    assert made(_drops_in_a_loop).takes == frozenset()


def _stores_a_record(w: Record, a: Record, r: Record) -> int:
    x = frame(w, 0)
    x = page(w, 0)
    return x["refs"]


def _computed_field(w: Record, a: Record, r: Record) -> int:
    return a["p" + "fn"]


def _method(w: Record, a: Record, r: Record) -> int:
    return a.get("pfn")  # type: ignore[attr-defined,no-any-return]  # records have no methods


def _unknown_field(w: Record, a: Record, r: Record) -> int:
    return w["pfn"]


@pytest.mark.parametrize("function", [_stores_a_record, _computed_field, _method, _unknown_field])
def test_what_the_walk_does_not_know_is_an_error(function: object) -> None:
    """Nothing is guessed: the error names file and line."""
    with pytest.raises(FootprintError, match=r"test_footprints\.py:\d+: "):
        made(function)
