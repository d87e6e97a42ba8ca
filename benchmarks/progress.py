"""How a run shows where it is: a bar on a terminal; elsewhere a line for each finished cell, or for each tenth of many.

All of it goes to standard error. The bar is redrawn twice a second, so that it does not disturb what is measured.
"""

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gmembench.benchmarks.child import one_line

LINES_AT_MOST = 40
"""Cells and processes of a run of which each has its line."""


class Progress:
    """The progress of a run, told in events; `bar` and `lines` say which of them are shown, and how."""

    def __init__(self, console: Console, bar: Bar | None, lines: bool) -> None:
        self._console, self._bar, self._lines = console, bar, lines
        self._done = self._total = 0
        self._task = bar.add_task("counting, compiling first where needed") if bar else None

    def begin(self, total: int) -> None:
        """The run has `total` steps: each counted cell is one, each worker process is one."""
        self._total = total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=total)

    def counted(self, name: str, steps: int) -> None:
        """A cell was counted."""
        self._advance(f"counted {name}")
        self._say_each(f"counted {name}: {steps} steps")

    def timing(self, group: str) -> None:
        """A process that times a group starts."""
        self._describe(f"timing {group}")

    def timed(self, group: str, process: int, processes: int) -> None:
        """A process that timed a group ended."""
        self._advance(f"timed {group}")
        if process == processes:
            self._say_each(f"timed {group}: {processes} processes")

    def timed_plainly(self, name: str) -> None:
        """A cell was timed by pyperf's own manager."""
        self._advance(f"timed {name}")
        self._say_each(f"timed {name} by pyperf")

    def failed(self, name: str, cause: str, *, step: bool) -> None:
        """A cell failed; this is shown even when lines are not. `step`: counting it was a step of the run."""
        if step:
            self._advance(f"failed {name}")
        self._console.print(one_line(f"failed {name}: {cause}"), markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """One line that the user should know."""
        if self._lines or self._bar:
            self._console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        if self._lines:
            self._console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def _say_each(self, text: str) -> None:
        if self._total <= LINES_AT_MOST:
            self._say(text)

    def _describe(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=one_line(text))

    def _advance(self, text: str) -> None:
        self._done += 1
        if self._total > LINES_AT_MOST and 10 * self._done // self._total > 10 * (self._done - 1) // self._total:
            self._say(f"{self._done} of {self._total} done: {text}")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=one_line(text))


@contextlib.contextmanager
def shown(quiet: bool) -> Iterator[Progress]:
    """The progress to use: a bar if standard error is a terminal, else lines; with `quiet` only failures."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Progress(console, None, lines=not quiet)
        return
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    with Bar(*columns, text, console=console, refresh_per_second=2, transient=True) as bar:
        yield Progress(console, bar, lines=False)
