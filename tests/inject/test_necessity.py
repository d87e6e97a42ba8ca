"""Variations of a design, what trying them says, and the table that comes of it."""

from functools import cache

import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.programs import with_hardware
from gmembench.inject import necessity, series
from gmembench.inject.laboratory import Laboratory, Orders, Source
from gmembench.inject.likeness import Past, Shape, alike
from gmembench.inject.necessity import Tried, entry_of, place_of, table_of, verdict_of
from gmembench.inject.series import Order
from gmembench.inject.trial import (
    BOUND,
    HOLDS,
    ILL,
    STUCK_ONLY,
    UNSAFE,
    Base,
    Case,
    Trial,
    attempt,
    attempt_alone,
    case_of,
    meaning,
)
from gmembench.inject.variations import END, Target, moves, targets_of, without

DESIGN = "guest-memfd"
WORLD = Source("bugs/A05-fault-no-recheck-under-mmu-lock", planned=True)

ROW = Target("punch.end.count_dec", "punch", ("punch.end.count_dec",))


@cache
def case() -> Case:
    """A fault and a punch on one gfn."""
    return case_of(WORLD.name, DESIGN, "none", 3000, planned=True)


def targets() -> dict[str, Target]:
    """Rows and phases of the design by name."""
    return {target.name: target for target in targets_of(load_designs()[DESIGN], load_hardware()["none"])}


def test_every_row_and_phase_is_a_target() -> None:
    """Each row once, and each phase of more than one row."""
    design, none = load_designs()[DESIGN], load_hardware()["none"]
    rows = [p.full_name(r) for p in (with_hardware(p, none) for p in design.programs.values()) for r in p.rows]
    found = targets()
    assert [name for name, target in found.items() if not target.phase] == rows
    assert found["punch.start"].phase
    assert set(found["punch.start"].rows) == {row for row in rows if row.startswith("punch.start.")}


@pytest.mark.parametrize("name", ["punch.fdget", "punch.end.count_dec", "punch.start", "punch.fallocate.returned"])
def test_a_target_is_moved_to_every_other_place(name: str) -> None:
    """Before every row that is not its own, and to the end; not before the row that follows it anyway."""
    design, none = load_designs()[DESIGN], load_hardware()["none"]
    target = targets()[name]
    program = with_hardware(design.programs["punch"], none)
    names = [program.full_name(r) for r in program.rows]
    following = names.index(target.rows[-1]) + 1
    wanted = set(names) - set(target.rows) - set(names[following : following + 1])
    found = list(moves(target, design, none))
    assert {v.place for v in found} - {END} == wanted
    assert (END in {v.place for v in found}) == (names[-1] not in target.rows)
    assert [v.distance for v in found[:-1]] == sorted(v.distance for v in found[:-1])


def test_edits_that_make_the_same_program_mean_the_same() -> None:
    """A row moved up by one, and its neighbour moved down, whatever the rows are called."""
    first = "move access.fault.recheck_stale,before=access.fault.recheck_root"
    second = "move access.fault.recheck_root,after=access.fault.recheck_stale"
    swapped = "swap access.fault.recheck_root,access.fault.recheck_stale"
    same = {meaning(case().instance((edit,))) for edit in (first, second, swapped)}
    assert len(same) == 1
    assert meaning(case().instance(())) not in same


def test_what_is_judged_belongs_to_the_meaning() -> None:
    """The same rows judged otherwise are another exploration."""
    assert meaning(case().instance(())) != meaning(case().instance((), ("CNT",)))


@pytest.mark.parametrize(
    ("edit", "result", "invariant"),
    [
        ("without punch.start.count_inc", UNSAFE, "CNT"),
        ("without access.fault.recheck_stale", UNSAFE, "UAF-MAP"),
        ("without punch.unmap_host", HOLDS, ""),
    ],
)
def test_an_edit_in_a_small_world(edit: str, result: str, invariant: str) -> None:
    """Safety breaks and is named, or nothing breaks up to the bound."""
    trial, _ = attempt(case(), case().instance((edit,)))
    assert (trial.result, trial.invariant) == (result, invariant)
    assert bool(trial.choices) == (result == UNSAFE)


def test_a_lock_that_is_kept_costs_progress_only() -> None:
    """mmu_lock that a punch does not drop stops the fault, and nothing else."""
    trial, _ = attempt(case(), case().instance(("without punch.start.unlock_mmu",)))
    assert (trial.result, trial.invariant) == (STUCK_ONLY, "LIVE")


def test_an_edit_that_leaves_the_model_proves_nothing() -> None:
    """A device that writes to the gfn before the first one uses a frame that is not there."""
    instance = case().instance(("insert pin.dma,before=access.fault.topup_caches",))
    trial, taken = attempt_alone(case(), instance)
    assert (trial.result, trial.invariant, taken) == (ILL, "", None)
    assert "access.new.dma uses frames[-1]" in trial.what


def test_a_laboratory_shows_what_it_found() -> None:
    """The failure is shrunk, stepped again and told with its reason; equal mutants are explored once."""
    lab = Laboratory(DESIGN, "none", 3000)
    lab.case(WORLD)
    order = Order("without punch.start.count_inc", (WORLD.name,), {}, shrinks=True)
    tried = lab.run(order)
    assert tried.worst is not None
    told = lab.show(order, tried.worst)
    assert told.shown is not None
    assert told.shown.invariant == "CNT"
    assert told.shown.steps[-1].startswith("H0: punch.")
    assert told.shown.replay.startswith("gmembench replay v1:")
    assert lab.run(Order("without punch.fdget_", (WORLD.name,), {})).refused


def trials(*results: str) -> Tried:
    """Something tried in as many cases as there are results."""
    return Tried(tuple(Trial(str(n), result, invariant="CNT") for n, result in enumerate(results)))


@pytest.mark.parametrize(
    ("tried", "verdict"),
    [
        (None, necessity.OPEN),
        (Tried(refused="leads nowhere"), necessity.FIXED),
        (Tried(unreached=True), necessity.NOT_REACHED),
        (trials(HOLDS, UNSAFE), necessity.NECESSARY),
        (trials(STUCK_ONLY, HOLDS, UNSAFE), necessity.NECESSARY),
        (trials(HOLDS, STUCK_ONLY), necessity.PROGRESS),
        (trials(UNSAFE, ILL), necessity.ILL_FORMED),
        (trials(HOLDS, BOUND), necessity.REDUNDANT),
        (trials(BOUND, BOUND), necessity.CUT_OFF),
        (trials(BOUND, UNSAFE), necessity.NECESSARY),
    ],
)
def test_the_worst_case_decides(tried: Tried | None, verdict: str) -> None:
    """Safety counts before progress; an ill-formed program proves nothing."""
    assert verdict_of(ROW, tried) == verdict


def test_what_lies_outside_the_model_is_said() -> None:
    """A step that says what it guards is not called redundant; if something breaks, it is necessary all the same."""
    guarded = Target("a.b", "a", ("a.b",), guards="-ENOMEM of caches")
    assert verdict_of(guarded, trials(HOLDS)) == necessity.OUTSIDE
    assert verdict_of(guarded, trials(UNSAFE)) == necessity.NECESSARY


def test_places_are_told_by_what_happens_there() -> None:
    """Moving that leaves the program as it is, is no edit."""
    assert place_of(Tried(refused="changes nothing; the rows are so already")) == necessity.SAME_PLACE
    moved = {"a": trials(UNSAFE), "b": trials(HOLDS), "c": None, "d": trials(UNSAFE)}
    entry = entry_of(ROW, trials(BOUND), moved)
    assert entry.places == {"unsafe": ("a", "d"), "holds": ("b",), "not tried": ("c",)}
    assert entry.breaks == {"CNT": 2}
    assert entry.bounded == 1


def test_the_table_counts_and_claims() -> None:
    """Verdicts are counted; what is not judged is said; a table with something not tried is not complete."""
    bases = [Base("w", HOLDS, 100, 200, ("ABI",), (), "m")]
    entries = [entry_of(ROW, trials(UNSAFE), {}), entry_of(ROW, None, {})]
    table = table_of((DESIGN, "none"), (5000, None), bases, entries, 1.0)
    assert table.counts == {"necessary": 1, "not tried": 1}
    assert not table.complete
    assert "5,000 states" in table.claim
    assert "ABI in w" in table.claim
    assert table_of((DESIGN, "none"), (5000, None), bases, entries[:1], 1.0).complete


def test_leaving_out_needs_no_place() -> None:
    """The edit is the name."""
    assert without(ROW).edit == "without punch.end.count_dec"


def test_what_cannot_run_alone_is_stuck() -> None:
    """A mutant whose preparation waits for ever costs progress: it is no crash, and the next world is tried."""
    lab = Laboratory(DESIGN, "none", 3000)
    lab.case(WORLD)
    tried = lab.run(Order("without convert.lock_slots", (WORLD.name,), {}))
    stuck = lab.run(Order("redirect convert.lock_slots,next=convert.lock_slots", (WORLD.name,), {}))
    assert tried.refused == ""
    assert stuck.worst is not None
    assert (stuck.worst.result, stuck.worst.invariant) == (STUCK_ONLY, "LIVE")


def series_of(target: Target, cases: tuple[str, ...]) -> Orders:
    """All moves of a target."""
    design, none = load_designs()[DESIGN], load_hardware()["none"]
    return Orders(target.program, tuple(Order(v.edit, cases, {}) for v in moves(target, design, none)))


def test_a_series_says_what_each_move_alone_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does the same as another mutant where that ran is not explored again, and is told the same."""
    lab = Laboratory(DESIGN, "none", 1000)
    lab.case(WORLD)
    asked = series_of(targets()["punch.end.count_dec"], (WORLD.name,))
    alone = [place_of(lab.run(order)) for order in asked.orders]
    explored = []
    monkeypatch.setattr(series, "attempt_alone", lambda *how: explored.append(how) or attempt_alone(*how))
    assert [place_of(tried) for tried in lab.run_all(asked)] == alone
    assert {"unsafe", "holds"} <= set(alone)
    assert 0 < len(explored) < len(alone)


def test_only_what_ran_has_to_be_the_same() -> None:
    """A row put where the world never comes changes nothing that happens; put where it comes, it does."""
    instance = case().instance(())
    trial, taken = attempt(case(), instance)
    past = Past.of(instance.code, "access", taken, trial)
    ran = {instance.code.info[row].name for row in range(len(taken)) if taken[row].any()}
    rows = [info.name for info in instance.code.info if info.program == "access"]
    assert alike(past, Shape.of(instance.code, "access"))
    for place, same in ((next(r for r in rows if r not in ran), True), ("access.fault.set_spte", False)):
        edited = case().instance((f"insert fault.recheck_stale,before={place},stale=END",)).code
        assert alike(past, Shape.of(edited, "access")) == same
