"""Parts of the report: what it is given, the overview, the summary for a pull request, failures and tables."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from report_files import FAILURE, TABLE, write

from gmembench.core import steps
from gmembench.core.errors import UserError
from gmembench.reports import contact_sheet, markdown, overview, page, raster, vocabulary
from gmembench.reports.build import build_report, make_files, render_page
from gmembench.reports.findings import Finding
from gmembench.reports.inputs import read_inputs
from gmembench.reports.loading import load_results

ResultFile = Callable[..., Path]


def test_failures_and_tables_are_sections(result_file: ResultFile) -> None:
    """A failure brings its diagram, reason and replay line, a table its verdicts; their text is escaped."""
    result = result_file()
    folder = result.parent
    failure, table = write(folder / "failure.json", FAILURE), write(folder / "table.json", TABLE)
    build_report([failure, result, table], folder / "out")
    text = (folder / "out" / "index.html").read_text()
    assert 'id="failure-1"' in text
    assert f"gmembench replay {FAILURE['replay']}" in text
    assert 'id="necessity-1-access"' in text
    assert "Stopped before all was tried" in text
    assert text.count("<script") == 2
    assert "alert(1)</script>" not in text
    assert (folder / "out" / "figures" / "failure-1.svg").is_file()


def test_a_result_is_needed(tmp_path: Path) -> None:
    """Failures alone are no report, and a failure that is damaged is told with its path."""
    failure = write(tmp_path / "failure.json", FAILURE)
    with pytest.raises(UserError, match="no result file"):
        build_report([failure], tmp_path / "out")
    broken = write(tmp_path / "broken.json", FAILURE | {"actors": 3})
    with pytest.raises(UserError, match=r"broken\.json"):
        build_report([broken], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ratios_of_the_overview(result_file: ResultFile) -> None:
    """A field is the cell's number through the baseline's; cells that did not run say why and never zero."""
    results = load_results([result_file()])
    found = overview.overview(results)
    steps = results.cells["steps"]
    for scenario, fields in found.rows():
        for field in fields:
            base = f"{scenario}/{found.baseline}/{'/'.join(found.groups[0])}"
            if field.cell and base in steps.index:
                ratio = int(steps[field.cell]) / int(steps[base])
                shown = float(field.text.rstrip("×").replace(",", ""))
                assert shown == pytest.approx(ratio, abs=0.006 * max(ratio, 1))
                assert f"{int(steps[field.cell]):,}" in field.title
            elif not field.cell:
                assert field.text in {"", "n/a"}


@pytest.mark.parametrize(
    ("value", "base", "text", "tone"),
    [
        (None, 5, "n/a", "none"),
        (7, None, "7", "alone"),
        (0, 0, "1×", "same"),
        (3, 0, "3 : 0", "more-3"),
        (0, 3, "0×", "less-3"),
        (1.005, 1, "1.00×", "same"),
        (1.1, 1, "1.10×", "more-1"),
        (1.5, 1, "1.50×", "more-2"),
        (1, 3, "0.33×", "less-3"),
    ],
)
def test_text_and_colour_of_a_field(value: float | None, base: float | None, text: str, tone: str) -> None:
    """Missing numbers, zeros and ratios each have their text and their shade."""
    assert overview.compared(value, base) == (text, tone)


def test_the_summary_is_markdown_that_hides_nothing(result_file: ResultFile) -> None:
    """Names with marks of Markdown or HTML stand as text, and each line of the table has a field a design."""
    results = load_results([result_file(cells=["a|b<i>/legacy-vma/none/4K", "c/guest-memfd/none/4K"], missing={})])
    text = markdown.summary(results, [Finding("counted", "see @you & `x`")])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {4}
    assert "<i>" not in text
    assert "@you" not in text
    assert "gmembench run --quick" in text.replace("\\", "")


def test_words_for_links_are_unique() -> None:
    """Names that differ only in marks get different words."""
    found = page.slugs(["a:b", "a/b", "a b", "€"])
    assert list(found.values()) == ["a-b", "a-b-2", "a-b-3", "cell"]


def test_data_cannot_end_its_element() -> None:
    """Data in the page is JSON whose text holds no angle bracket."""
    text = page.data_text({"name": "</script><!-- & \u2028"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"name": "</script><!-- & \u2028"}


def test_every_number_names_its_file(result_file: ResultFile) -> None:
    """Rows of cells carry a number by which the page's data tells cell, file and command."""
    first = result_file("a.json", cells=["trace/legacy-vma/none/4K"], missing={})
    second = result_file("b.json", cells=["trace/guest-memfd/none/4K"], missing={})
    inputs = read_inputs([first, second])
    text = render_page(inputs)
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    told = {cell[0]: data["files"][cell[4]][0] for cell in data["cells"]}
    assert told == {"trace/legacy-vma/none/4K": "a.json", "trace/guest-memfd/none/4K": "b.json"}
    assert [len(file[2]) for file in data["files"]] == [64, 64]
    table = text.partition('id="cells-table"')[2].partition("</table>")[0]
    assert table.count("<tr data-c=") == 2


def test_a_large_report_stays_small(result_file: ResultFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight designs in twelve scenarios with 60 values each make a page of less than 5 MB."""
    monkeypatch.setattr(raster, "png", lambda *_: b"")  # pictures of dots take time, and are not in the page
    monkeypatch.setattr(contact_sheet, "png", lambda _: b"")
    names = ["legacy-vma", "vma-gup", "vma-encrypted", "fd-private", "fd-restricted", "guest-memfd", "own", "other"]
    cells = [f"scenario-{number}/{design}/none/4K" for number in range(12) for design in names]
    files = make_files(read_inputs([result_file(cells=cells, processes=20, missing={})]))
    assert len(files.page.encode()) < 5_000_000
    assert files.page.count('class="scenario"') == 12


def test_the_sheet_has_a_band_for_each_scenario_and_changed_axes_come_last() -> None:
    """Figures of one scenario stand side by side below its name; what does not fit is counted, not squeezed in."""

    def figure(scenario: str, colour: tuple[int, int, int]) -> contact_sheet.Thumbnail:
        picture = io.BytesIO()
        Image.new("RGB", (60, 40), colour).save(picture, "PNG")
        return contact_sheet.Thumbnail(scenario, "Steps", picture.getvalue())

    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    found = contact_sheet.png([figure("a", red), figure("b@guest=64M", green), figure("c", blue), figure("c", blue)])
    sheet = Image.open(io.BytesIO(found)).convert("RGB")
    assert sheet.width == 3 * contact_sheet.MARGIN + 2 * contact_sheet.WIDTH
    down = [sheet.getpixel((contact_sheet.MARGIN + 30, y)) for y in range(sheet.height)]
    assert down.index(red) < down.index(blue) < down.index(green)


def test_a_scenario_says_what_it_does(result_file: ResultFile) -> None:
    """The section begins with the sentence of the file, escaped; the rest of the text is behind a click."""

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata["scenarios.about"] = json.dumps({"bounce-buffer": "A ring <b> is shared.\n\nAnd `then <i>`\nmore."})

    text = render_page(read_inputs([result_file(change=change)]))
    section = text[text.index('id="scenario-bounce-buffer') :]
    assert "A ring &lt;b&gt; is shared.</p>" in section
    assert (
        '<summary>More of what it does</summary><p class="about">And <code>then &lt;i&gt;</code> more.</p>' in section
    )


def test_all_words_of_the_model_are_explained() -> None:
    """Every place and nature that a step of the model has is explained in the report."""
    files = Path(steps.__file__).parent.glob("*.py")
    said = [re.findall(r'@step\(\s*"([\w-]+)",\s*"([\w-]+)"', path.read_text()) for path in files]
    pairs = {pair for found in said for pair in found}
    assert len(pairs) > 30
    assert {place for place, _ in pairs} <= set(vocabulary.PLACES)
    assert {nature for _, nature in pairs} <= set(vocabulary.NATURES)
