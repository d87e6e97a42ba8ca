"""The overview as a picture: the first choice of metric, baseline and group."""

from gmembench.reports import lettering
from gmembench.reports.canvas import Canvas
from gmembench.reports.figure import Figure
from gmembench.reports.loading import Results
from gmembench.reports.overview import overview

_COLUMN, _LINE = 62.0, 22.0
_TURN = 35.0
_NAME = 150.0


def draw(results: Results) -> Canvas | None:
    """Draw a line a scenario and a column a design."""
    found = overview(results)
    rows = found.rows()
    left = 16 + min(1.06 * max(lettering.width(scenario, 11) for scenario, _ in rows), 330)
    top = 56 + max(min(lettering.width(design, 10.5), _NAME) for design in results.designs) * 0.6
    canvas = Canvas(left + _COLUMN * len(results.designs) + 90, top + _LINE * len(rows) + 12)
    metric, (hardware, page_size) = found.metrics[0], found.groups[0]
    title = f"{metric.label} ({metric.kind}), ratio to {found.baseline}; hardware {hardware}, {page_size}"
    canvas.text(8, 14, lettering.fitted(title, 12, canvas.width - 16, bold=True), size=12, bold=True)
    for column, design in enumerate(results.designs):
        x = left + _COLUMN * (column + 0.5)
        cast = results.cast[design]
        canvas.marker(x - 2, top - 9, cast.marker, cast.variable)
        canvas.text(x + 2, top - 20, lettering.fitted(design, 10.5, _NAME), size=10.5, angle=_TURN)
    for number, (scenario, fields) in enumerate(rows):
        y = top + _LINE * (number + 0.5)
        canvas.text(left - 8, y, lettering.fitted(scenario, 11, left - 14), anchor="end")
        for column, field in enumerate(fields):
            x = left + _COLUMN * column
            with canvas.hover(field.title, field.cell):
                if field.tone not in {"none", "alone"}:
                    canvas.box(x + 1, y - _LINE / 2 + 1, _COLUMN - 2, _LINE - 2, field.tone)
                colour = "muted" if field.tone == "none" else "ink"
                text = lettering.fitted(field.text, 10.5, _COLUMN - 4)
                canvas.text(x + _COLUMN / 2, y, text, size=10.5, anchor="middle", colour=colour)
    return canvas


FIGURE = Figure(
    section="overview",
    title="Scenarios by designs",
    kind="counted",
    caption="",
    draw=draw,
    numbers=None,
)
