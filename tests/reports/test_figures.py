"""Figures: found by walking, drawn from any results, the same bytes every time."""

import math
import re
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from gmembench.reports import axes, designs, formatting, lanes, raster, rendering, theme
from gmembench.reports.canvas import MARKERS, Canvas, Text, element, svg
from gmembench.reports.figure import find_figures
from gmembench.reports.figures import backing, distribution, icicle
from gmembench.reports.loading import Results, load_results
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
    "<b>/<i>own</i>/none/4K",
    f"trace/日本語-{'w' * 60}/none/4K",
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


def parts(name: str, results: Results) -> list[Results]:
    """What a figure is drawn from: all results, or those of each scenario."""
    if FIGURES[name].section != "scenario":
        return [results]
    return [results.of_scenario(scenario) for scenario in dict.fromkeys(results.cells["scenario"])]


def drawings(name: str, results: Results) -> list[Canvas]:
    """All drawings of a figure."""
    found = [FIGURES[name].draw(part) for part in parts(name, results)]
    return [canvas for canvas in found if canvas is not None]


def texts(canvas: Canvas) -> str:
    """All texts of a drawing."""
    return "\n".join(mark.text for mark in canvas.marks if isinstance(mark, Text))


@pytest.mark.parametrize("name", FIGURES)
def test_names_from_files_are_drawn_as_they_are(result_file: ResultFile, name: str) -> None:
    """Dollar signs, angle brackets and unknown designs neither fail nor become markup, in the page and in files."""
    results = load_results([result_file(cells=ODD_CELLS, missing={"<i>odd</i>": "<b>$why$</b>"})])
    colours = theme.colours(results.cast)
    for canvas in drawings(name, results):
        alone = svg(canvas, colours)
        inside = str(element(canvas, "f", "<i>", dict.fromkeys(ODD_CELLS, 1)))
        for document in (alone, inside):
            tags = {item.tag.rsplit("}", 1)[-1] for item in ET.fromstring(document).iter()}  # noqa: S314 - our own text
            assert tags <= {"svg", "g", "title", "text", "path", "rect", "pattern"}
        assert raster.png(canvas, colours).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", FIGURES)
def test_equal_results_give_equal_bytes(result_file: ResultFile, name: str) -> None:
    """A figure drawn twice is the same SVG and the same PNG."""
    path = result_file()
    drawn = []
    for _ in range(2):
        results = load_results([path])
        colours = theme.colours(results.cast)
        drawn.append([(svg(canvas, colours), raster.png(canvas, colours)) for canvas in drawings(name, results)])
    assert drawn[0]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in {"overview", "touchpoints"}])
def test_every_axis_says_its_kind(result_file: ResultFile, name: str) -> None:
    """A figure with a scale names its own kind of number on it, and no other; no axis mixes two."""
    for canvas in drawings(name, load_results([result_file()])):
        assert f"({FIGURES[name].kind}" in texts(canvas)
        assert not {"counted", "modelled", "measured"} - {FIGURES[name].kind} & set(
            re.findall(r"[a-z]+", texts(canvas))
        )


@pytest.mark.parametrize("name", [name for name, figure in FIGURES.items() if figure.kind == "measured"])
def test_measured_figures_vanish_without_times(result_file: ResultFile, name: str) -> None:
    """A counted file draws nothing measured."""
    assert drawings(name, load_results([result_file()]))
    assert not drawings(name, load_results([result_file("counted.json", kind="counted")]))


def test_marks_tell_their_cell(result_file: ResultFile) -> None:
    """In figures of a scenario every cell with a mark can be traced: the page's element names its number."""
    results = load_results([result_file()])
    numbers = {str(cell): number for number, cell in enumerate(results.cells.index)}
    for name in ("steps_per_fault", "measured_time", "distribution", "backing", "icicle"):
        for part in parts(name, results):
            canvas = FIGURES[name].draw(part)
            assert canvas is not None
            told = {int(number) for number in re.findall(r'data-c="(\d+)"', element(canvas, "f", "l", numbers))}
            assert told
            assert told <= {numbers[str(cell)] for cell in part.cells.index}


def test_the_table_of_the_icicle_holds_all_steps(result_file: ResultFile) -> None:
    """The steps of a cell by program and place add up to those of its rows."""
    results = load_results([result_file()])
    for part in parts("icicle", results):
        table = icicle.numbers(part)
        numbers = table.set_index(["cell", "program"]).map(lambda text: int(text.replace(",", "")))
        hits = part.rows.groupby("cell")["hits"].sum()
        for cell, found in numbers.groupby("cell").sum().iterrows():
            assert found.iloc[:-1].sum() == found.iloc[-1] == hits[cell] > 0


def test_the_table_of_memory_has_the_peaks_and_the_end(result_file: ResultFile) -> None:
    """Each cell begins and ends as its profile does, and what is the most of each kind is in it."""
    results = load_results([result_file()])
    for part in parts("backing", results):
        table = backing.numbers(part)
        for cell, found in table.groupby("cell"):
            profile = part.backing[part.backing["cell"] == cell]
            done = [int(text.replace(",", "")) for text in found.iloc[:, 1]]
            assert [done[0], done[-1]] == [profile["operation"].iloc[0], profile["operation"].iloc[-1]]
            for place, kind in enumerate(("private", "shared", "double_backed"), 2):
                assert formatting.size(profile[f"{kind}_pages"].max()) in set(found.iloc[:, place])


def test_dots_span_all_values_of_a_process() -> None:
    """Few values are all dots; of many the least, the largest and what lies between, whatever their order."""
    few, many = np.arange(26.0), np.random.default_rng(1).permutation(1001)
    assert distribution.dots(few) is few
    found = distribution.dots(many)
    assert len(found) == distribution.DOTS_AT_MOST
    assert found.tolist() == pytest.approx(np.linspace(0, 1000, distribution.DOTS_AT_MOST).tolist())


def test_ten_designs_can_be_told_apart_without_colours() -> None:
    """Ten designs, known and unknown, have ten markers, ten line patterns and ten colours on each paper."""
    names = (*list(designs.LOOKS)[:7], "of-ones-own", "another", "third")
    cast = list(designs.cast_of(names).values())
    for values in (
        {design.marker for design in cast},
        {design.dash for design in cast},
        {design.look.colour for design in cast},
        {design.look.dark_colour for design in cast},
        {design.variable for design in cast},
    ):
        assert len(values) == len(names)
    assert set(designs.MARKERS) == set(MARKERS)


def test_ticks_are_round_and_inside() -> None:
    """Ticks of any range are at most as many as asked for, lie inside it and are evenly spaced."""
    for low, high in ((0, 1), (0, 7), (95.2, 131.7), (0, 24_608), (1e-9, 3e-9), (5, 5)):
        found = axes.ticks(low, high, 5)
        assert 1 <= len(found) <= 5
        assert all(low - 1e-9 <= value <= high * (1 + 1e-9) for value in found)
        assert len({round((b - a) / (high - low), 6) for a, b in pairwise(found)}) <= 1


def test_a_design_keeps_its_own_colour() -> None:
    """Known designs have distinct colours in light and in dark, and an unknown one always gets the same."""
    for shade in ("colour", "dark_colour"):
        colours = [getattr(look, shade) for look in designs.LOOKS.values()]
        assert len(set(colours)) == len(colours)
    assert designs.cast_of(("of-ones-own",)) == designs.cast_of(("of-ones-own",))


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


def test_a_dashed_line_keeps_its_length() -> None:
    """Strokes and gaps of a line add up to it, round its corners too."""
    strokes = list(raster._dashes([(0, 0), (10, 0), (10, 10)], [4, 2]))
    lengths = [sum(math.dist(a, b) for a, b in pairwise(stroke)) for stroke in strokes]
    assert lengths == pytest.approx([4, 4, 4, 2])


def test_many_cells_stay_readable(result_file: ResultFile) -> None:
    """With ten designs on three kinds of hardware and two page sizes a figure keeps to what a page can show."""
    names = [f"d{number}" for number in range(8)] + ["legacy-vma", "guest-memfd"]
    cells = [
        f"s/{design}/{kind}/{size}" for design in names for kind in ("none", "tdx", "snp") for size in ("4K", "2M")
    ]
    results = load_results([result_file(cells=cells, missing={})])
    for name in FIGURES:
        for canvas in drawings(name, results):
            assert (canvas.width <= 1000, canvas.height <= 1600) == (True, True), name
    layout = lanes.lay_out(results)
    assert len(layout.lanes) + layout.left_out == len(cells)
    assert layout.left_out > 0
