"""`gmembench list`: what there is to run."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gmembench.benchmarks.commands import options
from gmembench.benchmarks.commands.listing_inject import events, explorations


def first_line(text: str) -> str:
    """The first line of a docstring."""
    return text.strip().partition("\n")[0]


def designs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Designs: where each comes from, what it runs on, what it lacks, and what is known to go wrong with it."""
    from gmembench.core.catalog import load_designs, load_hardware

    kinds = load_hardware(paths)
    return [
        {
            "name": d.name,
            "doc": first_line(d.doc),
            "origin": d.origin,
            "kernel": d.kernel,
            "hardware": [name for name in kinds if name not in d.not_on],
            "not_on": dict(d.not_on),
            "sizes": list(d.sizes),
            "private_sizes": list(d.private_sizes),
            "pins": d.pins,
            "programs": list(d.programs),
            "not_applicable": dict(d.not_applicable),
            "findings": [dataclasses.asdict(finding) for finding in d.findings],
        }
        for d in load_designs(paths).values()
    ]


def hardware(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Kinds of hardware."""
    from gmembench.core.catalog import load_hardware

    return [{"name": h.name, "doc": first_line(h.doc)} for h in load_hardware(paths).values()]


def scenarios(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Scenarios that are run, and their variants; then those that are explored."""
    from gmembench.benchmarks.cells import load_scenarios

    run = [
        {"name": s.name, "doc": first_line(s.doc), "kind": "run", "variants": [v for v in s.variants if v]}
        for s in load_scenarios(paths).values()
    ]
    return [*run, *explorations(paths)]


def plans(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Plans: edits of a design, its world, and the invariant that this breaks."""
    from gmembench.inject.plan import load_plans

    return [
        {
            "name": p.name,
            "doc": first_line(p.doc),
            "title": p.body.title,
            "source": p.body.source,
            "design": p.body.design,
            "hardware": p.body.hardware,
            "scenario": p.body.scenario,
            "edits": list(p.body.edits),
            "events": [use.event for use in p.body.events],
            "expect": p.body.expect,
            "items": p.body.items,
        }
        for p in load_plans(paths).values()
    ]


def invariants(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Invariants: when each is judged, what it says when broken, and the designs known to break it."""
    from gmembench.core.catalog import load_designs, load_invariants
    from gmembench.core.invariant import STUCK

    designs = load_designs(paths).values()
    return [
        {
            "name": i.name,
            "doc": first_line(i.doc),
            "when": list(i.when),
            "says": {when: i.stuck if when == STUCK else getattr(i, when).says for when in i.when},
            "broken_by": [d.name for d in designs if any(finding.invariant == i.name for finding in d.findings)],
        }
        for i in load_invariants(paths).values()
    ]


def steps(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Steps: where each stands in the kernel, what it touches, design -> hardware that use it. The package's only."""
    from gmembench.core.footprints import footprint_of
    from gmembench.core.steps.registry import all_steps

    users = users_of_steps(paths)
    return [
        {
            "name": s.name,
            "doc": s.doc,
            "place": s.place,
            "nature": s.nature,
            "function": s.site,
            "guards": s.guards,
            "reads": sorted(footprint_of(s.name).reads),
            "writes": sorted(footprint_of(s.name).writes),
            "designs": users.get(s.name, {}),
        }
        for s in all_steps()
    ]


def users_of_steps(paths: Sequence[Path]) -> dict[str, dict[str, list[str]]]:
    """Step -> design -> kinds of hardware on which a row of the design runs it."""
    from gmembench.core.catalog import load_designs, load_hardware
    from gmembench.core.programs import assemble

    kinds = load_hardware(paths)
    users: dict[str, dict[str, list[str]]] = {}
    for design in load_designs(paths).values():
        for hardware in (h for name, h in kinds.items() if name not in design.not_on):
            for step in sorted({item.step.name for item in assemble(design, hardware).info}):
                users.setdefault(step, {}).setdefault(design.name, []).append(hardware.name)
    return users


def touchpoints(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Touchpoints of each design in KVM's own code, fault path and lifetime path apart, without hardware."""
    from gmembench.core.catalog import load_designs
    from gmembench.core.touchpoints import on_paths

    designs = load_designs(paths)
    base = on_paths(designs["legacy-vma"])
    found = []
    for design in designs.values():
        for path, pairs in on_paths(design).items():
            beyond = pairs - base[path]
            found.append(
                {
                    "name": f"{design.name}/{path}",
                    "doc": f"{len(pairs)} touchpoints, {len(beyond)} of them beyond legacy-vma",
                    "touchpoints": [{"function": f, "nature": n} for f, n in sorted(pairs)],
                    "beyond": [{"function": f, "nature": n} for f, n in sorted(beyond)],
                }
            )
    return found


def rows(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of all designs, `design/program.phase.step`, and the kinds of hardware on which they stand there."""
    from gmembench.core.catalog import load_designs, load_hardware
    from gmembench.core.programs import assemble

    found: dict[str, dict[str, Any]] = {}
    kinds = load_hardware(paths)
    for design in load_designs(paths).values():
        for kind in (k for name, k in kinds.items() if name not in design.not_on):
            for r in assemble(design, kind).info:
                name = f"{design.name}/{r.name}"
                made = {"name": name, "doc": r.step.doc, "step": r.step.name, "place": r.place, "function": r.site}
                found.setdefault(name, {**made, "hardware": []})["hardware"].append(kind.name)
    return list(found.values())


def cells(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Cells; `reason` says why one is not applicable."""
    return cells_on_axes(paths, {})


def cells_on_axes(paths: Sequence[Path], values: Mapping[str, Sequence[str]], tier: str = "") -> list[dict[str, Any]]:
    """Cells with all combinations of the values of axes, or those of a tier."""
    from gmembench.benchmarks import tiers

    if tier:
        found = tiers.cells_of(tiers.TIERS[tier], paths, None)
    else:
        found = tiers.every_cell(tiers.TIERS["full"], paths, None, values)
    return [
        {
            "name": c.name,
            "doc": f"not applicable: {c.reason}" if c.reason else "",
            "scenario": c.scenario,
            "design": c.design,
            "hardware": c.hardware,
            "page_size": c.page_size,
            "reason": c.reason,
        }
        for c in found
    ]


def estimates(paths: Sequence[Path]) -> list[str]:
    """A sentence for each tier: how many cells, how long, how much memory."""
    from gmembench.benchmarks import estimate, tiers

    found = []
    for name, tier in tiers.TIERS.items():
        runnable = [cell for cell in tiers.cells_of(tier, paths, None) if cell.reason is None]
        timed = tiers.timed(tier, runnable)
        if timed:
            found.append(estimate.text_of(f"--{name}", estimate.cost(runnable, timed, tier.effort)))
        words = f"--{name} --counted" if timed else "--counted"
        found.append(estimate.text_of(words, estimate.cost(runnable, timed, None)))
    return found


def print_cells(found: Sequence[dict[str, Any]]) -> None:
    """Print a line for each scenario and design: the hardware/page sizes where it runs, and numbered reasons.

    There are over a thousand cells; the name of one is the beginning of a line and one of its hardware/page sizes.
    """
    from gmembench.benchmarks.run_table import Reasons

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault(f"{row['scenario']}/{row['design']}/", []).append(row)
    width = max(map(len, groups), default=0)
    reasons = Reasons()
    for name, rows in groups.items():
        where: dict[str | None, list[str]] = {}
        for row in rows:
            where.setdefault(row["reason"], []).append(f"{row['hardware']}/{row['page_size']}")
        runs = " ".join(where.pop(None, ["nowhere"]))
        lacking = [f"{' '.join(places)} {reasons.number(str(reason))}" for reason, places in where.items()]
        print(f"{name:{width}}  {runs}{'; not ' if lacking else ''}{', '.join(lacking)}")
    for number, text in enumerate(reasons.texts, 1):
        print(f"[{number}] not applicable: {text}")


def chosen_cells(tier: str | None, axes: Sequence[str], paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The cells of a tier, or of all combinations of axes."""
    from gmembench.benchmarks import tiers
    from gmembench.benchmarks.axes import parse_option

    if tier and axes:
        raise click.UsageError("--tier has its own axes: leave out one of --tier and --axis")
    if tier and tier not in tiers.TIERS:
        raise click.UsageError(f"no tier {tier!r}: choose from {', '.join(tiers.TIERS)}")
    return cells_on_axes(paths, parse_option(axes), tier or "")


KINDS = {
    f.__name__: f for f in (designs, hardware, scenarios, events, plans, invariants, steps, rows, touchpoints, cells)
}


@click.command("list")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--kind", "only", type=click.Choice(["run", "exploration"]), help="Of scenarios: only these.")
@click.option("--tier", help="Of cells: only those of this tier (quick, all, standard, full), its sweeps included.")
@options.axes
@options.paths
@options.as_json
def list_(
    kind: str, only: str | None, tier: str | None, axes: tuple[str, ...], paths: tuple[Path, ...], as_json: bool
) -> int:
    """List what there is, with a line about each. --json adds what a line cannot hold.

    \b
    designs      origin, kernel, hardware and page sizes; what it lacks and why; known findings
    hardware     kinds of memory encryption
    scenarios    what is run, and its variants; what is explored, by whom, and the states that must be seen
    events       what can be injected: where it is environment, where it would be a bug
    plans        edits of a design that break an invariant: published bugs in a small world
    invariants   what must hold, when it is judged, which designs are known to break it
    steps        one CPU's work between two points at which another can intervene; fields it touches; who uses it
    rows         steps in the order of each design's programs, on every hardware
    touchpoints  places of a design in KVM's own code, and those beyond legacy-vma
    cells        scenario x design x hardware x page size; reasons where it is not applicable; how long a tier takes

    \b
    Example:
      gmembench list cells
    """
    if only and kind != "scenarios":
        raise click.UsageError(f"--kind is of scenarios, not of {kind}")
    if (tier or axes) and kind != "cells":
        raise click.UsageError(f"--{'tier' if tier else 'axis'} is of cells, not of {kind}")
    found = chosen_cells(tier, axes, paths) if tier or axes else KINDS[kind](paths)
    found = [item for item in found if only in {None, item.get("kind")}]
    if as_json:
        options.print_json(found)
    elif kind == "cells":
        print_cells(found)
        print("\n".join(estimates(paths)))
    else:
        width = max((len(row["name"]) for row in found), default=0)
        for row in found:
            print(f"{row['name']:{width}}  {row['doc']}".rstrip())
    return 0
