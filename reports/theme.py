"""The look of page and figures: colours on light and dark paper, colours of places, and matplotlib's settings.

The four neutral colours are unlike any other, so that the page can replace them by its own variables
and one picture serves light and dark.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmembench.reports.designs import Cast

LIGHT = {
    "paper": "#fefefd",
    "ink": "#191c20",
    "muted": "#5d6671",
    "rule": "#dfe3e8",
    "band": "#f4f5f6",
    "counted": "#1d5c4a",
    "measured": "#8a4b08",
    "warn": "#9b2c1f",
    "link": "#1f5fa8",
    "broken-paper": "#fbe4e1",
    "named-paper": "#fdf1d3",
    "less-3": "#7fb2dc",
    "less-2": "#aacde9",
    "less-1": "#d6e7f4",
    "same": "#f0f1f2",
    "more-1": "#fbe5cf",
    "more-2": "#f5c696",
    "more-3": "#e89f52",
    "actor-0": "#2f5d9b",
    "actor-1": "#d98f33",
    "actor-2": "#3f9b80",
    "actor-3": "#b0588c",
    "actor-4": "#7a6a55",
    "actor-5": "#5d6672",
    "actor-6": "#8a9a3b",
    "actor-7": "#a0522d",
}
"""Variables of the page on light paper; pictures that stand alone have them too."""

DARK = {
    "paper": "#15171a",
    "ink": "#e6e8ea",
    "muted": "#9ba4ae",
    "rule": "#343a41",
    "band": "#1d2024",
    "counted": "#7fcfb4",
    "measured": "#f0b266",
    "warn": "#f39b8c",
    "link": "#8cbcf0",
    "broken-paper": "#4a2420",
    "named-paper": "#453a17",
    "less-3": "#2c6ea6",
    "less-2": "#1f4d75",
    "less-1": "#1a3347",
    "same": "#25292e",
    "more-1": "#4a331c",
    "more-2": "#744a1b",
    "more-3": "#a6641a",
    "actor-0": "#7aa5e0",
    "actor-1": "#e3a75c",
    "actor-2": "#62c2a6",
    "actor-3": "#d98bb8",
    "actor-4": "#bfae97",
    "actor-5": "#a9b2bd",
    "actor-6": "#bccc6c",
    "actor-7": "#d98a66",
}
"""The same on dark paper."""

PAPER, INK, MUTED, GRID = (LIGHT[name] for name in ("paper", "ink", "muted", "rule"))

NEUTRALS = {LIGHT[name]: name for name in ("paper", "ink", "muted", "rule")}
"""Neutral colour to the name of the page's CSS variable: one drawing of matplotlib serves light and dark."""

PLACE_COLOURS = {
    "kvm-fault": "#2f5d9b",
    "kvm-invalidate": "#5f8fc7",
    "kvm-attributes": "#93b7de",
    "kvm-memslot": "#bfd3ea",
    "mm": "#d98f33",
    "backing": "#3f9b80",
    "hardware": "#b0588c",
    "vmm": "#8d8479",
    "guest": "#b9b2a8",
}
"""Colour of a place: KVM's own code in blues, dark to light, all else in other hues. The same on all paper."""

OTHER_PLACE = "#80868e"

DARK_PLACES = frozenset({"kvm-fault", "backing", "hardware", "vmm"})
"""Places whose colour needs light text on it."""


def colours(cast: Mapping[str, "Cast"]) -> dict[str, str]:
    """Names of colours to what they are in a picture that stands alone; `cast`: the designs of the report."""
    return LIGHT | {design.variable: design.look.colour for design in cast.values()}


def variables(cast: Mapping[str, "Cast"], *, dark: bool = False) -> dict[str, str]:
    """The page's variables on light or dark paper."""
    if not dark:
        return colours(cast)
    return DARK | {design.variable: design.look.dark_colour for design in cast.values()}


SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,  # names come from files: a dollar sign is a dollar sign
    "text.color": INK,
    "axes.unicode_minus": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "hatch.linewidth": 0.9,
    "lines.scale_dashes": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "gmembench",
}
