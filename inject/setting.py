"""The setting of a schedule as data: design, hardware, edits, world, scripts and what is judged; and back again.

A setting stands alone: names of designs and hardware are looked up in the sources that read it, all else is in it.
Programs that were edited in Python, where no text says how, are in it row by row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from gmembench.core.catalog import load_designs, load_hardware, load_invariants
from gmembench.core.drivers.instance import EVERYBODY, MOST_ACTORS, Force, Gate, Instance
from gmembench.core.drivers.sequential import Stuck
from gmembench.core.drivers.stepper import Stepper
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel
from gmembench.core.operations import (
    AS_PRIVATE,
    AS_SHARED,
    LONG,
    NOT_NOW,
    OPERATION,
    PRIVATE,
    PROGRAM_NUMBER,
    PROGRAMS,
    WRITE,
    check_operations,
)
from gmembench.core.outcomes import CODE, OUTCOMES
from gmembench.core.programs import Code, Design, Hardware, Program, Row, assemble
from gmembench.core.world import Geometry
from gmembench.inject.mutants import mutated

FLAGS = {
    "write": WRITE,
    "private": PRIVATE,
    "as_shared": AS_SHARED,
    "as_private": AS_PRIVATE,
    "long": LONG,
    "not_now": NOT_NOW,
}
"""Flags of operations by the names that files give them."""

MOST_GFNS = 4096
MOST_PAGES = 1 << 16
"""Worlds whose single steps are recorded are small; a larger one is a mistake or a damaged file."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One operation of a script, by names."""

    program: str
    gfn: int
    count: int = 1
    flags: tuple[str, ...] = ()
    slot: int = 0

    def __str__(self) -> str:
        last = self.gfn + self.count - 1
        words = [self.program, f"gfn {self.gfn}" if self.count == 1 else f"gfns {self.gfn}-{last}", *self.flags]
        return " ".join([*words, f"slot {self.slot}"] if self.slot else words)


class RowOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A row of a program that was edited in Python."""

    name: str
    step: str
    to: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    operands: dict[str, int] = {}
    place: str = ""
    site: str = ""


class ForceOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event that makes one of some rows end otherwise, by names; fields as in `Force`. No `actors`: everybody."""

    event: str
    rows: tuple[str, ...]
    outcome: str
    actors: tuple[int, ...] = ()
    gfn: int = -1
    skip: int = 0
    times: int = 1
    must: bool = False


class GateOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When the operations of an actor may begin, by names; fields as in `Gate`. No `actors`: everybody."""

    actor: int
    rows: tuple[str, ...]
    actors: tuple[int, ...] = ()
    gfn: int = -1
    skip: int = 0


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a schedule runs on.

    `scenario`: the name of the scenario or plan it comes from, "" if it was made by hand. `edits`: edits of the
    design as text. `programs`: those that neither the design's name nor an edit gives. `scripts`: for each actor,
    vCPUs first, its operations. `prepare`: (actor, operation) that run one after the other before. `invariants`:
    those that are judged.
    """

    design: str
    hardware: str
    world: Geometry
    scripts: tuple[tuple[Asked, ...], ...]
    invariants: tuple[str, ...]
    scenario: str = ""
    edits: tuple[str, ...] = ()
    timer: bool = False
    prepare: tuple[tuple[int, Asked], ...] = ()
    forces: tuple[ForceOf, ...] = ()
    gates: tuple[GateOf, ...] = ()
    programs: dict[str, tuple[RowOf, ...]] = {}


def actor_name(number: int, vcpus: int) -> str:
    """V0, V1, ... for vCPUs, H0, H1, ... for host actors."""
    return f"V{number}" if number < vcpus else f"H{number - vcpus}"


def asked_of(operation: np.void) -> Asked:
    """An OPERATION record by names."""
    flags = tuple(name for name, bit in FLAGS.items() if int(operation["flags"]) & bit)
    program = PROGRAMS[int(operation["program"])]
    return Asked(program, int(operation["gfn"]), int(operation["count"]), flags, int(operation["slot"]))


def setting_of(
    instance: Instance, *, scenario: str = "", edits: Sequence[str] = (), paths: Sequence[Path] = ()
) -> Setting:
    """The setting of an instance. `edits`: what made its design out of the shipped one of that name."""
    code = instance.code
    name = code.design.unedited_name
    base = mutated(_shipped(name, paths), code.hardware, edits)
    programs = {
        program: tuple(RowOf(r.name, r.step, dict(r.to), r.labels, dict(r.operands), r.place, r.site) for r in p.rows)
        for program, p in code.design.programs.items()
        if base.programs.get(program) != p
    }
    return Setting(
        design=name,
        hardware=code.hardware.name,
        world=instance.geometry,
        scripts=tuple(tuple(asked_of(operation) for operation in script) for script in instance.scripts),
        invariants=tuple(instance.panel.invariants),
        scenario=scenario,
        edits=tuple(edits),
        timer=instance.timer,
        prepare=tuple((int(o["actor"]), asked_of(o)) for script in instance.prepare for o in script),
        forces=tuple(_force_of(force, code) for force in instance.forces),
        gates=tuple(_gate_of(gate, code) for gate in instance.gates),
        programs=programs,
    )


def _names(rows: Sequence[int], code: Code) -> tuple[str, ...]:
    return tuple(code.info[row].name for row in rows)


def _numbers(mask: int) -> tuple[int, ...]:
    return () if mask == EVERYBODY else tuple(n for n in range(mask.bit_length()) if mask >> n & 1)


def _force_of(force: Force, code: Code) -> ForceOf:
    rows, outcome = _names(force.rows, code), OUTCOMES[force.outcome]
    actors = _numbers(force.actors)
    return ForceOf(force.event, rows, outcome, actors, force.gfn, force.skip, force.times, force.must)


def _gate_of(gate: Gate, code: Code) -> GateOf:
    return GateOf(gate.actor, _names(gate.rows, code), _numbers(gate.actors), gate.gfn, gate.skip)


def _shipped(name: str, paths: Sequence[Path]) -> Design:
    designs = load_designs(paths)
    if name not in designs:
        raise UserError(f"no design {name!r}", "the setting", f"choose one of {', '.join(designs)}, or add --path")
    return designs[name]


def design_of(setting: Setting, paths: Sequence[Path] = ()) -> Design:
    """The design of a setting, with its edits, under the name of the shipped one."""
    design = mutated(_shipped(setting.design, paths), hardware_of(setting, paths), setting.edits)
    given = {
        name: Program(name, tuple(Row(r.name, r.step, r.to, r.labels, r.operands, r.place, r.site) for r in rows))
        for name, rows in setting.programs.items()
    }
    unknown = sorted(set(given) - set(PROGRAMS))
    if unknown:
        raise UserError(f"no program {unknown[0]!r}", "the setting", f"choose one of {', '.join(PROGRAMS)}")
    return replace(design, name=setting.design, programs={**design.programs, **given})


def hardware_of(setting: Setting, paths: Sequence[Path] = ()) -> Hardware:
    """The hardware of a setting."""
    kinds = load_hardware(paths)
    if setting.hardware not in kinds:
        raise UserError(f"no hardware {setting.hardware!r}", "the setting", f"choose one of {', '.join(kinds)}")
    return kinds[setting.hardware]


CODES_KEPT = 8

_codes: dict[tuple[object, ...], tuple[Design, Code]] = {}


def code_of(setting: Setting, paths: Sequence[Path] = ()) -> Code:
    """The rows of a setting. Raises UserError if they do not fit together.

    The last ones are kept: shrinking asks for the same rows in one world after the other.
    """
    shipped, hardware = _shipped(setting.design, paths), hardware_of(setting, paths)
    key = (id(shipped), setting.hardware, setting.edits, msgspec.json.encode(setting.programs), tuple(paths))
    if key not in _codes:
        try:
            made = assemble(design_of(setting, paths), hardware)
        except ValueError as fault:
            raise UserError(str(fault), f"design {setting.design}", "mend its edits") from fault
        if len(_codes) >= CODES_KEPT:
            del _codes[next(iter(_codes))]
        _codes[key] = shipped, made  # the design too, so that nothing else gets its id
    return _codes[key][1]


def panel_of(setting: Setting, paths: Sequence[Path] = ()) -> Panel:
    """What a setting judges."""
    known = load_invariants(paths)
    for name in setting.invariants:
        if name not in known:
            raise UserError(f"no invariant {name!r}", "the setting", f"choose among {', '.join(known)}")
    return Panel({name: known[name] for name in setting.invariants})


def script_of(script: Sequence[Asked], actor: int) -> np.ndarray:
    """The operations of one actor as OPERATION records."""
    made = []
    for asked in script:
        unknown = [flag for flag in asked.flags if flag not in FLAGS]
        if asked.program not in PROGRAM_NUMBER or unknown:
            raise UserError(f"no program {asked.program!r} with flags {asked.flags}", "the setting", "mend its scripts")
        flags = sum(FLAGS[flag] for flag in set(asked.flags))
        made.append((0, asked.gfn, asked.count, 0, PROGRAM_NUMBER[asked.program], actor, flags, asked.slot))
    try:
        return np.array(made, OPERATION)
    except OverflowError:
        raise UserError("a number is too large", f"script of actor {actor}", "mend the setting") from None


def scripts_of(setting: Setting) -> list[np.ndarray]:
    """All scripts, checked against the world: steps check no bounds when they are compiled."""
    shape = setting.world
    actors = shape.vcpus + shape.host_actors
    if len(setting.scripts) > actors:
        raise UserError(f"{len(setting.scripts)} scripts for {actors} actors", "the setting", "mend its scripts")
    scripts = [script_of(script, number) for number, script in enumerate(setting.scripts)]
    for number, script in enumerate(scripts):
        where = f"script of {actor_name(number, shape.vcpus)}"
        check_operations(script, where, gfns=shape.gfns, vcpus=shape.vcpus, actors=actors)
    return scripts


def check_size(shape: Geometry) -> None:
    """Refuse a world that is not small."""
    if shape.gfns > MOST_GFNS or shape.pages > MOST_PAGES or shape.tlb_entries > MOST_GFNS:
        raise UserError(
            f"a world of {shape.gfns} gfns and {shape.pages} pages",
            "the setting",
            f"single steps are recorded in worlds of at most {MOST_GFNS} gfns and {MOST_PAGES} pages",
        )


def _positions(names: Sequence[str], code: Code) -> tuple[int, ...]:
    known = {item.name: position for position, item in enumerate(code.info)}
    for name in names:
        if name not in known:
            raise UserError(f"no row {name!r}", f"design {code.design.name}", "an event of the setting needs it")
    return tuple(known[name] for name in names)


def _mask(actors: Sequence[int]) -> int:
    if any(not 0 <= number < MOST_ACTORS for number in actors):
        raise UserError(f"actors {tuple(actors)}", "the setting", f"choose 0 to {MOST_ACTORS - 1}")
    return sum(1 << number for number in set(actors)) if actors else EVERYBODY


def _force(force: ForceOf, code: Code) -> Force:
    if force.outcome not in CODE:
        raise UserError(f"no outcome {force.outcome!r}", f"event {force.event}", "mend the setting")
    rows, actors = _positions(force.rows, code), _mask(force.actors)
    return Force(force.event, rows, CODE[force.outcome], actors, force.gfn, force.skip, force.times, force.must)


def _gate(gate: GateOf, code: Code) -> Gate:
    return Gate(gate.actor, _positions(gate.rows, code), _mask(gate.actors), gate.gfn, gate.skip)


def _check_programs(code: Code, asked: Iterable[str]) -> None:
    for program in dict.fromkeys(asked):
        if code.entries[PROGRAM_NUMBER[program]] < 0:
            why = code.design.not_applicable.get(program, "it has no such program")
            raise UserError(f"program {program!r} does not run ({why})", f"design {code.design.name}", "choose another")


def instance_of(setting: Setting, paths: Sequence[Path] = ()) -> Instance:
    """The instance of a setting. Raises UserError if these sources cannot run it."""
    check_size(setting.world)
    code, scripts = code_of(setting, paths), scripts_of(setting)
    shape = setting.world
    actors = shape.vcpus + shape.host_actors
    prepare = tuple(script_of([asked], actor) for actor, asked in setting.prepare if 0 <= actor < actors)
    if len(prepare) != len(setting.prepare):
        raise UserError("an actor that there is not", "what the setting prepares", "mend the setting")
    for one in prepare:
        check_operations(one, "what the setting prepares", gfns=shape.gfns, vcpus=shape.vcpus, actors=actors)
    _check_programs(code, [asked.program for script in setting.scripts for asked in script])
    _check_programs(code, [asked.program for _, asked in setting.prepare])
    return Instance(
        code=code,
        geometry=shape,
        scripts=tuple(scripts),
        prepare=prepare,
        panel=panel_of(setting, paths),
        timer=setting.timer,
        forces=tuple(_force(force, code) for force in setting.forces),
        gates=tuple(_gate(gate, code) for gate in setting.gates),
    )


def stepper_factory(setting: Setting, paths: Sequence[Path] = ()) -> Callable[[], Stepper]:
    """A function that makes steppers at the beginning of a setting.

    Raises UserError if these sources cannot run it.
    """
    instance = instance_of(setting, paths)
    try:
        return Stepper.of(instance).anew
    except (OverflowError, ValueError, Stuck) as fault:
        raise UserError(str(fault), "the setting", "it fits no small world of these sources") from fault


def stepper_of(setting: Setting, paths: Sequence[Path] = ()) -> Stepper:
    """A stepper at the beginning of a setting. Raises UserError if these sources cannot run it."""
    return stepper_factory(setting, paths)()
