"""Trace conformance in plain words: whether the model does what a real kernel did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmembench.reports import formatting
from gmembench.reports.loading import Results

_CLASSES = {
    "matched": "changes of the trace that the model predicted, in the right place",
    "missed": "changes of the trace that the model did not predict",
    "extra": "changes that the model predicted and the trace does not have",
    "unmap": "given as input: unmapped by host address, which no event ties to a guest page",
    "exit": "given as input: exits to the monitor, whose cause the trace does not show",
    "prefault": "given as input: pages mapped ahead of a fault, which emit no fault event",
    "slot": "given as input: changes of memory slots, which emit no event",
    "teardown": "left out: the end of a VM, when everything is zapped",
    "retry": "faults that were tried again; a matter of timing, never an error",
    "value": "not compared: page number, write permission",
    "yield": "order of events inside a long zap; compared page by page",
}


@dataclass(frozen=True)
class Control:
    """One control: the rule that was broken on purpose, and what became of the figure."""

    name: str
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
        found.append(
            "With faults, attribute calls and hypercalls as its only input "
            f"the agreement is {formatting.percent(pure)}."
        )
    if retries is not None:
        found.append(
            f"{formatting.percent(retries)} of the faults that were tried again overlap an invalidation by another "
            "task, as the model says they must."
        )
    if inputs is not None and inputs > 0.5:
        found.append("More than half was input: this trace says little about the model.")
    return found


def _counts(counts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    order = list(_CLASSES)
    names = sorted(counts, key=lambda name: (order.index(name) if name in order else len(order), name))
    flat = [(name, counts[name]) for name in names if isinstance(counts[name], int)]
    return [(name, formatting.count(number), _CLASSES.get(name, "")) for name, number in flat]


def _control(name: str, control: Mapping[str, Any], agreement: float | None) -> Control:
    found = fraction(control, "agreement")
    note = str(control.get("note") or "")
    if control.get("judged") is False:
        return Control(name, "this trace cannot judge it", note)
    if found is None:
        return Control(name, "no figure", note)
    if agreement is None or found < agreement:
        return Control(name, f"agreement falls to {formatting.percent(found)}", note)
    return Control(name, f"agreement stays at {formatting.percent(found)}: not told apart", note)


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
