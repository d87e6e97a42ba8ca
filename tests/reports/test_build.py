"""The report as a whole: one page that needs nothing else, whole or not there at all."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gmembench.core.errors import UserError
from gmembench.reports import build
from gmembench.reports.build import build_report, render_page
from gmembench.reports.content import GENERATOR
from gmembench.reports.figure import find_figures
from gmembench.reports.inputs import read_inputs
from gmembench.reports.loading import load_results
from gmembench.reports.summary import summary_table

ResultFile = Callable[..., Path]


class Page(HTMLParser):
    """Tags with their attributes, headers of tables, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep a piece of text."""
        self.words.append(data)

    @property
    def text(self) -> str:
        """The visible text on one line."""
        return " ".join(" ".join(self.words).split())


def page_of(result: Path) -> str:
    """The page without its figures, which is quick."""
    return render_page(read_inputs([result]))


def test_page_and_every_figure_are_written(default_report: Path) -> None:
    """The folder holds the page, the summaries, and each figure as PNG and SVG, and nothing else."""
    found = {str(path.relative_to(default_report)) for path in default_report.rglob("*") if path.is_file()}
    pictures = {name for name in found if name.startswith("figures/")}
    assert found - pictures == {"index.html", "summary.md", "summary.png"}
    assert {name.rsplit(".")[0] for name in pictures if name.endswith("png")} == {
        name.rsplit(".")[0] for name in pictures if name.endswith("svg")
    }
    for name, figure in find_figures().items():
        ends = [picture for picture in pictures if picture.endswith(f"{name.replace('_', '-')}.png")]
        assert len(ends) > (1 if figure.section == "scenario" and name != "steps_per_conversion" else 0), name
    for path in default_report.rglob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_page_needs_no_network(default_report: Path) -> None:
    """Nothing is loaded: no image, frame or sheet, links lead into the folder only, and the policy forbids the rest."""
    text = (default_report / "index.html").read_text()
    page = Page(text)
    assert not {"img", "link", "iframe", "image", "object"} & {tag for tag, _ in page.tags}
    assert not [attributes for tag, attributes in page.tags if tag == "script" and "src" in attributes]
    links = [value or "" for _, attributes in page.tags for name, value in attributes.items() if name.endswith("href")]
    assert [link for link in links if not link.startswith(("#", "figures/"))] == []
    assert "@import" not in text
    assert [url for url in re.findall(r"url\(([^)]*)\)", text) if not url.startswith("#")] == []
    policy = next(a["content"] or "" for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none';")


def test_only_our_script_may_run(default_report: Path) -> None:
    """The policy names the digest of the page's one script, so that no other runs."""
    text = (default_report / "index.html").read_text()
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "script-src 'unsafe" not in text


def test_links_into_the_page_lead_somewhere(default_report: Path) -> None:
    """Every link to a place in the page, and every figure that is linked, exists."""
    tags = Page((default_report / "index.html").read_text()).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = {value or "" for _, attributes in tags for name, value in attributes.items() if name == "href"}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    assert all((default_report / link).is_file() for link in links if link.startswith("figures/"))
    assert {link for link in links if link.startswith("figures/")}


def test_ids_are_unique(default_report: Path) -> None:
    """Figures drawn by one library do not use each other's clip paths."""
    ids = [
        attributes["id"]
        for _, attributes in Page((default_report / "index.html").read_text()).tags
        if "id" in attributes
    ]
    assert len(ids) == len(set(ids))


def test_equal_results_give_an_equal_page(result_file: ResultFile, default_report: Path) -> None:
    """A second report of an equal file in another place has the same bytes."""
    out = result_file().parent / "again"
    build_report([out.parent / "result.json"], out)
    for path in default_report.rglob("*.*"):
        assert (out / path.relative_to(default_report)).read_bytes() == path.read_bytes()


def test_text_of_files_is_escaped(result_file: ResultFile) -> None:
    """A cell, reason or command that looks like markup arrives as text."""
    evil = "<script>alert(1)</script>"

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata |= {"gmembench.command": evil, "cpu_model_name": evil, "cell.parameters": evil}
        metadata["reason.not_applicable.convert"] = evil
        metadata["profile.conformance"] = json.dumps({"headline": evil, "trace": evil, "controls": {evil: {}}})

    path = result_file(cells=[evil + "/legacy-vma/none/4K"], change=change, missing={evil: evil})
    out = path.parent / "out"
    build_report([path], out)
    text = (out / "index.html").read_text()
    assert text.count("<script") == 2  # the page's own data and its own script
    assert "alert(1)</script>" not in text
    assert html.escape(evil) in text
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(data)["cells"][0][0] == evil + "/legacy-vma/none/4K"
    assert "<script" not in (out / "summary.md").read_text()


def test_every_column_of_the_summary_says_its_kind(result_file: ResultFile) -> None:
    """Each header of the summary carries counted or measured, and only times are measured."""
    table = summary_table(load_results([result_file()]))
    assert {column.kind for column in table.columns} == {"counted", "measured"}
    assert all((column.kind == "measured") == column.group.startswith("Time") for column in table.columns)
    table_text = page_of(result_file("again.json")).partition('id="cells-table"')[2]
    headers = re.findall(r"<thead>(.*?)</thead>", table_text, re.DOTALL)[0]
    assert headers.count('class="kind') == len(table.columns)


def test_an_operation_that_a_design_lacks_is_never_zero(result_file: ResultFile) -> None:
    """Conversions of a design without them are not applicable, with a note that gives the reason."""
    table = summary_table(load_results([result_file()]))
    labels = [column.label for column in table.columns]
    for row in table.rows:
        if row.parts["design"] == "legacy-vma" and row.reason is None:
            entry = row.entries[labels.index("conversions")]
            assert entry.text == "n/a"
            assert "no memory attribute" in table.notes[entry.note - 1]


def test_cells_that_cannot_run_are_rows_with_their_reason(result_file: ResultFile) -> None:
    """A cell that is not applicable stands in the table, with the reason in place of numbers."""
    table = summary_table(load_results([result_file()]))
    row = next(row for row in table.rows if row.name == "boot-populate/guest-memfd/none/2M")
    assert row.entries == []
    assert "not applicable: private guest_memfd folios are 4K" in Page(page_of(result_file("again.json"))).text


def test_a_counted_file_says_that_there_is_no_measurement(result_file: ResultFile) -> None:
    """Without times the page says so and why, and no entry pretends to be one."""
    path = result_file(kind="counted")
    assert "There is no measurement" in Page(page_of(path)).text
    rows = summary_table(load_results([path])).rows
    assert {entry.text for row in rows for entry in row.entries[-2:]} == {"not measured"}


def test_failed_cells_are_told(result_file: ResultFile) -> None:
    """A cell that failed is named with its cause before any number."""

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata["cells.failed"] = json.dumps([{"cell": "a/b/c/d", "cause": "it broke"}])

    text = Page(page_of(result_file(change=change))).text
    assert "The cell a/b/c/d failed and is not in this report: it broke" in text


def test_files_of_different_sources_are_warned_about(result_file: ResultFile) -> None:
    """Two files whose models differ carry a warning."""

    def other(_: str, metadata: dict[str, Any]) -> None:
        metadata["gmembench.digest"] = "other"

    first = result_file("a.json", cells=["trace/legacy-vma/none/4K"])
    second = result_file("b.json", cells=["trace/guest-memfd/none/4K"], change=other)
    page = render_page(read_inputs([first, second]))
    assert "The files differ in the source of the model." in page
    assert "The files differ" not in page_of(first)


def test_existing_output_is_refused(result_file: ResultFile) -> None:
    """An earlier report, another folder, a file and a dangling link are all left as they are."""
    path = result_file()
    folder = path.parent
    for name, content in (("report", GENERATOR), ("other", "<html>mine</html>")):
        (folder / name).mkdir()
        (folder / name / "index.html").write_text(content)
    (folder / "file").write_text("mine")
    (folder / "link").symlink_to(folder / "nowhere")
    before = sorted(folder.rglob("*"))
    for name in ("report", "other", "file", "link"):
        with pytest.raises(UserError, match="choose another -o or remove it"):
            build_report([path], folder / name)
    assert sorted(folder.rglob("*")) == before


def test_nothing_is_left_behind_by_a_failure(result_file: ResultFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """If writing fails half-way, neither the report nor the folder aside stays."""
    path = result_file()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "find_figures", dict)
    monkeypatch.setattr(build, "_write", full)
    with pytest.raises(UserError, match="No space left on device"):
        build_report([path], path.parent / "out")
    assert sorted(path.parent.iterdir()) == [path]


def test_a_bad_file_leaves_no_folder(tmp_path: Path) -> None:
    """A result file that cannot be read stops the report before anything is written."""
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError):
        build_report([tmp_path / "bad.json"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


def test_an_interrupted_or_noisy_run_is_warned_about(result_file: ResultFile) -> None:
    """The page says first that cells are missing, or why times are to be distrusted; then what the machine is."""

    def change(_: str, metadata: dict[str, Any]) -> None:
        metadata |= {"gmembench.complete": "no", "noise.warning": "the load average was 6"}
        metadata |= {"machine.facts": json.dumps({"cpus": 2}), "machine.findings": json.dumps(["set <b>governor</b>"])}

    text = Page(page_of(result_file(change=change))).text
    assert "The run of result.json was interrupted: cells are missing." in text
    assert "Distrust the times of result.json: the load average was 6." in text
    assert "cpus 2" in text
    assert "set <b>governor</b>" in text
