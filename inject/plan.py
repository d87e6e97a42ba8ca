"""Plans: a design with edits, a small world, events, and the invariant that this breaks.

A plan is a TOML file in `inject/plans/`, or in `<path>/plans/` of a folder given with `--path`; or a Python file there
with a value `PLAN`, made by `plan()`. Its name is its path below that folder, without the suffix:
`bugs/A05-fault-no-recheck-under-mmu-lock`. It names a scenario, or has a world and actors of its own.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from gmembench.core.catalog import load_designs, load_file, load_hardware, load_invariants
from gmembench.core.drivers.instance import Instance
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel
from gmembench.core.programs import Design, Hardware
from gmembench.inject.mutants import mutated
from gmembench.inject.scenario import (
    Actor,
    Body,
    Change,
    EventUse,
    Scenario,
    Strict,
    WorldPart,
    check_scenario,
    instance_of,
    load_scenarios,
)
from gmembench.inject.toml_file import Source, read

FOLDER = Path(__file__).resolve().parent / "plans"

BUGS = "bugs"
"""Plans of published bugs, one a file."""

LIST = "not_expressed.toml"
"""The bugs without a plan, and why."""


class PlanBody(Strict, frozen=True, kw_only=True):
    """A plan file.

    `title`: the fix or the rule, as published. `source`: where that stands. `scenario`: the name of one, with a
    `change` laid over it; else `world`, `actors`, `prepare` and `timer` make one. `edits`: as `inject/mutants.py` says.
    `expect`: the invariant that breaks, "" if none must. `items`: steps of the interleaving as it was published.
    `judge`: invariants that are judged, all by default; `why_judge`: why not all.
    """

    doc: str
    title: str = ""
    source: str = ""
    design: str
    hardware: str = "none"
    scenario: str = ""
    change: Change = Change()
    world: WorldPart | None = None
    actors: tuple[Actor, ...] = ()
    prepare: tuple[str, ...] = ()
    timer: bool = False
    edits: tuple[str, ...] = ()
    events: tuple[EventUse, ...] = ()
    expect: str = ""
    items: int = 0
    judge: tuple[str, ...] = ()
    why_judge: str = ""


class NotExpressed(Strict, frozen=True, kw_only=True):
    """A published bug that the model cannot express. `missing`: what it lacks for that."""

    name: str
    title: str
    missing: str


class NotExpressedList(Strict, frozen=True, kw_only=True):
    """The file of bugs without a plan."""

    bugs: tuple[NotExpressed, ...]


class Plan:
    """A plan as it was read. Whoever asks for its parts gets a UserError with the file, line and key of a mistake."""

    def __init__(self, name: str, body: PlanBody, source: Source) -> None:
        self.name, self.body, self.source = name, body, source

    @property
    def doc(self) -> str:
        """What it shows, in a sentence."""
        return self.body.doc

    def where(self, *key: str | int) -> str:
        """File, line and key, for messages."""
        return self.source.where(*key)

    def _chosen(self, known: dict[str, Any], key: str) -> Any:
        name = getattr(self.body, key)
        if name not in known:
            self.source.refuse(f"no {key} {name!r}", f"choose one of {', '.join(known)}", key)
        return known[name]

    def hardware(self, paths: Sequence[Path] = ()) -> Hardware:
        """The hardware that it runs on."""
        found: Hardware = self._chosen(load_hardware(paths), "hardware")
        return found

    def design(self, paths: Sequence[Path] = ()) -> Design:
        """The design before it is edited."""
        found: Design = self._chosen(load_designs(paths), "design")
        return found

    def mutant(self, paths: Sequence[Path] = ()) -> Design:
        """The design with the plan's edits."""
        design, hardware = self.design(paths), self.hardware(paths)
        done: list[str] = []
        for position, edit in enumerate(self.body.edits):
            done.append(edit)
            try:
                made = mutated(design, hardware, done)
            except UserError as fault:
                raise UserError(f"{fault.where}: {fault.what}", self.where("edits", position), fault.mend) from fault
        return made if done else design

    def scenario(self, paths: Sequence[Path] = ()) -> Scenario:
        """The scenario that it names, changed; or its own."""
        body = self.body
        if body.scenario:
            if body.world is not None or body.actors:
                self.source.refuse("has a scenario and a world of its own", "leave one of them out", "scenario")
            found: Scenario = self._chosen(load_scenarios(paths), "scenario")
            return found.changed(body.change) if body.change != Change() else found
        if body.world is None or not body.actors:
            self.source.refuse("says neither scenario nor world and actors", "add scenario = NAME", "design")
        own = Body(
            doc=body.doc,
            world=body.world,
            actors=body.actors,
            prepare=body.prepare,
            timer=body.timer,
            hardware=(body.hardware,),
            sometimes=(),
        )
        made = Scenario(self.name, own, self.source, tuple(paths))
        check_scenario(made)
        return made

    def panel(self, paths: Sequence[Path] = ()) -> Panel:
        """The invariants that are judged."""
        known = load_invariants(paths)
        for key in ("expect", "judge"):
            asked = getattr(self.body, key)
            for name in (asked,) if isinstance(asked, str) else asked:
                if name and name not in known:
                    self.source.refuse(f"no invariant {name!r}", f"choose one of {', '.join(known)}", key)
        if self.body.judge and not self.body.why_judge:
            self.source.refuse("judges some invariants only", "say why in why_judge", "judge")
        return Panel({name: known[name] for name in self.body.judge}) if self.body.judge else Panel(known)

    @property
    def places_of_events(self) -> tuple[str, ...]:
        """File, line and key of each of its own events."""
        return tuple(self.where("events", position) for position in range(len(self.body.events)))

    def instance(self, paths: Sequence[Path] = (), *, seed: int = 0, edited: bool = True) -> Instance:
        """What the drivers explore. `edited`: with the plan's edits; without them nothing must be found."""
        design = self.mutant(paths) if edited else self.design(paths)
        return instance_of(
            self.scenario(paths),
            design,
            self.hardware(paths),
            events=self.body.events,
            places=self.places_of_events,
            seed=seed,
            panel=self.panel(paths),
        )

    def check(self, paths: Sequence[Path] = ()) -> None:
        """Raise UserError if it cannot run."""
        self.instance(paths)


def plan(name: str, **parts: Any) -> Plan:
    """A plan in Python: the keys of a plan file, with tuples and tables as plain data."""
    try:
        body = msgspec.convert(parts, PlanBody)
    except msgspec.ValidationError as fault:
        raise UserError(str(fault), f"plan {name}", "mend that key") from fault
    return Plan(name, body, Source(f"plan {name}", ""))


def read_plan(path: Path, name: str = "") -> Plan:
    """The plan of a TOML file, or of a Python file with a value PLAN."""
    if path.suffix == ".py":
        found = getattr(load_file(path), "PLAN", None)
        if not isinstance(found, Plan):
            raise UserError("defines no PLAN of kind Plan", str(path), "give it one value PLAN, made by plan()")
        return found
    body, source = read(path, PlanBody)
    return Plan(name or path.stem, body, source)


def _read_folder(folder: Path) -> list[Plan]:
    files = sorted(path for suffix in ("toml", "py") for path in folder.rglob(f"*.{suffix}"))
    wanted = [path for path in files if path.name not in {LIST, "__init__.py"}]
    return [read_plan(path, path.relative_to(folder).with_suffix("").as_posix()) for path in wanted]


@cache
def _shipped() -> tuple[Plan, ...]:
    return tuple(_read_folder(FOLDER))


def load_plans(paths: Sequence[Path] = ()) -> dict[str, Plan]:
    """All plans by name; those of `<path>/plans/` too."""
    found: dict[str, Plan] = {}
    for made in (*_shipped(), *(p for outside in paths for p in _read_folder(outside / "plans"))):
        if made.name in found:
            raise UserError(f"plan {made.name!r} is defined twice", made.where("doc"), "give it another name")
        found[made.name] = made
    return found


def find_plan(text: str, paths: Sequence[Path] = ()) -> Plan:
    """A plan by its name, by the beginning of its file's name (`bugs/A05`, `A05`), or by the path of a file."""
    if text.endswith((".toml", ".py")):
        return read_plan(Path(text))
    known = load_plans(paths)
    if text in known:
        return known[text]
    near = [name for name in known if name.rpartition("/")[2].startswith(text) or name.startswith(text)]
    near = [name for name in near if name.rpartition("/")[2] == text] or near
    if len(near) == 1:
        return known[near[0]]
    mend = f"choose one of {', '.join(near)}" if near else "choose one of `gmembench list plans`, or a .toml file"
    raise UserError(f"{len(near)} plans {text!r}" if near else f"no plan {text!r}", "plan", mend)


def not_expressed() -> tuple[NotExpressed, ...]:
    """The published bugs without a plan, and what the model lacks for them."""
    return read(FOLDER / BUGS / LIST, NotExpressedList)[0].bugs
