"""Building a report: one self-contained page and its figures, in a folder that appears whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from gmembench.core.errors import UserError
from gmembench.reports import (
    canvas,
    contact_sheet,
    content,
    findings,
    markdown,
    page,
    raster,
    rendering,
    sequence,
    theme,
)
from gmembench.reports.contact_sheet import Thumbnail
from gmembench.reports.content import Drawn, Pictured
from gmembench.reports.figure import Figure, find_figures
from gmembench.reports.inputs import Inputs, read_inputs
from gmembench.reports.loading import Results


@dataclass(frozen=True)
class Files:
    """A report before it is written: the page, and all other files by their names in the folder."""

    page: str
    others: dict[str, bytes]


def build_report(paths: Sequence[Path], out: Path) -> Path:
    """Write a report of some files into the new folder `out`; return the path of its index.html.

    paths: result files, and if there are any, failures of `gmembench explore` and tables of `gmembench explain`.
    The folder gets `index.html` (needs no other file and no network), `summary.md`, `summary.png` and
    `figures/*.png` and `*.svg`. Equal files give equal bytes.
    Raises UserError if a file is bad or `out` cannot be made.
    """
    _refuse_existing(out)
    files = make_files(read_inputs(paths))
    try:
        _write_folder(out, files)
    except OSError as error:
        raise UserError(error.strerror or "cannot be written", str(out), "choose another -o") from None
    return out / "index.html"


def make_files(inputs: Inputs) -> Files:
    """Draw everything and write the page."""
    with rendering.themed():
        drawn = list(draw_figures(inputs.results))
        failures = list(_failures(inputs))
        sheet = contact_sheet.png([Thumbnail(found.scenario, found.figure.title, found.png) for found in drawn])
    found = findings.findings(inputs.results)
    pictures: list[Drawn | Pictured] = [*drawn, *failures]
    others = {f"figures/{picture.name}.{kind}": data for picture in pictures for kind, data in picture.files}
    others["summary.md"] = markdown.summary(inputs.results, found).encode()
    if sheet:
        others["summary.png"] = sheet
    return Files(render_page(inputs, drawn, failures), others)


def render_page(inputs: Inputs, drawn: Sequence[Drawn] = (), failures: Sequence[Pictured] = ()) -> str:
    """Return the page as HTML. All text of the files is escaped."""
    return page.environment().get_template("report.html").render(content.content(inputs, drawn, failures))


def draw_figures(results: Results) -> Iterator[Drawn]:
    """All figures that the results allow, those of scenarios once for each. Call it inside `rendering.themed()`."""
    scenarios = content.scenario_slugs(results)
    parts = {scenario: results.of_scenario(scenario) for scenario in scenarios}
    for name, figure in find_figures().items():
        if figure.section != "scenario":
            yield from _drawn(name, "", figure, results)
    for scenario, slug in scenarios.items():
        for name, figure in find_figures().items():
            if figure.section == "scenario":
                yield from _drawn(f"{slug}-{name.replace('_', '-')}", scenario, figure, parts[scenario])


def _drawn(name: str, scenario: str, figure: Figure, results: Results) -> Iterator[Drawn]:
    found = figure.draw(results)
    if found is None:
        return
    colours = theme.colours(results.cast)
    numbers = figure.numbers(results).to_dict("split") if figure.numbers else None
    yield Drawn(name, scenario, figure, found, canvas.svg(found, colours), raster.png(found, colours), numbers)


def _failures(inputs: Inputs) -> Iterator[Pictured]:
    """The sequence diagram of each failure."""
    for number, (path, failure) in enumerate(inputs.failures, 1):
        drawing = sequence.draw(failure)
        document = rendering.svg(drawing)
        name = f"failure-{number}"
        label = str(Markup.escape(f"Sequence diagram: {failure.violation.sentence}"))
        element = rendering.inline(document, name, label, theme.NEUTRALS | sequence.VARIABLES)
        yield Pictured(name, path, failure, document, rendering.png(drawing), Markup(element))  # noqa: S704 - escaped


def _refuse_existing(out: Path) -> None:
    if not os.path.lexists(out):
        return
    if _is_report(out):
        raise UserError("an earlier report is there", str(out), "choose another -o or remove it")
    raise UserError("output exists", str(out), "choose another -o or remove it")


def _is_report(out: Path) -> bool:
    try:
        with (out / "index.html").open(encoding="utf-8") as file:
            return content.GENERATOR in file.read(1024)
    except (OSError, UnicodeDecodeError):
        return False


def _write_folder(out: Path, files: Files) -> None:
    """Write everything beside `out`, then rename, so that a report is never half there."""
    parent = out.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".gmembench-report-", dir=parent))
    try:
        (aside / "figures").mkdir()
        for name, data in files.others.items():
            _write(aside / name, data)
        _write(aside / "index.html", files.page.encode())
        aside.chmod(0o755)
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
