"""The look of all figures: neutral colours, colours of places, and matplotlib's settings.

The four neutral colours are unlike any other, so that the page can replace them by its own variables
and one picture serves light and dark.
"""

PAPER = "#fefefd"
INK = "#191c20"
MUTED = "#5d6671"
GRID = "#dfe3e8"

NEUTRALS = {PAPER: "paper", INK: "ink", MUTED: "muted", GRID: "rule"}
"""Neutral colour to the name of the page's CSS variable."""

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
"""Colour of a place: KVM's own code in blues, dark to light, all else in other hues."""

OTHER_PLACE = "#80868e"

DARK_PLACES = frozenset({"kvm-fault", "backing", "hardware", "vmm"})
"""Places whose colour needs light text on it."""

SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.parse_math": False,  # names come from files: a dollar sign is a dollar sign
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "hatch.linewidth": 0.9,
    "svg.fonttype": "none",
    "svg.hashsalt": "gmembench",
}
