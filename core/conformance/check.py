"""Trace conformance: a model's leaf stage-2 changes compared with those that the kernel traced.

The figure. A trace is replayed event by event. The model hears of faults, attribute changes, punches and a
few inputs, and says which leaf entries it sets and zaps. The trace's own kvm_tdp_mmu_spte_changed is the
answer. `agreement` = matched / (matched + missed + extra) over all leaf changes that are no input.

What it claims: for each gfn, VM and task, the model makes the kernel's sets and zaps, each for the cause that
the kernel had, and no others.

What it does not claim:
- The order of changes in different tasks, time, or anything that leaves no leaf change: locks, flushes,
  page contents, references. A zap may yield in the middle, so foreign changes fall between its own.
- That the model is the only one that fits: a dictionary of mapped gfns reaches 1.0 too. Hence the controls,
  models with one rule wrong. A control that does not lower the figure shows a rule that this trace cannot
  judge, and says so.
- That faults, retries and exits are foreseen. They are read from the trace. `agreement_pure` is the figure
  without any input; it has a ceiling below 1 wherever host unmaps or memslot changes zap entries, because
  no event says which gfns these touch. `inputs_share` is the part of the leaf changes given as input.

Rules of matching and input classes: replay. What counts as a cause: reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmembench.core.conformance.model import Model, Tally
from gmembench.core.conformance.reader import read_script
from gmembench.core.conformance.replay import Replay
from gmembench.core.conformance.steps import Script

ModelFactory = Callable[[str, Sequence[tuple[int, int]], int], Model]
"""(variant, clusters, vcpus) -> a model of one VM.

variant: "base" or the name of a control; for "no-punch" it is "base", and the replay tells of no punch.
clusters: (first real gfn, gfns) in ascending order; the model is called with dense gfns that count through
the clusters. vcpus: actors 0 to vcpus - 1 are vCPUs, actor `vcpus` is the host.
"""

CONTROLS = {
    "obey-filter": "attribute changes and punches zap only the kind they are about (private or shared)",
    "no-punch": "hole punches zap nothing",
    "conversion-does-not-zap": "attribute changes zap nothing",
    "private-immune": "host unmaps leave private entries alone",
    "ignore-noop": "attribute changes zap even if no gfn changes",
}
"""Models with one rule wrong: the variant's name and its rule."""

INPUT_CLASSES = ("unmap", "exit", "prefault", "slot", "value")
"""Classes of what no model could know; `exit` counts faults, the others leaf changes."""

EXCLUDED_CLASSES = ("teardown", "before", "open", "split", "root")
"""Classes of what is left out: teardown of tables, entries older than the trace, what its end cut off, large
pages that were split, roots that replaced another."""

SLOT_CAP = 0.01
"""Largest share of the leaf changes whose zaps may have no cause in the trace."""

CANNOT_JUDGE = "this trace cannot judge"


@dataclass(frozen=True)
class Control:
    """One control: its figure, whether it lies below the model's, and what that means."""

    agreement: float | None
    judged: bool
    note: str
    inputs: int


@dataclass(frozen=True)
class Conformance:
    """The outcome of a check; figures are counted, never measured.

    agreement, agreement_pure, inputs_share, retries_explained: shares from 0 to 1, None where nothing could
    be counted. counts: numbers of events by name, `inputs` and `excluded` by class. verdict: "agrees",
    "disagrees" or "cannot judge".
    """

    design: str
    agreement: float | None
    agreement_pure: float | None
    inputs_share: float | None
    retries_explained: float | None
    counts: dict[str, Any]
    controls: dict[str, Control]
    vms: int
    headline: str
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Everything as plain dictionaries, numbers, text and None."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "controls"}
        return fields | {"controls": {name: vars(control).copy() for name, control in self.controls.items()}}


def check(
    events: npt.NDArray[np.void],
    model_factory: ModelFactory,
    *,
    design: str = "guest-memfd",
    slot_reason: str = "",
) -> Conformance:
    """Compare a model with a trace.

    events: EVENT array, in the order of the file. slot_reason: why zaps without a cause are known to be right
    (deleted memslots that a kprobe recorded); without it, more than 1 % of them fail the check.
    """
    script = read_script(events)
    base = _replay(script, model_factory, "base")
    pure = _replay(script, model_factory, "base", pure=True)
    controls = {name: _control(_replay_control(script, model_factory, name), base) for name in CONTROLS}
    counts = _counts(script, base, pure)
    leaf_changes = counts["leaf_changes"]
    slot_share = base.inputs["slot"] / leaf_changes if leaf_changes and not slot_reason else 0.0
    judged = [name for name, control in controls.items() if control.judged]
    return Conformance(
        design=design,
        agreement=base.agreement,
        agreement_pure=pure.agreement,
        inputs_share=base.given / leaf_changes if leaf_changes else None,
        retries_explained=script.retries_explained / counts["retries"] if counts["retries"] else None,
        counts=counts,
        controls=controls,
        vms=script.vms,
        headline=_headline(design, base, leaf_changes, slot_share, judged),
        verdict=_verdict(base, slot_share),
    )


def _replay(
    script: Script,
    factory: ModelFactory,
    variant: str,
    *,
    pure: bool = False,
    punch: bool = True,
) -> Tally:
    clusters = script.gfns.clusters()
    return Replay(script, lambda: factory(variant, clusters, script.vcpus), pure=pure, punch=punch).run()


def _replay_control(script: Script, factory: ModelFactory, name: str) -> Tally:
    if name == "no-punch":
        return _replay(script, factory, "base", punch=False)
    return _replay(script, factory, name)


def _control(tally: Tally, base: Tally) -> Control:
    judged = tally.agreement is not None and base.agreement is not None and tally.agreement < base.agreement
    return Control(tally.agreement, judged, "lowers the figure" if judged else CANNOT_JUDGE, tally.given)


def _counts(script: Script, base: Tally, pure: Tally) -> dict[str, Any]:
    return {
        "leaf_changes": base.real + base.given,
        "matched": base.matched,
        "matched_sets": base.matched_sets,
        "matched_zaps": base.matched_zaps,
        "missed_sets": base.missed_sets,
        "missed_zaps": base.missed_zaps,
        "extra_sets": base.extra_sets,
        "extra_zaps": base.extra_zaps,
        "late": base.late,
        "inputs": {name: base.inputs[name] for name in INPUT_CLASSES},
        "excluded": {name: base.excluded[name] for name in EXCLUDED_CLASSES},
        "faults": script.faults,
        "retries": len(script.facts.retries),
        "retries_explained": script.retries_explained,
        "large_leaf_changes": script.large_leaves,
        "pure": {
            "matched": pure.matched,
            "missed_sets": pure.missed_sets,
            "missed_zaps": pure.missed_zaps,
            "extra_sets": pure.extra_sets,
            "extra_zaps": pure.extra_zaps,
        },
    }


def _verdict(base: Tally, slot_share: float) -> str:
    if not base.real:
        return "cannot judge"
    wrong = base.compared > base.matched or slot_share > SLOT_CAP
    return "disagrees" if wrong else "agrees"


def _headline(design: str, base: Tally, leaf_changes: int, slot_share: float, judged: Sequence[str]) -> str:
    """One sentence: the figure first, then whatever limits it."""
    if not base.real:
        return f"This trace has no leaf change that {design} could predict: nothing was compared."
    parts = [_figure(design, base)]
    if slot_share > SLOT_CAP:
        slots = base.inputs["slot"]
        parts.append(f"the check fails because {slots:,} zaps ({slot_share:.1%}) have no cause in the trace")
    given = f"{base.given:,} of {leaf_changes:,}"
    if base.given * 2 > leaf_changes:
        parts.append(f"more than half of the leaf changes ({given}) were given as input")
    elif base.given:
        parts.append(f"{given} leaf changes ({base.given / leaf_changes:.1%}) were given as input")
    parts.append(f"{len(judged)} of {len(CONTROLS)} controls lower the figure")
    return "; ".join(parts) + "."


def _figure(design: str, base: Tally) -> str:
    wrong = [
        f"{count:,} {what}"
        for what, count in (
            ("sets missed", base.missed_sets),
            ("zaps missed", base.missed_zaps),
            ("extra sets", base.extra_sets),
            ("extra zaps", base.extra_zaps),
        )
        if count
    ]
    return f"{design} makes {base.matched:,} of the kernel's {base.real:,} leaf changes" + "".join(
        f", {text}" for text in wrong
    )
