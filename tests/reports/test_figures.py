"""Figures: found by walking, drawn from any results, the same bytes every time."""

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gmembench.reports import designs, lanes, rendering
from gmembench.reports.figure import find_figures
from gmembench.reports.loading import load_results
from gmembench.reports.stacks import by_place

ResultFile = Callable[..., Path]
FIGURES = find_figures()
NOWHERE = """
from gmembench.reports.figure import Figure
FIGURE = Figure('nowhere', '', 'counted', '', lambda results: None, None)
"""
ODD_CELLS = (
    "$x^{$/guest-memfd/none/4K",
    "<script>alert(1)</script> & more/a-design-of-ones-own/snp/1G",
    "trace/legacy-vma/none/4K",
)


def test_every_file_of_the_folder_is_a_figure() -> None:
    """The name of a figure is the name of its file."""
    folder = Path(sys.modules["gmembench.reports.figures"].__path__[0])
    assert sorted(FIGURES) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("FIGURE = None", TypeError),
        ("import gmembench.no_such_module", ModuleNotFoundError),
        (NOWHERE, ValueError),
    ],
)
def test_a_bad_figure_fails_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, error: type[Exception]
) -> None:
    """A file that is no figure, does not import, or names an unknown section stops the walk."""
    (tmp_path / "extra.py").write_text(source)
    package = ModuleType("extra_figures")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "extra_figures", package)
    monkeypatch.delitem(sys.modules, "extra_figures.extra", raising=False)
    with pytest.raises(error):
        find_figures(package)


@pytest.mark.parametrize("name", FIGURES)
def test_names_from_files_are_drawn_as_they_are(result_file: ResultFile, name: str) -> None:
    """Dollar signs, angle brackets and unknown designs neither fail nor become markup."""
    results = load_results([result_file(cells=ODD_CELLS, missing={"<i>odd</i>": "<b>$why$</b>"})])
    with rendering.themed():
        drawing = FIGURES[name].draw(results)
        if drawing is None:
            return
        document = rendering.svg(drawing)
    tags = {element.tag.rsplit("}", 1)[-1] for element in ET.fromstring(document).iter()}  # noqa: S314 - our own text
    assert not tags & {"script", "i", "b", "a", "image"}


@pytest.mark.parametrize("name", FIGURES)
def test_equal_results_give_equal_bytes(result_file: ResultFile, name: str) -> None:
    """A figure drawn twice is the same SVG and the same PNG."""
    results = load_results([result_file()])
    drawn = []
    for _ in range(2):
        with rendering.themed():
            drawing = FIGURES[name].draw(results)
            assert drawing is not None
            drawn.append((rendering.svg(drawing), rendering.png(drawing)))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if figure.kind == "measured"])
def test_measured_axes_say_so_and_vanish_without_times(result_file: ResultFile, name: str) -> None:
    """A measured figure names its kind on the axis, and a counted file does not draw it."""
    drawing = FIGURES[name].draw(load_results([result_file()]))
    assert drawing is not None
    assert any("measured" in axes.get_xlabel() for axes in drawing.axes)
    assert FIGURES[name].draw(load_results([result_file("counted.json", kind="counted")])) is None


@pytest.mark.parametrize("name", ["backing", "steps_per_conversion", "steps_per_fault"])
def test_counted_axes_say_so(result_file: ResultFile, name: str) -> None:
    """A counted figure with a scale names its kind on the axis."""
    drawing = FIGURES[name].draw(load_results([result_file()]))
    assert drawing is not None
    assert any("counted" in axes.get_xlabel() for axes in drawing.axes)


def test_a_design_keeps_its_own_colour() -> None:
    """Known designs have distinct colours in light and in dark, and an unknown one always gets the same."""
    for shade in ("colour", "dark_colour"):
        colours = [getattr(look, shade) for look in designs.LOOKS.values()]
        assert len(set(colours)) == len(colours)
    assert designs.look("of-ones-own") == designs.look("of-ones-own")


def test_ids_of_two_figures_in_one_page_differ() -> None:
    """Inlining puts the name of the figure before every id and every reference to one."""
    document = '<svg width="72pt"><g id="a"/><use href="#a"/><path clip-path="url(#a)" style="fill: #191c20"/></svg>'
    element = rendering.inline(document, "one", "label", {"#191c20": "ink"})
    assert 'id="one-a"' in element
    assert 'href="#one-a"' in element
    assert "url(#one-a)" in element
    assert "fill: var(--ink)" in element


@pytest.mark.parametrize(
    ("name", "steps", "events"),
    [("steps_per_fault", "fault_steps", "faults"), ("steps_per_conversion", "conversion_steps", "conversions")],
)
def test_bars_add_up_to_the_summary(result_file: ResultFile, name: str, steps: str, events: str) -> None:
    """The places of a bar sum up to the steps an event of the summary; a cell where they do not has no bar."""

    def change(cell: str, metadata: dict[str, Any]) -> None:
        if cell.endswith("2M"):
            metadata[f"count.{steps}"] += 1

    results = load_results([result_file(change=change)])
    draw = FIGURES[name].draw
    assert isinstance(draw, partial)
    bars = by_place(results, draw.keywords["stack"]).sum(axis=1)
    cells = results.cells[(results.cells[events] > 0) & (results.cells["page_size"] == "4K")]
    assert sorted(bars.index) == sorted(cells.index)
    for cell in cells.index:
        assert math.isclose(bars[cell], cells.loc[cell, steps] / cells.loc[cell, events])


def test_many_cells_stay_readable(result_file: ResultFile) -> None:
    """With 9 designs in 8 scenarios a figure keeps to the lanes and panels that a page can show, and is not empty."""
    names = [f"d{number}" for number in range(7)] + ["legacy-vma", "guest-memfd"]
    cells = [f"s{scenario}/{design}/none/4K" for scenario in range(8) for design in names]
    results = load_results([result_file(cells=cells)])
    for name, figure in FIGURES.items():
        drawing = figure.draw(results)
        if drawing is not None:
            width, height = drawing.get_size_inches()
            assert (width <= 12, height <= 22) == (True, True), name
    assert len(lanes.choose(results, results.cells.index, "faults")) == 4
