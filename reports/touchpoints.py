"""Touchpoints: how many points of KVM's own code a design touches, and of what nature.

A touchpoint is a distinct pair (kernel function, nature) among the rows whose place starts with `kvm-`
(the measure proposed by Sean Christopherson, <YS6U1u/p+nOXVEfS@google.com>). A row that is split in two does not
add one. The fault path (accesses of the guest, and prefaults) and the lifetime path (all other programs) are
scored apart; on each, what counts is what a design touches beyond the baseline, ordinary memory in a VMA.
"""

from dataclasses import dataclass

import pandas as pd

from gmembench.reports.loading import Results
from gmembench.reports.once import once

KVM_PLACES = ("kvm-fault", "kvm-invalidate", "kvm-attributes", "kvm-memslot")
BASELINE = "legacy-vma"
FAULT_PROGRAMS = ("access", "prefault")
PATHS = ("fault", "lifetime")
ALL = "all"


@dataclass(frozen=True)
class Tally:
    """Touchpoints of one design in one place and nature: in the code, reached by a run, and their hits."""

    static: int
    reached: int
    hits: int


@dataclass(frozen=True)
class Score:
    """Touchpoints of one design on one path, perhaps at one place and nature.

    beyond: those that the baseline does not have on this path; None if the baseline is not in the report.
    hits: how often its rows ran for each operation of the path; None if no scenario was run by every design.
    """

    static: int
    beyond: int | None
    hits: float | None


@dataclass(frozen=True)
class Line:
    """One line of the table: where, and a score for each design."""

    path: str
    place: str
    nature: str
    scores: list[Score]


@once
def kvm_rows(results: Results) -> pd.DataFrame:
    """Return the rows that stand in KVM's own code, with columns `design` (of their cell) and `path`.

    Rows of a design on several kinds of hardware are taken from `none`, or from all where it does not run there.
    """
    rows = results.rows[results.rows["place"].str.startswith("kvm-")]
    hardware = rows["cell"].map(results.cells["hardware"])
    rows = rows.assign(design=rows["cell"].map(results.cells["design"]))
    plain = set(rows.loc[hardware == "none", "design"])
    rows = rows[(hardware == "none") | ~rows["design"].isin(plain)]
    return rows.assign(path=rows["program"].isin(FAULT_PROGRAMS).map({True: "fault", False: "lifetime"}))


@once
def lines(results: Results) -> list[Line]:
    """Return the table: on each path, places and natures with their scores, and a line for the whole path."""
    common = common_cells(results)
    points = _points(kvm_rows(results), common)
    found = []
    for path in PATHS:
        here = points[points["path"] == path]
        done = _operations(results, path, common)
        for place in places(here):
            there = here[here["place"] == place]
            found += [
                Line(path, place, nature, _scores(results, there[there["nature"] == nature], done))
                for nature in sorted(set(there["nature"]))
            ]
        if not here.empty:
            found.append(Line(path, ALL, ALL, _scores(results, here, done)))
    return found


def _points(rows: pd.DataFrame, common: set[str]) -> pd.DataFrame:
    """One row a design, path, place, nature and site, with its hits in common cells: a hundredth of the rows."""
    hits = rows["hits"].where(rows["cell"].isin(common), 0)
    keys = ["design", "path", "place", "nature", "site"]
    return rows.assign(hits=hits).groupby(keys, sort=False)["hits"].sum().reset_index()


def _operations(results: Results, path: str, common: set[str]) -> dict[str, int]:
    """Design to the operations of a path in its common cells."""
    programs = results.programs[results.programs["cell"].isin(common)]
    programs = programs[programs["program"].isin(FAULT_PROGRAMS) == (path == "fault")]
    design = programs["cell"].map(results.cells["design"])
    return {str(name): int(sum_) for name, sum_ in programs["operations"].fillna(0).groupby(design).sum().items()}


def _scores(results: Results, points: pd.DataFrame, done: dict[str, int]) -> list[Score]:
    pairs = {design: set(zip(own["site"], own["nature"], strict=True)) for design, own in points.groupby("design")}
    base = pairs.get(BASELINE, set()) if BASELINE in results.designs else None
    hits = points.groupby("design")["hits"].sum()
    found = []
    for design in results.designs:
        own, operations = pairs.get(design, set()), done.get(design, 0)
        per = float(hits.get(design, 0)) / operations if operations else None
        found.append(Score(len(own), None if base is None else len(own - base), per))
    return found


def tally(rows: pd.DataFrame, counted_cells: set[str]) -> Tally:
    """Count the touchpoints of some rows; hits are summed over `counted_cells` only."""
    hits = rows.groupby(["site", "nature"])["hits"].sum()
    in_cells = rows[rows["cell"].isin(counted_cells)]
    return Tally(len(hits), int((hits > 0).sum()), int(in_cells["hits"].sum()))


@once
def common_cells(results: Results) -> set[str]:
    """Return the cells whose scenario, hardware and page size every design of the report ran."""
    cells = results.cells
    ran = cells.groupby(["scenario", "hardware", "page_size"])["design"].transform("nunique")
    return set(cells.index[ran == len(results.designs)])


def places(rows: pd.DataFrame) -> list[str]:
    """Return the KVM places of some rows: the known ones in their order, then others by name."""
    found = set(rows["place"])
    return [place for place in KVM_PLACES if place in found] + sorted(found - set(KVM_PLACES))
