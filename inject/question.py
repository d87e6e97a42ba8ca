"""What is asked of a driver, by names: a scenario or plan, a design with edits, a hardware, and what is judged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.instance import Instance
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel
from gmembench.core.programs import Design, Finding, Hardware
from gmembench.inject.mutants import mutated
from gmembench.inject.plan import Plan, find_plan, load_plans
from gmembench.inject.scenario import EventUse, Scenario, instance_of, load_scenarios, states_of
from gmembench.inject.setting import Setting, setting_of

T = TypeVar("T")


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """What a mistaken name may have meant, as a mend; `otherwise` if nothing is near."""
    near = get_close_matches(name, list(known), 3, 0.5)
    return f"did you mean {', '.join(near)}?" if near else otherwise


def chosen(known: Mapping[str, T], name: str, what: str, where: str = "") -> T:
    """The thing of a name. Raises UserError with the nearest names; `where`: what gave it, if not an option."""
    if name not in known:
        mend = nearest(name, known, f"choose one of {', '.join(known)}")
        raise UserError(f"no {what} {name!r}", where or f"--{what}", mend)
    return known[name]


@dataclass(frozen=True)
class Question:
    """What is explored.

    `source`: the name of the scenario or plan, as replay lines have it; "" for a plan from a file, which a line cannot
    name. `design`: before it is edited. `edits`: all of them, a plan's among them. `events`: beside the scenario's, and
    `places` where each stands.
    """

    source: str
    scenario: Scenario
    design: Design
    hardware: Hardware
    edits: tuple[str, ...] = ()
    events: tuple[EventUse, ...] = ()
    places: tuple[str, ...] = ()
    panel: Panel = field(default_factory=Panel)
    seed: int = 0
    paths: tuple[Path, ...] = ()

    @cached_property
    def instance(self) -> Instance:
        """What the drivers explore. Raises UserError if an edit cannot be made, or the design cannot run it."""
        why = self.scenario.why_not(self.design, self.hardware)
        if why:
            raise UserError(
                f"{self.design.name} on {self.hardware.name} cannot run it ({why})",
                f"scenario {self.scenario.name}",
                "choose another design, hardware or scenario",
            )
        mutant = mutated(self.design, self.hardware, self.edits)
        events = {"events": self.events, "places": self.places, "seed": self.seed, "panel": self.panel}
        return instance_of(self.scenario, mutant, self.hardware, **events)  # type: ignore[arg-type]  # by name

    @cached_property
    def setting(self) -> Setting:
        """The same as data, as failures hold it."""
        return setting_of(self.instance, scenario=self.source, edits=self.edits, paths=self.paths)

    def lookup(self, source: str, design: str, hardware: str, edits: Sequence[str]) -> Setting:
        """The setting that a line names, where this was asked."""
        return setting_named(source, design, hardware, edits, self.paths)

    @property
    def states_absent(self) -> dict[str, str]:
        """States that cannot be seen here: name -> why."""
        return states_of(self.scenario, self.instance.code)[1]

    def finding(self, invariant: str, row: str) -> Finding | None:
        """The finding of that invariant, broken by that row ("" by none), that the design ships with here; or None."""
        own = (f for f in self.design.findings if f.covers(invariant, row, self.hardware.name))
        return next(own, None)


@dataclass(frozen=True)
class Words:
    """What a command line says. What it says itself counts before what its plan says; its edits come after."""

    design: str = ""
    scenario: str = ""
    hardware: str = ""
    plan: str = ""
    edits: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    seed: int = 0
    paths: tuple[Path, ...] = ()


def _panel(ignored: Sequence[str], panel: Panel, paths: Sequence[Path]) -> Panel:
    """The invariants without those that are not asked for."""
    known = load_invariants(paths)
    for name in ignored:
        if name not in known:
            raise UserError(f"no invariant {name!r}", "--ignore", nearest(name, known, "see `list invariants`"))
    if not ignored:
        return panel
    return Panel({name: item for name, item in panel.invariants.items() if name not in ignored})


def _name(plan: Plan, paths: Sequence[Path]) -> str:
    """The name of a plan that a line can name; "" if it is a file elsewhere."""
    found = load_plans(paths).get(plan.name)
    return plan.name if found is not None and found.body == plan.body else ""


def ask(words: Words) -> Question:
    """The question of a command line. Raises UserError for names that are not there."""
    paths = words.paths
    plan = find_plan(words.plan, paths) if words.plan else None
    scenarios = load_scenarios(paths)
    if plan is None and not (words.design and words.scenario):
        lacking = "--scenario" if words.design else "--design"
        raise UserError(f"{lacking} is missing", "explore", "add it, or a plan: --inject bugs/A05")
    design = chosen(load_designs(paths), words.design, "design") if words.design or plan is None else plan.design(paths)
    kinds = load_hardware(paths)
    hardware = (
        chosen(kinds, words.hardware or "none", "hardware") if words.hardware or plan is None else plan.hardware(paths)
    )
    if words.scenario or plan is None:
        scenario, source = chosen(scenarios, words.scenario, "scenario"), words.scenario if plan is None else ""
    else:
        scenario, source = plan.scenario(paths), _name(plan, paths)
    if plan is not None and design.name == plan.body.design:
        plan.mutant(paths)  # names the line of an edit that cannot be made
    return Question(
        source,
        scenario,
        design,
        hardware,
        (*(plan.body.edits if plan else ()), *words.edits),
        plan.body.events if plan else (),
        plan.places_of_events if plan else (),
        _panel(words.ignored, plan.panel(paths) if plan else Panel(load_invariants(paths)), paths),
        words.seed,
        paths,
    )


def setting_named(source: str, design: str, hardware: str, edits: Sequence[str], paths: Sequence[Path] = ()) -> Setting:
    """The setting that a schedule line names: a scenario's or a plan's, with a design, a hardware and edits.

    A plan has its own design, hardware and edits, and they must be those that are named. Raises UserError if there is
    no such setting.
    """
    folders = tuple(paths)
    if source not in load_plans(paths):
        return ask(Words(design, source, hardware, edits=tuple(edits), paths=folders)).setting
    made = ask(Words(plan=source, paths=folders)).setting
    if (made.design, made.hardware, made.edits) != (design, hardware, tuple(edits)):
        raise UserError(
            f"it has design {made.design}, hardware {made.hardware} and {len(made.edits)} edits",
            f"plan {source}",
            "the line is of another version of the plan",
        )
    return made
