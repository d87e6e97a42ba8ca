"""The sequence diagram of a failure: a column an actor, a row a step, locks as bars, what broke marked, and why.

Equal files give equal bytes. All text of the file is drawn as text, so nothing in it is markup.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import FancyBboxPatch, Rectangle

from gmembench.reports import lettering, rendering, theme
from gmembench.reports.failure_file import FailureFile, Step

ROW_INCHES = 0.175
TEXT_POINTS = 7.5
SMALL_POINTS = 6.5
HEAD_POINTS = 9.5
MARGIN_INCHES = 0.25
NUMBER_INCHES = 0.42
LANE_INCHES = 0.34
GAP_INCHES = 0.18
NARROWEST_INCHES = 1.35
WIDEST_INCHES = 3.2
LINE_INCHES = 0.165
NARROWEST_PICTURE_INCHES = 7.4
MOST_ROWS = 160
"""Beyond this, steps that take no lock, begin nothing and are not named are drawn together as one row."""

ACTOR_COLOURS = tuple(theme.LIGHT[f"actor-{number}"] for number in range(8))
BROKEN = "#b3261e"
BROKEN_PAPER = "#fbe4e1"
MARKED_PAPER = "#fdf1d3"

VARIABLES = {
    BROKEN: "warn",
    BROKEN_PAPER: "broken-paper",
    MARKED_PAPER: "named-paper",
    **{colour: f"actor-{number}" for number, colour in enumerate(ACTOR_COLOURS)},
}
"""Colours that the page has other ones for on dark paper -> its variables."""

BEGINS, WAITS = -1, -2
"""In place of the number of a step: an operation begins; an actor waits for ever."""


@dataclass(frozen=True)
class Line:
    """One row of the picture: a step, the beginning of an operation, several steps together, or a wait for ever."""

    actor: int
    text: str
    number: int = BEGINS
    until: int = BEGINS

    @property
    def is_step(self) -> bool:
        """Whether it has a number."""
        return self.number >= 0


@dataclass
class Bar:
    """A stretch of steps in which an actor holds a lock or waits for it; `how`: alone, read or waits."""

    lock: str
    actor: int
    how: str
    first: int
    last: int


@dataclass
class Layout:
    """What stands where, in inches from the top left corner."""

    lines: list[Line]
    actors: list[int]
    locks: list[str]
    widths: dict[int, float]
    top: float = 0.0
    places: dict[int, int] = field(default_factory=dict)

    def left(self, actor: int) -> float:
        """The left edge of an actor's column."""
        before = self.actors[: self.actors.index(actor)]
        return MARGIN_INCHES + NUMBER_INCHES + sum(self.widths[a] + GAP_INCHES for a in before)

    def lane(self, lock: str) -> float:
        """The left edge of a lock's lane."""
        columns = sum(self.widths[a] + GAP_INCHES for a in self.actors)
        return MARGIN_INCHES + NUMBER_INCHES + columns + LANE_INCHES * (0.4 + self.locks.index(lock))

    @property
    def right(self) -> float:
        """Where the last lane ends."""
        columns = sum(self.widths[a] + GAP_INCHES for a in self.actors)
        return MARGIN_INCHES + NUMBER_INCHES + columns + LANE_INCHES * (len(self.locks) + 0.8) * bool(self.locks)

    def y(self, row: float) -> float:
        """The upper edge of a row of lines."""
        return self.top + row * ROW_INCHES


def parts(text: str) -> tuple[str, str]:
    """The lock that a text such as `+mmu_lock read` names, and how it is held."""
    name = text[1:]
    if name.endswith(" read"):
        return name.removesuffix(" read"), "read"
    return name.removesuffix(" write"), "alone"


def label(step: Step) -> str:
    """A step without its program: row, page, an outcome other than *next*, an event."""
    words = [step.row.partition(".")[2] or step.row]
    words += [word for word in step.operands.split() if word.startswith("pfn=")]
    if step.outcome not in ("next", ""):
        words.append(f"\N{RIGHTWARDS ARROW} {step.outcome}")
    if step.event or step.kind == "yield":
        words.append(f"({step.event or step.kind})")
    return " ".join(words)


def lines_of(failure: FailureFile) -> list[Line]:
    """The rows of the picture."""
    last = len(failure.choices) - 1
    plain: list[Line] = []
    for number, step in enumerate(failure.choices):
        if step.begins:
            plain.append(Line(step.actor, step.begins))
        plain.append(Line(step.actor, label(step), number, number))
    if failure.violation.actor < 0 and failure.choices:
        plain += [Line(actor, f"waits: {lock}", WAITS, WAITS) for actor, lock in failure.choices[-1].waits]
    if len(plain) <= MOST_ROWS:
        return plain
    kept = {last, *failure.violation.marked, *(n for n, s in enumerate(failure.choices) if s.locks)}
    return list(_folded(plain, kept))


def _folded(lines: Sequence[Line], kept: set[int]) -> Iterator[Line]:
    """The lines with neighbours of one actor that are not kept drawn as one."""
    for (actor, fold), group in groupby(lines, lambda line: (line.actor, line.is_step and line.number not in kept)):
        some = list(group)
        if fold and len(some) > 2:
            first, last = some[0], some[-1]
            yield Line(actor, f"{first.text} \N{HORIZONTAL ELLIPSIS} {last.text}", first.number, last.until)
        else:
            yield from some


def bars_of(failure: FailureFile) -> list[Bar]:
    """Who holds and waits for what, from which step to which."""
    open_bars: dict[tuple[str, int, str], Bar] = {}
    done: list[Bar] = []
    for number, step in enumerate(failure.choices):
        for text in step.locks:
            lock, how = parts(text)
            if text[0] == "+":
                open_bars[lock, step.actor, how] = Bar(lock, step.actor, how, number, number)
            else:
                done += [open_bars.pop(key) for key in [(lock, step.actor, how)] if key in open_bars]
        waiting = {(lock, actor, "waits") for actor, lock in step.waits}
        for key in waiting - open_bars.keys():
            open_bars[key] = Bar(*key, number, number)
        done += [open_bars.pop(key) for key in [k for k in open_bars if k[2] == "waits" and k not in waiting]]
        for bar in open_bars.values():
            bar.last = number
    return sorted([*done, *open_bars.values()], key=lambda bar: (bar.first, bar.lock, bar.actor, bar.how))


def _inches(text: str, points: float, *, bold: bool = False) -> float:
    """Width of a text as it will be drawn."""
    return lettering.width(text, points / 72, bold=bold)


def _fitted(text: str, points: float, inches: float, *, bold: bool = False) -> str:
    return lettering.fitted(text, points / 72, inches, bold=bold)


def lay_out(failure: FailureFile) -> Layout:
    """Decide what stands where."""
    lines = lines_of(failure)
    actors = sorted({line.actor for line in lines})
    locks = list(dict.fromkeys(bar.lock for bar in bars_of(failure)))
    widths = {}
    for actor in actors:
        widest = max(_inches(line.text, TEXT_POINTS, bold=not line.is_step) for line in lines if line.actor == actor)
        named = _inches(failure.actors[actor], HEAD_POINTS, bold=True)
        widths[actor] = min(max(widest + 0.3, named * 1.05 + 0.15, NARROWEST_INCHES), WIDEST_INCHES)
    layout = Layout(lines, actors, locks, widths)
    for row, line in enumerate(lines):
        if line.is_step:
            layout.places |= dict.fromkeys(range(line.number, line.until + 1), row)
    return layout


def _colour(actor: int) -> str:
    return ACTOR_COLOURS[actor % len(ACTOR_COLOURS)]


def _wrapped(text: str, inches: float, points: float) -> list[str]:
    """The text in lines that fit."""
    average = _inches("abcdefghijklmnopqrstuvwxyz .", points) / 28
    return textwrap.wrap(text, max(int(inches / average * 0.97), 30), break_long_words=True) or [""]


def title_of(failure: FailureFile) -> list[str]:
    """What broke, and what it ran on."""
    setting = failure.setting
    where = ", ".join([setting.design, *setting.edits]) + f" on {setting.hardware}"
    runs = len(list(groupby(step.actor for step in failure.choices)))
    count = f"{len(failure.choices)} steps, {runs} context switch{'' if runs == 1 else 'es'}"
    return [
        f"{failure.violation.invariant}: {failure.violation.sentence}",
        f"{where}; {setting.scenario}; {count}".replace("; ;", ";"),
    ]


@dataclass(frozen=True)
class Face:
    """The look of a paragraph."""

    points: float
    line_inches: float
    colour: str
    weight: str = "normal"


TITLE = Face(HEAD_POINTS + 1.5, 0.22, theme.INK, "bold")
ABOUT = Face(TEXT_POINTS, LINE_INCHES, theme.MUTED)
REASON = Face(HEAD_POINTS, 0.2, BROKEN)


def draw(failure: FailureFile) -> Drawing:
    """Draw the sequence diagram; call it, and save, inside `rendering.themed()`."""
    layout = lay_out(failure)
    names = max([_inches(name, SMALL_POINTS) for name in layout.locks], default=0.0)
    width = max(layout.right + 0.6 * names + MARGIN_INCHES, NARROWEST_PICTURE_INCHES)
    inner = width - 2 * MARGIN_INCHES
    broken, where = title_of(failure)
    title, about = _wrapped(broken, inner, TITLE.points), _wrapped(where, inner, ABOUT.points)
    reason = _wrapped(f"{failure.violation.reason}.", inner, REASON.points) if failure.violation.reason else []
    about_top = MARGIN_INCHES + TITLE.line_inches * len(title)
    layout.top = about_top + LINE_INCHES * len(about) + 0.1 + max(names * 0.75 + 0.12, 0.3)
    bottom = layout.y(len(layout.lines)) + 0.16
    legend = bottom + REASON.line_inches * len(reason) + 0.5 * LINE_INCHES
    height = legend + 1.1 * LINE_INCHES + MARGIN_INCHES
    drawing = Drawing(figsize=(width, height))
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    _write(axes, title, MARGIN_INCHES, TITLE)
    _write(axes, about, about_top, ABOUT)
    _heads(axes, failure, layout)
    _steps(axes, failure, layout)
    _locks(axes, failure, layout)
    _write(axes, reason, bottom, REASON)
    _legend(axes, legend)
    return drawing


def _write(axes: Axes, lines: Sequence[str], top: float, face: Face) -> None:
    for number, line in enumerate(lines):
        y = top + face.line_inches * number
        axes.text(MARGIN_INCHES, y, line, va="top", size=face.points, color=face.colour, weight=face.weight)


def _heads(axes: Axes, failure: FailureFile, layout: Layout) -> None:
    """Names of actors and locks, and the lines below them."""
    end = layout.y(len(layout.lines))
    for actor in layout.actors:
        x = layout.left(actor)
        name = _fitted(failure.actors[actor], HEAD_POINTS, layout.widths[actor] - 0.1, bold=True)
        axes.text(x + 0.1, layout.top - 0.07, name, va="bottom", size=HEAD_POINTS, weight="bold", color=_colour(actor))
        axes.plot([x, x], [layout.top, end], color=theme.GRID, linewidth=0.8)
    for lock in layout.locks:
        x = layout.lane(lock) + 0.42 * LANE_INCHES
        axes.text(
            x, layout.top - 0.06, lock, va="bottom", ha="left", rotation=48, rotation_mode="anchor", size=SMALL_POINTS
        )
        axes.plot([x, x], [layout.top, end], color=theme.GRID, linewidth=0.6, zorder=0.5)


def _steps(axes: Axes, failure: FailureFile, layout: Layout) -> None:
    """The runs of the actors as boxes, and a text for each step."""
    row = 0
    for actor, group in groupby(layout.lines, key=lambda line: line.actor):
        run = list(group)
        x, y = layout.left(actor), layout.y(row)
        box = FancyBboxPatch(
            (x, y + 0.015),
            layout.widths[actor],
            len(run) * ROW_INCHES - 0.03,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=_colour(actor),
            edgecolor="none",
            alpha=0.1,
        )
        axes.add_patch(box)
        axes.plot([x, x], [y + 0.02, y + len(run) * ROW_INCHES - 0.02], color=_colour(actor), linewidth=2.2)
        if row:
            axes.plot([MARGIN_INCHES, layout.right], [y, y], color=theme.GRID, linewidth=0.6, zorder=0.4)
        row += len(run)
    last = len(failure.choices) - 1
    for place, line in enumerate(layout.lines):
        breaks = line.number == WAITS or (line.number <= last <= line.until and failure.violation.actor >= 0)
        named = any(line.number <= step <= line.until for step in failure.violation.marked)
        _step(axes, layout, place, line, "breaks" if breaks else "named" if named else "")


def _step(axes: Axes, layout: Layout, place: int, line: Line, mark: str) -> None:
    x, y, width = layout.left(line.actor), layout.y(place), layout.widths[line.actor]
    middle = y + 0.47 * ROW_INCHES
    if mark:
        paper = BROKEN_PAPER if mark == "breaks" else MARKED_PAPER
        edge = BROKEN if mark == "breaks" else "#c79a2b"
        axes.add_patch(
            Rectangle((x, y + 0.008), width, ROW_INCHES - 0.016, facecolor=paper, edgecolor=edge, linewidth=0.9)
        )
    colour = BROKEN if mark == "breaks" else _colour(line.actor) if line.number == BEGINS else theme.INK
    weight = "bold" if mark or not line.is_step else "normal"
    text = _fitted(line.text, TEXT_POINTS, width - 0.15, bold=weight == "bold")
    axes.text(x + 0.1, middle, text, va="center_baseline", size=TEXT_POINTS, color=colour, weight=weight)
    if line.is_step:
        number = str(line.number + 1) if line.number == line.until else f"{line.number + 1}-{line.until + 1}"
        where = MARGIN_INCHES + NUMBER_INCHES - 0.14
        axes.text(
            where,
            middle,
            number,
            va="center_baseline",
            ha="right",
            size=SMALL_POINTS,
            color=BROKEN if mark == "breaks" else theme.MUTED,
        )


def _locks(axes: Axes, failure: FailureFile, layout: Layout) -> None:
    """Bars: filled where a lock is held alone, light where it is held for reading, hatched where somebody waits."""
    bars = bars_of(failure)
    for bar in bars:
        first, last = layout.places[bar.first], layout.places[bar.last]
        everyone = sorted({other.actor for other in bars if other.lock == bar.lock})
        share = 0.84 * LANE_INCHES / len(everyone)
        x = layout.lane(bar.lock) + share * everyone.index(bar.actor)
        y = layout.y(first) + 0.02
        held = bar.how != "waits"
        axes.add_patch(
            Rectangle(
                (x, y),
                max(share - 0.02, 0.03),
                layout.y(last + 1) - 0.02 - y,
                facecolor=_colour(bar.actor) if held else "none",
                alpha=0.45 if bar.how == "read" else 1.0,
                edgecolor=_colour(bar.actor),
                linewidth=0.7,
                hatch=None if held else "/////",
            )
        )


def _legend(axes: Axes, y: float) -> None:
    """What the bars mean."""
    x = MARGIN_INCHES
    for text, how in (("held alone", "alone"), ("held for reading", "read"), ("waits", "waits")):
        held = how != "waits"
        patch = Rectangle(
            (x, y + 0.02),
            0.16,
            0.11,
            facecolor=theme.MUTED if held else "none",
            edgecolor=theme.MUTED,
            alpha=0.45 if how == "read" else 1.0,
            linewidth=0.7,
            hatch=None if held else "/////",
        )
        axes.add_patch(patch)
        axes.text(x + 0.22, y + 0.075, text, va="center_baseline", size=SMALL_POINTS, color=theme.MUTED)
        x += 0.22 + _inches(text, SMALL_POINTS) + 0.22
    text = "bars in the colour of the actor; red: what breaks it; yellow: named in the reason"
    axes.text(x, y + 0.075, text, va="center_baseline", size=SMALL_POINTS, color=theme.MUTED)


def svg(failure: FailureFile) -> str:
    """The picture as a stand-alone SVG document."""
    with rendering.themed():
        return rendering.svg(draw(failure))


def png(failure: FailureFile) -> bytes:
    """The picture as PNG."""
    with rendering.themed():
        return rendering.png(draw(failure))
