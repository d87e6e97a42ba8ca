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
    steps = (cells["fault_steps"] / cells["faults"]).to_list()
    texts = [formatting.ratio(value) for value in steps]
    first = f"{cells['design'].iloc[0]} takes {texts[0]} steps a fault"
    others = [f"{design} {text}" for design, text in zip(cells["design"].iloc[1:], texts[1:], strict=True)]
    return Finding("counted", f"{formatting.listing([first, *others])} ({_place(cells)}).", tuple(cells.index))


def _conversions(results: Results) -> Finding | None:
    cells = _shared_group(results.cells, "conversions")
    cells = cells[cells["conversion_steps"].notna()]
    if cells.empty:
        return None
    parts = []
    for _, cell in cells.iterrows():
        steps = formatting.ratio(cell["conversion_steps"] / cell["conversions"])
        pages = cell["converted_gfns"]
        length = "" if formatting.absent(pages) else f" of {formatting.ratio(pages / cell['conversions'])} pages"
        parts.append(f"{cell['design']} takes on average {steps} steps a conversion{length}")
    sentence = f"{formatting.listing(parts)} ({_place(cells)}).{_without(results)}"
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
            counts = [f"{s.beyond if beyond else s.static} on the {path} path" for path, s in own.items()]
            parts.append(f"{design} {formatting.listing(counts)}")
    than = f" beyond those of {touchpoints.BASELINE}" if beyond else ""
    first = results.cells.reset_index().drop_duplicates("design")["cell"]
    return Finding("counted", f"Touchpoints in KVM's own code{than}: {'; '.join(parts)}.", tuple(first))


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
    sentence = f"{faults} met an invalidation and ran again, in one cell up to {formatting.count(most['retries'])}"
    return Finding("counted", f"{sentence} ({_cell(most)}).", tuple(cells.index))


PROCESSES_TO_COMPARE = 5
"""Below this the two-sided floor of a permutation test of processes is above 1 %: 5 against 5 can reach 0.8 %."""


def _time(results: Results) -> Finding | None:
    times = distributions(results)
    cells = _shared_group(results.cells[results.cells.index.isin(list(times))], "operations")
    if cells.empty:
        return None
    parts = [f"{cell['design']} {_spread(times[str(name)])}" for name, cell in cells.iterrows()]
    sentence = "The model's own code, which is not a kernel, takes per operation:"
    fewest = min(times[str(name)].processes for name in cells.index)
    caution = (
        f" With {fewest} processes a cell, time does not rank the designs." if fewest < PROCESSES_TO_COMPARE else ""
    )
    told = f"{sentence} {formatting.listing(parts)} ({_place(cells)}).{caution}"
    return Finding("measured", told, tuple(cells.index))


def _spread(time: Distribution) -> str:
    median, low, high = (formatting.time_ns(value) for value in (time.median_ns, time.low_ns, time.high_ns))
    return f"{median} ns" if time.processes < 2 else f"{median} ns (middle half {low} to {high})"


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
