"""docs/touchpoints.md says what the designs are."""

import re
from pathlib import Path

from gmembench.core.catalog import load_designs
from gmembench.core.touchpoints import on_paths

DOCUMENT = Path(__file__).parents[1] / "docs" / "touchpoints.md"
LINE = re.compile(r"^\| ([a-z0-9-]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def test_the_table_is_that_of_the_designs() -> None:
    """Touchpoints of every design, and those beyond legacy-vma; `gmembench list touchpoints` makes the numbers."""
    designs = load_designs()
    base = on_paths(designs["legacy-vma"])
    counted = {
        name: [number for path, pairs in on_paths(design).items() for number in (len(pairs), len(pairs - base[path]))]
        for name, design in designs.items()
    }
    written = {name: [int(number) for number in numbers] for name, *numbers in LINE.findall(DOCUMENT.read_text())}
    assert written == counted
