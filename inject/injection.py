"""What can be injected into a run of operations: events that are operations, and plans that edit a design.

A run is sequential: an event comes between two operations. Events that force an outcome, and those that hold an actor
at a row, need a driver that chooses; only explorations have one.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from gmembench.core.errors import UserError
from gmembench.core.programs import Design, Hardware
from gmembench.inject.catalog import load_events
from gmembench.inject.event import Event
from gmembench.inject.plan import Plan, find_plan
from gmembench.inject.script import program_of, script

TIMES = 64
"""How often an event happens in a run."""

RANGE_GFNS = 512
"""How many gfns it is about, at most."""


def found(name: str, paths: Sequence[Path] = ()) -> Event | Plan:
    """An event by its name, or a plan by the beginning of its. Raises UserError."""
    return _found(name, tuple(paths))


@cache
def _found(name: str, paths: tuple[Path, ...]) -> Event | Plan:
    events = load_events(paths)
    if name in events:
        return events[name]
    try:
        return find_plan(name, paths)
    except UserError as error:
        mend = "choose one of `gmembench list events` or `gmembench list plans`"
        raise UserError(f"no event and no plan {name!r}", "inject", mend) from error


def why_no_injection(name: str, design: Design, hardware: Hardware, paths: Sequence[Path] = ()) -> str | None:
    """Why something cannot be injected into runs of a design on a hardware; None if it can."""
    what = found(name, paths)
    if isinstance(what, Event):
        return _no_event(what, design)
    if (what.body.design, what.body.hardware) != (design.name, hardware.name):
        return f"plan {name} edits {what.body.design} on {what.body.hardware}, and no other"
    return None if what.body.edits else f"plan {name} edits nothing: it is about events in an order of their own"


def _no_event(event: Event, design: Design) -> str | None:
    if event.kind != "operations":
        return f"{event.name} {KINDS[event.kind]}, which a run in sequence does not: gmembench explore does"
    for program in map(program_of, event.operations):
        if program in ENDING:
            return f"{event.name} ends what the rest of the run needs: gmembench explore shows it"
        if program not in design.programs:
            return f"no {program}: {design.not_applicable.get(program, 'no program does this')}"
    return None


KINDS = {"outcome": "forces the outcome of a row", "schedule": "holds an actor at a row"}

ENDING = ("close", "teardown", "slot_delete", "slot_create", "slot_move", "slot_flags", "poison", "host_pin", "reuse")
"""Programs after which a guest cannot go on, or that hold something for good."""


def edited(name: str, design: Design, paths: Sequence[Path] = ()) -> Design:
    """The design with the edits of a plan; the design itself for an event."""
    what = found(name, paths)
    return what.mutant(paths) if isinstance(what, Plan) else design


def mixed_in(name: str, work: np.ndarray, gfns: int, actor: int, paths: Sequence[Path] = ()) -> np.ndarray:
    """The operations of a run with those of an event between them, done by `actor`; a plan adds none."""
    what = found(name, paths)
    if isinstance(what, Plan):
        return work
    count = min(RANGE_GFNS, gfns)
    places = np.linspace(0, len(work), TIMES + 1).astype(np.int64)
    parts = []
    for number, (start, stop) in enumerate(zip(places[:-1].tolist(), places[1:].tolist(), strict=True)):
        parts += [work[start:stop], _operations(what, number * count % gfns, count, number, actor)]
    return np.concatenate(parts)


def _operations(event: Event, gfn: int, count: int, number: int, actor: int) -> np.ndarray:
    """One occurrence of an event, about a range or the first half of it."""
    words = {"gfn": gfn, "count": count, "rest": max(1, count // 2), "slot": 0, "node": number % 2}
    return script([text.format(**words) for text in event.operations], actor, f"event {event.name}")
