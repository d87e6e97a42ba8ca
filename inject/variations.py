"""Variations: all the ways to leave out a row or a phase of a design, or to move it to another place of its program."""

from collections.abc import Iterator
from dataclasses import dataclass

from gmembench.core.programs import Design, Hardware, Program, steps_by_name, with_hardware

WITHOUT, MOVED = "without", "moved"


@dataclass(frozen=True)
class Target:
    """A row or a phase, by full names. `rows`: those of a phase. `guards`: what a row protects outside the model."""

    name: str
    program: str
    rows: tuple[str, ...]
    phase: bool = False
    step: str = ""
    guards: str = ""


@dataclass(frozen=True)
class Variation:
    """One edit of a target, as text. `place`: the row before which it is moved; "the end" behind the last one.

    `touched`: rows at which the program goes another way: where none of them runs, nothing has changed.
    """

    target: Target
    kind: str
    edit: str
    place: str
    touched: tuple[str, ...]
    distance: int


END = "the end"


def _rows(program: Program) -> list[str]:
    return [program.full_name(r) for r in program.rows]


def targets_of(design: Design, hardware: Hardware) -> list[Target]:
    """All rows of a design on a hardware, in order, and its phases of more than one row."""
    found: list[Target] = []
    steps = steps_by_name()
    for program in (with_hardware(p, hardware) for p in design.programs.values()):
        names = _rows(program)
        phases: dict[str, list[str]] = {}
        for r, name in zip(program.rows, names, strict=True):
            step = steps[r.step]
            found.append(Target(name, program.name, (name,), step=step.name, guards=step.guards))
            parts = name.split(".")
            for n in range(2, len(parts)):
                phases.setdefault(".".join(parts[:n]), []).append(name)
        found += [
            Target(phase, program.name, tuple(rows), phase=True)
            for phase, rows in phases.items()
            if 1 < len(rows) < len(names)
        ]
    return found


def without(target: Target) -> Variation:
    """The design without a target."""
    return Variation(target, WITHOUT, f"without {target.name}", "", target.rows, 0)


def moves(target: Target, design: Design, hardware: Hardware) -> Iterator[Variation]:
    """The target at every other place of its program, the nearest first."""
    names = _rows(with_hardware(design.programs[target.program], hardware))
    own = set(target.rows)
    first, last = names.index(target.rows[0]), names.index(target.rows[-1])
    places = [at for at, name in enumerate(names) if name not in own and at != last + 1]
    for at in sorted(places, key=lambda at: min(abs(at - first), abs(at - last))):
        edit = f"move {target.name},before={names[at]}"
        yield Variation(target, MOVED, edit, names[at], (*target.rows, names[at]), min(abs(at - first), abs(at - last)))
    if names[-1] not in own:
        edit = f"move {target.name},after={names[-1]}"
        yield Variation(target, MOVED, edit, END, (*target.rows, names[-1]), len(names) - last)
