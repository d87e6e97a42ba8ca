"""Conformance in words, whatever keys the figures have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gmembench.reports.conformance import agreements, verdicts
from gmembench.reports.loading import load_results

ResultFile = Callable[..., Path]
CELL = "trace/guest-memfd/none/4K"


def verdict_of(result_file: ResultFile, figures: dict[str, Any]) -> Any:
    """The verdict on one cell with these figures."""

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata["profile.conformance"] = json.dumps(figures)

    return verdicts(load_results([result_file(cells=[CELL], change=change)]))[0]


def test_a_control_lowers_the_figure_or_cannot_be_judged(result_file: ResultFile) -> None:
    """Each control says whether breaking the rule was noticed."""
    controls = {
        "seen": {"agreement": 0.6, "judged": True, "note": ""},
        "unseen": {"agreement": 1.0, "judged": True, "note": ""},
        "mute": {"agreement": 1.0, "judged": False, "note": "why"},
    }
    found = verdict_of(result_file, {"agreement": 1.0, "controls": controls}).controls
    assert [control.verdict for control in found] == [
        "agreement falls to 60 %",
        "agreement stays at 100 %: not told apart",
        "this trace cannot judge it",
    ]


def test_nearly_all_is_not_all(result_file: ResultFile) -> None:
    """An agreement just below one is never rounded to 100 %."""
    sentences = verdict_of(result_file, {"agreement": 0.99999}).sentences
    assert "more than 99.9 %" in sentences[0]


@pytest.mark.parametrize(("share", "warned"), [(0.5, False), (0.51, True)])
def test_much_input_is_said(result_file: ResultFile, share: float, warned: bool) -> None:
    """If more than half was given as input, the text warns."""
    sentences = verdict_of(result_file, {"agreement": 1.0, "inputs_share": share}).sentences
    assert ("says little" in sentences[-1]) == warned


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"agreement": None},
        {"agreement": "high", "counts": [], "controls": 3},
        {"agreement": 7, "counts": {"a": None}},
    ],
)
def test_missing_and_odd_keys_are_borne(result_file: ResultFile, figures: dict[str, Any]) -> None:
    """Without an agreement the text says so, and nothing fails."""
    found = verdict_of(result_file, figures)
    assert "no agreement to report" in found.sentences[0]
    assert found.counts == []
    assert agreements(figures) == []


def test_classes_that_occurred_are_told_with_their_meaning(result_file: ResultFile) -> None:
    """Counts of inputs and exclusions are listed if they are not zero, whatever other groups there are."""
    counts = {"matched": 4, "inputs": {"unmap": 3, "exit": 0}, "excluded": {"teardown": 2}, "pure": {"matched": 1}}
    found = verdict_of(result_file, {"agreement": 1.0, "counts": counts}).counts
    assert [(name, number) for name, number, _ in found] == [("matched", "4"), ("unmap", "3"), ("teardown", "2")]
    assert [meaning.split(":")[0] for _, _, meaning in found[1:]] == ["given as input", "left out"]
