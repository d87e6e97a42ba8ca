"""Trace conformance in plain words: whether the model does what a real kernel did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmembench.reports import formatting
from gmembench.reports.loading import Results

_MEANINGS = {
    "leaf_changes": "leaf entries that the kernel set or zapped",
    "matched": "changes that the kernel and the model both made",
    "matched_sets": "of these, entries set",
    "matched_zaps": "of these, entries zapped",
    "missed_sets": "entries that only the kernel set",
    "missed_zaps": "entries that only the kernel zapped",
    "extra_sets": "entries that only the model set",
    "extra_zaps": "entries that only the model zapped",
    "late": "changes that matched when the model was asked again",
    "faults": "guest faults that the model was told of",
    "retries": "faults that set no entry; the guest tries again, which is a matter of timing and no error",
    "retries_explained": "of these, faults that overlap a change by another task",
    "large_leaf_changes": "changes of large pages, whose level is not compared",
}

_GROUPS = {
    "inputs": {
        "unmap": "given as input: zaps after a host unmap, which no event ties to a guest page",
        "exit": "given as input: faults that ended in an exit, whose cause no event shows",
        "prefault": "given as input: entries set ahead of a fault, which emit no fault event",
        "slot": "given as input: zaps without a cause in the trace, such as a deleted memslot",
        "value": "given as input: changes of page size",
    },
    "excluded": {
        "teardown": "left out: zaps when tables were torn down",
        "before": "left out: zaps of entries older than the trace",
        "open": "left out: changes that the end of the trace cut off",
        "split": "left out: large pages that were split",
        "root": "left out: roots that replaced another",
    },
}

_CONTROLS = {
    "obey-filter": "attribute changes and punches zap only the kind they are about, private or shared",
    "no-punch": "hole punches zap nothing",
    "conversion-does-not-zap": "attribute changes zap nothing",
    "private-immune": "host unmaps leave private entries alone",
    "ignore-noop": "attribute changes zap even if no page changes",
}


@dataclass(frozen=True)
class Control:
    """One control: the rule that was broken on purpose, how, and what became of the figure."""

    name: str
    rule: str
    verdict: str
    note: str


@dataclass(frozen=True)
class Verdict:
    """The conformance of one cell, ready for the page."""

    cell: str
    trace: str
    headline: str
    sentences: list[str]
    counts: list[tuple[str, str, str]]
    controls: list[Control]


def verdicts(results: Results) -> list[Verdict]:
    """Return a verdict for every cell that was compared with a trace; figures may lack any key."""
    return [_verdict(cell, results.conformance[cell]) for cell in results.cells.index if cell in results.conformance]


def _verdict(cell: str, figures: Mapping[str, Any]) -> Verdict:
    return Verdict(
        cell=cell,
        trace=str(figures.get("trace") or "a trace without a name"),
        headline=str(figures.get("headline") or ""),
        sentences=_sentences(figures),
        counts=_counts(_mapping(figures.get("counts"))),
        controls=[
            _control(str(name), _mapping(control), fraction(figures, "agreement"))
            for name, control in _mapping(figures.get("controls")).items()
        ],
    )


def fraction(figures: Mapping[str, Any], key: str) -> float | None:
    """Return a share of 0 to 1, or None if there is none under this key."""
    value = figures.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    return None


def _sentences(figures: Mapping[str, Any]) -> list[str]:
    agreement, pure, inputs, retries = (
        fraction(figures, key) for key in ("agreement", "agreement_pure", "inputs_share", "retries_explained")
    )
    found = []
    if agreement is None:
        found.append("The trace holds nothing that the model could predict, so there is no agreement to report.")
    else:
        found.append(
            f"The agreement is {formatting.percent(agreement)}: of all page-table changes that the kernel or the model "
            "made, input left out, this share is in both."
        )
    if inputs is not None:
        share = formatting.percent(inputs)
        found.append(f"{share} of all changes were given to it as input, because the trace does not show their cause.")
    if pure is not None:
        found.append(f"Without any input the agreement is {formatting.percent(pure)}.")
    if retries is not None:
        found.append(
            f"{formatting.percent(retries)} of the faults that were tried again overlap an invalidation by another "
            "task, as the model says they must."
        )
    if inputs is not None and inputs > 0.5:
        found.append("More than half was input: this trace says little about the model.")
    return found


def _counts(counts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, number and meaning of every count; classes that did not occur are left out."""
    order = list(_MEANINGS)
    names = sorted(counts, key=lambda name: (order.index(name) if name in order else len(order), name))
    plain = [(name, counts[name], _MEANINGS.get(name, "")) for name in names]
    classes = [
        (name, number, meanings.get(name, group))
        for group, meanings in _GROUPS.items()
        for name, number in _mapping(counts.get(group)).items()
        if number
    ]
    return [
        (name.replace("_", " "), formatting.count(number), meaning)
        for name, number, meaning in [*plain, *classes]
        if isinstance(number, int)
    ]


def _control(name: str, control: Mapping[str, Any], agreement: float | None) -> Control:
    found = fraction(control, "agreement")
    note, rule = str(control.get("note") or ""), _CONTROLS.get(name, "")
    if control.get("judged") is False:
        return Control(name, rule, "this trace cannot judge it", note)
    if found is None:
        return Control(name, rule, "no figure", note)
    if agreement is None or found < agreement:
        return Control(name, rule, f"agreement falls to {formatting.percent(found)}", note)
    return Control(name, rule, f"agreement stays at {formatting.percent(found)}: not told apart", note)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def agreements(figures: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return name and agreement of the model and of every control that has been judged; empty without a figure."""
    agreement = fraction(figures, "agreement")
    if agreement is None:
        return []
    controls = [(str(name), _mapping(control)) for name, control in _mapping(figures.get("controls")).items()]
    judged = [
        (name, fraction(control, "agreement")) for name, control in controls if control.get("judged") is not False
    ]
    return [("the model", agreement), *((name, found) for name, found in judged if found is not None)]
