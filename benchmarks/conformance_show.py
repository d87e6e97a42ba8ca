"""A trace check on a terminal: the headline, the figures, the controls, the inputs."""

import math
from collections.abc import Iterable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gmembench.core.conformance.check import Conformance

_INPUTS = {
    "unmap": "zaps after a host unmap",
    "exit": "faults that ended in an exit",
    "prefault": "sets without a guest fault",
    "slot": "zaps without a cause",
    "value": "changes of page size",
}

_EXCLUDED = {
    "teardown": "zaps when tables were torn down",
    "before": "zaps of entries older than the trace",
    "open": "changes that the end of the trace cut off",
    "split": "large pages that were split",
    "root": "roots that replaced another",
}


def conformance_view(conformance: Conformance, name: str) -> Group:
    """What `gmembench trace show FILE --check DESIGN` prints; `name` is the file, shown as plain text."""
    title = f"{name}: {conformance.design}, {conformance.verdict}"
    return Group(
        Text(title, style="bold"),
        Text(conformance.headline),
        Text(),
        _figures(conformance),
        Text(),
        _controls(conformance),
        Text(),
        _counts(conformance),
    )


def _share(value: float | None) -> str:
    """Three digits, rounded down: only an exact 1 reads 1.000."""
    return "-" if value is None else f"{math.floor(value * 1000) / 1000:.3f}"


def _table(headers: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """A plain table: the first column is text, the second is a number, the rest is text."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, header in enumerate(headers):
        table.add_column(header, justify="right" if place == 1 else "left", no_wrap=place < 2)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _figures(conformance: Conformance) -> Table:
    counts = conformance.counts
    retries = f"{counts['retries_explained']:,} of {counts['retries']:,} overlap another task's change"
    rows = [
        ("agreement", _share(conformance.agreement), "matched / (matched + missed + extra), inputs left out"),
        ("agreement, pure", _share(conformance.agreement_pure), "the same without any input"),
        ("inputs", _share(conformance.inputs_share), "share of the leaf changes given as input"),
        ("retries explained", _share(conformance.retries_explained), retries),
    ]
    return _table(("figure", "counted", "meaning"), rows)


def _controls(conformance: Conformance) -> Table:
    rows = [(name, _share(control.agreement), control.note) for name, control in conformance.controls.items()]
    return _table(("control", "counted", ""), rows)


def _counts(conformance: Conformance) -> Table:
    """Everything that was counted; classes that did not occur are left out."""
    counts = conformance.counts
    plain = ("leaf_changes", "matched", "missed_sets", "missed_zaps", "extra_sets", "extra_zaps", "faults")
    rows = [(name.replace("_", " "), f"{counts[name]:,}", "") for name in plain]
    rows.append(("virtual machines", f"{conformance.vms:,}", "one after the other or at once"))
    if counts["late"]:
        rows.append(("late", f"{counts['late']:,}", "matched when the model was asked again"))
    if counts["large_leaf_changes"]:
        rows.append(("large leaves", f"{counts['large_leaf_changes']:,}", "levels are not compared"))
    for group, meanings in (("inputs", _INPUTS), ("excluded", _EXCLUDED)):
        rows += [
            (f"{group}: {name}", f"{counts[group][name]:,}", meaning)
            for name, meaning in meanings.items()
            if counts[group][name]
        ]
    return _table(("events", "counted", ""), rows)
