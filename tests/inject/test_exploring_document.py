"""The failure that docs/exploring.md shows, and its line to paste."""

import re
from pathlib import Path

from gmembench.inject.question import setting_named
from gmembench.inject.replay import replay_schedule
from gmembench.inject.schedule import read_line

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "exploring.md"


def test_the_line_of_the_document_replays() -> None:
    """It shows the failure that is told above it, and every step does what it did when the line was written."""
    text = " ".join(DOCUMENT.read_text("utf-8").split())
    lines = re.findall(r"gmembench replay (v1:bugs\S+)", text)
    assert len(lines) == 1
    done = replay_schedule(read_line(lines[0], setting_named), (), lines[0])
    assert done.difference is None
    assert done.found is not None
    violation = done.found.violation
    assert f"{violation.invariant}: {violation.sentence} {violation.reason}" in text
