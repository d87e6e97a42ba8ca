"""What `gmembench list` says of events and of scenarios of exploration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def explorations(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Scenarios of exploration: actors, what must be seen, and where each runs."""
    from gmembench.core.catalog import load_designs, load_hardware
    from gmembench.inject.scenario import load_scenarios

    designs, kinds = load_designs(paths), load_hardware(paths)
    found = []
    for s in load_scenarios(paths).values():
        reasons = {d.name: s.why_not(d, kinds["none"]) for d in designs.values()}
        found.append(
            {
                "name": s.name,
                "doc": s.doc,
                "kind": "exploration",
                "variants": [],
                "actors": {actor.name: list(actor.script) for actor in s.sorted_actors()},
                "prepare": list(s.body.prepare),
                "world": s.body.world.given(),
                "sometimes": [state.name for state in s.states],
                "designs": [name for name, why in reasons.items() if not why],
                "not_applicable": {name: why for name, why in reasons.items() if why},
            }
        )
    return found


def events(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Events: what each is, and for which designs and hardware it is environment, a bug, or not there."""
    from gmembench.core.catalog import load_designs, load_hardware
    from gmembench.core.programs import assemble
    from gmembench.inject.catalog import load_events

    designs, kinds = load_designs(paths), load_hardware(paths)
    codes = [assemble(d, h) for d in designs.values() for h in kinds.values() if h.name not in d.not_on]
    found = []
    for event in load_events(paths).values():
        legal: dict[str, list[str]] = {}
        bugs: dict[str, dict[str, str]] = {}
        lacking: dict[str, dict[str, str]] = {}
        for code in codes:
            design, hardware = code.design.name, code.hardware.name
            why, bug = event.why_not(code), event.bug(code.design, code.hardware)
            if why:
                lacking.setdefault(design, {})[hardware] = why
            elif bug is not None:
                bugs.setdefault(design, {})[hardware] = f"{bug.why} ({bug.source})"
            else:
                legal.setdefault(design, []).append(hardware)
        found.append(
            {
                "name": event.name,
                "doc": event.doc.partition("\n")[0],
                "kind": event.kind,
                "source": event.source,
                "operations": list(event.operations),
                "forced": [{"steps": f.steps, "outcome": f.outcome} for f in event.forced],
                "legal": legal,
                "bug": bugs,
                "not_applicable": lacking,
            }
        )
    return found
