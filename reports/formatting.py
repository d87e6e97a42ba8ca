"""Numbers and short texts for readers."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

PAGE_SIZE_BYTES = 4096
MEBIBYTE = 1 << 20


def absent(value: Any) -> bool:
    """True if a frame holds no number here."""
    return value is None or bool(pd.isna(value))


def count(value: Any) -> str:
    """An exact count with thousands separators."""
    return f"{int(value):,}"


def ratio(value: float) -> str:
    """A mean of counts: no decimals if it is whole or large, else one (two below ten); never rounded down to 0."""
    if 0 < value < 0.005:
        return "under 0.01"
    if value == round(value) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def mebibytes(pages: float) -> float:
    """Pages of 4 KiB to MiB."""
    return pages * PAGE_SIZE_BYTES / MEBIBYTE


def size(pages: Any) -> str:
    """Pages of 4 KiB as MiB without unit."""
    return ratio(mebibytes(int(pages)))


def percent(fraction: float) -> str:
    """A share in percent; never rounded up to 100 % or down to 0 %."""
    if 0.9995 <= fraction < 1:
        return "more than 99.9 %"
    if 0 < fraction < 0.0005:
        return "less than 0.1 %"
    return f"{100 * fraction:.1f} %".replace(".0 %", " %")


def time_ns(value: float) -> str:
    """Nanoseconds with three significant digits, without unit."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def plural(number: int, noun: str) -> str:
    """`1 fault`, `2 faults`, `1 process`, `2 processes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def listing(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
