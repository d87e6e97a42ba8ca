"""Axes of figures: scales, round numbers for their ticks, and lines across the picture."""

import math
from dataclasses import dataclass

from gmembench.reports.canvas import Canvas

TICK_SIZE = 10.5
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Scale:
    """A linear scale: values from `low` to `high` lie between two places."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most `most` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10, 20) if _fits(low, high, factor * power, most))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _fits(low: float, high: float, step: float, most: int) -> bool:
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1 <= most


def short(value: float) -> str:
    """The number of a tick, in few characters."""
    for size, unit in UNITS:
        if abs(value) >= size and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:.4g} {unit}"
    return f"{value:,.6g}"


def x_axis(canvas: Canvas, scale: Scale, top: float, bottom: float, title: str, most: int = 5) -> None:
    """Draw lines from top to bottom at round numbers, the numbers, and what they are."""
    for value in ticks(scale.low, scale.high, most):
        x = scale(value)
        canvas.line([(x, top), (x, bottom)], "rule")
        canvas.text(x, bottom + 10, short(value), size=TICK_SIZE, colour="muted", anchor="middle", tick=True)
    canvas.text((scale.first + scale.last) / 2, bottom + 26, title, size=TICK_SIZE, colour="muted", anchor="middle")


def y_axis(canvas: Canvas, scale: Scale, left: float, right: float, most: int = 4) -> None:
    """Draw lines from left to right at round numbers, and the numbers."""
    for value in ticks(scale.low, scale.high, most):
        y = scale(value)
        canvas.line([(left, y), (right, y)], "rule")
        canvas.text(left - 5, y, short(value), size=TICK_SIZE, colour="muted", anchor="end", tick=True)
