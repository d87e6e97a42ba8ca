"""Touchpoints: how many points of KVM's own code a design touches, and of what nature.

A touchpoint is a distinct pair (kernel function, nature) among the rows whose place starts with `kvm-`
(the measure proposed by Sean Christopherson, <YS6U1u/p+nOXVEfS@google.com>).
A row that is split in two does not add one.
"""

from dataclasses import dataclass

import pandas as pd

from gmembench.reports.loading import Results

KVM_PLACES = ("kvm-fault", "kvm-invalidate", "kvm-attributes", "kvm-memslot")


@dataclass(frozen=True)
class Tally:
    """Touchpoints of one design in one place and nature: in the code, reached by a run, and their hits."""

    static: int
    reached: int
    hits: int


def kvm_rows(results: Results) -> pd.DataFrame:
    """Return the rows that stand in KVM's own code, with the design of their cell as column `design`."""
    rows = results.rows[results.rows["place"].str.startswith("kvm-")]
    return rows.assign(design=rows["cell"].map(results.cells["design"]))


def tally(rows: pd.DataFrame, counted_cells: set[str]) -> Tally:
    """Count the touchpoints of some rows; hits are summed over `counted_cells` only."""
    hits = rows.groupby(["site", "nature"])["hits"].sum()
    in_cells = rows[rows["cell"].isin(counted_cells)]
    return Tally(len(hits), int((hits > 0).sum()), int(in_cells["hits"].sum()))


def common_cells(results: Results) -> set[str]:
    """Return the cells whose scenario, hardware and page size every design of the report ran."""
    cells = results.cells
    ran = cells.groupby(["scenario", "hardware", "page_size"])["design"].transform("nunique")
    return set(cells.index[ran == len(results.designs)])


def places(rows: pd.DataFrame) -> list[str]:
    """Return the KVM places of some rows: the known ones in their order, then others by name."""
    found = set(rows["place"])
    return [place for place in KVM_PLACES if place in found] + sorted(found - set(KVM_PLACES))
