"""How a trace check looks on a terminal."""

import io

from rich.console import Console

from gmembench.benchmarks.conformance_show import conformance_view
from gmembench.core.conformance.check import CANNOT_JUDGE, CONTROLS, Conformance, Control


def shown(name: str, agreement: float | None) -> str:
    """The view of a made-up result as text."""
    names = ("leaf_changes", "matched", "missed_sets", "missed_zaps", "extra_sets", "extra_zaps", "late")
    counts = dict.fromkeys((*names, "faults", "retries", "retries_explained", "large_leaf_changes"), 2_400)
    inputs = {"unmap": 7, "exit": 0, "prefault": 0, "slot": 0, "value": 0}
    excluded = {"teardown": 0, "before": 0, "open": 0, "split": 0, "root": 0}
    result = Conformance(
        design="guest-memfd",
        agreement=agreement,
        agreement_pure=0.5,
        inputs_share=None,
        retries_explained=None,
        counts={**counts, "inputs": inputs, "excluded": excluded},
        controls={control: Control(1.0, False, CANNOT_JUDGE, 0) for control in CONTROLS},
        vms=1,
        headline="One sentence.",
        verdict="agrees",
    )
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(conformance_view(result, name))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_everything_is_there() -> None:
    """Headline, every control with its note, and the classes that occurred."""
    text = shown("a.trace", 1.0)
    assert "One sentence." in text
    assert all(control in text for control in CONTROLS)
    assert text.count(CANNOT_JUDGE) == len(CONTROLS)
    assert "inputs: unmap" in text
    assert "inputs: slot" not in text


def test_only_an_exact_one_reads_one() -> None:
    """A figure just below 1 is not rounded up, and a missing one is a dash."""
    assert "0.999" in shown("a.trace", 0.99999)
    line = next(line for line in shown("a.trace", None).splitlines() if line.startswith("agreement "))
    assert line.split()[1] == "-"


def test_the_name_of_a_file_is_text() -> None:
    """Markup in a file's name is printed, not obeyed."""
    assert "[red]x[/red]: guest-memfd" in shown("[red]x[/red]", 1.0)
