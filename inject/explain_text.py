"""A failure as text: a column for each actor and each lock, a row for each step, what broke marked, and why."""

import textwrap
from collections.abc import Sequence

from gmembench.inject.failure import Choice, Failure
from gmembench.inject.locks import Held, parts

WIDTH = 110
"""Of sentences; the table is as wide as its columns."""

LEGEND = "! breaks it   * named in the reason   locks: V0 holds it alone, V0/r for reading, (V0) waits for it"


def short_row(choice: Choice) -> str:
    """The row without its program, and what is unusual: another outcome than *next*, a page, an event."""
    words = [choice.row.partition(".")[2] or choice.row]
    words += [word for word in choice.operands.split() if word.startswith("pfn=")]
    if choice.outcome not in ("next", ""):
        words.append(f"-> {choice.outcome}")
    if choice.event or choice.kind == "yield":
        words.append(f"({choice.event or choice.kind})")
    return " ".join(words)


def lock_names(failure: Failure) -> list[str]:
    """The locks that anybody takes or waits for, in the order in which they are first seen."""
    found: dict[str, None] = {}
    for choice in failure.choices:
        found |= dict.fromkeys(parts(text)[0] for text in choice.locks)
        found |= dict.fromkeys(name for _, name in choice.waits)
    return list(found)


def _lock_cells(failure: Failure, names: Sequence[str]) -> list[list[str]]:
    """For each step a cell a lock: who holds it, and who waits."""
    held, rows = Held(), []
    for choice in failure.choices:
        held.step(choice.actor, choice.locks)
        cells = []
        for name in names:
            holders = [
                failure.actors[actor] + ("" if alone else "/r") for actor, alone in held.by.get(name, {}).items()
            ]
            waiting = [f"({failure.actors[actor]})" for actor, lock in choice.waits if lock == name]
            cells.append(" ".join([*holders, *waiting]))
        rows.append(cells)
    return rows


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def table(failure: Failure) -> list[str]:
    """The lines of the table: its head, and a line a step; operations begin with a line of their own."""
    actors = sorted({choice.actor for choice in failure.choices})
    names = lock_names(failure)
    rows = [["", "step", *(failure.actors[actor] for actor in actors), "|", *names]]
    blank = [""] * len(names)
    last = len(failure.choices) - 1
    for number, (choice, cells) in enumerate(zip(failure.choices, _lock_cells(failure, names), strict=True)):
        if choice.begins:
            rows.append(["", "", *(f"[{choice.begins}]" * (actor == choice.actor) for actor in actors), "|", *blank])
        ends = number == last and failure.violation.actor >= 0
        mark = "!" if ends else "*" * (number in failure.violation.marked)
        steps = [short_row(choice) if actor == choice.actor else "" for actor in actors]
        rows.append([mark, str(number + 1).rjust(4), *steps, "|", *cells])
    return _table(rows)


def told_switches(count: int) -> str:
    """How many context switches, in words."""
    return f"{count} context switch{'' if count == 1 else 'es'}"


def heading(failure: Failure) -> list[str]:
    """What broke, why, and where."""
    broken, setting = failure.violation, failure.setting
    edits = "".join(f", {edit}" for edit in setting.edits)
    programs = f", {', '.join(setting.programs)} edited" if setting.programs else ""
    where = f"{setting.design}{edits}{programs} on {setting.hardware}"
    source = f", {setting.scenario}" if setting.scenario else ""
    steps = f"{len(failure.choices)} steps, {told_switches(failure.switches)}"
    lines = [f"{broken.invariant}: {broken.sentence}", broken.reason + "."]
    return [line for text in (*lines, f"{where}{source}: {steps}") for line in textwrap.wrap(text, WIDTH)]


def as_text(failure: Failure) -> str:
    """The failure as text, ready to print."""
    lines = [*heading(failure), "", *table(failure), "", LEGEND]
    if failure.replay:
        lines += ["", f"gmembench replay {failure.replay}"]
    return "\n".join(lines) + "\n"
