"""The page of a necessity table: what each row and phase of a design is for. Made from the table's JSON alone."""

import msgspec

from gmembench.core.errors import UserError
from gmembench.reports.page import environment

SCHEMA = 1
"""The format of tables that is known here."""

TONES = {
    "necessary": "breaks",
    "progress only": "stuck",
    "redundant up to this bound": "holds",
    "cut off at the bound": "stuck",
    "guards something outside the model": "outside",
}
"""Verdict -> class of its cell; the others are muted."""

NOT_REACHED = "not reached"
"""Verdict, and what is said of a place, where no world runs the rows."""


class Shown(msgspec.Struct, frozen=True):
    """A failure of a mutant."""

    case: str
    edit: str
    invariant: str
    sentence: str
    reason: str
    steps: tuple[str, ...]
    switches: int
    replay: str


class Entry(msgspec.Struct, frozen=True):
    """A row of the table."""

    name: str
    program: str
    phase: bool
    step: str
    verdict: str
    guards: str
    invariant: str
    case: str
    why: str
    cases: int
    shown: Shown | None
    places: dict[str, tuple[str, ...]]
    breaks: dict[str, int]

    @property
    def tested(self) -> bool:
        """Whether some world runs it, or a place that it was moved to."""
        return self.verdict != NOT_REACHED or any(what != NOT_REACHED for what in self.places)

    @property
    def tone(self) -> str:
        """Class of its verdict."""
        return TONES.get(self.verdict, "muted")


class World(msgspec.Struct, frozen=True):
    """A world in which mutants were tried, as the design runs it unedited."""

    case: str
    result: str
    states: int
    transitions: int
    ignored: tuple[str, ...]


class Table(msgspec.Struct, frozen=True):
    """A table, as far as it is shown."""

    schema: int
    gmembench: str
    sources: str
    design: str
    hardware: str
    claim: str
    complete: bool
    mutants: int
    cases: tuple[World, ...]
    counts: dict[str, int]
    entries: tuple[Entry, ...]


def parse(raw: bytes, where: str) -> Table:
    """A table from its JSON. Raises UserError if it is none."""
    try:
        table = msgspec.json.decode(raw, type=Table)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(str(error), where, "give a file that `gmembench explain -o` wrote") from None
    if table.schema != SCHEMA:
        raise UserError(f"written in format {table.schema}", where, f"this version reads format {SCHEMA}")
    return table


def by_program(table: Table) -> dict[str, list[Entry]]:
    """Program -> its rows of the table."""
    found: dict[str, list[Entry]] = {}
    for entry in table.entries:
        found.setdefault(entry.program, []).append(entry)
    return found


def page(raw: bytes, where: str) -> str:
    """The page as HTML, all text of the table escaped. Raises UserError if `raw` is no table."""
    table = parse(raw, where)
    template = environment().get_template("necessity.html")
    return template.render(table=table, programs=by_program(table))
