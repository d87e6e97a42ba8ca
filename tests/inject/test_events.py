"""Events: what they are, where they may happen, and how drivers are told."""

from functools import cache
from pathlib import Path

import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAM_NUMBER
from gmembench.core.outcomes import CODE
from gmembench.core.programs import Code, assemble
from gmembench.inject.catalog import load_events
from gmembench.inject.scenario import EventUse, instance_of, load_scenarios
from gmembench.inject.triggers import Injected, Scene, hits_to_skip, injected

DESIGNS, HARDWARE, EVENTS = load_designs(), load_hardware(), load_events()
SCENARIO = load_scenarios()["fault-vs-slot-delete"]
ACTORS = SCENARIO.actors

ASKED = {
    "alloc_fail",
    "close_fd",
    "collapse",
    "convert_private",
    "convert_shared",
    "delayed_flush",
    "dropped_flush",
    "host_fault",
    "host_pin",
    "hw_busy",
    "memory_pressure",
    "migrate",
    "numa_zap",
    "poison",
    "preempt",
    "punch_hole",
    "slot_delete",
    "slot_move",
    "spurious_zap",
    "truncate",
}


@cache
def code_of(design: str = "guest-memfd", hardware: str = "none") -> Code:
    """A shipped design's rows."""
    return assemble(DESIGNS[design], HARDWARE[hardware])


def into(code: Code, use: EventUse, where: str = "here") -> Injected:
    """What an event adds to the scenario."""
    return injected([use], Scene(code, ACTORS, 1, where, EVENTS))


def names_of(code: Code, rows: tuple[int, ...]) -> list[str]:
    """Names of rows."""
    return [code.info[row].name for row in rows]


def test_all_that_were_asked_for_are_there() -> None:
    """There are these events and no other."""
    assert set(EVENTS) == ASKED


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    """It is one of three kinds, with a source; a bug has one too."""
    event = EVENTS[name]
    assert sum([bool(event.operations), bool(event.forced), bool(event.holds)]) == 1
    assert event.doc
    assert event.source
    assert all(bug.why and bug.source for bug in event.bugs)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_can_be_injected_wherever_it_is_there(name: str) -> None:
    """Where a design has the event, drivers are told something of it; where not, the reason is told."""
    use = EventUse(event=name, at="V0 before fault.snapshot_seq" if name == "preempt" else "")
    built = 0
    for code in (code_of(d, h) for d in DESIGNS for h in HARDWARE if h not in DESIGNS[d].not_on):
        if EVENTS[name].why_not(code):
            with pytest.raises(UserError, match=f"has no event {name}"):
                into(code, use)
        else:
            made = into(code, use)
            assert len(made.scripts) + len(made.forces) + len(made.gates) > 0
            built += 1
    assert built > 0


def test_bugs_are_told_from_environment() -> None:
    """A dropped flush is a bug everywhere, a spurious zap where it destroys data."""
    guest_memfd = DESIGNS["guest-memfd"]
    legal = {name: {h: event.legal(guest_memfd, HARDWARE[h]) for h in HARDWARE} for name, event in EVENTS.items()}
    assert legal["dropped_flush"] == {"none": False, "snp": False, "tdx": False}
    assert legal["spurious_zap"] == {"none": True, "snp": True, "tdx": False}
    assert legal["hw_busy"] == {"none": True, "snp": True, "tdx": True}


def test_the_rows_of_a_failing_allocation() -> None:
    """Every row of a program of the kernel's that can run out of memory is one, and the reuser's is not."""
    code = code_of()
    ((outcome, rows),) = EVENTS["alloc_fail"].rows(code)
    can = [info.name for info in code.info if "nomem" in info.step.outcomes]
    assert outcome == "nomem"
    assert set(can) - set(names_of(code, rows)) == {"reuse.reuser.take"}


def test_hardware_is_busy_on_its_own_rows() -> None:
    """SEAMCALLs answer busy, and updates of the owner table meet an overlap or an entry in use."""
    for hardware, outcome, part in (
        ("tdx", "busy", "sept."),
        ("snp", "overlap", "rmp."),
        ("snp", "busy", "rmp.psmash"),
    ):
        code = code_of(hardware=hardware)
        rows = dict(EVENTS["hw_busy"].rows(code))[outcome]
        assert rows
        assert all(code.info[row].step.name.startswith(part) for row in rows)


def test_adding_a_file_adds_an_event(tmp_path: Path) -> None:
    """An event in DIR/events/ is there by being there."""
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "swap_storm.py").write_text(
        '"""Swapping."""\n'
        "from gmembench.inject.event import Event\n"
        'EVENT = Event("swap_storm", "Swapping.", "mm/vmscan.c", operations=("swap_out {gfn} {count}",))\n'
    )
    added = load_events([tmp_path])
    assert set(added) - set(EVENTS) == {"swap_storm"}
    assert added["swap_storm"].kind == "operations"


def test_an_event_of_operations_is_one_more_actor_behind_a_gate() -> None:
    """It begins while the actor stands at the point, after the first ones went by."""
    use = EventUse(event="punch_hole", at="V0 before access.fault.lock_mmu", gfn=0, skip=1, count=1)
    instance = instance_of(SCENARIO, DESIGNS["guest-memfd"], HARDWARE["none"], events=[use])
    assert instance.geometry.host_actors == 2
    assert instance.scripts[3]["program"].tolist() == [PROGRAM_NUMBER["punch"]]
    (gate,) = instance.gates
    assert (gate.actor, gate.actors, gate.gfn, gate.skip) == (3, 1, 0, 1)
    assert names_of(instance.code, gate.rows) == ["access.fault.lock_mmu"]


def test_an_event_of_operations_without_a_point_begins_anywhere() -> None:
    """Without a trigger there is no gate."""
    assert into(code_of(), EventUse(event="punch_hole")).gates == ()


def test_a_forced_outcome_at_a_point() -> None:
    """Only the rows at the point are forced, of the named actors."""
    use = EventUse(event="alloc_fail", at="V* before gmem.alloc_folio", times=2, must=True)
    (force,) = into(code_of(), use).forces
    assert (
        names_of(code_of(), force.rows)
        == ["access.gmem.alloc_folio", "prefault.gmem.alloc_folio", "allocate.alloc_folio"][:2]
    )
    assert (force.outcome, force.actors, force.times, force.must) == (CODE["nomem"], 0b11, 2, True)


def test_a_preempted_actor_holds_back_the_others() -> None:
    """All others begin their operations while it stands at the row, and it itself has no gate."""
    use = EventUse(event="preempt", at="V0 before access.fault.set_spte")
    gates = into(code_of(), use).gates
    assert [gate.actor for gate in gates] == [1, 2]


def test_a_delayed_flush_opens_while_somebody_waits_for_it() -> None:
    """The rows of its gates are those that wait for vCPUs."""
    code = code_of(hardware="tdx")
    gates = into(code, EventUse(event="delayed_flush")).gates
    assert [gate.actor for gate in gates] == [0, 1, 2]
    assert {name.rpartition(".")[2] for name in names_of(code, gates[0].rows)} >= {"flush_wait", "kick_wait"}


@pytest.mark.parametrize("probability", [0.5, 0.1])
def test_a_probability_is_a_number_of_the_seed(probability: float) -> None:
    """The same seed gives the same hit, and over many seeds the mean is that of the probability."""
    drawn = [hits_to_skip(probability, seed) for seed in range(4000)]
    assert drawn == [hits_to_skip(probability, seed) for seed in range(4000)]
    expected = (1 - probability) / probability
    assert sum(drawn) / len(drawn) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (EventUse(event="nothing"), "no event 'nothing'"),
        (EventUse(event="punch_hole", at="V0"), "is no point"),
        (EventUse(event="punch_hole", at="X before fault.set_spte"), "no actor 'X'"),
        (EventUse(event="punch_hole", at="V0 before fault.nothing"), "has no row 'fault.nothing'"),
        (EventUse(event="alloc_fail", at="V0 before fault.set_spte"), "cannot happen at"),
        (EventUse(event="alloc_fail", probability=2.0), "probability 2.0"),
        (EventUse(event="preempt"), "does not say where"),
        (EventUse(event="hw_busy"), "has no event hw_busy"),
    ],
)
def test_an_event_that_cannot_be_injected(use: EventUse, what: str) -> None:
    """What is wrong is told, with the place."""
    with pytest.raises(UserError, match=what) as told:
        into(code_of(), use, "mine.toml:4")
    assert told.value.where == "mine.toml:4"
