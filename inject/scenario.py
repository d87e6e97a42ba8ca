"""Scenarios of exploration: a small world, actors with scripts, events, and the states that must be seen.

A scenario is a TOML file in `inject/scenarios/`; a variant in it becomes a scenario of its own. `instance_of` builds
what the drivers explore for one design on one hardware.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from gmembench.core.catalog import check_path
from gmembench.core.drivers.instance import Instance, Sometimes
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel
from gmembench.core.operations import check_operations
from gmembench.core.programs import Code, Design, Hardware, assemble
from gmembench.core.world import Geometry
from gmembench.inject.catalog import load_events
from gmembench.inject.script import operation, program_of, script
from gmembench.inject.small_world import small_geometry
from gmembench.inject.states import Cast, sometimes
from gmembench.inject.toml_file import Source, read
from gmembench.inject.triggers import Scene, injected

FOLDER = Path(__file__).resolve().parent / "scenarios"


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a file; a key that it does not know is refused."""


class WorldPart(Strict, frozen=True, kw_only=True):
    """Fields of `Geometry` that a file may set; those that it leaves out stay as they are."""

    gfns: int | None = None
    slots: tuple[tuple[int, int], ...] | None = None
    pages: int | None = None
    region_gfns: int | None = None
    tlb_entries: int | None = None
    shared_order: int | None = None
    private_order: int | None = None
    nodes: int | None = None
    movable: bool | None = None
    consumers: int | None = None
    policy: str | None = None
    init_private: bool | None = None

    def given(self) -> dict[str, object]:
        """What the file sets."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in named.items() if value is not None}


class Actor(Strict, frozen=True, kw_only=True):
    """A vCPU or a host thread, and its operations as text."""

    name: str
    kind: Literal["vcpu", "host"]
    script: tuple[str, ...]


class EventUse(Strict, frozen=True, kw_only=True):
    """An event, and when it happens: see `inject/triggers.py`.

    `at`: `ACTOR before ROW`; "" anywhere. `gfn`: only while that actor works on it; -1 any. The first `skip` arrivals
    go by, or, with a `probability`, as many as the seed draws. `times`: how often an outcome is forced at most; `must`:
    whenever it can be. `target`, `count`, `slot`, `node`: what the event's own operations work on; `target` is `gfn`
    unless it is given.
    """

    event: str
    at: str = ""
    gfn: int = -1
    target: int = -1
    count: int = 1
    slot: int = 0
    node: int = 1
    skip: int = 0
    times: int = 1
    probability: float = 0.0
    must: bool = False


class State(Strict, frozen=True, kw_only=True):
    """A state that must be seen. `designs`, `hardware`: where, as globs; `why`: why not elsewhere."""

    name: str
    when: tuple[str, ...]
    designs: tuple[str, ...] = ("*",)
    hardware: tuple[str, ...] = ("*",)
    why: str = ""


class Change(Strict, frozen=True, kw_only=True):
    """What another design, a variant or a plan changes: parts of the world, whole scripts by actor, preparations.

    `skip`: why it cannot run at all. `never`: state -> why it cannot be seen. `hardware`: kinds that it is proved on.
    """

    world: WorldPart = WorldPart()
    scripts: dict[str, tuple[str, ...]] = {}
    prepare: tuple[str, ...] | None = None
    skip: str = ""
    never: dict[str, str] = {}
    hardware: tuple[str, ...] | None = None
    timer: bool | None = None


class Variant(Change, frozen=True, kw_only=True):
    """A change that makes a scenario of its own, and what more it changes for single designs."""

    doc: str
    sometimes: tuple[State, ...] = ()
    designs: dict[str, Change] = {}


class Body(Strict, frozen=True, kw_only=True):
    """A scenario file.

    `needs`: programs that a design must have beside those in the scripts. `page_size`: one that its cells must have.
    `hardware`: kinds that it is proved on.
    """

    doc: str
    page_size: Literal["4K", "2M", "1G", ""] = ""
    world: WorldPart
    actors: tuple[Actor, ...]
    prepare: tuple[str, ...] = ()
    timer: bool = False
    needs: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ("none", "tdx", "snp")
    events: tuple[EventUse, ...] = ()
    sometimes: tuple[State, ...]
    never: dict[str, str] = {}
    skip: str = ""
    designs: dict[str, Change] = {}
    variants: dict[str, Variant] = {}


RETRIED = State(
    name="a fault retried",
    when=(
        "taken *precheck_stale* stale",
        "taken *recheck_stale stale",
        "taken *recheck_root root",
        "taken *set_spte lost",
        "taken fault.check_slot invalid",
    ),
)
WAITED = State(name="a step blocked", when=("taken * blocked",))
EVERYWHERE = (RETRIED, WAITED)
"""States that every scenario must see."""


def _over(old: WorldPart, new: WorldPart) -> WorldPart:
    return msgspec.structs.replace(old, **{n: v for n in old.__struct_fields__ if (v := getattr(new, n)) is not None})


class Scenario:
    """A scenario as it was read, or as a variant, a design or a plan changes it."""

    def __init__(
        self,
        name: str,
        body: Body,
        source: Source,
        paths: tuple[Path, ...] = (),
        changed: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.body, self.source = name, body, source
        self.paths = paths
        """Folders with more events."""
        self.parts_changed = changed
        """Names of actors whose scripts are a change's, and "prepare": they do not stand where the source has them."""

    @property
    def doc(self) -> str:
        """What it is about, in a sentence."""
        return self.body.doc

    @property
    def actors(self) -> tuple[str, ...]:
        """Names of the actors, vCPUs first: their numbers."""
        return tuple(actor.name for actor in self.sorted_actors())

    def sorted_actors(self) -> list[Actor]:
        """The actors by their numbers."""
        return sorted(self.body.actors, key=lambda actor: actor.kind != "vcpu")

    @property
    def vcpus(self) -> int:
        """How many of them are vCPUs."""
        return sum(actor.kind == "vcpu" for actor in self.body.actors)

    @property
    def states(self) -> tuple[State, ...]:
        """The states that must be seen: its own, and those of every scenario."""
        return (*self.body.sometimes, *EVERYWHERE)

    @property
    def programs(self) -> tuple[str, ...]:
        """Programs that it needs, each once."""
        texts = [text for actor in self.body.actors for text in actor.script]
        prepared = [text.partition(":")[2] for text in self.body.prepare]
        return tuple(dict.fromkeys([*self.body.needs, *map(program_of, texts), *map(program_of, prepared)]))

    def changed(self, change: Change) -> "Scenario":
        """The scenario with a change laid over it."""
        self._check_actors(change, "actors", 0)
        actors = tuple(
            msgspec.structs.replace(actor, script=change.scripts.get(actor.name, actor.script))
            for actor in self.body.actors
        )
        body = msgspec.structs.replace(
            self.body,
            world=_over(self.body.world, change.world),
            actors=actors,
            prepare=self.body.prepare if change.prepare is None else change.prepare,
            timer=self.body.timer if change.timer is None else change.timer,
            hardware=self.body.hardware if change.hardware is None else change.hardware,
            never=self.body.never | change.never,
            skip=change.skip,
        )
        parts = self.parts_changed | change.scripts.keys() | ({"prepare"} if change.prepare is not None else set())
        return Scenario(self.name, body, self.source, self.paths, frozenset(parts))

    def where_of_script(self, actor: Actor) -> str:
        """The place of an actor's script, for messages."""
        if actor.name in self.parts_changed:
            return f"{self.name}: change of the script of {actor.name}"
        return self.where("actors", self.body.actors.index(actor), "script")

    @property
    def where_prepared(self) -> str:
        """The place of what is prepared, for messages."""
        return f"{self.name}: change of prepare" if "prepare" in self.parts_changed else self.where("prepare")

    def _check_actors(self, change: Change, *key: str | int) -> None:
        unknown = change.scripts.keys() - set(self.actors)
        if unknown:
            self.source.refuse(f"no actor {min(unknown)!r}", f"choose of {', '.join(self.actors)}", *key)

    def check_change(self, change: Change, *key: str) -> None:
        """Refuse a change of the file that names actors or operations that are not there."""
        self._check_actors(change, *key, "scripts")
        changed = self.changed(change)
        for name in change.scripts:
            script(change.scripts[name], 0, self.where(*key, "scripts", name))
        if change.prepare is not None:
            prepared(changed, *key, "prepare")

    def for_design(self, name: str) -> "Scenario":
        """The scenario as a design runs it."""
        change = self.body.designs.get(name)
        return self if change is None else self.changed(change)

    def where(self, *key: str | int) -> str:
        """File, line and key, for messages."""
        return self.source.where(*key)

    def why_not(self, design: Design, hardware: Hardware) -> str:
        """Why a design cannot run it on a hardware; "" if it can."""
        if hardware.name in design.not_on:
            return design.not_on[hardware.name]
        mine = self.for_design(design.unedited_name)
        if mine.body.skip:
            return mine.body.skip
        if mine.body.page_size and mine.body.page_size not in design.sizes:
            return f"needs pages of {mine.body.page_size}: those of the design are of {', '.join(design.sizes)}"
        for program in mine.programs:
            if program not in design.programs:
                return f"no {program}: {design.not_applicable.get(program, 'the design has no such program')}"
        return ""


def _variants(scenario: Scenario) -> list[Scenario]:
    found = [scenario]
    for name, variant in scenario.body.variants.items():
        changed = scenario.changed(variant)
        made = changed.body
        designs = {**made.designs}
        for design, change in variant.designs.items():
            designs[design] = _both(designs.get(design, Change()), change)
        body = msgspec.structs.replace(
            made, doc=variant.doc, designs=designs, sometimes=(*made.sometimes, *variant.sometimes), variants={}
        )
        found.append(Scenario(f"{scenario.name}-{name}", body, scenario.source, changed=changed.parts_changed))
    return found


def _both(first: Change, second: Change) -> Change:
    """Two changes, the second laid over the first."""
    return Change(
        world=_over(first.world, second.world),
        scripts=first.scripts | second.scripts,
        prepare=first.prepare if second.prepare is None else second.prepare,
        skip=second.skip or first.skip,
        never=first.never | second.never,
        hardware=first.hardware if second.hardware is None else second.hardware,
        timer=first.timer if second.timer is None else second.timer,
    )


def check_scenario(scenario: Scenario) -> None:
    """Refuse what no design could run: names twice, bad operations, actors that are not there."""
    source, names = scenario.source, scenario.actors
    for position, actor in enumerate(scenario.body.actors):
        if names.count(actor.name) > 1:
            source.refuse(f"two actors are called {actor.name!r}", "give them names of their own", "actors", position)
        script(actor.script, 0, source.where("actors", position, "script"))
    if scenario.vcpus == 0:
        source.refuse("no vCPU", 'give one actor kind = "vcpu"', "actors", 0)
    prepared(scenario, "prepare")
    for position, state in enumerate(scenario.body.sometimes):
        if (state.designs != ("*",) or state.hardware != ("*",)) and not state.why:
            source.refuse("does not say why it is not seen elsewhere", "add why", "sometimes", position)
    for name, variant in scenario.body.variants.items():
        scenario.check_change(variant, "variants", name)
        _check_designs(scenario.changed(variant), variant.designs, "variants", name)
    _check_designs(scenario, scenario.body.designs)


def _check_designs(scenario: Scenario, designs: Mapping[str, Change], *key: str) -> None:
    for name, change in designs.items():
        scenario.check_change(change, *key, "designs", name)


def prepared(scenario: Scenario, *key: str) -> tuple[np.ndarray, ...]:
    """The operations that run one after the other before anybody explores."""
    names, where = scenario.actors, scenario.where(*key)
    made = []
    for text in scenario.body.prepare:
        actor, _, rest = text.partition(":")
        if actor.strip() not in names or not rest:
            raise UserError(f"{text!r} names no actor", where, f"write `ACTOR: OPERATION`, ACTOR of {', '.join(names)}")
        made.append(operation(rest, names.index(actor.strip()), where))
    return tuple(made)


def load_scenarios(paths: Sequence[Path] = ()) -> dict[str, Scenario]:
    """All scenarios of exploration by name, with their variants; those of `<path>/exploration/` too."""
    found = dict(_shipped())
    for outside in paths:
        check_path(outside)
        for path in sorted((outside / "exploration").glob("*.toml")):
            for scenario in read_scenario(path):
                if scenario.name in found:
                    raise UserError(f"{scenario.name!r} is defined twice", str(path), "give it another name")
                found[scenario.name] = scenario
    return {name: Scenario(name, s.body, s.source, tuple(paths), s.parts_changed) for name, s in found.items()}


@cache
def _shipped() -> tuple[tuple[str, Scenario], ...]:
    return tuple((s.name, s) for path in sorted(FOLDER.glob("*.toml")) for s in read_scenario(path))


def read_scenario(path: Path) -> list[Scenario]:
    """The scenario of a file, and its variants. Raises UserError with file, line and key."""
    body, source = read(path, Body)
    scenario = Scenario(path.stem, body, source)
    check_scenario(scenario)
    return _variants(scenario)


def geometry_of(scenario: Scenario, design: Design, hardware: Hardware, more_hosts: int = 0) -> Geometry:
    """The world of a scenario; `scenario` is already as the design runs it."""
    changes = scenario.body.world.given()
    hosts = len(scenario.body.actors) - scenario.vcpus + more_hosts
    try:
        return small_geometry(design, hardware, vcpus=scenario.vcpus, host_actors=hosts, **changes)
    except UserError as fault:
        raise UserError(f"{fault.what} (design {design.name})", scenario.where("world"), fault.mend) from fault


def cast_of(scenario: Scenario) -> Cast:
    """The actors, as states name them."""
    return Cast(scenario.actors, tuple(len(actor.script) for actor in scenario.sorted_actors()))


def states_of(scenario: Scenario, code: Code) -> tuple[tuple[Sometimes, ...], dict[str, str]]:
    """The states that a design must see, and those that it cannot: name -> why."""
    mine = scenario.for_design(code.design.unedited_name)
    seen, absent = [], {}
    for position, state in enumerate(mine.states):
        where = mine.where("sometimes", position)
        made, lacking = sometimes(state.name, state.when, code, cast_of(mine), where)
        why = mine.body.never.get(state.name) or _elsewhere(state, code) or lacking
        if why:
            absent[state.name] = why
        else:
            seen.append(made)
    unknown = mine.body.never.keys() - absent.keys()
    if unknown:
        raise UserError(f"no state {min(unknown)!r}", mine.where("never"), "name one of sometimes")
    return tuple(seen), absent


def _elsewhere(state: State, code: Code) -> str:
    here = any(fnmatchcase(code.design.unedited_name, d) for d in state.designs)
    here = here and any(fnmatchcase(code.hardware.name, h) for h in state.hardware)
    return "" if here else state.why


def _check_operation(text: str, made: np.ndarray, where: str, shape: Geometry, actors: int) -> None:
    """Refuse an operation that the world cannot run, as it was written."""
    try:
        check_operations(made.reshape(1), where, gfns=shape.gfns, vcpus=shape.vcpus, actors=actors)
    except UserError as fault:
        what = fault.what.replace("operation 0 has", f"{text!r} has")
        gfns = "gfn 0" if shape.gfns == 1 else f"gfns 0 to {shape.gfns - 1}"
        raise UserError(what, where, f"mend the operation; the guest has {gfns}") from fault


def instance_of(  # noqa: PLR0913 - what can be asked of a scenario
    scenario: Scenario,
    design: Design,
    hardware: Hardware,
    *,
    events: Sequence[EventUse] = (),
    places: Sequence[str] = (),
    seed: int = 0,
    panel: Panel | None = None,
) -> Instance:
    """What the drivers explore.

    `design` may be a mutant: its design's changes count for it. `events`: more of them, for instance a plan's, and
    `places` where each stands, for messages. `seed`: of events with a probability. Raises UserError if the design
    cannot run the scenario, or an event is unknown.
    """
    why = scenario.why_not(design, hardware)
    if why:
        raise UserError(
            f"{design.name} on {hardware.name} cannot run {scenario.name}: {why}",
            scenario.where("doc"),
            "choose another design or hardware",
        )
    mine = scenario.for_design(design.unedited_name)
    code = assemble(design, hardware)
    uses = (*mine.body.events, *events)
    scene = Scene(code, mine.actors, mine.body.world.gfns or 1, mine.where("events"), load_events(mine.paths))
    own = [mine.where("events", position) for position in range(len(mine.body.events))]
    added = injected(uses, scene, seed, (*own, *(places or [scene.where] * len(events))))
    geometry = geometry_of(mine, design, hardware, len(added.scripts))
    prepare = prepared(mine, "prepare")
    actors = mine.sorted_actors()
    where = [mine.where_of_script(actor) for actor in actors]
    scripts = tuple(script(a.script, n, where[n]) for n, a in enumerate(actors))
    scripts = (*scripts, *added.scripts)
    where += [scene.where] * len(added.scripts) + [mine.where_prepared] * len(prepare)
    texts = [actor.script for actor in actors]
    texts += [tuple(f"operation {at}" for at in range(len(made))) for made in added.scripts]
    texts += [(text,) for text in mine.body.prepare]
    for operations, there, asked in zip((*scripts, *prepare), where, texts, strict=True):
        for text, made in zip(asked, operations, strict=True):
            _check_operation(text, made, there, geometry, len(scripts))
    return Instance(
        code,
        geometry,
        scripts,
        prepare=prepare,
        panel=Panel() if panel is None else panel,
        timer=mine.body.timer,
        forces=added.forces,
        gates=added.gates,
        sometimes=states_of(scenario, code)[0],
    )
