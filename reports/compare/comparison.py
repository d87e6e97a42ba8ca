"""One run against a pool: a verdict for every cell, and what could not be compared, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gmembench.core.errors import UserError
from gmembench.reports import machine
from gmembench.reports.compare.counted import Counted, compare_counted
from gmembench.reports.compare.interleaved import interleaved_samples
from gmembench.reports.compare.measured import Measured, Sample, compare_measured
from gmembench.reports.compare.rules import Rules
from gmembench.reports.runs import Numbers, Run

VERDICTS = ("slower", "unsure", "gone", "new", "faster", "same")
"""Worst first."""

CONFIGURATION = (("gmembench.size", "size of the scenarios"),)
"""Metadata without which two runs are not runs of the same thing."""


@dataclass(frozen=True)
class CellVerdict:
    """What became of one cell. `finding`: it makes the comparison fail; `reason`: why, or why it was not compared."""

    cell: str
    verdict: str
    counted: Counted | None = None
    measured: Measured | None = None
    reason: str = ""
    finding: bool = False


@dataclass(frozen=True)
class Comparison:
    """All verdicts, worst first, and `notes`: what a reader must know before them.

    groups: verdicts over the designs that were timed together, by the median of each process, and over all cells of
    each design.
    """

    base: tuple[str, ...]
    new: str
    rules: Rules
    cells: tuple[CellVerdict, ...]
    notes: tuple[str, ...]
    groups: tuple[CellVerdict, ...] = ()

    @cached_property
    def findings(self) -> tuple[CellVerdict, ...]:
        """Regressions, cells that failed, and cells whose work is another."""
        return tuple(cell for cell in (*self.groups, *self.cells) if cell.finding)

    @property
    def compared(self) -> int:
        """How many cells were compared, in any kind of number."""
        return sum(cell.counted is not None for cell in self.cells)

    @property
    def timed(self) -> int:
        """How many cells were compared by time."""
        return sum(cell.measured is not None for cell in self.cells)

    @property
    def first(self) -> bool:
        """True if there is no run to compare with yet."""
        return not self.base

    @property
    def passed(self) -> bool:
        """No finding, and something was compared; a first run, which has no base, passes."""
        return self.first or (not self.findings and self.compared > 0)

    def counts(self) -> dict[str, int]:
        """Verdict to its number of cells, none left out."""
        return {verdict: sum(cell.verdict == verdict for cell in self.cells) for verdict in VERDICTS}


def compare(
    base: Sequence[Run], new: Run, rules: Rules, *, times: bool = True, any_machine: bool = False
) -> Comparison:
    """Compare a run with a pool of runs, the newest last.

    times: whether to compare times at all. any_machine: compare them across machines too.
    Raises UserError if the runs were not made with the same configuration.
    """
    for run in base:
        _check_configuration(run, new)
    pool, notes = _same_machine(base, new, any_machine) if times else ([], [])
    interleaved = interleaved_samples(pool, new)
    samples = {**_samples(pool, new), **interleaved.cells}
    measured = compare_measured([{**samples, **interleaved.groups}, interleaved.designs], rules)
    newest: dict[str, Numbers] = {name: numbers for run in base for name, numbers in run.cells.items()}
    names = list(dict.fromkeys([*newest, *new.cells, *new.failed])) if base else []
    found = [_verdict(name, newest.get(name), new, measured.get(name), rules) for name in names]
    found.sort(key=lambda cell: (not cell.finding, VERDICTS.index(cell.verdict), cell.cell))
    notes += _warnings(new, times)
    if times and base and not samples and any(cell.means_s for cell in new.cells.values()) and not notes:
        notes.append("No time was compared: no cell was timed in the base too.")
    paths = tuple(str(run.path) for run in base)
    together = [
        *(_together(name, measured[name], "all designs together") for name in interleaved.groups),
        *(_together(name, measured[name], "all its cells together") for name in interleaved.designs),
    ]
    return Comparison(paths, str(new.path), rules, tuple(found), tuple(notes), tuple(together))


def _together(name: str, measured: Measured, what: str) -> CellVerdict:
    reason = measured.reason if measured.verdict == "unsure" else what
    return CellVerdict(name, measured.verdict, None, measured, reason, measured.verdict == "slower")


def _warnings(new: Run, times: bool) -> list[str]:
    """What the new run says against itself."""
    noise = new.metadata.get("noise.warning") if times else None
    found = [str(noise)[:600]] if noise else []
    if new.metadata.get("gmembench.complete") == "no":
        found.append("The run was interrupted: cells are missing.")
    return found


def _check_configuration(base: Run, new: Run) -> None:
    for key, name in CONFIGURATION:
        theirs, ours = base.metadata.get(key), new.metadata.get(key)
        if theirs != ours:
            what = f"the {name} is {str(ours)[:40]!r}, but {str(theirs)[:40]!r} in {base.path}"
            raise UserError(what, str(new.path), "compare runs of the same tier")


def _short(value: object) -> str:
    return "not recorded" if value is None else str(value)[:80]


def _same_machine(base: Sequence[Run], new: Run, any_machine: bool) -> tuple[list[Run], list[str]]:
    """The runs whose times can be compared with the new one's, and a note on those that were left out."""
    timed = [run for run in base if any(cell.means_s for cell in run.cells.values())]
    if not any(cell.means_s for cell in new.cells.values()):
        return [], []
    others = [(run, differences) for run in timed if (differences := machine.differences(run.metadata, new.metadata))]
    if not others or any_machine:
        return timed, [f"Times of other machines are compared: {others[0][1][0]}."] if others else []
    left = [run for run in timed if all(run is not other for other, _ in others)]
    which = "None of the base runs was" if not left else f"{len(others)} of {len(timed)} base runs were not"
    which += f" timed on this machine ({'; '.join(others[0][1])})"
    return left, [f"{which}: only counted numbers are compared{' with them' if left else ''}."]


def _samples(pool: Sequence[Run], new: Run) -> dict[str, Sample]:
    """The processes of every cell that was timed on both sides, in the same configuration and as the same code."""
    found = {}
    for name, numbers in new.cells.items():
        runs = [run.cells[name] for run in pool if name in run.cells]
        runs = [r for r in runs if r.means_s and r.facts == numbers.facts and r.interpreted == numbers.interpreted]
        if runs and numbers.means_s:
            found[name] = Sample.of([run.means_s for run in runs], numbers.means_s)
    return found


def _verdict(name: str, base: Numbers | None, new: Run, measured: Measured | None, rules: Rules) -> CellVerdict:
    """The verdict of one cell. `base`: its numbers in the newest base run that has it."""
    if name not in new.cells:
        return _gone(name, new)
    if base is None:
        return CellVerdict(name, "new", reason="the base does not have it")
    numbers = new.cells[name]
    if base.facts != numbers.facts:
        key = next(key for key in [*base.facts, *numbers.facts] if base.facts.get(key) != numbers.facts.get(key))
        change = f"{_short(base.facts.get(key))} -> {_short(numbers.facts.get(key))}"
        return CellVerdict(name, "new", reason=f"another configuration: {key} {change}")
    counted = compare_counted(base, numbers, rules.counted_of(name))
    verdicts = {counted.verdict} | ({measured.verdict} if measured else set())
    verdict = next(v for v in ("slower", "faster", "unsure", "same") if v in verdicts)
    if counted.verdict == "unsure":
        return CellVerdict(name, "unsure", counted, measured, counted.reason, finding=True)
    reason = measured.reason if measured and verdict == "unsure" else ""
    return CellVerdict(name, verdict, counted, measured, reason, finding=verdict == "slower")


def _gone(name: str, new: Run) -> CellVerdict:
    if name in new.failed:
        return CellVerdict(name, "gone", reason=f"it failed: {new.failed[name]}", finding=True)
    if name in new.not_applicable:
        return CellVerdict(name, "gone", reason=f"it cannot run: {new.not_applicable[name]}")
    return CellVerdict(name, "gone", reason="the new run does not have it")
