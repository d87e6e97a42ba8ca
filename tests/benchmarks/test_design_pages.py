"""Pages of designs are made from their data, and those in docs/designs are up to date."""

from pathlib import Path

import pytest

from gmembench.benchmarks import design_pages
from gmembench.core.catalog import load_designs
from gmembench.core.designs.guest_memfd import ACCESS
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD

KEPT = Path(__file__).resolve().parents[2] / "docs" / "designs"


def test_the_pages_that_are_kept_are_those_of_the_data(tmp_path: Path) -> None:
    """docs/designs holds a page for each design and no other, as the data are now."""
    made = {path.name: path.read_text() for path in design_pages.write_pages(tmp_path)}
    kept = {path.name: path.read_text() for path in KEPT.glob("*.md")}
    assert kept.keys() == made.keys(), f"run {design_pages.COMMAND}"
    for name, text in made.items():
        assert kept[name] == text, f"docs/designs/{name} is old: run {design_pages.COMMAND}"


def test_an_edit_shows_on_the_page() -> None:
    """A row that a design leaves out is not listed, and its cost falls by the times it ran."""
    lean = GUEST_MEMFD.edited("lean", access=ACCESS.without("fault.precheck_stale_2"))
    designs = design_pages.in_order(load_designs()) | {"lean": lean}
    full, less = (design_pages.page(design, designs) for design in (GUEST_MEMFD, lean))
    assert "fault.precheck_stale_2 " in full
    listed = less.partition("### access")[2].partition("### prefault")[0]
    assert "fault.precheck_stale_2 " not in listed
    assert "fault.precheck_stale_1 " in listed
    assert "As in [guest-memfd](guest_memfd.md#convert)." in less


def test_a_folder_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder there is one line that says what to give, and exit code 2."""
    assert design_pages.main([]) == 2
    assert "give one folder" in capsys.readouterr().err
