"""Mutants: a design with rows left out, moved, exchanged or led elsewhere, from edits as text.

An edit is a kind and an argument, as on the command line: `--without ROW` is the text `without ROW`.

    without ROW                                 leave out a row or a phase
    swap A,B                                    exchange two rows or phases
    move ROW,before=B                           move a row or a phase; also after=B
    redirect ROW,OUTCOME=LABEL                  let an outcome lead elsewhere
    replace ROW,STEP[,OUTCOME=LABEL]            let a row run another step
    operand ROW,KEY=VALUE                       give a row another operand
    insert STEP,before=ROW[,OUTCOME=LABEL][,KEY=VALUE][,name=NAME]      add a row; also after=ROW

ROW is `program.phase.step`, a phase `program.phase`, or the end of such a name where no other row ends so. A name
that stands in several programs, as the rows of a fault do in `access` and `prefault`, needs the program before it:
the edit is made in that program only. `*.phase.step` edits every program that has the row. LABEL is a row of the
same program, a label of its design file, `next` (the row below) or `END`.

The rows of the hardware are put in before the edits are made, so they can be named as well. `gmembench list rows`
names the rows, with the design and a slash before them, which an edit may have too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAMS
from gmembench.core.programs import Design, Hardware, Program, Row, assemble, steps_by_name, with_hardware
from gmembench.core.rows import OPERANDS

ALWAYS = ("next", "again", "yield")
"""Outcomes that every step may have."""

Programs = dict[str, Program]


@dataclass(frozen=True)
class Edit:
    """One edit: a kind of KINDS and its argument."""

    kind: str
    argument: str

    def __str__(self) -> str:
        return f"{self.kind} {self.argument}"

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of the argument without a key."""
        return tuple(part.strip() for part in self.argument.split(",") if "=" not in part)

    @property
    def keys(self) -> dict[str, str]:
        """The parts of the argument with a key."""
        pairs = (part.partition("=") for part in self.argument.split(",") if "=" in part)
        return {key.strip(): value.strip() for key, _, value in pairs}

    def refused(self, what: str, mend: str) -> UserError:
        """The mistake that this edit is."""
        return UserError(what, f"edit `{self}`", mend)


def edit_of(text: str) -> Edit:
    """An edit from text such as `without access.fault.recheck_stale`. Raises UserError."""
    kind, _, argument = text.strip().removeprefix("--").partition(" ")
    edit = Edit(kind, argument.strip())
    if kind not in KINDS:
        raise edit.refused(f"no kind of edit {kind!r}", f"choose one of {', '.join(KINDS)}")
    return edit


def without(name: str) -> Edit:
    """Leave out a row or a phase."""
    return Edit("without", name)


def swap(first: str, second: str) -> Edit:
    """Exchange two rows or phases."""
    return Edit("swap", f"{first},{second}")


def move(name: str, *, before: str = "", after: str = "") -> Edit:
    """Move a row or a phase to before or after another row."""
    return Edit("move", f"{name},before={before}" if before else f"{name},after={after}")


def redirect(name: str, **to: str) -> Edit:
    """Let outcomes of a row lead elsewhere."""
    return Edit("redirect", _joined(name, to))


def run_instead(name: str, step: str, **to: str) -> Edit:
    """Let a row run another step (`replace`)."""
    return Edit("replace", _joined(f"{name},{step}", to))


def operand(name: str, **values: int) -> Edit:
    """Give a row other operands."""
    return Edit("operand", _joined(name, values))


def insert(step: str, *, before: str = "", after: str = "", **rest: str | int) -> Edit:
    """Insert a row that runs a step."""
    return Edit("insert", _joined(step, {"before": before} if before else {"after": after}, rest))


def _joined(name: str, *keys: Mapping[str, object]) -> str:
    return ",".join([name, *(f"{key}={value}" for part in keys for key, value in part.items())])


# --- names of rows ---


def _phases(program: Program) -> dict[str, None]:
    """Full names of all phases of a program, in order."""
    found: dict[str, None] = {}
    for r in program.rows:
        parts = program.full_name(r).split(".")
        found |= dict.fromkeys(".".join(parts[:n]) for n in range(2, len(parts)))
    return found


def _short(program: Program, full: str) -> str:
    """The name that the program's own edits know."""
    rest = full.removeprefix(f"{program.name}.")
    known = [r.name for r in program.rows]
    return full if any(name == full or name.startswith(f"{full}.") for name in known) else rest


def _matches(program: Program, name: str, *, ends: bool) -> list[str]:
    """Full names of rows that are `name`, else of phases; with `ends`, of those that end in it."""
    own = program.name
    for names in ([program.full_name(r) for r in program.rows], list(_phases(program))):
        if ends:
            last = f".{name.removeprefix(f'{own}.')}"
            found = [full for full in names if full.endswith(last)]
        else:
            found = [full for full in names if full in {name, f"{own}.{name}", name.removeprefix(f"{own}.")}]
        if found:
            return found
    return []


def _nearest(programs: Iterable[Program], name: str) -> str:
    """What a mistaken name may have meant."""
    full = [names for p in programs for names in (*(p.full_name(r) for r in p.rows), *_phases(p))]
    near = get_close_matches(name, full, 3, 0.5)
    if not near:
        last = name.rpartition(".")[2]
        ends = {item.rpartition(".")[2] for item in full}
        close = set(get_close_matches(last, sorted(ends), 2, 0.6))
        near = [item for item in full if item.rpartition(".")[2] in close][:3]
    return f"did you mean {', '.join(near)}?" if near else "choose one of `gmembench list rows`"


def _one(edit: Edit, programs: Iterable[Program], name: str, *, every: str = "") -> str:
    """The full name that `name` stands for in some programs: itself, or the only one that ends in it."""
    programs = tuple(programs)
    for ends in (False, True):
        found = [full for p in programs for full in _matches(p, name, ends=ends)]
        if len(found) == 1:
            return found[0]
        if found:
            more = f" and {len(found) - 4} more" if len(found) > 4 else ""
            raise edit.refused(f"{name!r} is the name of {', '.join(found[:4])}{more}", f"name one of them{every}")
    raise edit.refused(f"no row or phase {name!r}", _nearest(programs, name))


def _targets(edit: Edit, programs: Programs, name: str) -> dict[str, str]:
    """Program -> the row or phase in it that `name` asks for."""
    if name.startswith("*."):
        rest = name.removeprefix("*.")
        having = [p for p in programs.values() if any(_matches(p, rest, ends=ends) for ends in (False, True))]
        if not having:
            raise edit.refused(f"no program has a row or phase {rest!r}", _nearest(programs.values(), rest))
        return {p.name: _short(p, _one(edit, (p,), rest)) for p in having}
    owner = name.partition(".")[0]
    if owner in programs and "." in name:
        return {owner: _short(programs[owner], _one(edit, (programs[owner],), name))}
    if owner in programs:
        raise edit.refused(f"{name!r} is a whole program", "name a row or a phase of it")
    full = _one(edit, programs.values(), name, every=f", or *.{name} for all programs that have it")
    owner = full.partition(".")[0]
    return {owner: _short(programs[owner], full)}


def _partner(edit: Edit, program: Program, name: str) -> str:
    """Another row or phase of the same program."""
    owner = name.partition(".")[0]
    if owner in PROGRAMS and owner != program.name:
        raise edit.refused(f"{name!r} is of another program than {program.name}", f"name a row of {program.name}")
    return _short(program, _one(edit, (program,), name.removeprefix("*.")))


def _row(edit: Edit, program: Program, name: str) -> Row:
    """The row of a name, which must not be a phase."""
    found = next((r for r in program.rows if r.name == name), None)
    if found is None:
        rows = [program.full_name(program.rows[i]) for i in program.span(name)]
        raise edit.refused(f"{name!r} is a phase of {len(rows)} rows", f"name a row, such as {rows[0]}")
    return found


def _label(edit: Edit, program: Program, at: int, label: str) -> str:
    """A label as the program knows it. `at`: position of the row that leads there."""
    if label == "next":
        return program.rows[at + 1].name if at + 1 < len(program.rows) else "END"
    labels = [item for r in program.rows for item in r.labels]
    if label == "END" or label in labels or any(r.name == label for r in program.rows):
        return label
    try:
        name = _short(program, _one(edit, (program,), label))
    except UserError:
        near = get_close_matches(label, [*labels, *(r.name for r in program.rows)], 3, 0.5)
        meant = f"did you mean {', '.join(near)}?" if near else "name a row of the program, a label of it, next or END"
        raise edit.refused(f"{label!r} leads nowhere in program {program.name}", meant) from None
    return program.rows[program.span(name).start].name


# --- edits ---


def _outcomes(step: str) -> tuple[str, ...]:
    return (*steps_by_name()[step].outcomes, *ALWAYS)


def _led(edit: Edit, program: Program, at: int, step: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Outcome -> label, from the keys of an edit. The step must have the outcomes, the program the labels."""
    strange = [key for key in keys if key not in _outcomes(step)]
    if strange:
        named = ", ".join(_outcomes(step))
        raise edit.refused(f"step {step} has no outcome {strange[0]!r}", f"choose one of {named}")
    return {outcome: _label(edit, program, at, label) for outcome, label in keys.items()}


def _known_step(edit: Edit, step: str) -> str:
    if step not in steps_by_name():
        near = get_close_matches(step, list(steps_by_name()), 3, 0.5)
        meant = f"did you mean {', '.join(near)}?" if near else "choose one of `gmembench list steps`"
        raise edit.refused(f"no step {step!r}", meant)
    return step


def _complete(edit: Edit, step: str, to: Mapping[str, str]) -> None:
    lacking = [outcome for outcome in steps_by_name()[step].outcomes if outcome not in to]
    if lacking:
        raise edit.refused(f"outcome {lacking[0]!r} of step {step} leads nowhere", f"add {lacking[0]}=LABEL")


def _number(edit: Edit, key: str, value: str) -> int:
    if key not in OPERANDS:
        raise edit.refused(f"no operand {key!r}", f"choose one of {', '.join(OPERANDS)}")
    try:
        return int(value, 0)
    except ValueError:
        raise edit.refused(f"operand {key} = {value!r} is no whole number", "give a number, such as 1") from None


def _without(edit: Edit, program: Program, name: str) -> Program:
    span = program.span(name)
    if len(span) == len(program.rows):
        raise edit.refused(f"{name!r} is all of program {program.name}", "keep a row of it")
    return program.without(name)


def _swap(edit: Edit, program: Program, name: str) -> Program:
    return program.swapped(name, _partner(edit, program, edit.names[1]))


def _place(edit: Edit, program: Program) -> tuple[str, bool]:
    """The row beside which an edit puts something, and whether it goes below it."""
    places = {key: value for key, value in edit.keys.items() if key in {"before", "after"}}
    if len(places) != 1:
        raise edit.refused("says no one place", "add before=ROW or after=ROW")
    ((key, value),) = places.items()
    return _partner(edit, program, value), key == "after"


def _move(edit: Edit, program: Program, name: str) -> Program:
    place, below = _place(edit, program)
    if not below:
        first = program.rows[program.span(name).start].name
        return _met_by_name(program.moved(name, before=place), first, program.rows[program.span(place).start].name)
    span, last = program.span(name), program.span(place).stop - 1
    if last in span:
        raise edit.refused(f"{name!r} cannot be moved behind itself", "name another row")
    anchor = program.rows[last].name
    taken = program.rows[span.start : span.stop]
    return _below(replace(program, rows=program.moved_away(name)), taken, anchor)


def _below(program: Program, new: tuple[Row, ...], anchor: str) -> Program:
    """Rows put below a row. A jump of that row after *next* is theirs from then on."""
    at = next(i for i, r in enumerate(program.rows) if r.name == anchor) + 1
    above = program.rows[at - 1]
    jump = above.to.get("next")
    new = (replace(new[0], labels=()), *new[1:])
    new = (*new[:-1], replace(new[-1], to=_with_next(new[-1].to, jump)))
    rows = (*program.rows[: at - 1], replace(above, to=_with_next(above.to, None)), *new, *program.rows[at:])
    return replace(program, rows=rows)


def _met_by_name(program: Program, new: str, target: str) -> Program:
    """The program after rows from `new` on were put before `target`: who comes from above by its name meets them too.

    Who comes back to it from below goes on where it was.
    """
    at = next(i for i, r in enumerate(program.rows) if r.name == new)
    rows = [
        replace(r, to={outcome: new if label == target else label for outcome, label in r.to.items()}) if i < at else r
        for i, r in enumerate(program.rows)
    ]
    return replace(program, rows=tuple(rows))


def _with_next(to: Mapping[str, str], label: str | None) -> dict[str, str]:
    rest = {outcome: target for outcome, target in to.items() if outcome != "next"}
    return rest if label is None else {**rest, "next": label}


def _redirect(edit: Edit, program: Program, name: str) -> Program:
    old, at = _row(edit, program, name), program.span(name).start
    if not edit.keys:
        raise edit.refused("says no outcome", "add OUTCOME=LABEL")
    for outcome, label in _led(edit, program, at, old.step, edit.keys).items():
        program = program.redirected(name, outcome, label)
    return program


def _replace(edit: Edit, program: Program, name: str) -> Program:
    old, at, step = _row(edit, program, name), program.span(name).start, _known_step(edit, edit.names[1])
    kept = {outcome: label for outcome, label in old.to.items() if outcome in _outcomes(step)}
    to = kept | _led(edit, program, at, step, edit.keys)
    _complete(edit, step, to)
    rows = list(program.replaced(name, step).rows)
    rows[at] = replace(rows[at], to=to)
    return replace(program, rows=tuple(rows))


def _operand(edit: Edit, program: Program, name: str) -> Program:
    _row(edit, program, name)
    if not edit.keys:
        raise edit.refused("says no operand", "add KEY=VALUE")
    return program.with_operand(name, **{key: _number(edit, key, value) for key, value in edit.keys.items()})


def _insert(edit: Edit, program: Program, name: str) -> Program:
    step, below = _known_step(edit, edit.names[0]), "after" in edit.keys
    keys = {key: value for key, value in edit.keys.items() if key not in {"before", "after", "name"}}
    span = program.span(name)
    at = span.stop - 1 if below else span.start
    leads = {key: value for key, value in keys.items() if key in _outcomes(step)}
    # `next` of the new row is the row that comes below it
    to = _led(edit, program, at if below else at - 1, step, leads)
    _complete(edit, step, to)
    operands = {key: _number(edit, key, value) for key, value in keys.items() if key not in leads}
    called = _new_name(program, edit.keys.get("name", f"new.{step.rpartition('.')[2]}"))
    new = Row(called, step, to, operands=operands)
    if below:
        return _below(program, (new,), program.rows[at].name)
    target = program.rows[at].name
    return _met_by_name(program.inserted(new, before=target), called, target)


def _new_name(program: Program, wanted: str) -> str:
    """A name for a row that no other row has."""
    taken = {r.name for r in program.rows}
    return next(name for n in range(len(taken) + 2) if (name := wanted + (f"_{n}" if n else "")) not in taken)


Change = Callable[[Edit, Program, str], Program]

KINDS: dict[str, tuple[Change, int, str]] = {
    "without": (_without, 1, "ROW"),
    "swap": (_swap, 2, "A,B"),
    "move": (_move, 1, "ROW,before=B"),
    "redirect": (_redirect, 1, "ROW,OUTCOME=LABEL"),
    "replace": (_replace, 2, "ROW,STEP"),
    "operand": (_operand, 1, "ROW,KEY=VALUE"),
    "insert": (_insert, 1, "STEP,before=ROW"),
}
"""Kind of edit -> what it does to a program, how many names it takes, and its form."""


def _ending(program: Program) -> Program:
    """The program with its end written into its last row, so that this row can leave or move like any other."""
    last = program.rows[-1]
    return program if "next" in last.to else replace(program, rows=(*program.rows[:-1], _to_end(last)))


def _to_end(r: Row) -> Row:
    return replace(r, to={**r.to, "next": "END"})


def _meaning(program: Program) -> list[tuple[object, ...]]:
    """The rows with positions in place of labels: two programs with the same do the same."""
    places = {label: at for at, r in enumerate(program.rows) for label in (r.name, *r.labels)}
    return [
        (r.name, r.step, dict(r.operands), {outcome: places.get(label, -1) for outcome, label in r.to.items()})
        for r in program.rows
    ]


def _changed(programs: Programs, edit: Edit) -> Programs:
    """The programs that one edit changes, as changed."""
    change, count, form = KINDS[edit.kind]
    if len(edit.names) != count or not all(edit.names):
        raise edit.refused("cannot be read", f"write it as `{edit.kind} {form}`")
    named = edit.names[0]
    if edit.kind == "insert":
        named = edit.keys.get("before", "") or edit.keys.get("after", "")
        if not named:
            raise edit.refused("says no place", "add before=ROW or after=ROW")
    found = _targets(edit, programs, named)
    made = {owner: change(edit, programs[owner], name) for owner, name in found.items()}
    if all(_meaning(made[owner]) == _meaning(programs[owner]) for owner in made):
        raise edit.refused("changes nothing", "the rows are so already")
    return made


def mutated(design: Design, hardware: Hardware, edits: Iterable[Edit | str]) -> Design:
    """The design on a hardware, with edits made one after the other. Its name says which.

    Raises UserError for an edit that names no row, no outcome or no label, and for a program that no longer fits
    together.
    """
    asked = [edit_of(edit) if isinstance(edit, str) else edit for edit in edits]
    made = [replace(edit, argument=edit.argument.replace(f"{design.name}/", "")) for edit in asked]
    if not made:
        return design
    programs = {name: _ending(with_hardware(p, hardware)) for name, p in design.programs.items()}
    for edit in made:
        programs |= _changed(programs, edit)
    name = "~".join([design.name, *(f"{edit.kind}={edit.argument.replace(' ', '')}" for edit in made)])
    mutant = design.edited(name, **programs)
    try:
        assemble(mutant, hardware)
    except ValueError as fault:
        raise UserError(str(fault), f"mutant {name}", "lead every outcome to a row that is there") from fault
    return mutant
