"""Headline findings: sentences computed from the results, each with the kind of its numbers."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from gmembench.reports import conformance, formatting, touchpoints
from gmembench.reports.loading import Results
from gmembench.reports.measured import Distribution, distributions
from gmembench.reports.once import once

_GROUP = ["scenario", "hardware", "page_size"]


@dataclass(frozen=True)
class Finding:
    """One sentence, whether its numbers are counted or measured, and the cells that they are from."""

    kind: str
    sentence: str
    cells: tuple[str, ...] = ()


@once
def findings(results: Results) -> list[Finding]:
    """Return the findings that the results allow, most asked for first."""
    makers = (
        _faults, _conversions, _touchpoints, _held_twice, _retries, _time, _agreement,
    )  # fmt: skip
    return [found for found in (maker(results) for maker in makers) if found]


def _shared_group(cells: pd.DataFrame, key: str) -> pd.DataFrame:
    """Cells of the scenario, hardware and page size run by most designs; among equals, with the largest `key`."""
    cells = cells[cells[key].fillna(0) > 0]
    if cells.empty:
        return cells
    groups = cells.groupby(_GROUP, sort=False).agg(designs=("design", "nunique"), total=(key, "sum"))
    best = groups.sort_values(["designs", "total"], ascending=False, kind="stable").index[0]
    return cells[(cells[_GROUP] == pd.Series(best, index=_GROUP)).all(axis=1)]


def _place(cells: pd.DataFrame) -> str:
    first = cells.iloc[0]
    hardware = "" if first["hardware"] == "none" else f" on {first['hardware']}"
    return f"{first['scenario']}, {first['page_size']}{hardware}"


def _faults(results: Results) -> Finding | None:
    cells = _shared_group(results.cells, "faults")
    cells = cells[cells["fault_steps"].notna()]
    if cells.empty:
        return None
    sentence = f"Steps a fault: {_fewest_first(cells, cells['fault_steps'] / cells['faults'])} ({_place(cells)})."
    return Finding("counted", sentence, tuple(cells.index))


def _fewest_first(cells: pd.DataFrame, means: "pd.Series[float]") -> str:
    """Designs with their numbers, the smallest first."""
    ordered = means.sort_values(kind="stable")
    designs = cells["design"].reindex(ordered.index)
    return formatting.listing([f"{name} {formatting.ratio(mean)}" for name, mean in zip(designs, ordered, strict=True)])


def _conversions(results: Results) -> Finding | None:
    cells = _shared_group(results.cells, "conversions")
    cells = cells[cells["conversion_steps"].notna()]
    if cells.empty:
        return None
    lengths = (cells["converted_gfns"] / cells["conversions"]).dropna()
    ends = [formatting.ratio(end) for end in (lengths.min(), lengths.max())] if len(lengths) else []
    length = f" of {' to '.join(dict.fromkeys(ends))} pages" if ends else ""
    steps = _fewest_first(cells, cells["conversion_steps"] / cells["conversions"])
    sentence = f"Steps a conversion{length}, on average: {steps} ({_place(cells)}).{_without(results)}"
    return Finding("counted", sentence, tuple(cells.index))


def _without(results: Results) -> str:
    """Designs that have no conversion at all."""
    missing = {
        results.cells.loc[cell, "design"] for cell in results.cells.index if results.missing_program(cell, "convert")
    }
    names = [design for design in results.designs if design in missing]
    return f" Not applicable to {formatting.listing(names)}, which cannot convert." if names else ""


def _touchpoints(results: Results) -> Finding | None:
    sums = {line.path: line.scores for line in touchpoints.lines(results) if line.place == touchpoints.ALL}
    if not sums:
        return None
    beyond = touchpoints.BASELINE in results.designs and len(results.designs) > 1
    parts = []
    for number, design in enumerate(results.designs):
        own = {path: scores[number] for path, scores in sums.items()}
        if not (beyond and design == touchpoints.BASELINE):
            parts.append(f"{design} {' and '.join(str(s.beyond if beyond else s.static) for s in own.values())}")
    than = f" beyond those of {touchpoints.BASELINE}" if beyond else ""
    where = formatting.listing([f"on the {path} path" for path in sums])
    first = results.cells.reset_index().drop_duplicates("design")["cell"]
    return Finding("counted", f"Touchpoints in KVM's own code{than}, {where}: {'; '.join(parts)}.", tuple(first))


def _held_twice(results: Results) -> Finding | None:
    cells = results.cells[results.cells["double_backed_pages_peak"].notna()]
    if cells.empty:
        return None
    peak = _first_largest(cells, "double_backed_pages_peak")
    pages, guest = peak["double_backed_pages_peak"], peak["gfns"]
    if pages == 0:
        return Finding("counted", "No cell ever holds a page of the guest twice.", tuple(cells.index))
    share = "" if formatting.absent(guest) or not guest else f", {formatting.percent(pages / guest)} of the guest"
    return Finding(
        "counted",
        "The most memory held twice (a private and a shared copy at once) is "
        f"{formatting.size(pages)} MiB{share}: {_cell(peak)}.{_never_twice(cells, peak)}",
        (str(peak.name),),
    )


def _first_largest(cells: pd.DataFrame, key: str) -> "pd.Series[Any]":
    return cells.iloc[int(cells[key].to_numpy(dtype="int64").argmax())]


def _cell(cell: "pd.Series[Any]") -> str:
    return f"{cell['design']} in {cell['scenario']}, {cell['page_size']}"


def _never_twice(cells: pd.DataFrame, peak: "pd.Series[str]") -> str:
    """Other variants of the scenario in which the same design holds nothing twice."""
    family = cells["scenario"].str.split(":").str[0] == peak["scenario"].split(":")[0]
    same = cells[family & (cells["design"] == peak["design"]) & (cells["page_size"] == peak["page_size"])]
    free = sorted(
        set(same.loc[(same["double_backed_pages_peak"] == 0) & (same["conversions"].fillna(0) > 0), "scenario"])
    )
    return f" In {formatting.listing(free)} it holds nothing twice." if free else ""


def _retries(results: Results) -> Finding | None:
    cells = results.cells[results.cells["retries"].fillna(0) > 0]
    if cells.empty:
        return None
    most = _first_largest(cells, "retries")
    faults = formatting.plural(int(cells["retries"].sum()), "fault")
    where = f"most in {_cell(most)}: {formatting.count(most['retries'])}" if len(cells) > 1 else f"all in {_cell(most)}"
    return Finding("counted", f"{faults} met an invalidation and ran again, {where}.", tuple(cells.index))


PROCESSES_TO_COMPARE = 5
"""Below this the two-sided floor of a permutation test of processes is above 1 %: 5 against 5 can reach 0.8 %."""


def _time(results: Results) -> Finding | None:
    times = distributions(results)
    cells = _shared_group(results.cells[results.cells.index.isin(list(times))], "operations")
    if cells.empty:
        return None
    parts = [f"{cell['design']} {_spread(times[str(name)])}" for name, cell in cells.iterrows()]
    sentence = "The model's own code, which is not a kernel, takes so many ns an operation (middle half of processes):"
    fewest = min(times[str(name)].processes for name in cells.index)
    caution = (
        f" With {fewest} processes a cell, time does not rank the designs." if fewest < PROCESSES_TO_COMPARE else ""
    )
    told = f"{sentence} {formatting.listing(parts)} ({_place(cells)}).{caution}"
    return Finding("measured", told, tuple(cells.index))


def _spread(time: Distribution) -> str:
    median, low, high = (formatting.time_ns(value) for value in (time.median_ns, time.low_ns, time.high_ns))
    return median if time.processes < 2 else f"{median} ({low} to {high})"


def _agreement(results: Results) -> Finding | None:
    for verdict in conformance.verdicts(results):
        figures = results.conformance[verdict.cell]
        agreement, inputs = (conformance.fraction(figures, key) for key in ("agreement", "inputs_share"))
        if agreement is not None:
            given = "" if inputs is None else f", with {formatting.percent(inputs)} of the changes given as input"
            design = figures.get("design", "the model")
            sentence = f"Against the kernel trace {verdict.trace} the page-table changes of {design} agree to"
            return Finding("counted", f"{sentence} {formatting.percent(agreement)}{given}.", (verdict.cell,))
    return None
