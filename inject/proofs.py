"""Proofs: every scenario for every design that can run it, explored to its end, and what each came to.

A cell is a scenario, a design and a hardware. Its design ships with findings; a cell that shows one is explored again
without that invariant, until nothing else breaks: so what is found is the whole of what the cell can show, one
invariant at a time, and the counts are those of a search that came to its end. It goes on after what was broken, so
that it meets what breaks in turn: a finding names that as `then`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.exhaustive import REDUCTIONS, Exploration, explore
from gmembench.core.drivers.instance import Instance
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.invariant import STUCK
from gmembench.core.judges import Panel
from gmembench.core.programs import Design
from gmembench.inject.scenario import Scenario, instance_of, load_scenarios

SECONDS = 60.0
"""Time that a cell may take on one core."""

QUICK_SECONDS = 2.0
"""A cell that takes less is proved with the other tests."""


class Shown(msgspec.Struct, frozen=True):
    """A finding as a cell shows it. `choices`: how many the schedule has that was found first.

    `row`: the one whose step broke the invariant; "" where nobody gets on any more.
    """

    invariant: str
    choices: int
    row: str = ""


class Proof(msgspec.Struct, frozen=True):
    """What a cell came to. `states`, `transitions`: of the last search, in which nothing broke any more.

    `verdict`: "holds", or "bound" if it did not come to its end. `unseen`: states that must be seen and were not.
    `seconds`: processor time of all its searches.
    """

    scenario: str
    design: str
    hardware: str
    verdict: str
    shown: tuple[Shown, ...]
    states: int
    transitions: int
    unseen: tuple[str, ...]
    seconds: float

    @property
    def cell(self) -> tuple[str, str, str]:
        """Its scenario, design and hardware."""
        return self.scenario, self.design, self.hardware

    @property
    def verdicts(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """What must be the same without reductions: verdict, invariants that break, states that are not seen."""
        return self.verdict, tuple(shown.invariant for shown in self.shown), self.unseen

    @property
    def counts(self) -> "Proof":
        """All of it that is the same on every machine."""
        return msgspec.structs.replace(self, seconds=0.0)


def hardware_of(scenario: Scenario, design: Design) -> tuple[str, ...]:
    """On which hardware a scenario is proved for a design: those that the file names and the design runs on."""
    kinds = load_hardware()
    mine = scenario.for_design(design.unedited_name)
    return tuple(name for name in mine.body.hardware if not scenario.why_not(design, kinds[name]))


def cells(scenarios: Mapping[str, Scenario] | None = None) -> Iterator[tuple[str, str, str]]:
    """Every scenario, design and hardware that is proved."""
    for scenario in (load_scenarios() if scenarios is None else scenarios).values():
        for design in load_designs().values():
            for name in hardware_of(scenario, design):
                yield scenario.name, design.name, name


def without(instance: Instance, invariants: Sequence[str]) -> Instance:
    """The instance, judged by all invariants but these."""
    kept = {name: item for name, item in instance.panel.invariants.items() if name not in invariants}
    return replace(instance, panel=Panel(kept))


def breaking_row(instance: Instance, e: Exploration) -> str:
    """The row whose step broke what an exploration found; "" where nobody gets on any more, or before all steps."""
    if e.violation is None or e.violation.when == STUCK or not e.choices:
        return ""
    stepper = Stepper.of(instance)
    for choice in e.choices[:-1]:
        stepper.take(*choice)
    return stepper.next_row(e.choices[-1][0])


def known(proof: Proof, shown: Shown) -> bool:
    """Whether the design ships with a finding of this invariant, broken by this row."""
    findings = load_designs()[proof.design].findings
    return any(finding.covers(shown.invariant, shown.row, proof.hardware) for finding in findings)


def prove(
    scenario: str,
    design: str,
    hardware: str,
    *,
    reductions: tuple[str, ...] = REDUCTIONS,
    seconds: float = SECONDS,
    states: int = 1 << 31,
) -> Proof:
    """Explore a cell to its end. `seconds`, `states`: at most, of one search."""
    asked, kind = load_designs()[design], load_hardware()[hardware]
    instance = instance_of(load_scenarios()[scenario], asked, kind)
    shown: list[Shown] = []
    started = time.process_time()
    while True:
        judged = without(instance, [s.invariant for s in shown])
        stuck = judged.panel.judges_stuck
        e = explore(judged, live=stuck, stuck=stuck, reductions=reductions, seconds=seconds, states=states)
        if e.violation is None:
            break
        shown.append(Shown(e.violation.invariant, len(e.choices), breaking_row(judged, e)))
    unseen = tuple(sorted(name for name, seen in e.seen.items() if not seen))
    return Proof(
        scenario,
        design,
        hardware,
        e.verdict,
        tuple(sorted(shown, key=lambda s: s.invariant)),
        e.states,
        e.transitions,
        unseen,
        round(time.process_time() - started, 2),
    )
