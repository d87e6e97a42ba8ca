"""What an event is: operations of one more host actor, an outcome forced on rows, or a restriction of the schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gmembench.core.programs import Code, Design, Hardware
from gmembench.inject.script import program_of


@dataclass(frozen=True)
class Bug:
    """Where an event is no environment but a bug, so that it does not count against a design. Names are globs."""

    why: str
    source: str
    hardware: tuple[str, ...] = ("*",)
    designs: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Forced:
    """Rows whose step has one of these names (globs, separated by `|`) end in the outcome, and do nothing."""

    steps: str
    outcome: str


@dataclass(frozen=True)
class Event:
    """Something that comes from outside a program.

    One of three. `operations`: what one more host actor does, as text with {gfn}, {count}, {rest}, {slot} and {node}.
    `forced`: outcomes forced on rows. `holds`: rows (globs of names); while an actor stands before one of them the
    others begin their operations, and at no other time. `source`: the kernel function, mail or rule that it stands
    for. `not_on`: design (glob) -> why it has no such event. `bugs`: where it is a bug and not environment.
    """

    name: str
    doc: str
    source: str
    operations: tuple[str, ...] = ()
    forced: tuple[Forced, ...] = ()
    holds: str = ""
    not_on: Mapping[str, str] = field(default_factory=dict)
    bugs: tuple[Bug, ...] = ()

    @property
    def kind(self) -> str:
        """operations, outcome or schedule."""
        return "operations" if self.operations else "outcome" if self.forced else "schedule"

    def bug(self, design: Design, hardware: Hardware) -> Bug | None:
        """The reason why it must not happen to a design on a hardware, if there is one."""
        for bug in self.bugs:
            here = any(fnmatchcase(hardware.name, h) for h in bug.hardware)
            if here and any(fnmatchcase(design.unedited_name, d) for d in bug.designs):
                return bug
        return None

    def legal(self, design: Design, hardware: Hardware) -> bool:
        """Whether it may happen to a design on a hardware: only then what follows counts against the design."""
        return self.bug(design, hardware) is None

    def rows(self, code: Code) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Outcome and the rows that it can be forced on."""
        found = []
        for forced in self.forced:
            rows = tuple(
                index
                for index, info in enumerate(code.info)
                if forced.outcome in info.step.outcomes
                and any(fnmatchcase(info.step.name, glob) for glob in forced.steps.split("|"))
            )
            found.append((forced.outcome, rows))
        return tuple(found)

    def why_not(self, code: Code) -> str:
        """Why a design has no such event; "" if it has."""
        for glob, why in self.not_on.items():
            if fnmatchcase(code.design.unedited_name, glob):
                return why
        for program in map(program_of, self.operations):
            if program not in code.design.programs:
                return code.design.not_applicable.get(program, f"the design has no program {program}")
        if self.forced and not any(rows for _, rows in self.rows(code)):
            return "the design has no row that can end so"
        return ""
