"""Each event: a schedule in which it happened is written, read and replayed, and shrinking keeps it if it is needed."""

import random
from pathlib import Path

import pytest
from tiny_world import TINY, scenario_text

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.instance import FORCE, Instance
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.jit import INTERPRETED
from gmembench.core.judges import Panel
from gmembench.core.programs import assemble
from gmembench.inject.catalog import load_events
from gmembench.inject.failure import read_failure, write_failure
from gmembench.inject.plan import find_plan
from gmembench.inject.recording import record
from gmembench.inject.replay import replay, replay_schedule
from gmembench.inject.running import starter
from gmembench.inject.scenario import EventUse, instance_of, load_scenarios
from gmembench.inject.schedule import packed_line, read_line
from gmembench.inject.setting import setting_of
from gmembench.inject.shrink import shrink

pytestmark = pytest.mark.skipif(
    not INTERPRETED, reason="invariants from outside are compiled for each world anew: run it with NUMBA_DISABLE_JIT=1"
)

INVARIANTS = '''
"""The event has happened."""

from gmembench.core.invariant import Invariant, Rule
from gmembench.core.world import SPTE_PRESENT, spte


def first(w, a, program):
    """1, when an operation of the first actor ends."""
    return 1 if a["number"] == 0 else 0


def last(w, a, program):
    """1 + the last actor, when an operation of its ends."""
    return 1 + a["number"] if a["number"] == w["actors_n"] - 1 else 0


def unmapped(w, a, program):
    """1, when an operation of the first actor ends and nothing is mapped."""
    return 1 if a["number"] == 0 and spte(w, 0, 0)["bits"] & SPTE_PRESENT == 0 else 0


INVARIANT = Invariant(NAME, __doc__ or "", end=Rule(RULE, "actor {} has ended"))
'''

RULES = {"FIRST": "first", "LAST": "last", "UNMAPPED": "unmapped"}

MAPPED = scenario_text(
    "A page is punched that a vCPU has mapped.",
    ["access 0 read", "access 0 read", "access 0 read"],
    ("S", ["punch 0"]),
    ("the page goes", ["S before punch.remove_folio"]),
    prepare=["V0: convert 0 private", "V0: access 0 read"],
)

RESTRICTED = {"delayed_flush": "S before punch.start.flush_wait", "preempt": "S before punch.start.zap"}
"""Where S must stand so that V0 may begin."""

ASKED = {"alloc_fail": ("tiny", "UNMAPPED"), "dropped_flush": ("mapped", "STALE-TLB")}
"""Scenario and invariant; `mapped` and FIRST for those that restrict the schedule, `tiny` and LAST for the others."""

FEW = ("alloc_fail", "preempt", "punch_hole")
"""One of each kind; the others take longer together than all else here."""

EVENTS = load_events()
PLACES = [("guest-memfd", "none"), ("vma-gup", "none"), ("legacy-vma", "none")]
SHRINK_STEPS = 300
MOST_STEPS = 2000
SEEDS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small scenario, and invariants that are broken when an event has happened."""
    (tmp_path / "exploration").mkdir()
    (tmp_path / "exploration" / "tiny.toml").write_text(TINY)
    (tmp_path / "exploration" / "mapped.toml").write_text(MAPPED)
    (tmp_path / "invariants").mkdir()
    for name, rule in RULES.items():
        text = INVARIANTS.replace("NAME", repr(name)).replace("RULE", rule)
        (tmp_path / "invariants" / f"{name.lower()}.py").write_text(text)
    return tmp_path


def instance_with(event: str, folder: Path) -> Instance:
    """A world in which an event can happen, judged by what only that brings about."""
    if event == "hw_busy":
        return find_plan("bugs/B05").instance()
    kinds, designs = load_hardware(), load_designs()
    design, hardware = next(
        (designs[d], kinds[h]) for d, h in PLACES if not EVENTS[event].why_not(assemble(designs[d], kinds[h]))
    )
    restricts = EVENTS[event].kind == "schedule"
    scenario, name = ASKED.get(event, ("mapped", "FIRST") if restricts else ("tiny", "LAST"))
    use = EventUse(event=event, at=RESTRICTED.get(event, ""))
    panel = Panel({name: load_invariants([folder])[name]})
    return instance_of(load_scenarios([folder])[scenario], design, hardware, events=[use], panel=panel)


def happened(instance: Instance) -> tuple[tuple[int, int], ...]:
    """The choices of a schedule in which it happened: the first seed that comes to it."""
    for seed in range(SEEDS):
        stepper, drawn = Stepper.of(instance), random.Random(seed)
        while stepper.violation is None and stepper.steps < MOST_STEPS and len(options := stepper.options()):
            number, kind = drawn.choice(options.tolist())
            stepper.take(number, kind)
        if stepper.violation is not None:
            return stepper.choices
    raise AssertionError(f"in none of {SEEDS} schedules")


@pytest.mark.parametrize(
    "event", [pytest.param(name, marks=[] if name in FEW else [pytest.mark.proofs]) for name in EVENTS]
)
def test_an_event_is_recorded_replayed_and_kept(event: str, folder: Path) -> None:
    """File and line come to the same states; the shrunk schedule has the event, and nothing breaks without it."""
    instance = instance_with(event, folder)
    setting, choices = setting_of(instance, paths=[folder]), happened(instance)
    failure = record(setting, choices, [folder])
    assert failure is not None
    target = failure.violation.invariant
    write_failure(folder / "failure.json", failure)
    again = replay(read_failure(folder / "failure.json"), [folder])
    assert again.difference is None
    assert again.found == failure
    pasted = replay_schedule(read_line(packed_line(setting, choices)), [folder])
    assert pasted.found is not None
    assert [choice.state for choice in pasted.found.choices] == [choice.state for choice in failure.choices]

    small = shrink(starter(setting, [folder]), choices, target, budget=SHRINK_STEPS).choices
    assert len(small) <= len(choices)
    assert any(is_of_event(choice, event, len(instance.scripts) - 1) for choice in small)
    kept = [choice for choice in small if not is_of_event(choice, event, len(instance.scripts) - 1)]
    running = starter(setting, [folder])()
    assert not any(running.can(choice) and running.take(choice) and running.broken for choice in kept)


def is_of_event(choice: tuple[int, int], event: str, last: int) -> bool:
    """Whether a choice is the event's: forced, of its actor (the last one), or of S, who brings it about."""
    return choice[1] >= FORCE if EVENTS[event].kind == "outcome" else choice[0] == last
