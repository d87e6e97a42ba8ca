"""Headline findings: sentences computed from the results, each with the kind of its numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from gmembench.reports import conformance, formatting
from gmembench.reports.loading import Results
from gmembench.reports.measured import Distribution, distributions
from gmembench.reports.touchpoints import kvm_rows, tally

_GROUP = ["scenario", "hardware", "page_size"]


@dataclass(frozen=True)
class Finding:
    """One sentence, and whether its numbers are counted or measured."""

    kind: str
    sentence: str


def findings(results: Results) -> list[Finding]:
    """Return the findings that the results allow, most asked for first."""
    makers: tuple[Callable[[Results], Finding | None], ...] = (
        _faults, _conversions, _touchpoints, _held_twice, _retries, _time, _agreement,
    )  # fmt: skip
    return [found for found in (maker(results) for maker in makers) if found]


def _shared_group(results: Results, key: str) -> pd.DataFrame:
    """Cells of the scenario, hardware and page size run by most designs; among equals, with the largest `key`."""
    cells = results.cells[results.cells[key].fillna(0) > 0]
    if cells.empty:
        return cells
    groups = cells.groupby(_GROUP, sort=False).agg(designs=("design", "nunique"), total=(key, "sum"))
    best = groups.sort_values(["designs", "total"], ascending=False, kind="stable").index[0]
    return cells[cells[_GROUP].apply(tuple, axis=1) == best]


def _place(cells: pd.DataFrame) -> str:
    first = cells.iloc[0]
    hardware = "" if first["hardware"] == "none" else f" on {first['hardware']}"
    return f"{first['scenario']}, {first['page_size']}{hardware}"


def _faults(results: Results) -> Finding | None:
    cells = _shared_group(results, "faults")
    cells = cells[cells["fault_steps"].notna()]
    if cells.empty:
        return None
    steps = (cells["fault_steps"] / cells["faults"]).to_list()
    texts = [formatting.ratio(value) for value in steps]
    first = f"{cells['design'].iloc[0]} takes {texts[0]} steps a fault"
    others = [f"{design} {text}" for design, text in zip(cells["design"].iloc[1:], texts[1:], strict=True)]
    return Finding("counted", f"{formatting.listing([first, *others])} ({_place(cells)}).")


def _conversions(results: Results) -> Finding | None:
    cells = _shared_group(results, "conversions")
    cells = cells[cells["conversion_steps"].notna()]
    if cells.empty:
        return None
    parts = []
    for _, cell in cells.iterrows():
        steps = formatting.ratio(cell["conversion_steps"] / cell["conversions"])
        pages = cell["converted_gfns"]
        length = "" if formatting.absent(pages) else f" of {formatting.ratio(pages / cell['conversions'])} pages"
        parts.append(f"{cell['design']} takes {steps} steps a conversion{length}")
    return Finding("counted", f"{formatting.listing(parts)} ({_place(cells)}).{_without(results)}")


def _without(results: Results) -> str:
    """Designs that have no conversion at all."""
    missing = {
        results.cells.loc[cell, "design"] for cell in results.cells.index if results.missing_program(cell, "convert")
    }
    names = [design for design in results.designs if design in missing]
    return f" Not applicable to {formatting.listing(names)}, which cannot convert." if names else ""


def _touchpoints(results: Results) -> Finding | None:
    rows = kvm_rows(results)
    if rows.empty:
        return None
    parts = []
    for design in results.designs:
        own = rows[rows["design"] == design]
        in_fault = tally(own[own["place"] == "kvm-fault"], set()).static
        parts.append(f"{design} {tally(own, set()).static}, of them {in_fault} on the fault path")
    return Finding("counted", f"Touchpoints in KVM's own code: {'; '.join(parts)}.")


def _held_twice(results: Results) -> Finding | None:
    cells = results.cells[results.cells["double_backed_pages_peak"].notna()]
    if cells.empty:
        return None
    peak = cells.loc[cells["double_backed_pages_peak"].astype("int64").idxmax()]
    if peak["double_backed_pages_peak"] == 0:
        return Finding("counted", "No cell ever holds a page of the guest twice.")
    share = ""
    if not formatting.absent(peak["gfns"]) and peak["gfns"]:
        share = f", {formatting.percent(peak['double_backed_pages_peak'] / peak['gfns'])} of the guest"
    return Finding(
        "counted",
        f"The most memory held twice (private and shared copy at once) is {formatting.size(peak['double_backed_pages_peak'])} "
        f"MiB{share}: {peak['design']} in {peak['scenario']}, {peak['page_size']}.{_never_twice(cells, peak)}",
    )


def _never_twice(cells: pd.DataFrame, peak: "pd.Series[str]") -> str:
    """Other scenarios in which the same design holds nothing twice."""
    same = cells[(cells["design"] == peak["design"]) & (cells["page_size"] == peak["page_size"])]
    free = sorted(
        set(same.loc[(same["double_backed_pages_peak"] == 0) & (same["conversions"].fillna(0) > 0), "scenario"])
    )
    return f" In {formatting.listing(free)} it holds nothing twice." if free else ""


def _retries(results: Results) -> Finding | None:
    retries = results.cells["retries"].dropna()
    if retries.empty or retries.sum() == 0:
        return None
    most = results.cells.loc[retries.astype("int64").idxmax()]
    return Finding(
        "counted",
        f"{formatting.plural(int(retries.sum()), 'fault')} met an invalidation and ran again, "
        f"in one cell up to {formatting.count(most['retries'])} ({most['scenario']} with {most['design']}, {most['page_size']}).",
    )


def _time(results: Results) -> Finding | None:
    times = distributions(results)
    cells = results.cells[results.cells.index.isin(list(times))]
    if cells.empty:
        return None
    cells = cells[cells[_GROUP].apply(tuple, axis=1).isin(_widest(cells))]
    parts = [f"{cell['design']} {_spread(times[str(name)])}" for name, cell in cells.iterrows()]
    return Finding(
        "measured",
        f"The model's own code, which is not a kernel, takes per operation: {formatting.listing(parts)} ({_place(cells)}).",
    )


def _widest(cells: pd.DataFrame) -> set[tuple[str, str, str]]:
    groups = cells.groupby(_GROUP, sort=False).agg(designs=("design", "nunique"), operations=("operations", "sum"))
    return {groups.sort_values(["designs", "operations"], ascending=False, kind="stable").index[0]}


def _spread(time: Distribution) -> str:
    middle = (
        ""
        if time.processes < 2
        else f" (middle half {formatting.time_ns(time.low_ns)} to {formatting.time_ns(time.high_ns)})"
    )
    return f"{formatting.time_ns(time.median_ns)} ns{middle}"


def _agreement(results: Results) -> Finding | None:
    for verdict in conformance.verdicts(results):
        figures = results.conformance[verdict.cell]
        agreement, inputs = (
            conformance.fraction(figures, "agreement"),
            conformance.fraction(figures, "inputs_share"),
        )
        if agreement is not None:
            given = "" if inputs is None else f", with {formatting.percent(inputs)} of the changes given as input"
            return Finding(
                "counted",
                f"Against the kernel trace {verdict.trace} the model's page-table changes agree to {formatting.percent(agreement)}{given}.",
            )
    return None
