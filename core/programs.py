"""Rows, programs and designs, the edits that make one from another, and their assembly into arrays.

A design is a set of programs. A program is a list of rows. A row names a step, its operands, and
where each outcome of the step leads: to the next row, to a label, or to another row's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import TypedDict

import numpy as np

from gmembench.core.errors import UserError
from gmembench.core.operations import PROGRAMS
from gmembench.core.outcomes import CODE, NEXT, OUTCOMES
from gmembench.core.rows import END, OPERANDS, ROW
from gmembench.core.steps.registry import Step, all_steps
from gmembench.core.world import HARDWARE_NONE


@cache
def steps_by_name() -> dict[str, Step]:
    """All steps by their name `family.function`."""
    return {item.name: item for item in all_steps()}


@cache
def _step_codes() -> dict[str, int]:
    return {item.name: code for code, item in enumerate(all_steps())}


@dataclass(frozen=True)
class Row:
    """One row. `name` is unique in its program; `step` is a step's name, or `hook:<name>` for hardware rows.

    `to`: outcome -> label or row name or "END". `labels`: names by which other rows lead here.
    `place` and `site` override those of the step where one step stands at several points of the kernel.
    """

    name: str
    step: str
    to: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    operands: Mapping[str, int] = field(default_factory=dict)
    place: str = ""
    site: str = ""

    @property
    def phase(self) -> str:
        """The name without its last part."""
        return self.name.rpartition(".")[0]


class Where(TypedDict):
    """A point of the kernel at which a row stands, for the keywords of `row`."""

    place: str
    site: str


def row(
    name: str,
    to: Mapping[str, str] | None = None,
    *,
    step: str = "",
    at: str = "",
    place: str = "",
    site: str = "",
    **operands: int,
) -> Row:
    """A row whose step, unless given, is the last two parts of its name. `at`: its labels, separated by spaces."""
    return Row(name, step or ".".join(name.split(".")[-2:]), to or {}, tuple(at.split()), operands, place, site)


def hook(name: str, *, at: str = "", p: str = "hw", **to: str) -> Row:
    """A place at which the hardware adds its own rows, perhaps none.

    `p` is put before the names of those rows. A target `@key` of theirs leads to the label `to[key]`, `@next` to
    the row below. Where the hardware has no rows, the labels `at` lead to `to["back"]`, or to the row below if
    there is none.
    """
    return Row(f"{p}.{name}", f"hook:{name}", to, labels=tuple(at.split()))


def _jumping(r: Row, label: str | None) -> Row:
    """The row with its *next* leading to a label, or (None) to the row below."""
    to = {outcome: target for outcome, target in r.to.items() if outcome != "next"}
    return replace(r, to={**to, "next": label} if label else to)


def _leading(r: Row, labels: tuple[str, ...], target: str) -> Row:
    """The row with every outcome that led to one of the labels leading to the target."""
    return replace(r, to={outcome: target if label in labels else label for outcome, label in r.to.items()})


def _in_place_of(rows: tuple[Row, ...], labels: tuple[str, ...], jump: str | None) -> tuple[Row, ...]:
    """Rows at a place with these labels, from whose end *next* leads to a label, or (None) to the row below."""
    first = (replace(rows[0], labels=labels), *rows[1:])
    return (*first[:-1], _jumping(first[-1], jump))


@dataclass(frozen=True)
class Program:
    """A named list of rows. Edits return a new program.

    Labels, and a jump to elsewhere after *next*, belong to the place and not to the row: they stay
    where they are when a row leaves, moves or is exchanged. Of a phase that is those of its first and of its last
    row. Whoever leads to a row by its name follows it, or goes on below where it was left out.
    """

    name: str
    rows: tuple[Row, ...]

    def full_name(self, r: Row) -> str:
        """`program.phase.step`, unique in the design."""
        return r.name if r.name.startswith(f"{self.name}.") else f"{self.name}.{r.name}"

    def span(self, name: str) -> range:
        """Positions of a row, or of the rows of a phase; they must be adjacent.

        Rows of a phase that stand aside, behind a row that leads elsewhere, are no part of the span. Raises UserError
        if there are none.
        """
        short = name.removeprefix(f"{self.name}.")
        wanted = {name, short, f"{self.name}.{short}"}
        exact = [i for i, r in enumerate(self.rows) if r.name in wanted and not r.step.startswith("hook:")]
        found = exact or [i for i, r in enumerate(self.rows) if any(r.name.startswith(f"{n}.") for n in wanted)]
        if not found:
            raise UserError(
                f"no row or phase {name!r}", f"program {self.name}", "choose one of `gmembench list rows --json`"
            )
        runs = self._runs(found)
        if len(runs) > 1:
            runs = [run for run in runs if not self._aside(run)] or runs
        if len(runs) > 1:
            raise UserError(
                f"the rows of phase {name!r} are not adjacent", f"program {self.name}", "edit its rows one by one"
            )
        return runs[0]

    @staticmethod
    def _runs(positions: list[int]) -> list[range]:
        starts = [i for i in positions if i - 1 not in positions]
        ends = [i + 1 for i in positions if i + 1 not in positions]
        return [range(start, end) for start, end in zip(starts, ends, strict=True)]

    def _aside(self, run: range) -> bool:
        """Whether rows are reached by jumps only: the row above them leads elsewhere."""
        return run.start > 0 and "next" in self.rows[run.start - 1].to

    def _without(self, span: range, labels: tuple[str, ...]) -> tuple[Row, ...]:
        """The rows beside a span; whoever led to one of the labels goes where the span's end led."""
        before, after = list(self.rows[: span.start]), list(self.rows[span.stop :])
        jump = self.rows[span.stop - 1].to.get("next")
        if jump is not None:
            if before and "next" not in before[-1].to:
                before[-1] = _jumping(before[-1], jump)
            return tuple(_leading(r, labels, jump) for r in (*before, *after))
        if after:
            after[0] = replace(after[0], labels=labels + after[0].labels)
        elif labels:
            raise UserError(f"labels {labels} would lead nowhere", f"program {self.name}", "keep its last row")
        return (*before, *after)

    def without(self, name: str) -> "Program":
        """Leave out a row or a phase."""
        span = self.span(name)
        gone = self.rows[span.start : span.stop]
        asked = {label for r in (*self.rows[: span.start], *self.rows[span.stop :]) for label in r.to.values()}
        named = tuple(r.name for r in gone if r.name in asked)
        return replace(self, rows=self._without(span, tuple(label for r in gone for label in r.labels) + named))

    def moved(self, name: str, before: str) -> "Program":
        """Move a row or a phase to just before another row.

        Where that one begins a loop that the moved rows stood outside of, they stay outside.
        """
        span, at = self.span(name), self.span(before).start
        if at in span:
            raise UserError(f"{name!r} cannot be moved before itself", f"program {self.name}", "name another row")
        taken, target = self.rows[span.start : span.stop], self.rows[at]
        rows = [
            _leading(r, target.labels, target.name) if i >= at and not at <= span.start <= i else r
            for i, r in enumerate(self.rows)
        ]
        rest = replace(self, rows=replace(self, rows=tuple(rows)).moved_away(name))
        return rest.with_rows(_in_place_of(taken, labels=(), jump=None), before)

    def moved_away(self, name: str) -> tuple[Row, ...]:
        """The rows that stay when a row or a phase is taken elsewhere, its labels among them."""
        span = self.span(name)
        return self._without(span, self.rows[span.start].labels)

    def swapped(self, first: str, second: str) -> "Program":
        """Exchange two rows or phases."""
        a, b = sorted((self.span(first), self.span(second)), key=lambda span: span.start)
        if a.stop > b.start:
            raise UserError(f"{first!r} and {second!r} overlap", f"program {self.name}", "name rows apart")
        upper, lower = self.rows[a.start : a.stop], self.rows[b.start : b.stop]
        rows = (
            *self.rows[: a.start],
            *_in_place_of(lower, upper[0].labels, upper[-1].to.get("next")),
            *self.rows[a.stop : b.start],
            *_in_place_of(upper, lower[0].labels, lower[-1].to.get("next")),
            *self.rows[b.stop :],
        )
        return replace(self, rows=rows)

    def _changed(self, name: str, **changes: object) -> "Program":
        rows = list(self.rows)
        position = self.span(name).start
        rows[position] = replace(rows[position], **changes)  # type: ignore[arg-type]  # fields of Row by name
        return replace(self, rows=tuple(rows))

    def redirected(self, name: str, outcome: str, label: str) -> "Program":
        """Let an outcome of a row lead elsewhere."""
        old = self.rows[self.span(name).start]
        return self._changed(name, to={**old.to, outcome: label})

    def replaced(self, name: str, step: str) -> "Program":
        """Let a row run another step."""
        return self._changed(name, step=step)

    def with_operand(self, name: str, **operands: int) -> "Program":
        """Give a row other operands."""
        old = self.rows[self.span(name).start]
        return self._changed(name, operands={**old.operands, **operands})

    def inserted(self, new: Row, before: str) -> "Program":
        """Insert a row before another."""
        return self.with_rows((new,), before)

    def with_rows(self, new: tuple[Row, ...], before: str) -> "Program":
        """Insert rows before another."""
        position = self.span(before).start
        target = self.rows[position]
        first = replace(new[0], labels=(*target.labels, *new[0].labels))
        rest = (replace(target, labels=()), *self.rows[position + 1 :])
        return replace(self, rows=(*self.rows[:position], first, *new[1:], *rest))


@dataclass(frozen=True)
class Finding:
    """Something that can go wrong with a design as it is, and is known.

    `invariant`: which one does not hold; "" if none is broken and it only costs. `scenario`: where it is seen,
    actor by actor. `source`: the kernel function, mail or paper that says so, or "inference". `hardware`: kinds
    on which it is seen. `then`: other invariants that the same thing breaks, at once or if everybody goes on after it.
    `rows`: globs of the rows (program.row) whose step breaks one of them, so that the same invariant broken by another
    row is no longer this finding. None where nobody gets on any more; all, by default, where the invariant is judged
    at rest, by whoever ends last.
    """

    invariant: str
    what: str
    scenario: str
    source: str
    hardware: tuple[str, ...] = ("none",)
    then: tuple[str, ...] = ()
    rows: tuple[str, ...] = ("*",)

    def covers(self, invariant: str, row: str, hardware: str) -> bool:
        """Whether this is it: an invariant that the step of a row breaks ("" for nobody's) on a hardware."""
        named = bool(invariant) and invariant in (self.invariant, *self.then)
        return named and hardware in self.hardware and (not row or any(fnmatchcase(row, glob) for glob in self.rows))


@dataclass(frozen=True)
class Design:
    """A design: its programs, and what a world needs to run them.

    `kernel`: the version whose order it follows. `not_applicable`: program -> why this design has no
    such operation. `not_on`: hardware -> why it cannot run there. `file`: there is a file. `private_memory`:
    gfns have an attribute. `one_backing`, `one_copy`, `gmem_only`, `init_private`: as in `Geometry`.
    `sizes`: page sizes of its cells. `private_sizes`: page sizes that folios of the file can have. `pins`: who
    pins private pages, in words. `findings`: what is known to go wrong. `origin`: where the design comes from.
    """

    name: str
    kernel: str
    doc: str
    programs: Mapping[str, Program]
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    not_on: Mapping[str, str] = field(default_factory=dict)
    file: bool = False
    private_memory: bool = False
    one_backing: bool = False
    one_copy: bool = False
    gmem_only: bool = False
    init_private: bool = False
    sizes: tuple[str, ...] = ("4K", "2M")
    private_sizes: tuple[str, ...] = ("4K",)
    pins: str = "nobody pins private pages"
    origin: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def unedited_name(self) -> str:
        """The name of the design that a mutant was made of: edits stand behind a tilde."""
        return self.name.partition("~")[0]

    def edited(self, name: str, **programs: Program) -> "Design":
        """The same design under another name with some programs replaced."""
        return replace(self, name=name, programs={**self.programs, **programs})


@dataclass(frozen=True)
class Hardware:
    """What the memory encryption of the CPU adds: the rows of its hooks, and its rules.

    `hooks`: hook name -> rows, none by default. `steps`: step -> the step that runs in its place.
    `number`: HARDWARE_*, for steps that ask. `separate_roots`: private and shared entries stand under
    different roots. `sept`: the hardware keeps a table of its own. `classify`: the step that tells a private
    access. `fresh_content`: what a page holds that was just given to the guest: "zero", or "junk".
    `zap_keeps_content`: a private page that was zapped still holds its data when it is mapped again.
    """

    name: str
    doc: str
    separate_roots: bool
    classify: str
    hooks: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    steps: Mapping[str, str] = field(default_factory=dict)
    number: int = HARDWARE_NONE
    sept: bool = False
    fresh_content: str = "zero"
    zap_keeps_content: bool = True


@dataclass(frozen=True)
class RowInfo:
    """What a report says of a row: its full name, step, and where in the kernel it stands."""

    name: str
    program: str
    step: Step
    place: str
    site: str


@dataclass(frozen=True)
class Code:
    """A design assembled for a hardware.

    `rows`: ROW array. `targets`: i4 array, (row, outcome) -> row or END. `entries`: i8 array, program
    number -> first row, -1 where the design has no such program. `info`: one RowInfo a row.
    """

    design: Design
    hardware: Hardware
    rows: np.ndarray
    targets: np.ndarray
    entries: np.ndarray
    info: tuple[RowInfo, ...]


def _after(r: Row) -> str:
    """The label of the row that follows a hook."""
    return f"{r.name}.after"


def _hook_rows(r: Row, hardware: Hardware) -> tuple[Row, ...]:
    """The hardware's rows at a hook, their names and labels prefixed, their `@` targets those of the hook."""
    rows, prefix = hardware.hooks.get(r.step.removeprefix("hook:"), ()), r.phase
    own = {label for item in rows for label in (item.name, *item.labels)}

    def target(label: str) -> str:
        if label == "@next":
            return _after(r)
        if label.startswith("@"):
            if label[1:] not in r.to:
                raise ValueError(f"row {r.name}: the hardware asks for the target {label[1:]!r}")
            return r.to[label[1:]]
        return f"{prefix}.{label}" if label in own else label

    made = [
        replace(
            item,
            name=f"{prefix}.{item.name}",
            labels=tuple(f"{prefix}.{label}" for label in item.labels),
            to={outcome: target(label) for outcome, label in item.to.items()},
        )
        for item in rows
    ]
    return (replace(made[0], labels=r.labels + made[0].labels), *made[1:]) if made else ()


FITTED_KEPT = 256

_fitted: dict[tuple[int, int], tuple[Program, Hardware, Program]] = {}


def with_hardware(program: Program, hardware: Hardware) -> Program:
    """The program with the hardware's rows at its hooks, and its steps in place of those it replaces.

    Kept for whoever asks next: of thousands of mutants of a design, one program is another one in each.
    """
    key = id(program), id(hardware)
    if key not in _fitted:
        if len(_fitted) >= FITTED_KEPT:
            del _fitted[next(iter(_fitted))]
        _fitted[key] = program, hardware, _fit(program, hardware)  # with both, so that nothing else gets their ids
    return _fitted[key][2]


def _fit(program: Program, hardware: Hardware) -> Program:
    rows: list[Row] = []
    pending: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    instead = {"fault.classify": hardware.classify, **hardware.steps}
    for r in program.rows:
        if not r.step.startswith("hook:"):
            rows.append(replace(r, step=instead.get(r.step, r.step), labels=pending + r.labels))
            pending = ()
            continue
        new = _hook_rows(r, hardware)
        if new:
            rows += [replace(new[0], labels=pending + new[0].labels), *new[1:]]
            pending = (_after(r),) if any(_after(r) in item.to.values() for item in new) else ()
        elif "back" in r.to:
            aliases |= dict.fromkeys(r.labels, r.to["back"])
        else:
            pending += r.labels
    aliases |= dict.fromkeys(pending, "END")
    led = [replace(r, to={outcome: _last(aliases, label) for outcome, label in r.to.items()}) for r in rows]
    return replace(program, rows=tuple(replace(r, labels=r.labels + _also_called(r, aliases)) for r in led))


def _last(aliases: Mapping[str, str], label: str) -> str:
    """What a label stands for."""
    while label in aliases:
        label = aliases[label]
    return label


def _also_called(r: Row, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """Labels of hooks without rows that lead to a row: edits may name them."""
    own = (r.name, *r.labels)
    return tuple(label for label in aliases if _last(aliases, label) in own)


def _resolve(program: Program, base: int) -> dict[str, int]:
    places = {"END": END}
    for position, r in enumerate(program.rows, base):
        for label in (r.name, *r.labels):
            if label in places:
                raise ValueError(f"program {program.name}: two rows are called {label!r}")
            places[label] = position
    return places


def _fill_row(
    record: np.ndarray, targets: np.ndarray, r: Row, position: int, last: bool, places: dict[str, int]
) -> None:
    code = _step_codes().get(r.step)
    if code is None:
        raise ValueError(f"row {r.name}: no step {r.step!r}")
    record["step"] = code
    for name, value in r.operands.items():
        if name not in OPERANDS:
            raise ValueError(f"row {r.name}: no operand {name!r}")
        record[name] = value
    allowed = {"next", "again", "yield", *steps_by_name()[r.step].outcomes}
    for outcome, label in r.to.items():
        if outcome not in allowed or label not in places:
            raise ValueError(f"row {r.name}: {outcome} -> {label}: no such outcome of {r.step}, or no such label")
        targets[CODE[outcome]] = places[label]
    missing = set(steps_by_name()[r.step].outcomes) - set(r.to)
    if missing:
        raise ValueError(f"row {r.name}: {', '.join(sorted(missing))} of {r.step} leads nowhere")
    targets[CODE["again"]] = places[r.to["again"]] if "again" in r.to else position
    if "next" in r.to or last:
        record["jump"] = 1
        targets[NEXT] = places[r.to["next"]] if "next" in r.to else END


def assemble(design: Design, hardware: Hardware) -> Code:
    """Assemble all programs of a design. Raises ValueError, naming the row, if the data do not fit together."""
    programs = [with_hardware(design.programs[name], hardware) for name in PROGRAMS if name in design.programs]
    total = sum(len(p.rows) for p in programs)
    rows = np.zeros(total, ROW)
    rows["position"] = np.arange(total)
    targets = np.full((total, len(OUTCOMES)), END, np.int32)
    entries = np.full(len(PROGRAMS), -1, np.int64)
    info: list[RowInfo] = []
    base = 0
    for program in programs:
        entries[PROGRAMS.index(program.name)] = base
        places = _resolve(program, base)
        for position, r in enumerate(program.rows, base):
            last = position == base + len(program.rows) - 1
            _fill_row(rows[position : position + 1], targets[position], r, position, last, places)
            item = steps_by_name()[r.step]
            info.append(RowInfo(program.full_name(r), program.name, item, r.place or item.place, r.site or item.site))
        base += len(program.rows)
    return Code(design, hardware, rows, targets, entries, tuple(info))
